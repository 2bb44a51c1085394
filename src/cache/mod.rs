//! The worker's cache: a bounded LRU of documents. It knows neither vaults nor threads; time is handed in.

pub mod entry;

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

pub use entry::{Entry, Found, Terms};

use crate::document::Document;
use crate::error::Error;

/// What an entry weighs besides its key and its document: the map's slot and the list's links.
const OVERHEAD: usize = std::mem::size_of::<Entry>() + 6 * std::mem::size_of::<usize>();

/// Documents by key, the least recently used one leaves first.
pub struct Cache<K: Hash + Eq> {
    entries: LruCache<K, Entry>,
    /// What a key weighs, in bytes.
    weigh: fn(&K) -> usize,
}

/// What keeping something did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Kept {
    /// Whether anything left the cache for it that somebody may have copied.
    pub replaced: bool,
    /// When what is kept stops answering; `None`: never, or nothing is kept.
    pub until: Option<Instant>,
}

impl<K: Hash + Eq> Cache<K> {
    pub fn new(size: NonZeroUsize, weigh: fn(&K) -> usize) -> Self {
        Self { entries: LruCache::new(size), weigh }
    }

    /// Looks a document up and marks it as used.
    pub fn look(&mut self, key: &K, now: Instant) -> Found {
        self.entries.get(key).map_or(Found::Nothing, |entry| entry.look(now))
    }

    /// A value whose time may be over, but which may still stand in for a new one.
    pub fn stale(&mut self, key: &K, now: Instant) -> Option<Arc<Document>> {
        self.entries.get(key)?.usable_document(now).cloned()
    }

    /// Keeps a value that was just fetched.
    pub fn fetched(
        &mut self,
        key: K,
        document: Arc<Document>,
        lease: Option<Duration>,
        terms: Terms,
        now: Instant,
    ) -> Kept {
        self.put(key, Entry::fetched(document, lease, terms, now), now)
    }

    /// Notes that a fetch failed. Returns the old value if it may serve in its place.
    pub fn failed(&mut self, key: K, error: Error, terms: Terms, now: Instant) -> (Kept, Option<Arc<Document>>) {
        let before = self.entries.pop(&key);
        let replaced = before.is_some();
        match Entry::failed(before, error, terms, now) {
            None => (Kept { replaced, until: None }, None),
            Some(entry) => {
                let old = entry.resurrected(now);
                let kept = self.put(key, entry, now);
                (Kept { replaced: replaced || kept.replaced, ..kept }, old)
            }
        }
    }

    fn put(&mut self, key: K, entry: Entry, now: Instant) -> Kept {
        let until = entry.expires_after(now);
        Kept { replaced: self.entries.push(key, entry).is_some(), until }
    }

    /// Forgets everything; returns the keys.
    pub fn clear(&mut self) -> Vec<K> {
        let mut keys = Vec::with_capacity(self.entries.len());
        while let Some((key, _)) = self.entries.pop_lru() {
            keys.push(key);
        }
        keys
    }

    /// When the next entry stops answering.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.entries.iter().filter_map(|(_, entry)| entry.expires_after(now)).min()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What all entries weigh, in bytes: keys, documents, fields and the list itself.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|(key, entry)| OVERHEAD + (self.weigh)(key) + entry.bytes()).sum()
    }
}

#[cfg(test)]
mod tests;
