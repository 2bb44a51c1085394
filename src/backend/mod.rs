//! What a vault backend is. One room a backend; `registry.rs` lists them, and is where a new one is announced.
//!
//! It uses HTTP, identities and the node's slots. It must never know references, caches or who asks; a vault knows no other.

pub mod aws;
pub mod env;
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

/// What is asked of a vault: one document.
#[derive(Debug, Clone)]
pub struct SecretId {
    /// The secret's name or path, percent-decoded, never empty.
    pub resource: String,
    /// `#1` is the current version, `#2` the one before, or what else the backend makes of it.
    pub version: Option<u32>,
}

/// What a vault answered: the whole document, before a field is picked from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub document: Secret,
    /// How long the vault itself says that the value is good for, where it says so.
    pub lease: Option<Duration>,
}

/// A fetch under way. It runs on the engine's thread (or, in init, on the caller's) inside the caller's deadline:
/// dropping it abandons it.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched>> + Send + 'a>>;

/// A diagnosis under way.
pub type Diagnosing<'a> = Pin<Box<dyn Future<Output = Findings> + Send + 'a>>;

/// The last thing that is done for a vault. It bounds its own time.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One configured vault: connections, credentials and logins live in it and are shared by all its fetches.
pub trait Backend: Send + Sync {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a>;

    /// Goes the way of a fetch step by step, for who asks where it ends; with `secret_id`, up to that document.
    fn diagnose<'a>(&'a self, _secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(std::future::ready(Findings::default()))
    }

    /// What has come to light since this was last asked, if anything has.
    fn notice(&self) -> Option<Notice> {
        None
    }

    /// What is to be done when nobody will ask any more, if anything is.
    fn shutdown(&self) -> Option<Shutdown> {
        None
    }
}

/// What a backend is built from.
pub struct Setup<'a> {
    /// The name users know the vault by: an entity's prefix, or the backend's own name. For error texts.
    pub vault: &'a str,
    pub settings: &'a Settings,
    pub environment: &'a Environment,
    /// The longest that any fetch may take.
    pub timeout: Duration,
    /// Whether it is kept after the call, so that there is somebody who renews what it has. Not in init.
    pub lasts: bool,
}

/// When options need others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// An option has that value.
    Is(&'static str, &'static str),
    /// An option is set at all.
    Set(&'static str),
}

/// Options that an option's value makes necessary.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    pub when: When,
    /// All of these have to be set.
    pub all: &'static [&'static str],
    /// And of these at least one, if there are any.
    pub any: &'static [&'static str],
}

/// How a backend is announced.
pub struct Descriptor {
    pub name: &'static str,
    /// For the documents' table.
    pub title: &'static str,
    pub options: &'static [Opt],
    /// Which of them others make necessary.
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
