//! The cache of one resolver, shared by its threads. Most of its changes also move the generation where copies are
//! outdated, and wake the refresher where something is due earlier.

mod groups;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::document::Document;
use crate::cache::{Cache, CacheLookup, Dated, Due, Entry, Heir};
use crate::config::Config;
use crate::error::Error;
use crate::resolver::generation::Generation;
use crate::resolver::heir::kept_under;
use crate::resolver::loaded::Loaded;
use crate::resolver::probes::{renew_all, renew_one};
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::schedule::Schedule;
use crate::resolver::singleflight::Outcome;
use crate::sync::{Rank, Ranked};

/// The pause between two of the fetches that a change of options makes necessary: one vault may have thousands of
/// secrets.
const PAUSE: Duration = Duration::from_millis(1);

type Key = Arc<DocumentKey>;

/// Documents with their keys, to be put into the cache at once.
pub type Batch = Vec<(Key, Dated)>;

/// The documents of one resolver.
pub struct DocumentCache {
    known: Ranked<KnownDocuments>,
    schedule: Arc<Schedule>,
    generation: Generation,
    /// When the configuration was loaded, where the node's cache may have values from before.
    loaded: Option<Loaded>,
}

struct KnownDocuments {
    cache: Cache<Key>,
    /// Documents that wait to be cached, oldest first.
    batches: VecDeque<Batch>,
    /// How many were cached.
    batches_kept: u64,
    /// When all values were flushed last.
    flushed_at: Option<Instant>,
}

/// The result of `keep_value`.
pub struct Kept {
    /// The value, or a newer one that was there already.
    pub document: Arc<Document>,
    /// When its fetch began.
    pub at: Instant,
    pub fresh: bool,
    /// Whether it was considered: it is not too old, and its options are still in force.
    pub considered: bool,
    /// Whether the log is to be told that the cache is too small.
    pub crowded: bool,
}

/// The result of `keep_failure`.
pub struct KeptFailure {
    /// What is served: a value that still serves, or the failure.
    pub outcome: Outcome,
    /// Whether the failure was kept: neither is there a newer value, nor have the options changed.
    pub kept: bool,
    /// Whether it was the first outcome after a change of options.
    pub was_inherited: bool,
}

/// What a fetch did to the value that this process knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueChange {
    /// There was none.
    First,
    /// It is the same; so it is after a failure.
    Same,
    Changed,
}

/// A document's value and times.
pub struct Terms {
    pub value: Option<Dated>,
    pub fresh_until: Option<Instant>,
    pub renew_at: Option<Instant>,
}

impl Terms {
    fn of(entry: &Entry) -> Self {
        let (fresh_until, renew_at) = entry.times();
        Self { value: entry.value().cloned(), fresh_until, renew_at }
    }
}

/// The cache's figures, for metrics.
pub struct DocumentLevels {
    pub entries: usize,
    pub bytes: usize,
    pub next: Option<Instant>,
    pub evictions: u64,
}

