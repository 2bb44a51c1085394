//! Whether vault entities have changed, as each hit sees it.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::store::epoch::STILL;

/// By which the Lua side sees, at each hit, whether the entities are what they were.
#[derive(Debug)]
pub struct EpochWatch {
    epoch: AtomicPtr<AtomicU32>,
    seen_epoch: AtomicU32,
}

impl Default for EpochWatch {
    fn default() -> Self {
        Self { epoch: AtomicPtr::new(ptr::from_ref(&STILL).cast_mut()), seen_epoch: AtomicU32::new(0) }
    }
}

impl EpochWatch {
    /// Where the address of the counter stands that all processes see.
    pub fn epoch(&self) -> &AtomicPtr<AtomicU32> {
        &self.epoch
    }

    /// Has Lua look at this counter. Returns whether it was another one before.
    pub(super) fn show(&self, counter: &AtomicU32) -> bool {
        let counter = ptr::from_ref(counter).cast_mut();
        self.epoch.swap(counter, Ordering::AcqRel) != counter
    }

    /// Notes what the counter was when the entities were read.
    pub(super) fn note_seen(&self, epoch: u32) {
        self.seen_epoch.store(epoch, Ordering::Release);
    }

    /// The counter's value when this process read the entities.
    pub fn seen_epoch(&self) -> &AtomicU32 {
        &self.seen_epoch
    }
}
