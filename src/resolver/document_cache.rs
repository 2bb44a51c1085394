//! What is known of documents: the cache, shared by the threads of a resolver. It sees to what follows each change of it: that
//! copies are outdated, and that the refresher wakes up in time.

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

/// Between two of the fetches that a change makes necessary: one vault may have thousands of secrets.
const PAUSE: Duration = Duration::from_millis(1);

type Key = Arc<DocumentKey>;

/// The documents of one resolver.
pub struct DocumentCache {
    known: Ranked<KnownDocuments>,
    schedule: Arc<Schedule>,
    generation: Generation,
    /// When the configuration was loaded that this belongs to, where the node's cache may have values from before.
    loaded: Option<Loaded>,
}

struct KnownDocuments {
    cache: Cache<Key>,
    /// When all values were flushed last.
    flushed_at: Option<Instant>,
}

/// What became of a value that was to be kept.
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

/// What became of a failure that was to be kept.
pub struct KeptFailure {
    /// What is to be served: the old value, if it may stand in.
    pub outcome: Outcome,
    /// Whether the failure was kept: neither is there a newer value, nor have the options changed.
    pub kept: bool,
    /// Whether it was the first outcome after a change of options.
    pub was_inherited: bool,
}

/// What can be read off.
pub struct DocumentLevels {
    pub entries: usize,
    pub bytes: usize,
    pub next: Option<Instant>,
    pub evictions: u64,
}

impl DocumentCache {
    pub fn new(size: usize, schedule: Arc<Schedule>, generation: Generation) -> Self {
        let size = NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN);
        let known = KnownDocuments { cache: Cache::new(size, |key: &Key| key.bytes()), flushed_at: None };
        Self { known: Ranked::new(Rank::Documents, known), schedule, generation, loaded: None }
    }

    pub(crate) fn set_loaded(&mut self, loaded: Loaded) {
        self.loaded = Some(loaded);
    }

    /// Looks a document up and marks it as used.
    pub fn look(&self, key: &Key) -> CacheLookup {
        self.known.lock().cache.look(key, Instant::now())
    }

    /// Looks without a mark that anybody wants it.
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

    /// The value that was brought under the options of now, whether it may serve or not.
    pub fn own(&self, key: &Key) -> Option<Dated> {
        let known = self.known.lock();
        known.cache.peek(key).filter(|entry| !entry.is_inherited()).and_then(Entry::value).cloned()
    }

    /// Whether a value serves that a failure would leave in use.
    pub fn serves(&self, key: &Key) -> bool {
        let known = self.known.lock();
        known.cache.peek(key).is_some_and(|entry| {
            let found = entry.look(Instant::now());
            matches!(found, CacheLookup::Fresh(_) | CacheLookup::Stale { .. }) && !entry.is_held()
        })
    }

    /// What serves while a document is left alone, as it or its vault asked for; `None` where it may be fetched.
    pub fn left_alone(&self, key: &Key, now: Instant) -> Option<Outcome> {
        let known = self.known.lock();
        let entry = known.cache.peek(key)?;
        let reason = entry.left_alone(now)?.clone();
        Some(entry.look(now).document().ok_or(reason))
    }

    /// Before which time no fetch may have begun whose outcome is kept: a flush is to bring new values, and where nothing
    /// else renews a value, so is a reload.
    pub fn floor(&self, key: &DocumentKey) -> Option<Instant> {
        self.floor_of(key, &self.known.lock())
    }

    fn floor_of(&self, key: &DocumentKey, known: &KnownDocuments) -> Option<Instant> {
        let loaded = self.loaded.as_ref().filter(|_| key.ttl_policy.ttl.is_none()).map(Loaded::at);
        loaded.max(known.flushed_at)
    }

    /// Keeps a value, unless a newer one is there.
    pub fn keep_value(&self, key: &Key, value: Dated, config: &Config) -> Kept {
        let now = Instant::now();
        let document = Arc::clone(&value.document);
        let mut kept = Kept { document, at: value.at, fresh: false, considered: false, crowded: false };
        let (changed, next) = {
            let mut known = self.known.lock();
            if self.floor_of(key, &known).is_some_and(|floor| value.at <= floor) {
                return kept;
            }
            // Under the lock: where options change, the documents move after that.
            let Some(key) = kept_under(key, config) else { return kept };
            let cache = &mut known.cache;
            let changed = cache.fetched(Arc::clone(&key), value, &key.ttl_policy, now, fastrand::f64());
            if let Some(entry) = cache.peek(&key) {
                kept.fresh = matches!(entry.look(now), CacheLookup::Fresh(_));
                if let Some(value) = entry.value() {
                    (kept.document, kept.at) = (Arc::clone(&value.document), value.at);
                }
            }
            (kept.considered, kept.crowded) = (true, cache.is_crowded());
            (changed, cache.next())
        };
        if changed {
            self.generation.bump();
        }
        self.schedule.expect(next);
        kept
    }

    /// Notes a failure of a fetch that began and ended then.
    pub fn keep_failure(&self, key: &Key, error: Error, began: Instant, at: Instant, config: &Config) -> KeptFailure {
        let now = Instant::now();
        let (lost, old, next, was_inherited) = {
            let mut known = self.known.lock();
            let Some(key) = kept_under(key, config) else {
                return KeptFailure { outcome: Err(error), kept: false, was_inherited: false };
            };
            let cache = &mut known.cache;
            let before = cache.peek(&key);
            // It may have been fetched since.
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

    /// Keeps what lay under the name that the document had before a reload, where nothing is known of it. Returns whether
    /// it serves.
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

    /// Gives all documents to their heirs, see `Cache::inherit`. The refresher and the generation are the caller's affair, who
    /// holds other locks. Returns when the next document is due.
    pub fn inherit(&self, now: Instant, heir: impl FnMut(&Key) -> Option<Heir<Key>>) -> Option<Instant> {
        let mut known = self.known.lock();
        known.cache.inherit(now, PAUSE, fastrand::f64, heir);
        known.cache.next()
    }

    /// Forgets all values; what was fetched before then, here or by another worker, doesn't come in again. Returns what was
    /// known.
    pub fn flush(&self, now: Instant) -> Vec<Key> {
        let mut known = self.known.lock();
        known.flushed_at = Some(now);
        known.cache.clear()
    }

    /// Moves the renewal of a document.
    pub fn renew_at(&self, key: &Key, at: Instant) {
        self.known.lock().cache.renew_at(key, at);
        self.schedule.expect(Some(at));
    }

    /// Puts a renewal off, as the vault is away. For the refresher, who looks afterwards when the next is due.
    pub fn put_off(&self, key: &Key, reason: Error, until: Instant) {
        self.known.lock().cache.put_off(key, reason, until);
    }

    /// Notes that a fetch has ended: a renewal that left nothing is tried again then.
    pub fn renewal_ended(&self, key: &Key, again: Instant) {
        self.change_renewals(|cache| cache.renewal_ended(key, again));
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

    /// When the next document is due.
    pub fn next(&self) -> Option<Instant> {
        self.known.lock().cache.next()
    }

    /// Whether the log is to be told that the cache is too small, true once.
    pub fn tell_crowded(&self) -> bool {
        self.known.lock().cache.tell_crowded()
    }

    pub fn levels(&self) -> DocumentLevels {
        let cache = &self.known.lock().cache;
        DocumentLevels { entries: cache.len(), bytes: cache.bytes(), next: cache.next(), evictions: cache.evictions() }
    }
}
