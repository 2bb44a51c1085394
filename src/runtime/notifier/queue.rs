//! Events that wait for the worker, and which subscribers they have to wake.
//!
//! Several subscribers may wait at once (see `listener.lua`): whichever is read first takes all events, those too that others
//! wait for, and each of those has to be notified to see what became of them. `tests/handover.rs` runs this file with loom's
//! lock in place of std's and tries all orders in which engine and worker may come to it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sync::{Rank, Ranked};

/// How many events may wait for a worker that doesn't take them.
const WAITING: usize = 65536;

/// One connection of the worker.
pub trait Subscriber {
    /// Has the worker come and take all events. A connection with an unread byte needs no further one.
    fn notify(&self);
    /// Ends it.
    fn close(&self);
}

pub struct Queue<E, L> {
    state: Ranked<QueueState<E, L>>,
}

struct QueueState<E, L> {
    events: VecDeque<E>,
    subscribers: Vec<Arc<L>>,
}

impl<E, L: Subscriber> Queue<E, L> {
    pub fn new() -> Self {
        Self { state: Ranked::new(Rank::Events, QueueState { events: VecDeque::new(), subscribers: Vec::new() }) }
    }

    /// Whether anybody listens.
    pub fn has_subscriber(&self) -> bool {
        !self.state.lock().subscribers.is_empty()
    }

    /// Leaves an event for the worker; false where nobody listens, and nothing is left then.
    pub fn push(&self, event: E) -> bool {
        let mut state = self.state.lock();
        if state.subscribers.is_empty() || state.events.len() >= WAITING {
            return false;
        }
        state.events.push_back(event);
        // Whoever takes events takes all that there are: only the first one has to wake them.
        let subscribers = if state.events.len() == 1 { state.subscribers.clone() } else { Vec::new() };
        // The worker may run as soon as it is notified, and what it does first is to take this lock.
        drop(state);
        for subscriber in subscribers {
            subscriber.notify();
        }
        true
    }

    /// The next event, and whether more wait. Where none does, the next one that comes notifies.
    pub fn next(&self) -> Option<(E, bool)> {
        let mut state = self.state.lock();
        let event = state.events.pop_front()?;
        Some((event, !state.events.is_empty()))
    }

    /// From here on that subscriber misses nothing; its first byte says so, and the worker looks then for what it may have
    /// missed before.
    pub fn subscribe(&self, subscriber: &Arc<L>) {
        self.state.lock().subscribers.push(Arc::clone(subscriber));
        subscriber.notify();
    }

    /// Removes a subscriber. Where it was the last one, those events are dropped that `can_be_missed`.
    pub fn unsubscribe(&self, subscriber: &Arc<L>, can_be_missed: impl Fn(&E) -> bool) {
        let mut state = self.state.lock();
        state.subscribers.retain(|other| !Arc::ptr_eq(other, subscriber));
        if state.subscribers.is_empty() {
            state.events.retain(|event| !can_be_missed(event));
        }
    }

    /// Ends all connections.
    pub fn close(&self) {
        let subscribers = std::mem::take(&mut self.state.lock().subscribers);
        for subscriber in subscribers {
            subscriber.close();
        }
    }
}
