//! Locks as all of this crate takes them. `tests/handover.rs` gives the files that it runs another `sync`, of loom's.

use std::sync::{LockResult, PoisonError};
pub use std::sync::{Mutex, MutexGuard};

/// A panic while a lock is held leaves data that is still whole: each critical section is one call.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    even_poisoned(mutex.lock())
}

/// The same for what else a mutex or a condition gives.
pub fn even_poisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
