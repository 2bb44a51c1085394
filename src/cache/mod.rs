//! The worker's cache: a bounded LRU of documents. It knows neither vaults nor threads; times and random numbers are
//! passed in.
//!
//! It uses secrets and errors.

pub mod document;
pub mod entry;
mod expiry_queue;

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

pub use entry::{CacheLookup, Dated, Due, Entry, TtlPolicy};
use expiry_queue::ExpiryQueue;

use crate::cache::document::Document;
use crate::error::Error;

/// An entry's size besides its key and its document: the map's slot, the list's links, the expiry queue's item.
const OVERHEAD: usize = std::mem::size_of::<Entry>() + 10 * std::mem::size_of::<usize>();

/// What becomes of an entry when options change.
pub enum Heir<K> {
    /// It moves to another key, of the same place or of another.
    Key { key: K, ttl_policy: TtlPolicy, same_place: bool },
    /// Its options are not usable.
    Flawed { flaw: Error, ttl_policy: TtlPolicy },
    /// It is dropped.
    None,
}

/// Documents by key. The least recently used one is evicted first.
pub struct Cache<K: Hash + Eq + Clone> {
    entries: LruCache<K, Entry>,
    expiry_queue: ExpiryQueue<K>,
    /// A key's size in bytes.
    weigh: fn(&K) -> usize,
    /// How many entries were evicted.
    evictions: u64,
    /// Whether a value was evicted, and whether that was reported.
    crowded: bool,
    told: bool,
}

impl<K: Hash + Eq + Clone> Cache<K> {
    pub fn new(size: NonZeroUsize, weigh: fn(&K) -> usize) -> Self {
        Self {
            entries: LruCache::new(size),
            expiry_queue: ExpiryQueue::new(),
            weigh,
            evictions: 0,
            crowded: false,
            told: false,
        }
    }

    /// Looks a document up and marks it as used.
    pub fn look(&mut self, key: &K, now: Instant) -> CacheLookup {
        match self.entries.get_mut(key) {
            None => CacheLookup::Nothing,
            Some(entry) => {
                entry.touch(now);
                entry.look(now)
            }
        }
    }

    /// Looks a document up without marking it as used.
    pub fn peek(&self, key: &K) -> Option<&Entry> {
        self.entries.peek(key)
    }