impl DocumentCache {
    pub fn new(size: usize, schedule: Arc<Schedule>, generation: Generation) -> Self {
        let size = NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN);
        let cache = Cache::new(size, |key: &Key| key.bytes());
        let known = KnownDocuments { cache, batches: VecDeque::new(), batches_kept: 0, flushed_at: None };
        Self { known: Ranked::new(Rank::Documents, known), schedule, generation, loaded: None }
    }

    pub(crate) fn set_loaded(&mut self, loaded: Loaded) {
        self.loaded = Some(loaded);
    }

    /// Looks a document up and marks it as used.
    pub fn look(&self, key: &Key) -> CacheLookup {
        self.known.lock().cache.look(key, Instant::now())
    }

    /// Looks a document up without marking it as used.
    pub fn peek(&self, key: &Key) -> CacheLookup {
        self.known.lock().cache.peek(key).map_or(CacheLookup::Nothing, |entry| entry.look(Instant::now()))
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.known.lock().cache.peek(key).is_some()
    }

    /// The value, if it is fresh.
    pub fn fresh(&self, key: &Key) -> Option<Dated> {
        let known = self.known.lock();
        let entry = known.cache.peek(key)?;
        matches!(entry.look(Instant::now()), CacheLookup::Fresh(_)).then(|| entry.value().cloned())?
    }

    /// The value that was fetched under the current options, whether it may serve or not.
    pub fn own(&self, key: &Key) -> Option<Dated> {
        let known = self.known.lock();
        known.cache.peek(key).filter(|entry| !entry.is_inherited()).and_then(Entry::value).cloned()
    }

    /// The fresh value of a document that `wanted` recognises, if it was fetched under the current options after that
    /// time.
    pub fn find_own(&self, wanted: impl Fn(&Key) -> bool, after: Instant) -> Option<Dated> {
        let (known, now) = (self.known.lock(), Instant::now());
        let is_fresh = |entry: &Entry| !entry.is_inherited() && matches!(entry.look(now), CacheLookup::Fresh(_));
        let found = known.cache.iter().filter(|(key, entry)| wanted(key) && is_fresh(entry));
        found.filter_map(|(_, entry)| entry.value()).find(|value| value.at > after).cloned()
    }

    /// What a value that was just fetched changes.
    pub fn change_by(&self, key: &Key, fetched: &Document) -> ValueChange {
        match self.known.lock().cache.value(key) {
            None => ValueChange::First,
            Some(known) if known.document.is_same(fetched) => ValueChange::Same,
            Some(_) => ValueChange::Changed,
        }
    }

    /// Whether a value serves that would serve on after a failed fetch.
    pub fn serves(&self, key: &Key) -> bool {
        let known = self.known.lock();
        known.cache.peek(key).is_some_and(|entry| {
            let found = entry.look(Instant::now());
            matches!(found, CacheLookup::Fresh(_) | CacheLookup::Stale { .. }) && !entry.is_held()
        })
    }

    /// The outcome for a document that its vault has asked not to be requested now; `None` where it may be fetched.
    pub fn left_alone(&self, key: &Key, now: Instant) -> Option<Outcome> {
        let known = self.known.lock();
        let entry = known.cache.peek(key)?;
        let reason = entry.left_alone(now)?.clone();
        Some(entry.look(now).document().ok_or(reason))
    }

    /// A value is not kept if its fetch began at this time or earlier: a flush has to bring new values, and so has a
    /// reload for documents without a `ttl`, which nothing else renews.
    pub fn floor(&self, key: &DocumentKey) -> Option<Instant> {
        self.floor_of(key, &self.known.lock())
    }

    fn floor_of(&self, key: &DocumentKey, known: &KnownDocuments) -> Option<Instant> {
        let loaded = self.loaded.as_ref().filter(|_| key.ttl_policy.ttl.is_none()).map(Loaded::at);
        loaded.max(known.flushed_at)
    }

    /// Keeps a value, unless a newer one is there.
    pub fn keep_value(&self, key: &Key, value: Dated, config: &Config) -> Kept {
        let (kept, changed, next) = {
            let mut known = self.known.lock();
            let (kept, changed) = self.keep_in(&mut known, key, value, config);
            (kept, changed, known.cache.next())
        };
        self.tell_of_change(changed, next);
        kept
    }

    /// `keep_value` under the lock. Also returns whether copies are out of date now.
    fn keep_in(&self, known: &mut KnownDocuments, key: &Key, value: Dated, config: &Config) -> (Kept, bool) {
        let now = Instant::now();
        let document = Arc::clone(&value.document);
        let mut kept = Kept { document, at: value.at, fresh: false, considered: false, crowded: false };
        if self.floor_of(key, known).is_some_and(|floor| value.at <= floor) {
            return (kept, false);
        }
        // Under the lock: a change of options moves the documents afterwards, and this one with them.
        let Some(key) = kept_under(key, config) else { return (kept, false) };
        let cache = &mut known.cache;
        let changed = cache.fetched(Arc::clone(&key), value, &key.ttl_policy, now, fastrand::f64());
        if let Some(entry) = cache.peek(&key) {
            kept.fresh = matches!(entry.look(now), CacheLookup::Fresh(_));
            if let Some(value) = entry.value() {
                (kept.document, kept.at) = (Arc::clone(&value.document), value.at);
            }
        }
        (kept.considered, kept.crowded) = (true, cache.is_crowded());
        (kept, changed)
    }

    fn tell_of_change(&self, changed: bool, next: Option<Instant>) {
        if changed {
            self.generation.bump();
        }
        self.schedule.expect(next);
    }

    /// Keeps the failure of a fetch that began at `began` and ended at `at`.
    pub fn keep_failure(&self, key: &Key, error: Error, began: Instant, at: Instant, config: &Config) -> KeptFailure {
        let now = Instant::now();
        let (lost, old, next, was_inherited) = {
            let mut known = self.known.lock();
            let Some(key) = kept_under(key, config) else {
                return KeptFailure { outcome: Err(error), kept: false, was_inherited: false };
            };
            let cache = &mut known.cache;
            let before = cache.peek(&key);
            // Another fetch may have brought a value since.
            if let Some(entry) = before.filter(|entry| entry.value().is_some_and(|value| value.at > began))
                && let CacheLookup::Fresh(document) = entry.look(now)
            {
                return KeptFailure { outcome: Ok(document), kept: false, was_inherited: false };
            }
            let was_inherited = before.is_some_and(Entry::is_inherited);
            let (lost, old) = cache.failed(Arc::clone(&key), error.clone(), &key.ttl_policy, at, now, fastrand::f64());
            (lost, old, cache.next(), was_inherited)
        };
        if lost {
            self.generation.bump();
        }
        self.schedule.expect(next);
        KeptFailure { outcome: old.ok_or(error), kept: true, was_inherited }
    }

    /// Keeps a value that the node's cache has under the document's name of before a reload, unless there is an entry
    /// for the document. Returns whether it serves.
    pub fn inherit_previous(&self, key: &Key, value: Dated, changed_at: Instant) -> bool {
        let now = Instant::now();
        let (evicted, next) = {
            let mut known = self.known.lock();
            let is_flushed = known.flushed_at.is_some_and(|floor| value.at <= floor);
            if is_flushed || known.cache.peek(key).is_some() {
                return false;
            }
            let entry = Entry::of_before(value, &key.ttl_policy, changed_at, now, fastrand::f64());
            let Some(entry) = entry else { return false };
            (known.cache.put(Arc::clone(key), entry), known.cache.next())
        };
        if evicted {
            self.generation.bump();
        }
        self.schedule.expect(next);
        true
    }

    /// Moves documents to their heirs, see `Cache::inherit`. The caller, who holds other locks, wakes the refresher and
    /// moves the generation. Returns when the next document is due.
    pub fn inherit(&self, now: Instant, heir: impl FnMut(&Key) -> Option<Heir<Key>>) -> Option<Instant> {
        let mut known = self.known.lock();
        known.cache.inherit(now, PAUSE, fastrand::f64, heir);
        known.cache.next()
    }

    /// Forgets all values. Those fetched before then, here or by another worker, are not kept any more. Returns the
    /// keys that there were; the caller moves the generation.
    pub fn flush(&self, now: Instant) -> Vec<Key> {
        let mut known = self.known.lock();
        known.flushed_at = Some(now);
        known.cache.clear()
    }

    /// Sets when a document is renewed.
    pub fn renew_at(&self, key: &Key, at: Instant) {
        self.known.lock().cache.renew_at(key, at);
        self.schedule.expect(Some(at));
    }

    /// Puts a renewal off, as the vault is away. It doesn't wake the refresher, which calls it and then asks what is
    /// due next.
    pub fn put_off(&self, key: &Key, reason: Error, until: Instant) {
        self.known.lock().cache.put_off(key, reason, until);
    }

    /// Notes that a fetch has ended: a renewal that stored neither a value nor a failure is tried again at `again`.
    pub fn renewal_ended(&self, key: &Key, again: impl FnOnce() -> Instant) {
        let next = {
            let mut known = self.known.lock();
            // Most fetches are no renewals.
            if !known.cache.peek(key).is_some_and(Entry::is_renewing) {
                return;
            }
            known.cache.renewal_ended(key, again());
            known.cache.next()
        };
        self.schedule.expect(next);
    }

    /// Has all values of a vault renewed that could not be while it was away.
    pub fn renew_all_of(&self, vault: &InstanceKey, at: impl Fn() -> Instant) {
        self.change_renewals(|cache| renew_all(cache, |key| key.instance == *vault, at));
    }

    /// Has one value renewed that could not be while its vault was away.
    pub fn renew_one(&self, key: &Key, at: Instant) {
        self.change_renewals(|cache| renew_one(cache, key, at));
    }

    fn change_renewals(&self, change: impl FnOnce(&mut Cache<Key>)) {
        let next = {
            let mut known = self.known.lock();
            change(&mut known.cache);
            known.cache.next()
        };
        self.schedule.expect(next);
    }

    /// The next document whose time has come, see `Cache::due`.
    pub fn due(&self, now: Instant, idle: Duration) -> Option<(Key, Due)> {
        self.known.lock().cache.due(now, idle)
    }

    /// The documents of a vault that are to be renewed along with one that is due, see `Cache::renew_along`.
    pub fn renew_along(&self, vault: &InstanceKey, now: Instant, idle: Duration, most: usize) -> Vec<Key> {
        self.known.lock().cache.renew_along(now, idle, most, |key| key.instance == *vault)
    }

    /// When the next document is due.
    pub fn next(&self) -> Option<Instant> {
        self.known.lock().cache.next()
    }

    /// Whether the log is to be told that the cache is too small, true once.
    pub fn tell_crowded(&self) -> bool {
        self.known.lock().cache.tell_crowded()
    }

    /// The times of a document.
    pub fn terms(&self, key: &Key) -> Option<Terms> {
        self.known.lock().cache.peek(key).map(Terms::of)
    }

    /// All documents with their times.
    pub fn all_terms(&self) -> Vec<(Key, Terms)> {
        self.known.lock().cache.iter().map(|(key, entry)| (Arc::clone(key), Terms::of(entry))).collect()
    }

    pub fn levels(&self) -> DocumentLevels {
        let cache = &self.known.lock().cache;
        DocumentLevels { entries: cache.len(), bytes: cache.bytes(), next: cache.next(), evictions: cache.evictions() }
    }
}
