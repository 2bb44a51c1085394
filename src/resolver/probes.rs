//! Vaults that failed, each with a document by which it is probed, and what becomes of values that can't be renewed
//! meanwhile. It knows neither locks nor threads; time is handed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::cache::{Cache, Entry};

/// When values of a vault that is away are looked at again, if nothing brings news of it before.
pub const AWAY: Duration = Duration::from_secs(60);

/// By vault: when it is to be probed, and by which document.
pub struct Probes<V, D> {
    wanted: HashMap<V, (Instant, D)>,
}

impl<V, D> Default for Probes<V, D> {
    fn default() -> Self {
        Self { wanted: HashMap::new() }
    }
}

impl<V: Hash + Eq + Clone, D: Hash + Eq + Clone> Probes<V, D> {
    /// Has a vault probed at that time: somebody wants something of it.
    pub fn want(&mut self, vault: V, at: Instant, document: D) {
        self.wanted.insert(vault, (at, document));
    }

    /// Takes out a vault that has to be probed now.
    pub fn take(&mut self, now: Instant) -> Option<D> {
        let vault = self.wanted.iter().find(|(_, (at, _))| *at <= now).map(|(vault, _)| vault.clone())?;
        self.wanted.remove(&vault).map(|(_, document)| document)
    }

    pub fn next(&self) -> Option<Instant> {
        self.wanted.values().map(|(at, _)| *at).min()
    }

    /// The vault is not probed any more.
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

/// Has a value renewed that was put off, or failed, by what was known before its vault came back.
pub fn renew_one<D: Hash + Eq + Clone>(cache: &mut Cache<D>, document: &D, at: Instant) {
    if cache.peek(document).is_some_and(Entry::is_resurrected) {
        cache.renew_at(document, at);
    }
}

#[cfg(test)]
mod tests;
