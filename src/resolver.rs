//! From a reference to its value: whether the cache has it, and the flight that brings it if not.
//!
//! A look-up never blocks and never does input or output: fetches run on the engine, or in `blocking`.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::breaker::Change;
use crate::cache::{Cache, Found};
use crate::config::Config;
use crate::departure::Ear;
use crate::document::Document;
use crate::engine::Engine;
use crate::environment::Environment;
use crate::error::Result;
use crate::fetch::{Done, Instances, Limits};
use crate::flight::{Boarding, Flights, Outcome, Purpose};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::plan::{InstanceKey, Origin, Plan};
use crate::previous::Previous;
use crate::rotation::Rotation;
use crate::secret::Secret;
use crate::succession::Succession;
use crate::vm::Loaded;
use crate::wake::{Bell, Event};

/// How many references are kept as understood, and up to which length. A document may be read by several fields.
const PLANS_PER_DOCUMENT: usize = 4;
const FEWEST_PLANS: usize = 1024;
const LONGEST_KEPT: usize = 1024;

/// What a look-up came to.
#[derive(Debug)]
pub enum Lookup {
    Value(Value),
    /// A fetch is needed, or under way.
    Miss(Arc<Plan>),
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

/// One Lua VM's view of its vaults: configuration, cache, flights.
pub struct Resolver {
    config: Config,
    environment: Environment,
    /// Whether the operator writes the references, who may name credentials of ours.
    pub(crate) trusted: bool,
    pub(crate) plans: Mutex<LruCache<Box<[u8]>, Arc<Plan>>>,
    pub(crate) cache: Mutex<Cache<Arc<Origin>>>,
    pub(crate) flights: Mutex<Flights<Arc<Origin>, InstanceKey>>,
    pub(crate) instances: Instances,
    /// Changes whenever a value that somebody may have copied is not to be served any more.
    generation: Arc<AtomicU32>,
    pub(crate) rotation: Arc<Rotation>,
    pub bell: Arc<Bell>,
    /// By which other workers ask this one.
    pub(crate) ear: OnceLock<Ear>,
    pub metrics: Metrics,
    pub(crate) live: Live,
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
        let plans = NonZeroUsize::new(config.cache_size.saturating_mul(PLANS_PER_DOCUMENT).max(FEWEST_PLANS));
        let plans = plans.unwrap_or(NonZeroUsize::MIN);
        let limits = Limits { timeout: config.fetch_timeout, breaker_interval: config.breaker_interval };
        Self {
            plans: Mutex::new(LruCache::new(plans)),
            cache: Mutex::new(Cache::new(size, |origin| origin.bytes())),
            flights: Mutex::default(),
            instances: Instances::new(environment.clone(), limits, true),
            generation,
            rotation: Arc::default(),
            bell: Bell::new(),
            ear: OnceLock::new(),
            metrics: Metrics::default(),
            live: Live::default(),
            succession: Succession::default(),
            previous: Previous::default(),
            loaded: None,
            flushed_at: Mutex::default(),
            config,
            environment,
            trusted: false,
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What a reference means; known ones are not read anew.
    pub fn plan(&self, reference: &[u8]) -> Result<Arc<Plan>> {
        // Held all the time: who changes entities clears it afterwards, and no plan from before may come in later.
        let mut plans = lock(&self.plans);
        if let Some(plan) = plans.get(reference) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Plan::of(reference, &self.config)?);
        if !self.trusted {
            plan.origin.may_be_read(&self.config)?;
        }
        if reference.len() <= LONGEST_KEPT {
            plans.put(reference.into(), Arc::clone(&plan));
        }
        Ok(plan)
    }

