//! One fetch: a vault's connections, its breaker and its share of the engine; the deadline; the retries.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::Semaphore;

use crate::backend::{Backend, Fetched, Setup, Shutdown};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::file;
use crate::notice::Notice;
use crate::options::{Holds, Opt};
use crate::pool;
use crate::resolver::breaker::{Breaker, Change, Ended};
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};

/// How many vaults' connections are kept. References can make new ones (by `region`), so there has to be a bound. It is
/// far above what anybody configures: whoever asks more vaults than that in turn logs in for each fetch.
const INSTANCES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// How many requests one worker may have under way to one vault; the rest wait, within their deadlines.
pub const AT_ONCE: usize = 160;

/// Attempts of a fetch that somebody waits for, and the pauses between them: chosen at random below a bound that doubles
/// (full jitter).
pub const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How fetches are bounded, and what they are built from.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For one fetch and everything it does.
    pub timeout: Duration,
    /// Between the probes of a vault that failed.
    pub breaker_interval: Duration,
}

/// One vault, as this process reaches it.
pub struct Instance {
    backend: Arc<dyn Backend>,
    breaker: Mutex<Breaker>,
    slots: Semaphore,
    /// Whether it has answered.
    answered: AtomicBool,
}

/// Vaults by what they were built from. The lock is never held while one is built: that may read files.
pub struct Instances {
    known: Mutex<LruCache<InstanceKey, Arc<Instance>>>,
    environment: Environment,
    limits: Limits,
    /// What those that had no room any more want done last. The next fetch sees to it: it runs where that can be done.
    parting: Mutex<Vec<Shutdown>>,
    /// See `Setup::lasts`.
    lasts: bool,
}

/// What became of a fetch.
pub struct Done {
    pub fetched: Result<Fetched>,
    /// When the attempt began that brought it: what the vault answered was so then or later.
    pub began: Instant,
    /// What that did to the vault's breaker.
    pub change: Change,
    pub notice: Option<Notice>,
    pub took: Duration,
}

impl Instances {
    pub fn new(environment: Environment, limits: Limits, lasts: bool) -> Self {
        let known = Mutex::new(LruCache::new(INSTANCES));
        Self { known, environment, limits, parting: Mutex::default(), lasts }
    }

    pub fn get(&self, key: &DocumentKey) -> Result<Arc<Instance>> {
        if let Some(instance) = self.known(&key.instance) {
            return Ok(instance);
        }
        let backend = build(key, &self.environment, self.limits.timeout, self.lasts)?;
        Ok(self.add(key, backend))
    }

    /// `get` for a vault that may need files: it is built on a thread, since they may hang.
    async fn get_soon(&self, key: &Arc<DocumentKey>, limit: Duration) -> Result<Arc<Instance>> {
        if let Some(instance) = self.known(&key.instance) {
            return Ok(instance);
        }
        if !may_read_files(key) {
            return self.get(key);
        }
        let building = async {
            let turn = pool::files().turn(&pool_key(&key.instance)).await?;
            // Whoever had the turn before has built it, perhaps.
            if let Some(instance) = self.known(&key.instance) {
                return Ok::<_, pool::JobRefusal>(Ok(instance));
            }
            let (owned, environment) = (Arc::clone(key), self.environment.clone());
            let (timeout, lasts) = (self.limits.timeout, self.lasts);
            let (built, _turn) = turn.run(move || build(&owned, &environment, timeout, lasts)).await?;
            Ok(built.map(|backend| self.add(key, backend)))
        };
        let failed = |what: &dyn std::fmt::Display| {
            let text = format!("{}: cannot read the files of its options: {what}", key.label());
            Error::new(Kind::Config, text)
        };
        match tokio::time::timeout(file::PATIENCE.min(limit), building).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(refusal)) => Err(failed(&refusal)),
            Err(_) => Err(failed(&"their file system does not answer")),
        }
    }

    fn add(&self, key: &DocumentKey, backend: Arc<dyn Backend>) -> Arc<Instance> {
        let breaker = Mutex::new(Breaker::new(self.limits.breaker_interval));
        let instance =
            Arc::new(Instance { backend, breaker, slots: Semaphore::new(AT_ONCE), answered: AtomicBool::new(false) });
        let evicted = {
            let mut known = lock(&self.known);
            // Somebody else may have been faster, and has logged in by now.
            if let Some(theirs) = known.get(&key.instance) {
                return Arc::clone(theirs);
            }
            known.push(key.instance.clone(), Arc::clone(&instance))
        };
        // Fetches under way go on.
        lock(&self.parting).extend(evicted.and_then(|(_, instance)| instance.backend.shutdown()));
        instance
    }

    /// The vault, if it was asked before.
    pub fn known(&self, key: &InstanceKey) -> Option<Arc<Instance>> {
        lock(&self.known).get(key).cloned()
    }

    /// All vaults that were asked before.
    pub fn all(&self) -> Vec<(InstanceKey, Arc<Instance>)> {
        lock(&self.known).iter().map(|(key, instance)| (key.clone(), Arc::clone(instance))).collect()
    }

    /// Forgets some; fetches under way go on. Returns what is to be done for those.
    pub fn forget(&self, unwanted: impl Fn(&InstanceKey) -> bool) -> Vec<Shutdown> {
        let mut known = lock(&self.known);
        let keys: Vec<_> = known.iter().map(|(key, _)| key).filter(|key| unwanted(key)).cloned().collect();
        let forgotten: Vec<_> = keys.iter().filter_map(|key| known.pop(key)).collect();
        drop(known);
        forgotten.iter().filter_map(|instance| instance.backend.shutdown()).collect()
    }

    /// What is to be done when nobody asks these vaults any more, if anything is.
    pub fn shutdowns(&self) -> Vec<Shutdown> {
        let mut all = std::mem::take(&mut *lock(&self.parting));
        all.extend(self.all().into_iter().filter_map(|(_, instance)| instance.backend.shutdown()));
        all
    }

    /// One fetch, with the deadline over everything it does. `attempts`: how often it may be tried within that. `left`:
    /// the time that those have left who wait for it, where that is less.
    pub async fn fetch(&self, key: &Arc<DocumentKey>, attempts: u32, left: Option<Duration>) -> Done {
        let start = Instant::now();
        let limit = left.map_or(self.limits.timeout, |left| left.min(self.limits.timeout));
        let instance = match self.get_soon(key, limit).await {
            Ok(instance) => instance,
            Err(error) => {
                let (fetched, took) = (Err(error), start.elapsed());
                return Done { fetched, began: start, change: Change::None, notice: None, took };
            }
        };
        // In init they wait for the end: whatever runs by itself would end with the call.
        let parting = if self.lasts { std::mem::take(&mut *lock(&self.parting)) } else { Vec::new() };
        for shutdown in parting {
            tokio::spawn(shutdown);
        }
        let attempting = instance.attempt(key, attempts, start + limit);
        let fetched = tokio::time::timeout(limit.saturating_sub(start.elapsed()), attempting).await;
        let cut_short = fetched.is_err() && limit < self.limits.timeout;
        let (fetched, began) = fetched.unwrap_or_else(|_| (Err(too_late(key, limit)), start));
        let now = Instant::now();
        let document = key.number();
        let change = match &fetched {
            // The vault had less time than it may take.
            Err(_) if cut_short => Change::None,
            Err(error) if error.is_outage() => {
                instance.breaker().failed(error, Ended { document, began: start, at: now })
            }
            Err(error) if error.kind() == Kind::Config => Change::None,
            _ => instance.breaker().succeeded(document, now),
        };
        Done { fetched, began, change, notice: instance.backend.notice(), took: now - start }
    }
}

