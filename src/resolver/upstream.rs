//! The vaults that are asked, and one fetch from them with its deadline.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::backend::{Backend, Fetched, Setup, Shutdown};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::file;
use crate::notice::Notice;
use crate::options::{Holds, Opt};
use crate::pool;
use crate::resolver::batches::BatchContext;
use crate::resolver::breaker::{BreakerState, Change, Ended};
use crate::resolver::instance::{Attempts, Away, Instance, Limits};
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::spans::FetchTrace;
use crate::sync::{Rank, Ranked};

/// How many vaults' connections are kept. References can make new ones (by `region`), so there has to be a bound. It is
/// far above what anybody configures: whoever asks more vaults than that in turn logs in for each fetch.
const INSTANCES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The vaults by their keys. The lock is never held while one is built: that may read files.
pub struct Instances {
    known: Ranked<KnownInstances>,
    environment: Environment,
    limits: Limits,
    /// See `Setup::lasts`.
    lasts: bool,
    batches: BatchContext,
}

struct KnownInstances {
    instances: LruCache<InstanceKey, Arc<Instance>>,
    /// The last tasks of evicted vaults. The next fetch spawns them, as it runs in a runtime.
    parting: Vec<Shutdown>,
}

/// What became of a fetch.
pub struct Done {
    pub fetched: Result<Fetched>,
    /// The vault that was asked. It may be forgotten meanwhile, as its options changed.
    pub asked: Option<Arc<Instance>>,
    /// Documents that must be replaced together with it.
    pub others: Vec<(Arc<DocumentKey>, Fetched)>,
    /// When the attempt began that brought it: what the vault answered was so then or later.
    pub began: Instant,
    /// What that did to the vault's breaker.
    pub change: Change,
    pub notice: Option<Notice>,
    pub took: Duration,
    /// Where it gets a span.
    pub trace: Option<FetchTrace>,
}

impl Done {
    /// What no vault's breaker needs to know of.
    pub fn of(
        fetched: Result<Fetched>,
        others: Vec<(Arc<DocumentKey>, Fetched)>,
        began: Instant,
        took: Duration,
    ) -> Self {
        Self { fetched, asked: None, others, began, change: Change::None, notice: None, took, trace: None }
    }
}

impl Instances {
    pub fn new(environment: Environment, limits: Limits, lasts: bool, batches: BatchContext) -> Self {
        let known = KnownInstances { instances: LruCache::new(INSTANCES), parting: Vec::new() };
        Self { known: Ranked::new(Rank::Instances, known), environment, limits, lasts, batches }
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
            // The job that had the turn before may have built it.
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
        let (batch, context) = (key.descriptor.batch, self.batches.clone());
        let instance = Arc::new(Instance::new(backend, batch, &self.limits, context));
        let evicted = {
            let mut known = self.known.lock();
            // Another thread may have added one meanwhile, which may have logged in already.
            if let Some(theirs) = known.instances.get(&key.instance) {
                return Arc::clone(theirs);
            }
            known.instances.push(key.instance.clone(), Arc::clone(&instance))
        };
        // Fetches under way go on.
        if let Some(shutdown) = evicted.and_then(|(_, instance)| instance.backend().shutdown()) {
            self.known.lock().parting.push(shutdown);
        }
        instance
    }

    /// The vault, if it was asked before.
    pub fn known(&self, key: &InstanceKey) -> Option<Arc<Instance>> {
        self.known.lock().instances.get(key).cloned()
    }

    /// Why a vault may not be asked now.
    pub fn refusal(&self, key: &InstanceKey) -> Option<Error> {
        self.known(key)?.refusal()
    }

    /// The same, and when it is probed.
    pub fn away(&self, key: &InstanceKey) -> Option<Away> {
        self.known(key)?.away()
    }

    pub fn probe_at(&self, key: &InstanceKey) -> Option<Instant> {
        self.known(key)?.probe_at()
    }

    /// All vaults that were asked before, by name, with their breakers; of one name, the worst is the last.
    pub fn breakers(&self, now: Instant) -> Vec<(String, BreakerState)> {
        let all = self.all().into_iter();
        let mut breakers: Vec<_> = all.map(|(key, vault)| (key.vault.to_string(), vault.state(now))).collect();
        breakers.sort_by_key(|(_, state)| state.severity());
        breakers
    }

    /// All vaults that were asked before, by name, and when the tokens of their logins end.
    pub fn login_ends(&self) -> Vec<(Arc<str>, Option<Instant>)> {
        self.all().into_iter().map(|(key, vault)| (key.vault, vault.backend().login_ends())).collect()
    }

    fn all(&self) -> Vec<(InstanceKey, Arc<Instance>)> {
        self.known.lock().instances.iter().map(|(key, instance)| (key.clone(), Arc::clone(instance))).collect()
    }