    /// Looks a reference up in the cache. A vault that needs neither network nor file is asked on the spot. Where the
    /// rotation runs, it sees to values whose time is over, and they serve meanwhile.
    pub fn lookup(self: &Arc<Self>, reference: &[u8]) -> Result<Lookup> {
        let (plan, found) = match self.plan_and_look(reference) {
            Ok(found) => found,
            Err(error) => return self.orphan(reference, error).map(Lookup::Value),
        };
        let runs = self.rotation.runs();
        match found {
            Found::Fresh(document) => {
                self.metrics.hits.inc();
                pick(&plan, &document, runs).map(Lookup::Value)
            }
            Found::Stale { document, due } => {
                self.metrics.stale_hits.inc();
                if due && !runs {
                    self.start()?;
                    self.renew(&plan.origin);
                }
                pick(&plan, &document, runs).map(Lookup::Value)
            }
            Found::Failure(error) => {
                self.metrics.negative_hits.inc();
                Err(plan.explain(error))
            }
            Found::Nothing => self.miss(plan),
        }
    }

    /// `lookup` for somebody who may wait: a value whose time is over is a miss, unless it was just tried in vain.
    pub fn lookup_waiting(self: &Arc<Self>, reference: &[u8]) -> Result<Lookup> {
        let (plan, found) = match self.plan_and_look(reference) {
            Ok(found) => found,
            Err(error) => return self.orphan(reference, error).map(Lookup::Value),
        };
        match found {
            Found::Fresh(document) | Found::Stale { document, due: false } => {
                self.metrics.hits.inc();
                pick(&plan, &document, false).map(Lookup::Value)
            }
            Found::Failure(error) => {
                self.metrics.negative_hits.inc();
                Err(plan.explain(error))
            }
            Found::Stale { .. } | Found::Nothing => self.miss(plan),
        }
    }

    pub(crate) fn miss(self: &Arc<Self>, plan: Arc<Plan>) -> Result<Lookup> {
        self.metrics.misses.inc();
        if !plan.origin.descriptor.immediate {
            return Ok(Lookup::Miss(plan));
        }
        let document = self.fetch_immediate(&plan.origin).map_err(|error| plan.explain(error))?;
        pick(&plan, &document, false).map(Lookup::Value)
    }

    /// Takes a seat in the flight that brings a document. With `waits`, the ticket has to be claimed. A flight that is
    /// only boarded has to be seen off by `adopt` and `depart`.
    pub fn board(self: &Arc<Self>, origin: &Arc<Origin>, purpose: Purpose, waits: bool) -> Result<Boarding> {
        self.start()?;
        let floor = self.floor(origin);
        lock(&self.flights).board(origin, &origin.instance, purpose, floor, waits, Instant::now())
    }

    /// `board` for somebody who sees to it that not too many are under way, and so is not refused.
    pub fn board_in_turn(self: &Arc<Self>, origin: &Arc<Origin>, purpose: Purpose, waits: bool) -> Result<Boarding> {
        self.start()?;
        let floor = self.floor(origin);
        Ok(lock(&self.flights).board_in_turn(origin, &origin.instance, purpose, floor, waits, Instant::now()))
    }

    /// What a flight brought, for one passenger; `None` where it is still under way. Ends the claim either way.
    pub fn claim(&self, ticket: u64, reference: &[u8]) -> Result<Option<Value>> {
        let Some(outcome) = lock(&self.flights).claim(ticket, Instant::now()) else { return Ok(None) };
        let plan = self.plan(reference);
        // Why there is no value is said, whatever has become of the reference meanwhile.
        let document = outcome.map_err(|error| match &plan {
            Ok(plan) => plan.explain(error),
            Err(_) => error,
        })?;
        let plan = plan?;
        // Only what is known now will be known to be over: a newer one may have come since the landing.
        let kept = match self.look(&plan.origin) {
            Found::Fresh(known) | Found::Stale { document: known, .. } => known.is_same(&document),
            _ => false,
        };
        pick(&plan, &document, kept && self.rotation.runs()).map(Some)
    }

    /// Whether a flight or a job is not to be waited for any more.
    pub fn has_landed(&self, ticket: u64) -> bool {
        self.has_ended(ticket) && lock(&self.flights).has_landed(ticket)
    }

