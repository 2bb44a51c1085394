//! A worker's renewals, outages and flushes against a simple model: a vault whose secret changes, and when it was what. The
//! resolver is the real one; the time is the target's.
#![no_main]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use kong_vault::backend::{Backend, Descriptor, Fetched, Fetching, SecretId, Setup};
use kong_vault::config::{Config, ConfigSource, IndirectValues};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::{Opt, Type};
use kong_vault::resolver::singleflight::{JoinOutcome, Joiner, Purpose};
use kong_vault::resolver::{Lookup, Resolver};
use kong_vault::runtime::engine::Engine;
use kong_vault::secret::Secret;
use kong_vault_fuzz::{Bytes, bounded};
use libfuzzer_sys::fuzz_target;

#[path = "../src/clock.rs"]
mod clock;

/// Without TLS no file is read when it is built, which would be done on another thread.
const OPTIONS: &[Opt] = &[Opt::new("protocol", Type::Text, "any").default("http")];
const MODEL: Descriptor = Descriptor {
    name: "model",
    title: "a vault for models",
    options: OPTIONS,
    requirements: &[],
    immediate: false,
    files: false,
    batch: 1,
    build,
};
static BACKENDS: &[&Descriptor] = &[&MODEL];

/// What the vault does.
#[derive(Clone)]
enum Answer {
    Secret,
    Failure(Kind, Option<Duration>),
}

struct Vault {
    answer: Answer,
    /// The number of the secret's version, and since when it is that.
    versions: Vec<Instant>,
    /// Whether answers are kept back, which say what was so when they were asked for.
    holds: bool,
    released: Arc<tokio::sync::Notify>,
}

static VAULT: LazyLock<Mutex<Vault>> = LazyLock::new(|| {
    Mutex::new(Vault { answer: Answer::Secret, versions: Vec::new(), holds: false, released: Arc::default() })
});

fn vault<T>(change: impl FnOnce(&mut Vault) -> T) -> T {
    change(&mut VAULT.lock().expect("no panic"))
}

struct Model;

fn build(_: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(Model))
}

impl Backend for Model {
    fn fetch<'a>(&'a self, _: &'a SecretId) -> Fetching<'a> {
        Box::pin(async {
            let (answer, version, released) =
                vault(|vault| (vault.answer.clone(), vault.versions.len(), Arc::clone(&vault.released)));
            loop {
                let waiting = released.notified();
                if !vault(|vault| vault.holds) {
                    break;
                }
                waiting.await;
            }
            match answer {
                Answer::Secret => Ok(Fetched::new(Secret::new(version.to_string()))),
                Answer::Failure(kind, wait) => Err(Error::new(kind, "away").with_retry_after(wait)),
            }
        })
    }
}

const NAMES: [&str; 3] = ["{vault://model/a}", "{vault://model/b}", "{vault://model/c}"];

/// Beyond what is due, for what is spread at random and for the fetch.
const SLACK: Duration = Duration::from_secs(2);

/// The longest that anything waits until it is tried again: as a vault may ask for, and between attempts for one document.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The steps in which time passes: so small that each renewal has its turn before its value's time is over, or not.
const FINE: Duration = Duration::from_millis(250);
const COARSE: Duration = Duration::from_secs(2);

struct Worker {
    resolver: Arc<Resolver>,
    ttl: Duration,
    resurrect: Duration,
    interval: Duration,
    flushed_at: Option<Instant>,
    /// The newest version that was served of each.
    served: [usize; 3],
    /// Who waits: ticket, which secret, after which time.
    waiting: Vec<(u64, usize, Option<Instant>)>,
    /// Whether the vault has failed, or kept its answer back for long: old values may have stood in since.
    failed: bool,
    /// Whether it failed otherwise than by being away.
    failed_otherwise: bool,
}

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || run(Bytes(data)));
});