    /// Forgets the vaults that `unwanted` accepts; fetches under way go on. Returns their last tasks.
    pub fn forget(&self, unwanted: impl Fn(&InstanceKey) -> bool) -> Vec<Shutdown> {
        let forgotten: Vec<_> = {
            let instances = &mut self.known.lock().instances;
            let keys: Vec<_> = instances.iter().map(|(key, _)| key).filter(|key| unwanted(key)).cloned().collect();
            keys.iter().filter_map(|key| instances.pop(key)).collect()
        };
        forgotten.iter().filter_map(|instance| instance.backend().shutdown()).collect()
    }

    /// The last tasks of all vaults, for when no more fetches follow.
    pub fn shutdowns(&self) -> Vec<Shutdown> {
        let mut all = self.take_parting();
        all.extend(self.all().into_iter().filter_map(|(_, instance)| instance.backend().shutdown()));
        all
    }

    fn take_parting(&self) -> Vec<Shutdown> {
        std::mem::take(&mut self.known.lock().parting)
    }

    /// Notes that a list of look-ups has begun: whatever is gathered waits for its end.
    pub fn begin_list(&self) {
        self.batches.begin_list();
    }

    /// Notes that no more look-ups follow at once.
    pub fn end_list(&self) {
        if self.batches.end_list() {
            for (_, instance) in self.all() {
                instance.look_at_batches();
            }
        }
    }

    /// Whether the vault of a document brings many with one request, as far as is known.
    pub fn fetches_in_batches(&self, key: &DocumentKey) -> bool {
        let takes = |instance: Arc<Instance>| instance.backend().takes_in_batch(&key.secret_id);
        key.descriptor.batch > 1 && self.known(&key.instance).is_none_or(takes)
    }

    /// One fetch, with the deadline over everything it does. `left`: the time that its waiters have left, where that is
    /// less than the whole.
    pub async fn fetch(&self, key: &Arc<DocumentKey>, how: Attempts, left: Option<Duration>) -> Done {
        let start = Instant::now();
        let limit = left.map_or(self.limits.timeout, |left| left.min(self.limits.timeout));
        let instance = match self.get_soon(key, limit).await {
            Ok(instance) => instance,
            Err(error) => {
                let (fetched, took) = (Err(error), start.elapsed());
                return Done::of(fetched, Vec::new(), start, took);
            }
        };
        // In init they wait for `shutdowns`: a spawned task would end with the call.
        let parting = if self.lasts { self.take_parting() } else { Vec::new() };
        for shutdown in parting {
            tokio::spawn(shutdown);
        }
        let attempting = instance.attempt(key, how, start + limit);
        let fetched = tokio::time::timeout(limit.saturating_sub(start.elapsed()), attempting).await;
        let cut_short = fetched.is_err() && limit < self.limits.timeout;
        let (fetched, began) = fetched.unwrap_or_else(|_| (Err(too_late(key, limit)), start));
        let now = Instant::now();
        let document = key.number();
        let change = match &fetched {
            // The vault had less than the whole time, so the timeout says nothing about it.
            Err(_) if cut_short => Change::None,
            Err(error) if error.is_outage() => instance.failed(error, Ended { document, began: start, at: now }),
            Err(error) if error.kind() == Kind::Config => Change::None,
            _ => instance.succeeded(document, now),
        };
        let notice = instance.backend().notice();
        Done { asked: Some(instance), change, notice, ..Done::of(fetched, Vec::new(), began, now - start) }
    }
}

fn build(key: &DocumentKey, environment: &Environment, timeout: Duration, lasts: bool) -> Result<Arc<dyn Backend>> {
    let (vault, settings) = (&*key.instance.vault, &key.settings);
    (key.descriptor.build)(&Setup { vault, settings, environment, timeout, lasts })
}

/// Whether the building of a vault may read files: those that its options name, and the system's certificates for TLS.
/// Else it needs no thread of the pool.
fn may_read_files(key: &DocumentKey) -> bool {
    let settings = &key.settings;
    let names_file = |opt: &Opt| {
        let default = opt.default.and_then(|text| opt.parse(text));
        matches!(opt.holds, Holds::File | Holds::Pem) && settings.get(opt.name) != default.as_ref()
    };
    let is_plain = settings.text("protocol") == Some("http");
    !is_plain || key.descriptor.options.iter().any(names_file)
}

/// The pool's key for the building of a vault.
fn pool_key(instance: &InstanceKey) -> Vec<u8> {
    let mut hasher = std::hash::DefaultHasher::new();
    instance.hash(&mut hasher);
    format!("vault {} {:x}", instance.vault, hasher.finish()).into_bytes()
}

fn too_late(key: &DocumentKey, timeout: Duration) -> Error {
    let text = format!(
        "{} did not answer within {} s: check that it is up and reachable, or raise vault_fetch_timeout",
        key.label(),
        timeout.as_secs_f64()
    );
    Error::new(Kind::Timeout, text)
}
