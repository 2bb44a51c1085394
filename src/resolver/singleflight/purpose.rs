//! The types with which others use calls: purposes, joiners, outcomes.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::cache::document::Document;
use crate::error::Result;
use crate::node::SealedOutcome;

/// The outcome of a call.
pub type Outcome = Result<Arc<Document>>;

/// Why a document is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// There is no value: any fresh one serves.
    Miss,
    /// A value is wanted that is newer than from that time.
    Newer(Instant),
    /// To learn whether its vault is back; the value has to be newer than from that time as well.
    Probe(Instant),
}

impl Purpose {
    /// The time after which a value has to be from.
    pub fn since(self) -> Option<Instant> {
        match self {
            Purpose::Miss => None,
            Purpose::Newer(than) | Purpose::Probe(than) => Some(than),
        }
    }

    /// For a debug line.
    pub fn clause(self) -> &'static str {
        match self {
            Purpose::Miss => "for a look-up that missed it",
            Purpose::Newer(_) => "for a newer value",
            Purpose::Probe(_) => "whether it is back",
        }
    }

    /// The purpose of a call that serves both.
    pub(super) fn and(self, other: Purpose) -> Purpose {
        let since = self.since().max(other.since());
        match (self, other, since) {
            (Purpose::Probe(_), _, Some(since)) | (_, Purpose::Probe(_), Some(since)) => Purpose::Probe(since),
            (_, _, Some(since)) => Purpose::Newer(since),
            (_, _, None) => Purpose::Miss,
        }
    }
}

/// Who joins a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joiner {
    /// The joiner has to collect the outcome.
    pub waits: bool,
    /// The joiner limits the number of its calls itself, so it is not refused where there are too many. It is in
    /// the middle of a list.
    pub queues: bool,
}

impl Joiner {
    pub const WAITER: Self = Self { waits: true, queues: false };
    pub const BACKGROUND: Self = Self { waits: false, queues: false };
}

/// Whether the caller joined a call, or created one and has to start it.
#[derive(Debug, PartialEq, Eq)]
pub enum JoinOutcome {
    Joined(u64),
    Created(u64),
}

/// What a watcher of a call gets.
#[derive(Debug)]
pub enum CallWatch {
    /// It is completed with that outcome.
    Completed(Option<SealedOutcome>),
    Running(oneshot::Receiver<Option<SealedOutcome>>),
}

/// A call that waits to be started.
#[derive(Debug)]
pub struct Unstarted<K> {
    pub key: K,
    pub purpose: Purpose,
    /// An outcome serves where its fetch began after this time.
    pub after: Option<Instant>,
    /// Whether its fetch may wait a moment for others of its vault.
    pub gathers: bool,
}

impl<K> Unstarted<K> {
    pub fn is_served_by(&self, began: Instant) -> bool {
        serves(began, self.after)
    }
}

/// What a completion leaves to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// How many waiters have to be woken.
    pub waiters: usize,
    /// The call of those who wanted a newer outcome: it has to be started from now on.
    pub next: Option<u64>,
}

/// Whether an outcome whose fetch began at `began` serves those who want one from after `after`.
pub(super) fn serves(began: Instant, after: Option<Instant>) -> bool {
    after.is_none_or(|after| began > after)
}
