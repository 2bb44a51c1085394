//! From a reference to its value: whether the cache has it, and the call that brings it if not.
//!
//! A look-up never blocks and never does input or output: fetches run on the engine, or in `blocking`.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use lru::LruCache;
use once_cell::sync::OnceCell;

use crate::cache::document::Document;
use crate::cache::{Cache, CacheLookup};
use crate::config::Config;
use crate::entities::followed::Follow;
use crate::environment::Environment;
use crate::error::Result;
use crate::node::peers::PeerServer;
use crate::resolver::breaker::Change;
use crate::resolver::loaded::Loaded;
use crate::resolver::metrics::Metrics;
use crate::resolver::previous::Previous;
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey, ResolvedReference};
use crate::resolver::schedule::Schedule;
use crate::resolver::shared_cache::fetches::SharedFetches;
use crate::resolver::singleflight::{JoinOutcome, Outcome, Purpose, Singleflight};
use crate::resolver::succession::Succession;
use crate::resolver::upstream::{Done, Instances, Limits};
use crate::runtime::engine::Engine;
use crate::runtime::notifier::{Event, Notifier};
use crate::secret::Secret;
use crate::sync::lock;

/// How many references are kept as understood, and up to which length. A document may be read by several fields.
const REFERENCES_PER_DOCUMENT: usize = 4;
const FEWEST_REFERENCES: usize = 1024;
const LONGEST_KEPT: usize = 1024;

/// What a look-up came to.
#[derive(Debug)]
pub enum Lookup {
    Value(Value),
    /// A fetch is needed, or under way.
    Miss(Arc<ResolvedReference>),
}

/// A value to serve.
#[derive(Debug)]
pub struct Value {
    pub secret: Arc<Secret>,
    /// Whether the generation counter will tell when it is not to be served any more.
    pub lasting: bool,
    /// How long the vault itself says that it is good for.
    pub lease: Option<Duration>,
}

/// One Lua VM's view of its vaults: configuration, cache, calls.
pub struct Resolver {
    config: Config,
    environment: Environment,
    /// Whether the operator writes the references, who may name credentials of ours.
    trusted: bool,
    pub(crate) resolved_references: Mutex<LruCache<Box<[u8]>, Arc<ResolvedReference>>>,
    pub(crate) cache: Mutex<Cache<Arc<DocumentKey>>>,
    pub(crate) calls: Mutex<Singleflight<Arc<DocumentKey>, InstanceKey>>,
    pub(crate) shared_fetches: SharedFetches,
    pub(crate) instances: Instances,
    /// Changes whenever a value that somebody may have copied is not to be served any more.
    generation: Arc<AtomicU32>,
    pub(crate) schedule: Arc<Schedule>,
    pub notifier: Arc<Notifier>,
    /// By which other workers ask this one.
    pub(crate) peer_server: OnceCell<PeerServer>,
    pub metrics: Metrics,
    pub(crate) follow: Follow,
    pub(crate) succession: Succession,
    /// Where vaults were before the reload that this belongs to.
    pub(crate) previous: Previous,
    /// When the configuration was loaded that this belongs to, where the node's cache may have values from before.
    pub(crate) loaded: Option<Loaded>,
    /// When all values were flushed last.
    pub(crate) flushed_at: Mutex<Option<Instant>>,
}

impl Resolver {
    pub fn new(config: Config, environment: Environment, generation: Arc<AtomicU32>) -> Self {
        let size = NonZeroUsize::new(config.cache_size).unwrap_or(NonZeroUsize::MIN);
        let resolved_references =
            NonZeroUsize::new(config.cache_size.saturating_mul(REFERENCES_PER_DOCUMENT).max(FEWEST_REFERENCES));
        let resolved_references = resolved_references.unwrap_or(NonZeroUsize::MIN);
        let limits = Limits { timeout: config.fetch_timeout, breaker_interval: config.breaker_interval };
        Self {
            resolved_references: Mutex::new(LruCache::new(resolved_references)),
            cache: Mutex::new(Cache::new(size, |key| key.bytes())),
            calls: Mutex::default(),
            shared_fetches: SharedFetches::default(),
            instances: Instances::new(environment.clone(), limits, true),
            generation,
            schedule: Arc::default(),
            notifier: Notifier::new(),
            peer_server: OnceCell::new(),
            metrics: Metrics::default(),
            follow: Follow::default(),
            succession: Succession::default(),
            previous: Previous::default(),
            loaded: None,
            flushed_at: Mutex::default(),
            config,
            environment,
            trusted: false,
        }
    }