fn build(key: &DocumentKey, environment: &Environment, timeout: Duration, lasts: bool) -> Result<Arc<dyn Backend>> {
    let (vault, settings) = (&*key.instance.vault, &key.settings);
    (key.descriptor.build)(&Setup { vault, settings, environment, timeout, lasts })
}

/// Whether the building of a vault may read files: those that its options name, and the system's certificates for TLS. Else
/// it needs no thread of the pool.
fn may_read_files(key: &DocumentKey) -> bool {
    let settings = &key.settings;
    let names_file = |opt: &Opt| {
        let default = opt.default.and_then(|text| opt.parse(text));
        matches!(opt.holds, Holds::File | Holds::Pem) && settings.get(opt.name) != default.as_ref()
    };
    let is_plain = settings.text("protocol") == Some("http");
    !is_plain || key.descriptor.options.iter().any(names_file)
}

/// By which the pool knows the building of a vault.
fn pool_key(instance: &InstanceKey) -> Vec<u8> {
    let mut hasher = std::hash::DefaultHasher::new();
    instance.hash(&mut hasher);
    format!("vault {} {:x}", instance.vault, hasher.finish()).into_bytes()
}

impl Instance {
    /// Whether it has answered, as far as `has_answered` was told.
    pub fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn has_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub fn breaker(&self) -> MutexGuard<'_, Breaker> {
        lock(&self.breaker)
    }

    /// The backend itself, for a vault that needs neither network nor file.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// What the last attempt came to, and when that began.
    async fn attempt(&self, key: &DocumentKey, most: u32, deadline: Instant) -> (Result<Fetched>, Instant) {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let began = Instant::now();
            let error = match self.backend.fetch(&key.secret_id).await {
                Err(error) if error.is_retryable() && attempts < most => error,
                fetched => return (fetched, began),
            };
            let pause = match error.retry_after() {
                Some(wait) => wait,
                None => (FIRST_PAUSE * 2u32.pow(attempts)).mul_f64(fastrand::f64()),
            };
            // A wait that outlasts the deadline would only hide the reason.
            if outlasts(pause, deadline, Instant::now()) || self.breaker().refusal().is_some() {
                return (Err(error), began);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// A vault may ask for a wait of any length.
fn outlasts(pause: Duration, deadline: Instant, now: Instant) -> bool {
    now.checked_add(pause).is_none_or(|end| end >= deadline)
}

fn too_late(key: &DocumentKey, timeout: Duration) -> Error {
    let text = format!(
        "{} did not answer within {} s: check that it is up and reachable, or raise vault_fetch_timeout",
        key.label(),
        timeout.as_secs_f64()
    );
    Error::new(Kind::Timeout, text)
}

/// A panic while a lock is held leaves data that is still whole: each critical section is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_any_length_is_compared_with_the_deadline() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(5);
        assert!(!outlasts(Duration::from_secs(4), deadline, now));
        assert!(outlasts(Duration::from_secs(5), deadline, now));
        assert!(outlasts(Duration::from_secs(u64::MAX), deadline, now));
    }
}
