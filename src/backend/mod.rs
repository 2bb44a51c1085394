//! What a backend is. Each has a room of its own; `registry.rs` lists them, and a new one is added there.
//!
//! It uses HTTP, identities and the node's slots. It must never know references, caches or callers; a backend knows no
//! other.

pub mod aws;
pub mod env;
pub mod gcp;
pub mod hcv;
pub mod registry;
pub mod transport;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

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
}

/// A fetch under way. It runs on the engine's thread (or, in init, on the caller's) inside the caller's deadline:
/// dropping it abandons it.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched>> + Send + 'a>>;

/// A diagnosis under way.
pub type Diagnosing<'a> = Pin<Box<dyn Future<Output = Findings> + Send + 'a>>;

/// A vault's last task before the process ends. It limits its own time.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One configured vault: connections, credentials and logins live in it and are shared by all its fetches.
pub trait Backend: Send + Sync {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a>;

    /// Tries each step of a fetch, and reports which fails; with `secret_id`, up to that document.
    fn diagnose<'a>(&'a self, _secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(std::future::ready(Findings::default()))
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
    pub build: fn(&Setup<'_>) -> Result<Arc<dyn Backend>>,
}

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Descriptor({})", self.name)
    }
}
