//! One call per document: whoever wants a document that is being fetched joins its call, if its fetch begins late
//! enough: after the time that the joiner asks for. For joiners who need a newer outcome than the running fetch will
//! bring, one further call follows it.
//!
//! A call is created, started and completed. Between the first two its worker's Lua side asks the node's cache whether
//! another worker has the document, or is fetching it.

mod join;
mod purpose;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use lru::DefaultHasher;
use tokio::sync::oneshot;

use crate::node::SealedOutcome;
use crate::spans::{Requests, TraceContext};
use purpose::serves;
pub use purpose::{CallWatch, Completion, JoinOutcome, Joiner, Outcome, Purpose, Unstarted};

/// How many documents may be under way at once, for all vaults and for one: a slow vault leaves room for the others.
const LIMIT: usize = 4096;
const LIMIT_PER_VAULT: usize = 1024;

/// A fetch that nobody waits for is deferred where so many calls of its vault are under way. So many may be deferred:
/// what is beyond that is dropped, and fetched when it is looked up.
const BACKGROUND_PER_VAULT: usize = 96;
const LONGEST_QUEUE: usize = 65536;

/// How long a result waits for a waiter that never comes: a coroutine may be killed while it waits.
const UNCOLLECTED: Duration = Duration::from_secs(30);

/// How long a created call may wait to be started, before a joiner may start it.
const UNSTARTED: Duration = Duration::from_secs(1);

enum Stage {
    /// It follows the one that is under way.
    Queued,
    Created {
        since: Instant,
    },
    /// Its fetch began at `began` or later. `by_peer`: another worker fetches it.
    Running {
        began: Instant,
        by_peer: bool,
    },
    Completed {
        outcome: Outcome,
        sealed_outcome: Option<SealedOutcome>,
    },
}

struct Call<K, G> {
    key: K,
    vault: G,
    purpose: Purpose,
    after: Option<Instant>,
    waiters: usize,
    /// When it was created, or its turn came, and whether it was requeued since.
    since: Instant,
    requeued: bool,
    /// Whether somebody has to publish its outcome.
    owned: bool,
    /// Whether it is one of many, or nobody waits for it: its fetch may wait a moment for others.
    gathers: bool,
    requests: Requests,
    stage: Stage,
    watchers: Vec<oneshot::Sender<Option<SealedOutcome>>>,
}

impl<K, G> Call<K, G> {
    /// Whether its outcome will serve this purpose; if so, the call notes what it has to serve.
    fn takes(&mut self, purpose: Purpose, after: Option<Instant>) -> bool {
        match self.stage {
            Stage::Queued | Stage::Created { .. } => {
                self.purpose = self.purpose.and(purpose);
                self.after = self.after.max(after);
                true
            }
            // Its fetch began at `began` at the earliest.
            Stage::Running { began, .. } if after.is_none_or(|after| began >= after) => {
                self.after = self.after.max(after);
                true
            }
            Stage::Running { .. } => false,
            Stage::Completed { .. } => false,
        }
    }
}

/// A call is looked up a dozen times until it is collected, so this has the quick hasher of the caches.
type Map<K, V> = HashMap<K, V, DefaultHasher>;

/// The calls of a document that are not completed.
#[derive(Clone, Copy)]
struct Open {
    first: u64,
    next: Option<u64>,
}

/// All calls of one resolver: those that are not completed, and those whose outcome is not collected yet. `G` tells
/// vaults apart.
pub struct Singleflight<K, G> {
    open: Map<K, Open>,
    per_vault: Map<G, usize>,
    calls: Map<u64, Call<K, G>>,
    completed: VecDeque<(Instant, u64)>,
    deferred: Map<G, VecDeque<(K, Purpose)>>,
}

impl<K, G> Default for Singleflight<K, G> {
    fn default() -> Self {
        Self {
            open: Map::default(),
            per_vault: Map::default(),
            calls: Map::default(),
            completed: VecDeque::new(),
            deferred: Map::default(),
        }
    }
}

impl<K: Hash + Eq + Clone, G: Hash + Eq + Clone> Singleflight<K, G> {
    /// A call that waits to be started.
    pub fn unstarted(&self, ticket: u64) -> Option<Unstarted<K>> {
        let call = self.calls.get(&ticket)?;
        matches!(call.stage, Stage::Created { .. }).then(|| Unstarted {
            key: call.key.clone(),
            purpose: call.purpose,
            after: call.after,
            gathers: call.gathers,
        })
    }

