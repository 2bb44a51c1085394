//! From a reference to its value: whether the cache has it, and the flight that brings it if not.
//!
//! A look-up never blocks and never does input or output: fetches run on the engine, or in `fetch_blocking`.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use lru::LruCache;
use tokio::task::JoinSet;

use crate::backend::{Backend, Fetched, Setup};
use crate::cache::{Cache, Found, Kept};
use crate::config::Config;
use crate::document::Document;
use crate::engine::Engine;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::flight::{Boarding, Flights, Outcome};
use crate::metrics::Metrics;
use crate::plan::{InstanceKey, Origin, Plan};
use crate::secret::Secret;
use crate::watch::Watch;

/// How many vaults' connections are kept. References can make new ones (by `region`), so there has to be a bound.
const INSTANCES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Backends by what they were built from. The lock is never held while one is built: that may read files.
type Instances = Mutex<LruCache<InstanceKey, Arc<dyn Backend>>>;

/// What a look-up came to.
#[derive(Debug)]
pub enum Lookup {
    Value(Value),
    /// A fetch is needed, or under way.
    Miss(Plan),
}

/// A value to serve.
#[derive(Debug)]
pub struct Value {
    pub secret: Arc<Secret>,
    /// Whether the generation counter will tell when it is not to be served any more.
    pub lasting: bool,
}

/// One Lua VM's view of its vaults: configuration, cache, flights.
pub struct Resolver {
    config: Config,
    environment: Environment,
    cache: Mutex<Cache<Arc<Origin>>>,
    flights: Mutex<Flights<Arc<Origin>>>,
    instances: Instances,
    /// Changes whenever a value that somebody may have copied is not to be served any more.
    generation: Arc<AtomicU64>,
    watch: Arc<Watch>,
    pub metrics: Metrics,
}

