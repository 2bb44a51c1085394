//! Locks as all of this crate takes them. `tests/handover.rs` gives the files that it runs another `sync`, of loom's.

use std::sync::PoisonError;
pub use std::sync::{Mutex, MutexGuard};

/// A panic while a lock is held leaves data that is still whole: each critical section is one call.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
