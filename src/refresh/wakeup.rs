//! Whether somebody who keeps something has to wake the rotation for it. `tests/handover.rs` runs this file with loom's
//! lock in place of std's.

use std::sync::PoisonError;
use std::time::Instant;

use super::sync::{Mutex, MutexGuard};

pub struct Wakeup {
    /// When the rotation wakes up by itself; `None`: it looks around now, or has to be told.
    wakes_at: Mutex<Option<Instant>>,
}

impl Wakeup {
    pub fn new() -> Self {
        Self { wakes_at: Mutex::new(None) }
    }

    /// The rotation looks around: of what is kept from here on nobody knows whether it was seen.
    pub fn begin_scan(&self) {
        *self.lock() = None;
    }

    /// The rotation has looked around, and sleeps.
    pub fn sleep_until(&self, at: Option<Instant>) {
        *self.lock() = at;
    }

    /// Whether the rotation has to be woken for what was kept, which is due at `next`.
    pub fn is_too_late_for(&self, next: Instant) -> bool {
        self.lock().is_none_or(|at| next < at)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.wakes_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
