//! Replaces documents of one group together, so that two look-ups in a row find the same version.
//!
//! Fetched documents wait here until the worker takes them, between two requests. Otherwise the engine could cache a new
//! version between two look-ups of one request.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Batch, DocumentCache, Kept, Key};
use crate::cache::Dated;
use crate::cache::document::GroupVersion;
use crate::config::Config;
use crate::resolver::resolved_reference::InstanceKey;

impl DocumentCache {
    /// Leaves documents that `keep_batch` is to cache. Returns the batch's number.
    pub fn leave(&self, batch: Batch) -> u64 {
        let mut known = self.known.lock();
        known.batches.push_back(batch);
        known.batches_kept + known.batches.len() as u64
    }

    /// Caches the oldest batch at once; `None` if there is none, or none up to that number.
    pub fn keep_batch(&self, last: u64, config: &Config) -> Option<Vec<(Key, Kept)>> {
        let (batch, outcomes, changed, next) = {
            let mut known = self.known.lock();
            if known.batches_kept >= last {
                return None;
            }
            let batch = known.batches.pop_front()?;
            known.batches_kept += 1;
            let mut changed = false;
            let mut outcomes = Vec::with_capacity(batch.len());
            for (key, value) in &batch {
                let (kept, is_change) = self.keep_in(&mut known, key, value.clone(), config);
                changed |= is_change;
                outcomes.push(kept);
            }
            (batch, outcomes, changed, known.cache.next())
        };
        self.tell_of_change(changed, next);
        Some(batch.into_iter().map(|(key, _)| key).zip(outcomes).collect())
    }

    /// Whether a document of that group is cached or waits.
    pub fn knows_group(&self, key: &Key, group: GroupVersion) -> bool {
        let known = self.known.lock();
        let is_of = |of: &Key, value: &Dated| {
            of.instance == key.instance && value.document.group().is_some_and(|it| it.group == group.group)
        };
        known.batches.iter().flatten().any(|(of, value)| is_of(of, value))
            || known.cache.iter().any(|(of, entry)| entry.value().is_some_and(|value| is_of(of, value)))
    }

    /// The documents of `group` that are cached or wait in another version than that of `group`, except `key`'s own.
    pub fn outdated(&self, key: &Key, group: GroupVersion) -> Vec<Key> {
        let known = self.known.lock();
        let own = known.batches.iter().flatten().rev().find(|(of, _)| of == key).map(|(_, value)| value);
        if own.or_else(|| known.cache.value(key)).and_then(|value| value.document.group()) == Some(group) {
            // The others were replaced along with it.
            return Vec::new();
        }
        let is_other = |of: &Key, value: &Dated| {
            let theirs = value.document.group();
            of.instance == key.instance
                && of != key
                && theirs.is_some_and(|it| it.group == group.group && it.version != group.version)
        };
        let left = known.batches.iter().flatten().filter(|(of, value)| is_other(of, value)).map(|(of, _)| of);
        let cached = known.cache.iter().filter(|(of, entry)| entry.value().is_some_and(|value| is_other(of, value)));
        let mut found: Vec<Key> = Vec::new();
        for of in left.chain(cached.map(|(of, _)| of)) {
            // The newest batch counts.
            let last = known.batches.iter().flatten().rev().find(|(left, _)| left == of);
            if last.is_none_or(|(last, value)| is_other(last, value)) && !found.contains(of) {
                found.push(Arc::clone(of));
            }
        }
        found
    }

    /// The documents of a vault with one of these names, or below one. Of each group only one: its fetch brings the others.
    pub fn keys_below(&self, vault: &InstanceKey, names: &BTreeSet<String>) -> Vec<Key> {
        let known = self.known.lock();
        let left = known.batches.iter().flatten().map(|(key, value)| (key, Some(value)));
        let cached = known.cache.iter().map(|(key, entry)| (key, entry.value()));
        let mut found: Vec<(Key, Option<u64>)> = Vec::new();
        for (key, value) in left.chain(cached).filter(|(key, _)| key.instance == *vault && key.is_below(names)) {
            let group = value.and_then(|value| value.document.group()).map(|it| it.group);
            if !found.iter().any(|(known, of)| known == key || (group.is_some() && *of == group)) {
                found.push((Arc::clone(key), group));
            }
        }
        found.into_iter().map(|(key, _)| key).collect()
    }

    /// One document of each vault that reads files.
    pub fn of_files(&self) -> Vec<Key> {
        let known = self.known.lock();
        let mut found: Vec<Key> = Vec::new();
        for (key, _) in known.cache.iter().filter(|(key, _)| key.descriptor.files) {
            if !found.iter().any(|other| other.instance == key.instance) {
                found.push(Arc::clone(key));
            }
        }
        found
    }
}
