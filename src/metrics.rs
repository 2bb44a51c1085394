//! Counters, without a secret in them. Relaxed atomics: each stands for itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Kind;

const KINDS: [Kind; 11] = [
    Kind::Reference,
    Kind::UnknownVault,
    Kind::Config,
    Kind::NotFound,
    Kind::Denied,
    Kind::Throttled,
    Kind::Unavailable,
    Kind::Timeout,
    Kind::Invalid,
    Kind::WouldBlock,
    Kind::Internal,
];

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one resolver.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Look-ups that the cache of documents answered with a value. Those that Lua's front table answers never get here.
    pub hits: Counter,
    /// Look-ups that the cache answered with a remembered failure.
    pub negative_hits: Counter,
    /// Look-ups that had to wait for, or to start, a fetch.
    pub misses: Counter,
    /// Fetches started.
    pub fetches: Counter,
    /// Fetches that failed but left an old value to serve.
    pub resurrected: Counter,
    failures: [Counter; KINDS.len()],
}

impl Metrics {
    /// A fetch that failed.
    pub fn failed(&self, kind: Kind) {
        if let Some(index) = KINDS.iter().position(|known| *known == kind) {
            self.failures[index].add_one();
        }
    }

    /// Failed fetches by kind; kinds that never happened are left out.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS
            .iter()
            .zip(&self.failures)
            .map(|(kind, count)| (kind.name(), count.value()))
            .filter(|(_, count)| *count > 0)
    }
}