    /// The key of a call; `None` where the call is unknown.
    pub fn key(&self, ticket: u64) -> Option<K> {
        self.calls.get(&ticket).map(|call| call.key.clone())
    }

    /// Starts a call; `None` where it is started already. With `owned`, its outcome has to be taken with
    /// `sealed_outcome`.
    pub fn start_fetch(&mut self, ticket: u64, owned: bool, now: Instant) -> Option<Unstarted<K>> {
        let unstarted = self.unstarted(ticket)?;
        let call = self.calls.get_mut(&ticket)?;
        call.stage = Stage::Running { began: now, by_peer: false };
        if owned && !call.owned {
            call.owned = true;
            call.waiters += 1;
        }
        Some(unstarted)
    }

    /// Starts a call that another worker fetches, whose fetch began after `began`. `Some(None)` where that is too
    /// early: the call stays created.
    pub fn start_elsewhere(&mut self, ticket: u64, began: Option<Instant>) -> Option<Option<Unstarted<K>>> {
        let unstarted = self.unstarted(ticket)?;
        let call = self.calls.get_mut(&ticket)?;
        if call.after.zip(began).is_some_and(|(after, began)| began < after) {
            return Some(None);
        }
        // Where the beginning is not known, the other worker answers only with an outcome that serves those who wait.
        let began = began.or(call.after).unwrap_or(call.since);
        call.stage = Stage::Running { began, by_peer: true };
        Some(Some(unstarted))
    }

    /// Notes a request that waits for a call.
    pub fn note_request(&mut self, ticket: u64, request: Option<TraceContext>) {
        if let Some(call) = self.calls.get_mut(&ticket) {
            call.requests.add(request);
        }
    }

    /// The requests that wait for a call, as far as they were noted.
    pub fn requests(&self, ticket: u64) -> Requests {
        self.calls.get(&ticket).map(|call| call.requests.clone()).unwrap_or_default()
    }

    /// Whether anybody waits for a call.
    pub fn is_awaited(&self, ticket: u64) -> bool {
        self.calls.get(&ticket).is_some_and(|call| call.waiters > 0)
    }

    /// What is left of the time `whole` for a requeued call: its waiters have waited since it was created. `None` where
    /// it was not requeued, or nobody waits.
    pub fn left(&self, ticket: u64, whole: Duration, now: Instant) -> Option<Duration> {
        let call = self.calls.get(&ticket).filter(|call| call.requeued && call.waiters > 0)?;
        Some(whole.saturating_sub(now.saturating_duration_since(call.since)))
    }

    /// Requeues a call, to be started anew.
    pub fn requeue(&mut self, ticket: u64, now: Instant) -> bool {
        match self.calls.get_mut(&ticket) {
            Some(call) if matches!(call.stage, Stage::Running { .. }) => {
                call.stage = Stage::Created { since: now };
                call.requeued = true;
                true
            }
            _ => false,
        }
    }

    /// Completes a call with its outcome.
    pub fn complete(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        sealed_outcome: Option<SealedOutcome>,
        now: Instant,
    ) -> Completion {
        self.drop_uncollected(now);
        let Some(call) = self.calls.get_mut(&ticket) else { return Completion::default() };
        if matches!(call.stage, Stage::Completed { .. }) {
            return Completion::default();
        }
        for watcher in call.watchers.drain(..) {
            // An error means that the watcher is gone.
            let _ = watcher.send(sealed_outcome.clone());
        }
        let waiters = call.waiters;
        if let Some(count) = self.per_vault.get_mut(&call.vault) {
            *count -= 1;
            if *count == 0 {
                self.per_vault.remove(&call.vault);
            }
        }
        let key = call.key.clone();
        if waiters == 0 {
            self.calls.remove(&ticket);
        } else {
            call.stage = Stage::Completed { outcome, sealed_outcome };
            self.completed.push_back((now, ticket));
        }
        Completion { waiters, next: self.follow_up(&key, ticket, now) }
    }

    /// Completes a call with the outcome of a fetch that began at `began`, if that serves all who have joined by now.
    pub fn complete_if_served(
        &mut self,
        ticket: u64,
        began: Instant,
        outcome: Outcome,
        sealed_outcome: Option<SealedOutcome>,
        now: Instant,
    ) -> Option<Completion> {
        let call = self.calls.get(&ticket).filter(|call| serves(began, call.after))?;
        if matches!(call.stage, Stage::Completed { .. }) {
            return None;
        }
        Some(self.complete(ticket, outcome, sealed_outcome, now))
    }