    /// The value, if it is fresh and its fetch began after that time.
    pub fn newer(&self, plan: &Plan, since: Instant) -> Option<Result<Value>> {
        let document = {
            let cache = lock(&self.cache);
            let entry = cache.peek(&plan.origin).filter(|entry| entry.value().is_some_and(|value| value.at > since))?;
            match entry.look(Instant::now()) {
                Found::Fresh(document) => document,
                _ => return None,
            }
        };
        Some(pick(plan, &document, self.rotation.runs()))
    }

    /// Asks for a new value in the background.
    pub fn renew(self: &Arc<Self>, origin: &Arc<Origin>) {
        if origin.descriptor.immediate {
            // A failure is counted, and the old value serves on.
            let _ = self.fetch_immediate(origin);
            return;
        }
        let than = {
            let cache = lock(&self.cache);
            // One that was brought under other options is older than any.
            let own = cache.peek(origin).filter(|entry| !entry.is_inherited());
            own.and_then(|entry| entry.value().map(|value| value.at))
        };
        self.send(origin, than.map_or(Purpose::Miss, Purpose::Newer));
    }

    /// Forgets all values; connections, logins and breakers stay. With `refetch`, what was known is fetched again in the background.
    pub fn flush(self: &Arc<Self>, refetch: bool) {
        let now = Instant::now();
        // Before the values go: what was fetched before, here or by another worker, is not to come in again.
        *lock(&self.flushed_at) = Some(now);
        let known = lock(&self.cache).clear();
        lock(&self.plans).clear();
        self.bump();
        for origin in known.into_iter().filter(|origin| refetch && !origin.descriptor.immediate) {
            self.send(&origin, Purpose::Newer(now));
        }
    }

    /// The worker is told to quit: nothing of ours may keep it, or go on ahead of its last requests.
    pub fn leave(&self) {
        self.rotation.leave();
        // Copies are good for as long as the rotation runs.
        self.bump();
        self.bell.hang_up();
    }

    pub(crate) fn look(&self, origin: &Arc<Origin>) -> Found {
        lock(&self.cache).look(origin, Instant::now())
    }

    /// Looks without a mark that anybody wants it.
    pub(crate) fn peek(&self, origin: &Arc<Origin>) -> Found {
        lock(&self.cache).peek(origin).map_or(Found::Nothing, |entry| entry.look(Instant::now()))
    }

    pub(crate) fn bump(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        // Where nobody listens, the copies are dropped with the next look-up.
        self.bell.ring(Event::Outdated);
    }

    pub(crate) fn engine(&self) -> Result<&'static Engine> {
        Engine::of_this_process(&self.environment)
    }

    pub(crate) fn probe_at(&self, origin: &Origin) -> Option<Instant> {
        self.instances.known(&origin.instance)?.breaker().probe_at()
    }

    pub(crate) fn fetch_immediate(self: &Arc<Self>, origin: &Arc<Origin>) -> Outcome {
        self.metrics.fetches.inc();
        let (start, instance) = (Instant::now(), self.instances.get(origin)?);
        let polled = pin!(instance.backend().fetch(&origin.ask)).poll(&mut Context::from_waker(Waker::noop()));
        let fetched = match polled {
            Poll::Ready(fetched) => fetched,
            Poll::Pending => Err(origin.ended_early()),
        };
        self.keep(origin, Done { fetched, began: start, change: Change::None, news: None, took: start.elapsed() }).0
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.rotation.end();
        self.bell.hang_up();
    }
}

pub(crate) fn pick(plan: &Plan, document: &Document, lasting: bool) -> Result<Value> {
    let secret = document.pick(plan.key.as_deref(), plan.base64_decode)?;
    Ok(Value { secret, lasting, lease: document.lease() })
}

/// A panic while a lock is held leaves data that is still whole: each critical section is one call.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