impl Resolver {
    pub fn new(config: Config, environment: Environment, generation: Arc<AtomicU64>) -> Self {
        let size = NonZeroUsize::new(config.cache_size).unwrap_or(NonZeroUsize::MIN);
        Self {
            config,
            environment,
            cache: Mutex::new(Cache::new(size, |origin| origin.bytes())),
            flights: Mutex::default(),
            instances: new_instances(),
            generation,
            watch: Arc::default(),
            metrics: Metrics::default(),
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Looks a reference up in the cache. A vault that needs neither network nor file is asked on the spot.
    pub fn lookup(&self, reference: &[u8]) -> Result<Lookup> {
        let plan = Plan::of(reference, &self.config)?;
        match self.look(&plan.origin) {
            Found::Value { document, until } => {
                self.metrics.hits.add_one();
                let lasting = until.is_none() || self.watch.runs();
                pick(&plan, &document, lasting).map(Lookup::Value)
            }
            Found::Failure(error) => {
                self.metrics.negative_hits.add_one();
                Err(error)
            }
            Found::Nothing => {
                self.metrics.misses.add_one();
                if !plan.origin.descriptor.immediate {
                    return Ok(Lookup::Miss(plan));
                }
                let fetched = self.fetch_immediate(&plan.origin);
                let document = self.keep(&plan.origin, plan.key.is_some(), fetched)?;
                pick(&plan, &document, false).map(Lookup::Value)
            }
        }
    }

    /// Joins or starts the flight that brings a plan's document. With `waits`, the ticket has to be claimed.
    pub fn depart(self: &Arc<Self>, plan: &Plan, waits: bool) -> Result<u64> {
        let (origin, fields) = (Arc::clone(&plan.origin), plan.key.is_some());
        let engine = Engine::of_this_process(&self.environment)?;
        let ticket = match lock(&self.flights).board(&origin, waits)? {
            Boarding::Joined(ticket) => return Ok(ticket),
            Boarding::Departed(ticket) => ticket,
        };
        engine.board.depart(ticket);
        self.start_watch(engine);
        let landing = Landing { resolver: Arc::clone(self), engine, ticket, origin, outcome: None };
        engine.spawn(async move {
            let (resolver, origin) = (&landing.resolver, &landing.origin);
            // The document may have landed between the look-up that missed it and this departure.
            let outcome = match resolver.look(origin) {
                Found::Value { document, .. } => Ok(document),
                _ => resolver.keep(origin, fields, resolver.fetch(origin, &resolver.instances, true).await),
            };
            landing.with(outcome);
        });
        Ok(ticket)
    }

    /// What a flight brought, for one passenger; `None` where it is still under way. Ends the claim either way.
    pub fn claim(&self, ticket: u64, reference: &[u8]) -> Result<Option<Value>> {
        let Some(outcome) = lock(&self.flights).claim(ticket) else { return Ok(None) };
        let document = outcome?;
        let plan = Plan::of(reference, &self.config)?;
        let lasting = matches!(self.look(&plan.origin), Found::Value { .. });
        pick(&plan, &document, lasting).map(Some)
    }

    /// An old value, for whoever can't wait for the new one that is being fetched.
    pub fn stale(&self, plan: &Plan) -> Option<Result<Value>> {
        let document = lock(&self.cache).stale(&plan.origin, Instant::now())?;
        Some(pick(plan, &document, false))
    }

    /// Starts the engine and its watch over the time of values, so that look-ups can say `lasting`.
    pub fn watch(self: &Arc<Self>) -> Result<()> {
        self.start_watch(Engine::of_this_process(&self.environment)?);
        Ok(())
    }

    /// Resolves references on this thread, blocking it; for phases in which nobody else waits. Misses are fetched side
    /// by side, each document once. No thread is left.
    pub fn fetch_blocking(self: &Arc<Self>, references: &[Vec<u8>]) -> Vec<Result<Arc<Secret>>> {
        let lookups: Vec<_> = references.iter().map(|reference| self.lookup(reference)).collect();
        let mut wanted: HashMap<Arc<Origin>, bool> = HashMap::new();
        for lookup in &lookups {
            if let Ok(Lookup::Miss(plan)) = lookup {
                *wanted.entry(Arc::clone(&plan.origin)).or_default() |= plan.key.is_some();
            }
        }
        let outcomes = if wanted.is_empty() { Ok(HashMap::new()) } else { self.fetch_all_blocking(wanted) };
        let resolve = |lookup: Result<Lookup>| match lookup? {
            Lookup::Value(value) => Ok(value.secret),
            Lookup::Miss(plan) => match outcomes.as_ref().map_err(Clone::clone)?.get(&plan.origin) {
                Some(outcome) => pick(&plan, outcome.as_ref().map_err(Clone::clone)?, false).map(|value| value.secret),
                None => Err(ended_early(&plan.origin)),
            },
        };
        lookups.into_iter().map(resolve).collect()
    }

    fn fetch_all_blocking(
        self: &Arc<Self>,
        wanted: HashMap<Arc<Origin>, bool>,
    ) -> Result<HashMap<Arc<Origin>, Outcome>> {
        let resolver = Arc::clone(self);
        crate::blocking::run(async move {
            // Connections belong to the runtime that made them, and this one ends with the call.
            let instances = Arc::new(new_instances());
            let mut fetches = JoinSet::new();
            for (origin, fields) in wanted {
                let (resolver, instances) = (Arc::clone(&resolver), Arc::clone(&instances));
                fetches.spawn(async move {
                    let outcome = resolver.keep(&origin, fields, resolver.fetch(&origin, &instances, false).await);
                    (origin, outcome)
                });
            }
            let mut outcomes = HashMap::new();
            while let Some(landed) = fetches.join_next().await {
                outcomes.extend(landed);
            }
            outcomes
        })
    }

    /// Forgets all values and connections. With `refetch`, what was known is fetched again in the background.
    pub fn flush(self: &Arc<Self>, refetch: bool) {
        let known = lock(&self.cache).clear();
        lock(&self.instances).clear();
        self.bump();
        for origin in known.into_iter().filter(|origin| refetch && !origin.descriptor.immediate) {
            // Best effort: whoever needs the value will ask, and hear of a failure then.
            let _ = self.depart(&Plan { origin, key: None, base64_decode: false }, false);
        }
    }

    /// Entries, what they weigh in bytes, and flights under way.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let cache = lock(&self.cache);
        (cache.len(), cache.bytes(), lock(&self.flights).under_way())
    }

    fn look(&self, origin: &Arc<Origin>) -> Found {
        lock(&self.cache).look(origin, Instant::now())
    }

    /// Keeps what a fetch brought, and says what is to be served: the old value, if it may stand in for a failure.
    fn keep(&self, origin: &Arc<Origin>, fields: bool, fetched: Result<Fetched>) -> Outcome {
        let (now, key) = (Instant::now(), Arc::clone(origin));
        let (kept, outcome): (Kept, _) = match fetched {
            Ok(Fetched { document, lease }) => {
                let document = Arc::new(Document::new(document));
                if fields {
                    document.read_fields();
                }
                let kept = lock(&self.cache).fetched(key, Arc::clone(&document), lease, origin.terms, now);
                (kept, Ok(document))
            }
            Err(error) => {
                self.metrics.failed(error.kind());
                let (kept, old) = lock(&self.cache).failed(key, error.clone(), origin.terms, now);
                if old.is_some() {
                    self.metrics.resurrected.add_one();
                }
                (kept, old.ok_or(error))
            }
        };
        if kept.replaced {
            self.bump();
        }
        if let Some(until) = kept.until {
            self.watch.expect(until);
        }
        outcome
    }

    fn bump(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// One fetch, with the deadline over everything it does.
    async fn fetch(&self, origin: &Origin, instances: &Instances, threads: bool) -> Result<Fetched> {
        self.metrics.fetches.add_one();
        let backend = self.instance(origin, instances, threads)?;
        let timeout = self.config.fetch_timeout;
        tokio::time::timeout(timeout, backend.fetch(&origin.ask)).await.unwrap_or_else(|_| {
            let text = format!(
                "{} did not answer within {} s: check that it is up and reachable, or raise vault_fetch_timeout",
                origin.label(),
                timeout.as_secs_f64()
            );
            Err(Error::new(Kind::Timeout, text))
        })
    }

    fn fetch_immediate(&self, origin: &Origin) -> Result<Fetched> {
        let backend = self.instance(origin, &self.instances, false)?;
        match pin!(backend.fetch(&origin.ask)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(fetched) => fetched,
            Poll::Pending => Err(ended_early(origin)),
        }
    }

    fn instance(&self, origin: &Origin, instances: &Instances, threads: bool) -> Result<Arc<dyn Backend>> {
        if let Some(backend) = lock(instances).get(&origin.instance) {
            return Ok(Arc::clone(backend));
        }
        let backend = (origin.descriptor.build)(&Setup {
            vault: &origin.instance.vault,
            settings: &origin.settings,
            environment: &self.environment,
            timeout: self.config.fetch_timeout,
            threads,
        })?;
        lock(instances).put(origin.instance.clone(), Arc::clone(&backend));
        Ok(backend)
    }

    /// Has the engine bump the generation whenever an entry stops answering, so that copies of its value go with it.
    fn start_watch(self: &Arc<Self>, engine: &Engine) {
        if self.watch.start() {
            // What was copied before the watch began might outlive its time.
            self.bump();
            let (watch, resolver) = (Arc::clone(&self.watch), Arc::downgrade(self));
            let next_end = {
                let resolver = resolver.clone();
                move || resolver.upgrade().map(|resolver| lock(&resolver.cache).next_expiry(Instant::now()))
            };
            let ended = move || drop(resolver.upgrade().inspect(|resolver| resolver.bump()));
            engine.spawn(async move { watch.run(next_end, ended).await });
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.watch.end();
    }
}

/// Sees to it that a flight lands and its passengers are woken, even where the fetch panics or is dropped.
struct Landing {
    resolver: Arc<Resolver>,
    engine: &'static Engine,
    ticket: u64,
    origin: Arc<Origin>,
    outcome: Option<Outcome>,
}

impl Landing {
    fn with(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Err(ended_early(&self.origin)));
        lock(&self.resolver.flights).land(self.ticket, outcome, Instant::now());
        self.engine.board.land(self.ticket);
    }
}

fn pick(plan: &Plan, document: &Document, lasting: bool) -> Result<Value> {
    Ok(Value { secret: document.pick(plan.key.as_deref(), plan.base64_decode)?, lasting })
}

fn ended_early(origin: &Origin) -> Error {
    Error::new(Kind::Internal, format!("the fetch from {} ended early: please report this as a defect", origin.label()))
}

fn new_instances() -> Instances {
    Mutex::new(LruCache::new(INSTANCES))
}

/// A panic while a lock is held leaves data that is still whole: each critical section is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
