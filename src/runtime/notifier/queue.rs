//! Events that wait for the worker, and which subscribers they have to wake.
//!
//! Several subscribers may wait at once (see `listener.lua`). The first that is read takes all events, also those that
//! others wait for; so each of the others must be notified, to see what became of its event. `tests/handover.rs` runs
//! this file with loom's lock in place of std's, and tries all orders in which engine and worker may use it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sync::{Rank, Ranked};

/// How many events may wait for a worker that doesn't take them.
const WAITING: usize = 65536;

/// One connection of the worker.
pub trait Subscriber {
    /// Has the worker take all events. A connection with an unread byte needs no further one.
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

    /// Queues an event for the worker. False where nobody listens or the queue is full; then it is not queued.
    pub fn push(&self, event: E) -> bool {
        let mut state = self.state.lock();
        if state.subscribers.is_empty() || state.events.len() >= WAITING {
            return false;
        }
        state.events.push_back(event);
        // The worker takes all events at once, so only the first one must wake it.
        let subscribers = if state.events.len() == 1 { state.subscribers.clone() } else { Vec::new() };
        // The lock is released first: a notified worker may run at once, and takes this lock.
        drop(state);
        for subscriber in subscribers {
            subscriber.notify();
        }
        true
    }

    /// The next event, and whether more wait. After the last one, the next push notifies again.
    pub fn next(&self) -> Option<(E, bool)> {
        let mut state = self.state.lock();
        let event = state.events.pop_front()?;
        Some((event, !state.events.is_empty()))
    }

    /// Adds a subscriber, which misses no event from now on. Its first byte says so: then the worker looks for what it
    /// may have missed before.
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
