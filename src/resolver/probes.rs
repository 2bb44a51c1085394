//! The vaults that failed, each with the document that its probe fetches, and the renewal of values whose vault is
//! back. It has no locks and no threads; the caller passes the time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::cache::{Cache, Entry};

/// How long a renewal is put off while its vault is away, unless the vault comes back earlier.
pub const AWAY: Duration = Duration::from_secs(60);

/// By vault: when it is probed, and with which document.
pub struct Probes<V, D> {
    wanted: HashMap<V, (Instant, D)>,
}

impl<V, D> Default for Probes<V, D> {
    fn default() -> Self {
        Self { wanted: HashMap::new() }
    }
}

impl<V: Hash + Eq + Clone, D: Hash + Eq + Clone> Probes<V, D> {
    /// Has a vault probed at that time, with this document.
    pub fn want(&mut self, vault: V, at: Instant, document: D) {
        self.wanted.insert(vault, (at, document));
    }

    /// Removes a vault whose probe is due, and returns its document.
    pub fn take(&mut self, now: Instant) -> Option<D> {
        let vault = self.wanted.iter().find(|(_, (at, _))| *at <= now).map(|(vault, _)| vault.clone())?;
        self.wanted.remove(&vault).map(|(_, document)| document)
    }

    pub fn next(&self) -> Option<Instant> {
        self.wanted.values().map(|(at, _)| *at).min()
    }

    /// Drops the probe of a vault.
    pub fn forget(&mut self, vault: &V) {
        self.wanted.remove(vault);
    }
}

/// Has all values renewed that could not be while their vault was away.
pub fn renew_all<D: Hash + Eq + Clone>(cache: &mut Cache<D>, is_of: impl Fn(&D) -> bool, at: impl Fn() -> Instant) {
    for document in cache.resurrected().into_iter().filter(is_of) {
        cache.renew_at(&document, at());
    }
}

/// Has a value renewed whose renewal was put off, or failed, before its vault came back.
pub fn renew_one<D: Hash + Eq + Clone>(cache: &mut Cache<D>, document: &D, at: Instant) {
    if cache.peek(document).is_some_and(Entry::is_resurrected) {
        cache.renew_at(document, at);
    }
}

#[cfg(test)]
mod tests;