    /// All entries, without marking.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Entry)> {
        self.entries.iter()
    }

    /// The value, whether it may serve or not.
    pub fn value(&self, key: &K) -> Option<&Dated> {
        self.peek(key).and_then(Entry::value)
    }

    /// Keeps a value that a vault brought, unless a newer one is there. Returns whether something left the cache that
    /// Lua may have copied; the same value brought again does not count.
    #[must_use]
    pub fn fetched(&mut self, key: K, value: Dated, ttl_policy: &TtlPolicy, now: Instant, chance: f64) -> bool {
        let own = self.peek(&key).filter(|entry| !entry.is_inherited());
        if own.and_then(Entry::value).is_some_and(|kept| kept.at > value.at) {
            return false;
        }
        let before = self.entries.pop(&key);
        let changed = before.as_ref().and_then(Entry::value).is_some_and(|old| !old.document.is_same(&value.document));
        let used_at = before.map_or(now, |entry| entry.used_at());
        self.put(key, Entry::fetched(value, ttl_policy, used_at, chance)) || changed
    }

    /// Notes that a fetch failed, see `Entry::failed`. Returns the same as `fetched`, and the old value if it still
    /// serves.
    pub fn failed(
        &mut self,
        key: K,
        error: Error,
        ttl_policy: &TtlPolicy,
        at: Instant,
        now: Instant,
        chance: f64,
    ) -> (bool, Option<Arc<Document>>) {
        let before = self.entries.pop(&key);
        let lost = before.as_ref().is_some_and(|entry| entry.value().is_some());
        match Entry::failed(before, error, ttl_policy, at, now, chance) {
            None => (lost, None),
            Some(entry) => {
                let old = entry.value().map(|value| Arc::clone(&value.document));
                let evicted = self.put(key, entry);
                (evicted || (lost && old.is_none()), old)
            }
        }
    }

    /// Keeps an entry, which may have been made elsewhere. Returns whether another was evicted.
    #[must_use]
    pub fn put(&mut self, key: K, entry: Entry) -> bool {
        if let Some(next) = entry.next() {
            self.expiry_queue.add(next, key.clone());
        }
        let evicted = self.entries.push(key, entry);
        if let Some((_, lost)) = &evicted {
            self.evictions += 1;
            // Only values count: unused ones are dropped soon anyway, and anybody can cause failures.
            self.crowded |= lost.value().is_some();
        }
        if self.expiry_queue.len() > 64 + 4 * self.entries.len() {
            self.rewrite_expiry_queue();
        }
        evicted.is_some()
    }

    fn rewrite_expiry_queue(&mut self) {
        self.expiry_queue.clear();
        for (key, entry) in self.entries.iter() {
            if let Some(next) = entry.next() {
                self.expiry_queue.add(next, key.clone());
            }
        }
    }

    /// When something is to be done about the next entry.
    pub fn next(&self) -> Option<Instant> {
        self.expiry_queue.next()
    }

    /// The next entry whose time has come, and what is to be done about it; `Drop` has been done already. Values that
    /// nobody asked for during `idle` are dropped instead of being renewed.
    pub fn due(&mut self, now: Instant, idle: Duration) -> Option<(K, Due)> {
        while let Some((at, key)) = self.expiry_queue.take(now) {
            let Some(entry) = self.entries.peek_mut(&key).filter(|entry| entry.next() == Some(at)) else { continue };
            match entry.due(now, idle) {
                Some(Due::Drop) => {
                    self.entries.pop(&key);
                    return Some((key, Due::Drop));
                }
                due => {
                    if let Some(next) = entry.next() {
                        self.expiry_queue.add(next, key.clone());
                    }
                    if let Some(due) = due {
                        return Some((key, due));
                    }
                }
            }
        }
        None
    }

    /// Renews those of the entries along with another, at most `most`, whose time is near, see `Entry::renew_along`.
    /// Returns their keys.
    pub fn renew_along(&mut self, now: Instant, idle: Duration, most: usize, of: impl Fn(&K) -> bool) -> Vec<K> {
        let near = self.entries.iter_mut().filter(|(key, _)| of(key));
        let near = near.filter_map(|(key, entry)| entry.renew_along(now, idle).then(|| (key.clone(), entry.next())));
        let near: Vec<_> = near.take(most).collect();
        for (key, next) in &near {
            if let Some(next) = next {
                self.expiry_queue.add(*next, key.clone());
            }
        }
        near.into_iter().map(|(key, _)| key).collect()
    }

    /// Sets the time of an entry's next renewal.
    pub fn renew_at(&mut self, key: &K, at: Instant) {
        self.move_renewal(key, |entry| entry.renew_at(at));
    }

    /// Notes that a fetch has ended, whatever became of it: a renewal that left nothing is tried again.
    pub fn renewal_ended(&mut self, key: &K, again: Instant) {
        self.move_renewal(key, |entry| entry.renewal_ended(again));
    }

    /// Puts the renewal of an entry off while its vault can't be reached.
    pub fn put_off(&mut self, key: &K, reason: Error, until: Instant) {
        self.move_renewal(key, |entry| entry.put_off(reason, until));
    }

    fn move_renewal(&mut self, key: &K, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.peek_mut(key) {
            let before = entry.next();
            change(entry);
            // Where it hasn't moved, the queue has it already.
            if let Some(next) = entry.next().filter(|next| before != Some(*next)) {
                self.expiry_queue.add(next, key.clone());
            }
        }
    }

    /// The keys of old values that serve because no new ones could be fetched.
    pub fn resurrected(&self) -> Vec<K> {
        self.entries.iter().filter(|(_, entry)| entry.is_resurrected()).map(|(key, _)| key.clone()).collect()
    }

    /// Forgets everything; returns the keys.
    pub fn clear(&mut self) -> Vec<K> {
        self.expiry_queue.clear();
        let mut keys = Vec::with_capacity(self.entries.len());
        while let Some((key, _)) = self.entries.pop_lru() {
            keys.push(key);
        }
        keys
    }

    /// Moves entries to the keys that take their place; where `heir` returns `None`, an entry stays as it is. `pause`
    /// is the time between two renewals that this makes necessary.
    pub fn inherit(
        &mut self,
        now: Instant,
        pause: Duration,
        chance: impl Fn() -> f64,
        mut heir: impl FnMut(&K) -> Option<Heir<K>>,
    ) {
        let heirs: Vec<_> = self.entries.iter().rev().filter_map(|(key, _)| Some((key.clone(), heir(key)?))).collect();
        let mut renew_at = now;
        for (old, heir) in heirs {
            let Some(entry) = self.entries.pop(&old) else { continue };
            let (key, entry) = match heir {
                Heir::None => continue,
                Heir::Flawed { flaw, ttl_policy } => (old, entry.without_options(flaw, &ttl_policy, now)),
                // A value that was fetched under the new key is better than an inherited one.
                Heir::Key { key, .. } if self.entries.peek(&key).is_some_and(|known| known.value().is_some()) => {
                    continue;
                }
                Heir::Key { key, ttl_policy, same_place } => {
                    (key, entry.under(&ttl_policy, same_place, now, renew_at, chance()))
                }
            };
            if let Some(entry) = entry {
                if entry.is_held() {
                    renew_at += pause;
                }
                self.entries.push(key, entry);
            }
        }
        self.rewrite_expiry_queue();
    }

    /// How many entries were evicted.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Whether to report that the cache is too small for the values in use.
    pub fn is_crowded(&self) -> bool {
        self.crowded && !self.told
    }

    /// The same, but true only once.
    pub fn tell_crowded(&mut self) -> bool {
        let tell = self.is_crowded();
        self.told |= tell;
        tell
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The size of all entries in bytes: keys, documents, fields and the lists themselves.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|(key, entry)| OVERHEAD + (self.weigh)(key) + entry.bytes()).sum()
    }
}

#[cfg(test)]
mod tests;
