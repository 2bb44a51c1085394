//! A counter that tells those who keep copies of values whether the copies are still good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::runtime::notifier::{Event, Notifier};

/// Moves whenever a value that somebody may have copied is not to be served any more.
#[derive(Clone)]
pub struct Generation {
    counter: Arc<AtomicU32>,
    notifier: Arc<Notifier>,
}

impl Generation {
    pub fn new(counter: Arc<AtomicU32>, notifier: Arc<Notifier>) -> Self {
        Self { counter, notifier }
    }

    pub fn bump(&self) {
        self.counter.fetch_add(1, Ordering::Release);
        // Where nobody listens, the copies are dropped with the next look-up.
        self.notifier.notify(Event::Outdated);
    }
}
