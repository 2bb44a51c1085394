//! Whether somebody who stores an entry has to wake the refresher for it. `tests/handover.rs` runs this file with
//! loom's lock in place of std's.

use std::time::Instant;

use crate::sync::{Rank, Ranked};

pub struct Wakeup {
    /// When the refresher wakes up by itself; `None`: it scans now, or has to be told.
    wakes_at: Ranked<Option<Instant>>,
}

impl Wakeup {
    pub fn new() -> Self {
        Self { wakes_at: Ranked::new(Rank::Wakeup, None) }
    }

    /// The refresher is scanning: entries stored from now on must wake it.
    pub fn begin_scan(&self) {
        *self.wakes_at.lock() = None;
    }

    /// The refresher has scanned, and sleeps.
    pub fn sleep_until(&self, at: Option<Instant>) {
        *self.wakes_at.lock() = at;
    }

    /// Whether the refresher has to be woken for an entry that is due at `next`.
    pub fn is_too_late_for(&self, next: Instant) -> bool {
        self.wakes_at.lock().is_none_or(|at| next < at)
    }
}
