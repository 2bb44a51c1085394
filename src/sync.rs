//! How this crate takes locks, and the order of those that one thread may hold together. `tests/handover.rs` compiles
//! some files with another `sync`, made of loom's locks.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};
pub use std::sync::{Mutex, MutexGuard};

/// Locks a mutex, also a poisoned one: each critical section is one call, so a panic leaves the data whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    even_poisoned(mutex.lock())
}

/// The same for other results of a mutex or a condition variable.
pub fn even_poisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// The order of locks: a thread that holds one may take those below it in this list, but none above it and no second
/// one of the same rank. The order is written down only here; debug builds check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Which vault entities are in use (`entities/followed.rs`). Held while new ones replace them, so that two reads of
    /// them don't mix.
    AppliedEntities,
    /// What references mean (`resolver/references.rs`). Held while one is resolved, and while vaults change, until the
    /// documents have moved to their new keys.
    References,
    /// Documents whose vault has options that can't be used (`resolver/succession.rs`). Held while documents move.
    Orphans,
    /// The cached documents, and when all were flushed (`resolver/document_cache.rs`).
    Documents,
    /// Vault entities that may change (`config/registry.rs`), and what they say of credentials
    /// (`config/credentials.rs`).
    Configuration,
    /// The calls under way (`resolver/calls.rs`).
    Calls,
    /// The machines of the node's cache (`resolver/node_protocol/fetches.rs`).
    SharedFetches,
    /// Documents that were looked up under the options from before a reload (`resolver/previous.rs`).
    Previous,
    /// Vaults by what they were built from (`resolver/upstream.rs`).
    Instances,
    /// Whether one vault may be asked (`resolver/instance.rs`).
    Breaker,
    /// Documents that wait to be fetched together (`resolver/batches.rs`).
    Gathering,
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

/// A mutex with a rank. In a release build it is only a mutex.
pub struct Ranked<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    mutex: Mutex<T>,
}

/// Access to a ranked mutex's data, until it is dropped.
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
        // Checked before the wait, so that a wrong order is found even where no other thread holds the lock.
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
    /// The data may be secret.
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

    /// A rank that is held until this is dropped.
    pub struct Held(Rank);

    impl Held {
        pub fn new(rank: Rank) -> Self {
            // While a thread ends, its list may be destroyed already.
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
        // The first guard may be dropped first; the second lock stays held.
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
