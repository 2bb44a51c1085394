//! The machine's operations on the shared dictionary, and the replies to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a worker shares with the others of its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// There is no dictionary.
    Nothing,
    /// Others can't ask this worker, so it claims nothing, but it reads.
    Reads,
    Claims(Claimant),
}

/// A worker that others can ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Where it is asked.
    pub address: Arc<str>,
    /// The time of now, by the node's clock: that of its claim, should it fetch.
    pub clock: u64,
    /// How long a claim lasts.
    pub lifetime: Duration,
}

/// What a worker adds to the dictionary of itself. Its text is made where it is needed; `shared_cache::claim` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// On a document: the worker's address, "@", and the time of the claim.
    Document { address: Arc<str>, clock: u64 },
    /// On probing a vault: its address.
    Probe { address: Arc<str> },
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { address, clock } => write!(f, "{address}@{clock}"),
            Self::Probe { address } => f.write_str(address),
        }
    }
}

/// Why a fetch has to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A document is wanted.
    Fetch,
    /// The same; the worker with that claim was asked and does not have it.
    Past(String),
    /// To learn whether a vault is back, which is probed once in an interval.
    Probe { vault: String, interval: Duration },
}

/// An operation on the dictionary. None of them yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `Read`; where there is nothing, `Claim`.
    Look,
    /// Gets the document.
    Read,
    /// Adds the claim, and gets the document, which may have been published just before. Answers with the claim's owner
    /// where another claim is there.
    Claim,
    /// Replaces this worker's own earlier claim.
    Reclaim,
    /// Adds the claim as the successor of the claim `rest`; if that was the first one, it is the claim from now on.
    TakeOver,
    /// Removes the claim, if it is still there.
    Release,
    /// Stores `rest` as the document, unless it is empty, and removes the claim, if any. Needs no reply.
    Publish,
    /// Adds the claim on probing the vault `name`, unless it is known to be up.
    Probe,
    /// Has nobody probe the vault `name` for that time.
    Pause,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub verb: Verb,
    /// The name of a document, or of a vault.
    pub name: Arc<str>,
    pub claim: Option<Claim>,
    pub rest: Vec<u8>,
    pub seconds: f64,
}

/// The reply to an operation: the answer about the claim, and the document that was read.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    pub answer: Answer<'a>,
    pub document: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// No claim was to be made.
    Done,
    Claimed,
    /// Another claim is there.
    Owner(&'a str),
    /// Another claim was there, and is gone.
    Gone,
    NoRoom,
    /// Another worker probes the vault; for so long nobody else may.
    Probed(Duration),
    /// Another worker found the vault back.
    IsUp,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Do(Operation),
    End(Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The fetch is under way.
    Started,
    /// The same, and an older value serves meanwhile.
    Serves,
    /// The fetch needs no start (any more).
    Settled,
}