    /// One whose references the operator writes, who may name credentials of ours.
    pub fn trusting(mut self) -> Self {
        self.trusted = true;
        self
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What a reference means; known ones are not read anew.
    pub fn resolve(&self, reference: &[u8]) -> Result<Arc<ResolvedReference>> {
        // Held all the time: who changes entities clears it afterwards, and no reference from before may come in later.
        let mut resolved_references = lock(&self.resolved_references);
        if let Some(resolved) = resolved_references.get(reference) {
            return Ok(Arc::clone(resolved));
        }
        let resolved = Arc::new(ResolvedReference::resolve(reference, &self.config)?);
        if !self.trusted {
            resolved.key.may_be_read(&self.config)?;
        }
        if reference.len() <= LONGEST_KEPT {
            resolved_references.put(reference.into(), Arc::clone(&resolved));
        }
        Ok(resolved)
    }

    /// Looks a reference up in the cache. A vault that needs neither network nor file is asked on the spot. Where the
    /// refresher runs, it renews values whose time is over, and they serve meanwhile.
    pub fn lookup(self: &Arc<Self>, reference: &[u8]) -> Result<Lookup> {
        let (resolved, found) = match self.resolve_and_look(reference) {
            Ok(found) => found,
            Err(error) => return self.orphan(reference, error).map(Lookup::Value),
        };
        let runs = self.schedule.runs();
        match found {
            CacheLookup::Fresh(document) => {
                self.metrics.hits.inc();
                pick(&resolved, &document, runs).map(Lookup::Value)
            }
            CacheLookup::Stale { document, due } => {
                self.metrics.stale_hits.inc();
                if due && !runs {
                    self.start()?;
                    self.renew(&resolved.key);
                }
                pick(&resolved, &document, runs).map(Lookup::Value)
            }
            CacheLookup::Failure(error) => {
                self.metrics.negative_hits.inc();
                Err(resolved.explain(error))
            }
            CacheLookup::Nothing => self.miss(resolved),
        }
    }

    /// `lookup` for somebody who may wait: a value whose time is over is a miss, unless it was just tried in vain.
    pub fn lookup_waiting(self: &Arc<Self>, reference: &[u8]) -> Result<Lookup> {
        let (resolved, found) = match self.resolve_and_look(reference) {
            Ok(found) => found,
            Err(error) => return self.orphan(reference, error).map(Lookup::Value),
        };
        match found {
            CacheLookup::Fresh(document) | CacheLookup::Stale { document, due: false } => {
                self.metrics.hits.inc();
                pick(&resolved, &document, false).map(Lookup::Value)
            }
            CacheLookup::Failure(error) => {
                self.metrics.negative_hits.inc();
                Err(resolved.explain(error))
            }
            CacheLookup::Stale { .. } | CacheLookup::Nothing => self.miss(resolved),
        }
    }

    pub(crate) fn miss(self: &Arc<Self>, resolved: Arc<ResolvedReference>) -> Result<Lookup> {
        self.metrics.misses.inc();
        if !resolved.key.descriptor.immediate {
            return Ok(Lookup::Miss(resolved));
        }
        let document = self.fetch_immediate(&resolved.key).map_err(|error| resolved.explain(error))?;
        pick(&resolved, &document, false).map(Lookup::Value)
    }

    /// Joins the call that brings a document, or creates one. With `waits`, its outcome has to be collected. Who creates it
    /// must start it, by `take_shared` and `start_fetch`.
    pub fn join_or_create(
        self: &Arc<Self>,
        key: &Arc<DocumentKey>,
        purpose: Purpose,
        waits: bool,
    ) -> Result<JoinOutcome> {
        self.start()?;
        let floor = self.floor(key);
        lock(&self.calls).join_or_create(key, &key.instance, purpose, floor, waits, Instant::now())
    }

    /// `join_or_create` for somebody who sees to it that not too many are under way, and so is not refused.
    pub fn join_or_create_in_turn(
        self: &Arc<Self>,
        key: &Arc<DocumentKey>,
        purpose: Purpose,
        waits: bool,
    ) -> Result<JoinOutcome> {
        self.start()?;
        let floor = self.floor(key);
        Ok(lock(&self.calls).join_or_create_in_turn(key, &key.instance, purpose, floor, waits, Instant::now()))
    }

    /// What a call brought, for one waiter; `None` where it is still under way. The ticket is used up either way.
    pub fn collect(&self, ticket: u64, reference: &[u8]) -> Result<Option<Value>> {
        let Some(outcome) = lock(&self.calls).collect(ticket, Instant::now()) else { return Ok(None) };
        let resolved = self.resolve(reference);
        // Why there is no value is said, whatever has become of the reference meanwhile.
        let document = outcome.map_err(|error| match &resolved {
            Ok(resolved) => resolved.explain(error),
            Err(_) => error,
        })?;
        let resolved = resolved?;
        // Only what is known now will be known to be over: a newer one may have come since the completion.
        let kept = match self.look(&resolved.key) {
            CacheLookup::Fresh(known) | CacheLookup::Stale { document: known, .. } => known.is_same(&document),
            _ => false,
        };
        pick(&resolved, &document, kept && self.schedule.runs()).map(Some)
    }

    /// Whether a call or a job is not to be waited for any more.
    pub fn is_completed(&self, ticket: u64) -> bool {
        self.has_ended(ticket) && lock(&self.calls).is_completed(ticket)
    }

    /// The value, if it is fresh and its fetch began after that time.
    pub fn newer(&self, resolved: &ResolvedReference, since: Instant) -> Option<Result<Value>> {
        let document = {
            let cache = lock(&self.cache);
            let entry =
                cache.peek(&resolved.key).filter(|entry| entry.value().is_some_and(|value| value.at > since))?;
            match entry.look(Instant::now()) {
                CacheLookup::Fresh(document) => document,
                _ => return None,
            }
        };
        Some(pick(resolved, &document, self.schedule.runs()))
    }

    /// Asks for a new value in the background.
    pub fn renew(self: &Arc<Self>, key: &Arc<DocumentKey>) {
        if key.descriptor.immediate {
            // A failure is counted, and the old value serves on.
            let _ = self.fetch_immediate(key);
            return;
        }
        let than = {
            let cache = lock(&self.cache);
            // One that was brought under other options is older than any.
            let own = cache.peek(key).filter(|entry| !entry.is_inherited());
            own.and_then(|entry| entry.value().map(|value| value.at))
        };
        self.fetch_in_background(key, than.map_or(Purpose::Miss, Purpose::Newer));
    }

    /// Forgets all values; connections, logins and breakers stay. With `refetch`, what was known is fetched again in the background.
    pub fn flush(self: &Arc<Self>, refetch: bool) {
        let now = Instant::now();
        // Before the values go: what was fetched before, here or by another worker, is not to come in again.
        *lock(&self.flushed_at) = Some(now);
        let known = lock(&self.cache).clear();
        lock(&self.resolved_references).clear();
        self.bump();
        for key in known.into_iter().filter(|key| refetch && !key.descriptor.immediate) {
            self.fetch_in_background(&key, Purpose::Newer(now));
        }
    }

    /// The worker is told to quit: nothing of ours may keep it, or go on ahead of its last requests.
    pub fn quit(&self) {
        self.schedule.quit();
        // Copies are good for as long as the refresher runs.
        self.bump();
        self.notifier.close();
    }

    pub(crate) fn look(&self, key: &Arc<DocumentKey>) -> CacheLookup {
        lock(&self.cache).look(key, Instant::now())
    }

    /// Looks without a mark that anybody wants it.
    pub(crate) fn peek(&self, key: &Arc<DocumentKey>) -> CacheLookup {
        lock(&self.cache).peek(key).map_or(CacheLookup::Nothing, |entry| entry.look(Instant::now()))
    }

    pub(crate) fn bump(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        // Where nobody listens, the copies are dropped with the next look-up.
        self.notifier.notify(Event::Outdated);
    }

    pub(crate) fn engine(&self) -> Result<&'static Engine> {
        Engine::of_this_process(&self.environment)
    }

    pub(crate) fn probe_at(&self, key: &DocumentKey) -> Option<Instant> {
        self.instances.known(&key.instance)?.breaker().probe_at()
    }

    pub(crate) fn fetch_immediate(self: &Arc<Self>, key: &Arc<DocumentKey>) -> Outcome {
        self.metrics.fetches.inc();
        let (start, instance) = (Instant::now(), self.instances.get(key)?);
        let polled = pin!(instance.backend().fetch(&key.secret_id)).poll(&mut Context::from_waker(Waker::noop()));
        let fetched = match polled {
            Poll::Ready(fetched) => fetched,
            Poll::Pending => Err(key.ended_early()),
        };
        self.keep(key, Done { fetched, began: start, change: Change::None, notice: None, took: start.elapsed() }).0
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.schedule.end();
        self.notifier.close();
    }
}

/// The value that a reference names in its document.
pub fn pick(resolved: &ResolvedReference, document: &Document, lasting: bool) -> Result<Value> {
    let secret = document.pick(resolved.field.as_deref(), resolved.base64_decode)?;
    Ok(Value { secret, lasting, lease: document.lease() })
}
