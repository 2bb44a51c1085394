//! Events that wait for the worker, and whom they have to ring.
//!
//! Several lines may wait at once (see `listener.lua`): whichever is read first takes all events, those too that others
//! wait for, and each of those has to be rung to see what became of them. `tests/handover.rs` runs this file with loom's
//! lock in place of std's and tries all orders in which engine and worker may come to it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::sync::{Mutex, MutexGuard};

/// How many events may wait for a worker that doesn't take them.
const WAITING: usize = 65536;

/// One connection of the worker.
pub trait Line {
    /// Has the worker come and take all events. A line with unread rings needs no further one.
    fn ring(&self);
    /// Ends it.
    fn hang_up(&self);
}

pub struct Queue<E, L> {
    state: Mutex<State<E, L>>,
}

struct State<E, L> {
    events: VecDeque<E>,
    lines: Vec<Arc<L>>,
}

impl<E, L: Line> Queue<E, L> {
    pub fn new() -> Self {
        Self { state: Mutex::new(State { events: VecDeque::new(), lines: Vec::new() }) }
    }

    /// Whether anybody listens.
    pub fn is_attended(&self) -> bool {
        !self.lock().lines.is_empty()
    }

    /// Leaves an event for the worker; false where nobody listens, and nothing is left then.
    pub fn push(&self, event: E) -> bool {
        let mut state = self.lock();
        if state.lines.is_empty() || state.events.len() >= WAITING {
            return false;
        }
        state.events.push_back(event);
        // Whoever takes events takes all that there are: only the first one has to wake them.
        let lines = if state.events.len() == 1 { state.lines.clone() } else { Vec::new() };
        // The worker may run as soon as it is rung, and what it does first is to take this lock.
        drop(state);
        for line in lines {
            line.ring();
        }
        true
    }

    /// The next event.
    pub fn next(&self) -> Option<E> {
        self.lock().events.pop_front()
    }

    /// From here on that line misses nothing; its first ring says so, and the worker looks then for what it may have
    /// missed before.
    pub fn attach(&self, line: &Arc<L>) {
        self.lock().lines.push(Arc::clone(line));
        line.ring();
    }

    /// Takes a line off. Where it was the last one, those events are dropped that `can_be_missed`.
    pub fn detach(&self, line: &Arc<L>, can_be_missed: impl Fn(&E) -> bool) {
        let mut state = self.lock();
        state.lines.retain(|other| !Arc::ptr_eq(other, line));
        if state.lines.is_empty() {
            state.events.retain(|event| !can_be_missed(event));
        }
    }

    /// Ends all lines.
    pub fn hang_up(&self) {
        let lines = std::mem::take(&mut self.lock().lines);
        for line in lines {
            line.hang_up();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<E, L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
