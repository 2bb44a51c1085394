//! What a backend is. Each has a room of its own; `registry.rs` lists them, and a new one is added there.
//!
//! It uses HTTP, identities and the node's slots. It must never know references, caches or callers; a backend knows no
//! other.

pub mod aws;
pub mod azure;
pub mod conjur;
pub mod env;
pub mod fs;
pub mod gcp;
pub mod hcv;
pub mod registry;
pub mod transport;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::cache::document::GroupVersion;
use crate::diagnosis::Findings;
use crate::environment::Environment;
use crate::error::Result;
use crate::notice::Notice;
use crate::options::Opt;
use crate::options::settings::Settings;
use crate::secret::Secret;

/// The secret that a vault is asked for: one document.
#[derive(Debug, Clone)]
pub struct SecretId {
    /// The secret's name or path, percent-decoded, never empty.
    pub resource: String,
    /// `#1` is the current version and `#2` the previous one, unless the backend gives numbers another meaning.
    pub version: Option<u32>,
}

/// A vault's answer: the whole document, before a field is picked from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub document: Secret,
    /// The vault's lease: how long the value is good for, where the vault says so.
    pub lease: Option<Duration>,
    /// When the secret itself ends, in seconds since 1970, where the vault says so. Metrics show it.
    pub ends: Option<u64>,
    /// The group of documents that are replaced together, if it belongs to one.
    pub group: Option<GroupVersion>,
}

impl Fetched {
    /// A document of which the vault says nothing more.
    pub fn new(document: Secret) -> Self {
        Self { document, lease: None, ends: None, group: None }
    }
}

/// A document, and others of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedGroup {
    pub first: Fetched,
    /// Each with its place in the list of names.
    pub others: Vec<(usize, Fetched)>,
    /// Without such a list: the other documents of the group with their names, if they are few.
    pub siblings: Vec<(String, Fetched)>,
}

/// A fetch under way. It runs on the engine's thread (or, in init, on the caller's) inside the caller's deadline:
/// dropping it abandons it.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched>> + Send + 'a>>;

/// A fetch of several documents under way.
pub type FetchingGroup<'a> = Pin<Box<dyn Future<Output = Result<FetchedGroup>> + Send + 'a>>;

/// A fetch of several documents with one request under way, one outcome for each, in order. `None`: the document has to be
/// fetched singly.
pub type FetchingBatch<'a> = Pin<Box<dyn Future<Output = Vec<Option<Result<Fetched>>>> + Send + 'a>>;

/// The changes that a vault reports. A name stands for the document of that name and for all below it (`name/…`), the
/// empty name for all documents.
pub type Changes = UnboundedReceiver<String>;

/// A diagnosis under way.
pub type Diagnosing<'a> = Pin<Box<dyn Future<Output = Findings> + Send + 'a>>;

/// A vault's last task before the process ends. It limits its own time.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One configured vault: connections, credentials and logins live in it and are shared by all its fetches.
pub trait Backend: Send + Sync {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a>;

    /// Fetches a document, and those of `others` that belong to its group, all from one version. If `others` is empty, it
    /// brings the rest of the group along, if that is small.
    fn fetch_group<'a>(&'a self, secret_id: &'a SecretId, _others: &'a [SecretId]) -> FetchingGroup<'a> {
        Box::pin(async move {
            Ok(FetchedGroup { first: self.fetch(secret_id).await?, others: Vec::new(), siblings: Vec::new() })
        })
    }

    /// Whether `fetch_batch` may be asked for a document now. False for those that only `fetch` can bring, and for all
    /// as long as the vault is known to refuse batches.
    fn takes_in_batch(&self, _secret_id: &SecretId) -> bool {
        false
    }

    /// Fetches several documents, all of which it takes in a batch and no more than `Descriptor::batch`. Errors of
    /// single documents are those that `fetch` gives; where the request as a whole fails, there are no outcomes.
    fn fetch_batch<'a>(&'a self, _secret_ids: &'a [SecretId]) -> FetchingBatch<'a> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// The changes that the vault reports, for the first caller. Called on the engine.
    fn changes(&self) -> Option<Changes> {
        None
    }

    /// Tries each step of a fetch, and reports which fails; with `secret_id`, up to that document.
    fn diagnose<'a>(&'a self, _secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(std::future::ready(Findings::default()))
    }

    /// When the token of the last login ends, as far as it has an end and is known.
    fn login_ends(&self) -> Option<Instant> {
        None
    }

    /// What is new since the last call, if anything is.
    fn notice(&self) -> Option<Notice> {
        None
    }

    /// The last task, if there is one, when the vault will not be used any more.
    fn shutdown(&self) -> Option<Shutdown> {
        None
    }
}

/// What a backend is built from.
pub struct Setup<'a> {
    /// The vault's name for users: an entity's prefix, or the backend's own name. For error texts.
    pub vault: &'a str,
    pub settings: &'a Settings,
    pub environment: &'a Environment,
    /// The longest that any fetch may take.
    pub timeout: Duration,
    /// Whether the backend is kept after the call, so that it can renew tokens. False in init.
    pub lasts: bool,
}

/// The condition under which other options are required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// An option has that value.
    Is(&'static str, &'static str),
    /// An option is set.
    Set(&'static str),
}

/// Options that another option makes necessary.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    pub when: When,
    /// All of these must be set.
    pub all: &'static [&'static str],
    /// If there are any: at least one of these must be set.
    pub any: &'static [&'static str],
}

/// The end of a name that asks for a directory with all its files, as a JSON object. Kong's own functions pick fields from
/// it, as they know no directories. Other references have such a name only by escapes.
pub const LISTING: &str = "//";

/// What describes a backend to the rest of the library.
pub struct Descriptor {
    pub name: &'static str,
    /// For the tables in the documentation.
    pub title: &'static str,
    pub options: &'static [Opt],
    /// Which options make others necessary.
    pub requirements: &'static [Requirement],
    /// Whether a fetch needs no network and no file, so that any phase may do it on nginx's thread.
    pub immediate: bool,
    /// Whether its secrets are files of this machine. Then the backend gets the whole path of a reference, as only it can
    /// tell a field from a file, and each worker reads for itself.
    pub files: bool,
    /// How many documents one request can ask for; 1 where each takes a request of its own.
    pub batch: usize,
    pub build: fn(&Setup<'_>) -> Result<Arc<dyn Backend>>,
}

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Descriptor({})", self.name)
    }
}