fn run(mut bytes: Bytes<'_>) {
    vault(|vault| {
        vault.answer = Answer::Secret;
        vault.versions = vec![Instant::now()];
        vault.holds = false;
    });
    let mut worker = Worker::new(&mut bytes);
    while !bytes.is_empty() {
        worker.step(&mut bytes);
        worker.settle();
    }
    worker.end();
}

/// How long a version has not been the vault's any more, at that time.
fn outdated_for(version: usize, now: Instant) -> Duration {
    vault(|vault| vault.versions.get(version).map_or(Duration::ZERO, |next| now.saturating_duration_since(*next)))
}

impl Worker {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        let ttl = u64::from(bytes.byte() % 20) + 10;
        let resurrect = u64::from(bytes.byte() % 4) * 20;
        let interval = u64::from(bytes.byte() % 5) + 1;
        let neg_ttl = u64::from(bytes.byte() % 4);
        let conf = [
            ("vault_model_ttl", ttl),
            ("vault_model_resurrect_ttl", resurrect),
            ("vault_model_neg_ttl", neg_ttl),
            ("vault_breaker_interval", interval),
            ("vault_idle_ttl", 100_000),
            ("vault_fetch_timeout", 5),
        ];
        let conf: BTreeMap<String, String> =
            conf.into_iter().map(|(key, value)| (key.to_owned(), value.to_string())).collect();
        let environment = Environment::default();
        let config =
            Config::load_with(&conf, ConfigSource::Configure, &environment, BACKENDS, &IndirectValues::default());
        let config = config.expect("a configuration");
        config.check().expect("that is right");
        Self {
            resolver: Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(1)))),
            ttl: Duration::from_secs(ttl),
            resurrect: Duration::from_secs(resurrect),
            interval: Duration::from_secs(interval),
            flushed_at: None,
            served: [0; 3],
            waiting: Vec::new(),
            failed: false,
            failed_otherwise: false,
        }
    }

    /// Lets the engine do all that can be done now.
    fn settle(&self) {
        static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(Environment::default);
        let engine = Engine::of_this_process(&ENVIRONMENT).expect("an engine");
        let (done, settled) = sync_channel(1);
        engine.spawn(async move {
            for _ in 0..24 {
                tokio::task::yield_now().await;
            }
            let _ = done.send(());
        });
        settled.recv().expect("the engine");
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let which = usize::from(bytes.byte() % 3);
        match bytes.byte() % 16 {
            0 | 1 => self.pass(Duration::from_millis(u64::from(bytes.byte()) * 20), FINE),
            2 => self.pass(Duration::from_secs(u64::from(bytes.byte() % 64)), COARSE),
            3 => vault(|vault| vault.versions.push(Instant::now())),
            4..=7 => drop(self.get(which)),
            8 | 9 => self.ask(which, Some(Instant::now())),
            10 => self.ask(which, None),
            11 => {
                vault(|vault| vault.holds = !vault.holds);
                vault(|vault| vault.released.notify_waiters());
            }
            12 => vault(|vault| vault.answer = Answer::Secret),
            13 | 14 => {
                let kinds =
                    [Kind::Unavailable, Kind::Unavailable, Kind::Tls, Kind::NotFound, Kind::Denied, Kind::Throttled];
                let kind = *bytes.one_of(&kinds);
                let wait = bytes.byte().is_multiple_of(4).then(|| Duration::from_secs(u64::from(bytes.byte())));
                self.failed = true;
                self.failed_otherwise |= wait.is_some() || !matches!(kind, Kind::Unavailable | Kind::Tls);
                vault(|vault| vault.answer = Answer::Failure(kind, wait));
            }
            _ => match bytes.byte() % 4 {
                0 => {
                    self.resolver.flush(bytes.byte() & 1 == 1);
                    self.flushed_at = Some(Instant::now());
                }
                1 if !self.waiting.is_empty() => {
                    // A client that goes away.
                    let index = usize::from(bytes.byte()) % self.waiting.len();
                    let _gone = self.waiting.swap_remove(index);
                }
                _ => self.collect(),
            },
        }
    }

    /// Lets time pass, step by step.
    fn pass(&mut self, mut time: Duration, step: Duration) {
        self.failed |= vault(|vault| vault.holds);
        while !time.is_zero() {
            let some = time.min(step);
            clock::advance(some);
            self.settle();
            time -= some;
        }
    }

    /// As a request looks; `None` where it would have to wait.
    fn get(&mut self, which: usize) -> Option<Result<usize>> {
        let now = Instant::now();
        match self.resolver.lookup(NAMES[which].as_bytes()) {
            Ok(Lookup::Miss(_)) => None,
            Ok(Lookup::Value(value)) => {
                let version = number(&value.secret);
                self.serves(which, version, now);
                let over = outdated_for(version, now);
                assert!(over <= self.ttl + self.resurrect + SLACK, "{over:?} after it was over");
                Some(Ok(version))
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn serves(&mut self, which: usize, version: usize, asked_at: Instant) {
        assert!(version >= self.served[which], "an older one than was served");
        self.served[which] = version;
        if let Some(flushed_at) = self.flushed_at.filter(|at| *at < asked_at) {
            let over = outdated_for(version, flushed_at);
            assert!(over.is_zero(), "it was flushed {over:?} after it was over");
        }
    }

    /// As a request waits, or `try` with what it wants to be newer than.
    fn ask(&mut self, which: usize, newer: Option<Instant>) {
        let resolved = self.resolver.resolve(NAMES[which].as_bytes()).expect("a reference");
        let purpose = newer.map_or(Purpose::Miss, Purpose::Newer);
        let ticket = match self.resolver.join_or_create(&resolved.key, purpose, Joiner::WAITER).expect("room") {
            JoinOutcome::Joined(ticket) => ticket,
            JoinOutcome::Created(ticket) => {
                if self.resolver.take_shared(ticket, b"").is_none() {
                    self.resolver.start_fetch(ticket, None, false).expect("an engine");
                }
                ticket
            }
        };
        self.waiting.push((ticket, which, newer));
    }

    fn collect(&mut self) {
        for (ticket, which, newer) in std::mem::take(&mut self.waiting) {
            if !self.resolver.is_completed(ticket) {
                self.waiting.push((ticket, which, newer));
                continue;
            }
            // It may have been let go long since.
            let Ok(Some(value)) = self.resolver.collect(ticket, NAMES[which].as_bytes()) else { continue };
            let version = number(&value.secret);
            if let Some(newer) = newer {
                let over = outdated_for(version, newer);
                assert!(over.is_zero() || self.failed, "asked for {over:?} after it was over");
            }
        }
    }

    /// Whatever was: where the vault is well for long enough, all is as if nothing had been.
    fn end(mut self) {
        vault(|vault| {
            vault.answer = Answer::Secret;
            vault.holds = false;
            vault.released.notify_waiters();
        });
        self.settle();
        self.collect();
        let patience =
            if self.failed_otherwise { LONGEST_WAIT + LONGEST_PAUSE } else { self.interval + Duration::from_secs(8) };
        self.stay(patience + SLACK, COARSE);
        vault(|vault| vault.versions.push(Instant::now()));
        let newest = vault(|vault| vault.versions.len());
        self.stay(self.ttl + SLACK, FINE);
        for which in 0..3 {
            let version = self.get(which).map(|outcome| outcome.ok());
            assert_eq!(version, Some(Some(newest)), "{which} is not renewed any more");
        }
        self.collect();
        assert!(self.waiting.is_empty(), "a call that never ends");
        assert_eq!(self.resolver.levels(0).under_way, 0, "a call that never ends");
        self.resolver.quit();
    }

    /// Lets time pass in which all are in use.
    fn stay(&mut self, time: Duration, step: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            for which in 0..3 {
                if self.get(which).is_none() {
                    self.ask(which, None);
                }
            }
            self.pass(step, step);
            self.collect();
        }
    }
}

fn number(secret: &Secret) -> usize {
    secret.as_str().and_then(|text| text.parse().ok()).expect("a number")
}
