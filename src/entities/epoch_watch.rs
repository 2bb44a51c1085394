//! Tells each hit whether vault entities have changed.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::store::epoch::STILL;

/// The epoch, and its value when this process read the entities: Lua compares the two at each hit.
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
    /// The address of the epoch, which all processes share.
    pub fn epoch(&self) -> &AtomicPtr<AtomicU32> {
        &self.epoch
    }

    /// Has Lua compare this counter. Returns whether it was another one before.
    pub(super) fn show(&self, counter: &AtomicU32) -> bool {
        let counter = ptr::from_ref(counter).cast_mut();
        self.epoch.swap(counter, Ordering::AcqRel) != counter
    }

    /// Notes the epoch at which the entities were read.
    pub(super) fn note_seen(&self, epoch: u32) {
        self.seen_epoch.store(epoch, Ordering::Release);
    }

    /// The epoch at which this process read the entities.
    pub fn seen_epoch(&self) -> &AtomicU32 {
        &self.seen_epoch
    }
}
