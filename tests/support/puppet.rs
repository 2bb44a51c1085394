//! A vault that does as it is told, and workers that ask it.

#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use kong_vault::backend::{Backend, Descriptor, Fetched, Fetching, FetchingBatch, SecretId, Setup, Shutdown};
use kong_vault::config::{Config, ConfigSource, IndirectValues};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::{Opt, Type};
use kong_vault::resolver::singleflight::{JoinOutcome, Joiner, Purpose};
use kong_vault::resolver::{Lookup, Resolver};
use kong_vault::secret::Secret;

/// Bounds each wait for something in the background; it is no part of any result.
const PATIENCE: Duration = Duration::from_secs(20);

const OPTIONS: &[Opt] = &[
    Opt::new("stage", Type::Text, "which stage answers").required(),
    Opt::new("region", Type::Text, "tells vaults apart").overridable(),
];
const PUPPET: Descriptor = Descriptor {
    name: "puppet",
    title: "a vault for tests",
    options: OPTIONS,
    requirements: &[],
    immediate: false,
    files: false,
    batch: 1,
    build,
};
/// The same with batches, as the stage says.
const PUPPETS: Descriptor = Descriptor { name: "puppets", batch: 20, ..PUPPET };
pub static BACKENDS: &[&Descriptor] = &[&PUPPET, &PUPPETS];

/// What a batch brings of these secrets.
pub type AnswerBatch = fn(&[String]) -> Vec<Option<Result<String>>>;

/// What a vault does, and how often it was asked for what.
#[derive(Default)]
pub struct Stage {
    pub answer: Mutex<Option<Result<String>>>,
    pub lease: Mutex<Option<Duration>>,
    pub holds: Mutex<bool>,
    pub released: tokio::sync::Notify,
    pub asked: Mutex<HashMap<String, usize>>,
    /// The secrets of each batch.
    pub batches: Mutex<Vec<Vec<String>>>,
    /// `None`: batches are refused.
    pub answers_batches: Mutex<Option<AnswerBatch>>,
    pub shutdowns: AtomicU64,
}

pub static STAGES: LazyLock<Mutex<HashMap<String, Arc<Stage>>>> = LazyLock::new(Mutex::default);

struct Puppet(Arc<Stage>);

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let stage = setup.settings.text("stage").unwrap_or_default();
    Ok(Arc::new(Puppet(Arc::clone(&STAGES.lock().unwrap()[stage]))))
}

impl Backend for Puppet {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(async move {
            *self.0.asked.lock().unwrap().entry(secret_id.resource.clone()).or_default() += 1;
            loop {
                let released = self.0.released.notified();
                if !*self.0.holds.lock().unwrap() {
                    break;
                }
                released.await;
            }
            let answer = self.0.answer.lock().unwrap().clone();
            let document = answer.unwrap_or_else(|| Ok(format!(r#"{{"value":"{}"}}"#, secret_id.resource)))?;
            Ok(Fetched { lease: *self.0.lease.lock().unwrap(), ..Fetched::new(Secret::new(document)) })
        })
    }

    fn takes_in_batch(&self, secret_id: &SecretId) -> bool {
        secret_id.version.is_none() && self.0.answers_batches.lock().unwrap().is_some()
    }

    fn fetch_batch<'a>(&'a self, secret_ids: &'a [SecretId]) -> FetchingBatch<'a> {
        Box::pin(async move {
            let names: Vec<_> = secret_ids.iter().map(|secret_id| secret_id.resource.clone()).collect();
            self.0.batches.lock().unwrap().push(names.clone());
            let answer = self.0.answers_batches.lock().unwrap().expect("batches are answered");
            let fetched = |document: String| Fetched::new(Secret::new(document));
            answer(&names).into_iter().map(|outcome| Some(outcome?.map(fetched))).collect()
        })
    }

    fn shutdown(&self) -> Option<Shutdown> {
        let stage = Arc::clone(&self.0);
        Some(Box::pin(async move {
            stage.shutdowns.fetch_add(1, Ordering::Relaxed);
        }))
    }
}

/// One worker's resolver with a stage of its own.
pub struct Worker {
    pub stage: Arc<Stage>,
    pub resolver: Arc<Resolver>,
    pub generation: Arc<AtomicU32>,
}

impl Worker {
    pub fn new(options: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let stage = Arc::<Stage>::default();
        STAGES.lock().unwrap().insert(name.clone(), Arc::clone(&stage));
        let mut conf: BTreeMap<String, String> =
            BTreeMap::from([("vault_puppet_stage".to_owned(), name.clone()), ("vault_puppets_stage".to_owned(), name)]);
        conf.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let config = Config::load_with(
            &conf,
            ConfigSource::Configure,
            &Environment::default(),
            BACKENDS,
            &IndirectValues::default(),
        )
        .unwrap();
        config.check().unwrap();
        let generation = Arc::new(AtomicU32::new(1));
        let resolver = Arc::new(Resolver::new(config, Environment::default(), Arc::clone(&generation)));
        Self { stage, resolver, generation }
    }

    pub fn answers(&self, answer: Result<&str>) {
        *self.stage.answer.lock().unwrap() = Some(answer.map(str::to_owned));
    }

    pub fn holds(&self, holds: bool) {
        *self.stage.holds.lock().unwrap() = holds;
        self.stage.released.notify_waiters();
    }

    pub fn asked(&self, resource: &str) -> usize {
        self.stage.asked.lock().unwrap().get(resource).copied().unwrap_or(0)
    }

    /// As a request would get it: joins or starts a call, waits for it, takes what it brought.
    pub fn get(&self, reference: &str) -> Result<String> {
        self.begin(reference, Joiner::WAITER).and_then(|begun| self.end(reference, begun))
    }

    /// As a caller gets them that looks up a list.
    pub fn get_all(&self, references: &[String]) -> Vec<Result<String>> {
        let joiner = Joiner { waits: true, queues: true };
        let begun: Vec<_> = references.iter().map(|reference| self.begin(reference, joiner)).collect();
        self.resolver.end_list();
        references.iter().zip(begun).map(|(reference, begun)| self.end(reference, begun?)).collect()
    }

    /// A value, or the ticket of the call that brings it.
    fn begin(&self, reference: &str, joiner: Joiner) -> Result<std::result::Result<String, u64>> {
        let resolved = match self.resolver.lookup(reference.as_bytes())? {
            Lookup::Value(value) => return Ok(Ok(value.secret.as_str().unwrap().to_owned())),
            Lookup::Miss(resolved) => resolved,
        };
        Ok(Err(match self.resolver.join_or_create(&resolved.key, Purpose::Miss, joiner)? {
            JoinOutcome::Joined(ticket) => ticket,
            JoinOutcome::Created(ticket) => {
                if self.resolver.take_shared(ticket, b"").is_none() {
                    self.resolver.start_fetch(ticket, None, false)?;
                }
                ticket
            }
        }))
    }

    fn end(&self, reference: &str, begun: std::result::Result<String, u64>) -> Result<String> {
        let ticket = match begun {
            Ok(value) => return Ok(value),
            Err(ticket) => ticket,
        };
        self.resolver.wait(ticket);
        let value = self.resolver.collect(ticket, reference.as_bytes())?.expect("a completed call");
        Ok(value.secret.as_str().unwrap().to_owned())
    }

    /// Waits until something in the background has come true.
    pub fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "{what}");
            std::thread::yield_now();
        }
    }
}

pub fn down() -> Result<&'static str> {
    Err(Error::new(Kind::Unavailable, "puppet vault at nowhere:1: connection refused"))
}
