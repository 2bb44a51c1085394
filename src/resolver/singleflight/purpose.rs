//! What is wanted of a call, and what those see who have to do with one.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::cache::document::Document;
use crate::error::Result;
use crate::node::SealedOutcome;

/// What a call brought.
pub type Outcome = Result<Arc<Document>>;

/// Why a document is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It isn't there: any value that is fresh will do.
    Miss,
    /// It is there, but a newer one than from that time is wanted.
    Newer(Instant),
    /// To learn whether its vault is back; newer as well.
    Probe(Instant),
}

impl Purpose {
    /// After which time a value has to be from.
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
    /// He has to collect the outcome.
    pub waits: bool,
    /// He sees to it himself that he has only so many calls under way, and waits for his turn with the others; so he is not
    /// refused where there are too many.
    pub queues: bool,
}

impl Joiner {
    pub const WAITER: Self = Self { waits: true, queues: false };
    pub const BACKGROUND: Self = Self { waits: false, queues: false };
}

/// Whether somebody joined a call, or created one and has to start it.
#[derive(Debug, PartialEq, Eq)]
pub enum JoinOutcome {
    Joined(u64),
    Created(u64),
}

/// What somebody sees who watches a call.
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
}

impl<K> Unstarted<K> {
    pub fn is_served_by(&self, began: Instant) -> bool {
        serves(began, self.after)
    }
}

/// What a completion leaves to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// How many have to be told.
    pub waiters: usize,
    /// The call of those who wanted a newer outcome: it has to be started from now on.
    pub next: Option<u64>,
}

/// Whether an outcome whose fetch began then is young enough.
pub(super) fn serves(began: Instant, after: Option<Instant>) -> bool {
    after.is_none_or(|after| began > after)
}