    /// Makes the queued call of the document the one to be started, after the running one is completed.
    fn follow_up(&mut self, key: &K, completed: u64, now: Instant) -> Option<u64> {
        let open = self.open.get_mut(key)?;
        if open.first != completed {
            open.next = None;
            return None;
        }
        let Some(next) = open.next.take() else {
            self.open.remove(key);
            return None;
        };
        open.first = next;
        let call = self.calls.get_mut(&next)?;
        call.stage = Stage::Created { since: now };
        call.since = now;
        Some(next)
    }

    /// Drops outcomes that nobody has collected for long.
    fn drop_uncollected(&mut self, now: Instant) {
        while let Some(&(since, old)) = self.completed.front() {
            if now.saturating_duration_since(since) < UNCOLLECTED {
                break;
            }
            self.completed.pop_front();
            self.calls.remove(&old);
        }
    }

    /// The outcome of a call, for one waiter; `None` where it is not completed, or is unknown.
    pub fn collect(&mut self, ticket: u64, now: Instant) -> Option<Outcome> {
        self.drop_uncollected(now);
        self.leave(ticket, |stage| match stage {
            Stage::Completed { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
    }

    /// The sealed outcome of a completed call that was started as `owned`, for publishing. It is given once; the other
    /// waiters collect theirs.
    pub fn sealed_outcome(&mut self, ticket: u64) -> Option<(K, Option<SealedOutcome>)> {
        let is_completed = |call: &&mut Call<K, G>| matches!(call.stage, Stage::Completed { .. });
        let call = self.calls.get_mut(&ticket).filter(|call| call.owned).filter(is_completed)?;
        call.owned = false;
        let key = call.key.clone();
        let sealed_outcome = self.leave(ticket, |stage| match stage {
            Stage::Completed { sealed_outcome, .. } => Some(sealed_outcome.clone()),
            _ => None,
        })?;
        Some((key, sealed_outcome))
    }

    fn leave<T>(&mut self, ticket: u64, take: impl FnOnce(&Stage) -> Option<T>) -> Option<T> {
        let call = self.calls.get_mut(&ticket)?;
        call.waiters = call.waiters.saturating_sub(1);
        let taken = take(&call.stage)?;
        if call.waiters == 0 {
            self.calls.remove(&ticket);
        }
        Some(taken)
    }

    /// Whether a call is completed, or unknown.
    pub fn is_completed(&self, ticket: u64) -> bool {
        self.calls.get(&ticket).is_none_or(|call| matches!(call.stage, Stage::Completed { .. }))
    }

    /// Watches a call without waiting for it as a waiter.
    pub fn watch(&mut self, ticket: u64) -> CallWatch {
        match self.calls.get_mut(&ticket) {
            None => CallWatch::Completed(None),
            Some(Call { stage: Stage::Completed { sealed_outcome, .. }, .. }) => {
                CallWatch::Completed(sealed_outcome.clone())
            }
            Some(call) => {
                let (sender, receiver) = oneshot::channel();
                call.watchers.push(sender);
                CallWatch::Running(receiver)
            }
        }
    }

    /// The newest call of this worker whose key `wanted` accepts, whether it is completed or not, and whose fetch does
    /// not begin before `after`. Calls that another worker fetches are left out: that worker answers for them.
    pub fn find(&mut self, wanted: impl Fn(&K) -> bool, after: Instant, now: Instant) -> Option<u64> {
        self.drop_uncollected(now);
        let is_it = |call: &Call<K, G>| match &call.stage {
            Stage::Queued => false,
            Stage::Created { .. } => true,
            Stage::Running { began, by_peer } => !by_peer && *began >= after,
            Stage::Completed { sealed_outcome, .. } => {
                sealed_outcome.as_ref().is_some_and(|sealed_outcome| sealed_outcome.began() > after)
            }
        };
        let found = self.calls.iter().filter(|(_, call)| is_it(call) && wanted(&call.key));
        found.map(|(ticket, _)| *ticket).max()
    }

    /// The documents that are being fetched, of those that are `wanted`.
    pub fn open_keys(&self, wanted: impl Fn(&K) -> bool) -> Vec<K> {
        self.open.keys().filter(|key| wanted(key)).cloned().collect()
    }

    /// How many documents are being fetched.
    pub fn under_way(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests;
