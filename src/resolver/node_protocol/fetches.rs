//! The machines of one worker.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lru::DefaultHasher;

use super::machine::Machine;
use super::operation::Operation;
use crate::sync::{Rank, Ranked};

/// The machines of the fetches that this worker makes for the node, by ticket: numbers of its own, for which the quick
/// hasher of the caches will do.
pub struct SharedFetches {
    machines: Ranked<HashMap<u64, Machine, DefaultHasher>>,
    has_dictionary: AtomicBool,
}

/// What is to be done next for a fetch.
#[derive(Debug)]
pub enum Next {
    Do(Operation),
    /// Nothing. The note is for a debug line about the document `name`.
    Nothing {
        progress: Progress,
        name: Arc<str>,
        note: Cow<'static, str>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    UnderWay,
    /// The same, and an older value serves meanwhile.
    Serves,
    Complete,
}

impl Default for SharedFetches {
    fn default() -> Self {
        Self { machines: Ranked::new(Rank::SharedFetches, HashMap::default()), has_dictionary: AtomicBool::new(false) }
    }
}

impl SharedFetches {
    /// Notes whether this worker has a dictionary that it shares with others.
    pub fn has_dictionary(&self, has: bool) {
        self.has_dictionary.store(has, Ordering::Relaxed);
    }

    pub fn is_shared(&self) -> bool {
        self.has_dictionary.load(Ordering::Relaxed)
    }

    /// Takes a fetch's machine out: it runs without a lock held.
    pub fn remove(&self, ticket: u64) -> Option<Machine> {
        self.machines.lock().remove(&ticket)
    }

    pub fn insert(&self, ticket: u64, machine: Machine) {
        self.machines.lock().insert(ticket, machine);
    }

    pub fn tickets(&self) -> Vec<u64> {
        self.machines.lock().keys().copied().collect()
    }
}
