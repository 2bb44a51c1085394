//! Locks as all of this crate takes them, and the order of those that one thread may hold together. `tests/handover.rs` gives
//! the files that it runs another `sync`, of loom's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};
pub use std::sync::{Mutex, MutexGuard};

/// A panic while a lock is held leaves data that is still whole: each critical section is one call.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    even_poisoned(mutex.lock())
}

/// The same for what else a mutex or a condition gives.
pub fn even_poisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// The order of locks: whoever holds one may take those that stand below it here, never one that stands above it, nor a
/// second one of the same rank. This is the one place where the order is written down; debug builds check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Which vault entities are in use (`entities/followed.rs`). Held while they are put in the place of those before, so
    /// that two readings of them don't mix.
    AppliedEntities,
    /// What references mean (`resolver/references.rs`). Held while one is read, and while vaults change, until the documents
    /// have followed.
    References,
    /// Documents whose vault has options that can't be used (`resolver/succession.rs`). Held while documents move.
    Orphans,
    /// What is known of documents, and when all were flushed (`resolver/document_cache.rs`).
    Documents,
    /// Vault entities that may change (`config/registry.rs`), and what they say of credentials (`config/credentials.rs`).
    Configuration,
    /// The calls under way (`resolver/calls.rs`).
    Calls,
    /// What the machines of the node's cache are at (`resolver/node_protocol/fetches.rs`).
    SharedFetches,
    /// Documents that were looked for under the options of before a reload (`resolver/previous.rs`).
    Previous,
    /// Vaults by what they were built from (`resolver/upstream.rs`).
    Instances,
    /// Whether one vault may be asked (`resolver/instance.rs`).
    Breaker,
    /// What the log was told of changed options (`resolver/succession.rs`), and of entities that can't be read
    /// (`entities/followed.rs`).
    Told,
    /// Vaults to be probed (`resolver/schedule.rs`).
    Probes,
    /// When the refresher wakes up (`resolver/wakeup.rs`).
    Wakeup,
    /// Events for the worker (`runtime/notifier/queue.rs`).
    Events,
}

/// A mutex with a rank. In a release it is a mutex and nothing else.
pub struct Ranked<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    mutex: Mutex<T>,
}

/// What a ranked mutex guards, until it is dropped.
pub struct RankedGuard<'a, T> {
    guard: MutexGuard<'a, T>,
    #[cfg(debug_assertions)]
    _held: held::Held,
}

impl<T> Ranked<T> {
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only a debug build checks the order"))]
    pub const fn new(rank: Rank, data: T) -> Self {
        Self {
            #[cfg(debug_assertions)]
            rank,
            mutex: Mutex::new(data),
        }
    }

    pub fn lock(&self) -> RankedGuard<'_, T> {
        // Before it waits: a wrong order is found where nobody else happens to hold the lock as well.
        #[cfg(debug_assertions)]
        let held = held::Held::new(self.rank);
        RankedGuard {
            guard: lock(&self.mutex),
            #[cfg(debug_assertions)]
            _held: held,
        }
    }
}

impl<T> fmt::Debug for Ranked<T> {
    /// What it guards may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ranked")
    }
}

impl<T> Deref for RankedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for RankedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// The ranks that a thread holds.
#[cfg(debug_assertions)]
mod held {
    use std::cell::RefCell;

    use crate::sync::Rank;

    thread_local! {
        static RANKS: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    /// One of them, until it is dropped.
    pub struct Held(Rank);

    impl Held {
        pub fn new(rank: Rank) -> Self {
            // A thread that ends has none any more.
            let highest = RANKS.try_with(|ranks| ranks.borrow().iter().max().copied()).unwrap_or_default();
            if let Some(highest) = highest {
                assert!(
                    rank > highest,
                    "the lock of {rank:?} is taken while that of {highest:?} is held, see sync::Rank"
                );
            }
            let _ = RANKS.try_with(|ranks| ranks.borrow_mut().push(rank));
            Self(rank)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            // Guards may be dropped in any order.
            let _ = RANKS.try_with(|ranks| ranks.borrow_mut().retain(|rank| *rank != self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_the_order_of_their_ranks() {
        let (documents, calls) = (Ranked::new(Rank::Documents, 1), Ranked::new(Rank::Calls, 2));
        let (one, two) = (documents.lock(), calls.lock());
        assert_eq!((*one, *two), (1, 2));
        // The first one may go first; what is held then is still the second.
        drop(one);
        drop(two);
        *documents.lock() += 1;
        assert_eq!(*documents.lock(), 2, "what one statement locks, the next one may lock again");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic = "the lock of Documents is taken while that of Calls is held"]
    fn a_wrong_order_panics() {
        let (documents, calls) = (Ranked::new(Rank::Documents, ()), Ranked::new(Rank::Calls, ()));
        let _calls = calls.lock();
        let _documents = documents.lock();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic = "the lock of Breaker is taken while that of Breaker is held"]
    fn two_of_one_rank_panic() {
        let (one, other) = (Ranked::new(Rank::Breaker, ()), Ranked::new(Rank::Breaker, ()));
        let _one = one.lock();
        let _other = other.lock();
    }

    #[test]
    #[cfg(debug_assertions)]
    fn what_another_thread_holds_is_its_own_affair() {
        let (documents, calls) = (Ranked::new(Rank::Documents, ()), Ranked::new(Rank::Calls, ()));
        let _calls = calls.lock();
        std::thread::scope(|scope| scope.spawn(|| drop(documents.lock())).join()).expect("no panic");
    }
}
