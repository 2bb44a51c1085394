//! One Lua VM's view of its vaults: its services, each of which owns its data and locks it itself. Whoever has to do with
//! several of them stands in a file of its own (`lookup`, `outcome`, `refresh`, `change`…).

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use once_cell::sync::OnceCell;

use crate::backend::Shutdown;
use crate::config::Config;
use crate::entities::followed::Follow;
use crate::environment::Environment;
use crate::error::Result;
use crate::node::peers::PeerServer;
use crate::resolver::calls::Calls;
use crate::resolver::document_cache::DocumentCache;
use crate::resolver::generation::Generation;
use crate::resolver::loaded::Loaded;
use crate::resolver::metrics::Metrics;
use crate::resolver::node_protocol::fetches::SharedFetches;
use crate::resolver::previous::Previous;
use crate::resolver::references::References;
use crate::resolver::schedule::Schedule;
use crate::resolver::succession::Succession;
use crate::resolver::upstream::{Instances, Limits};
use crate::runtime::engine::Engine;
use crate::runtime::notifier::Notifier;

/// One Lua VM's view of its vaults: configuration, cache, calls.
pub struct Resolver {
    config: Config,
    environment: Environment,
    references: References,
    documents: DocumentCache,
    calls: Calls,
    shared_fetches: SharedFetches,
    instances: Instances,
    generation: Generation,
    schedule: Arc<Schedule>,
    notifier: Arc<Notifier>,
    /// By which other workers ask this one.
    peer_server: OnceCell<PeerServer>,
    metrics: Metrics,
    follow: Follow,
    succession: Succession,
    /// Where vaults were before the reload that this belongs to.
    previous: Previous,
}

impl Resolver {
    pub fn new(config: Config, environment: Environment, generation: Arc<AtomicU32>) -> Self {
        let limits = Limits { timeout: config.fetch_timeout, breaker_interval: config.breaker_interval };
        let (notifier, schedule) = (Notifier::new(), Arc::<Schedule>::default());
        let generation = Generation::new(generation, Arc::clone(&notifier));
        Self {
            references: References::new(config.cache_size),
            documents: DocumentCache::new(config.cache_size, Arc::clone(&schedule), generation.clone()),
            calls: Calls::default(),
            shared_fetches: SharedFetches::default(),
            instances: Instances::new(environment.clone(), limits, true),
            generation,
            schedule,
            peer_server: OnceCell::new(),
            metrics: Metrics::default(),
            follow: Follow::default(),
            succession: Succession::new(Arc::clone(&notifier)),
            previous: Previous::default(),
            notifier,
            config,
            environment,
        }
    }

    /// One whose references the operator writes, who may name credentials of ours.
    pub fn trusting(mut self) -> Self {
        self.references.trust();
        self
    }

    /// One whose configuration was loaded then, after a reload perhaps: the node's cache may have values from before.
    pub(crate) fn loaded(mut self, loaded: Loaded) -> Self {
        self.documents.set_loaded(loaded);
        self
    }

    /// One that knows where vaults were before the reload that it belongs to.
    pub fn after(mut self, previous: Previous) -> Self {
        self.previous = previous;
        self
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Forgets what belongs to the process that this one was forked from.
    pub fn entered(&self) {
        self.schedule.entered();
    }

    /// The worker is told to quit: nothing of ours may keep it, or go on ahead of its last requests.
    pub fn quit(&self) {
        self.schedule.quit();
        // Copies are good for as long as the refresher runs.
        self.bump();
        self.notifier.close();
    }

    /// What is to be done when nobody asks the vaults any more.
    pub fn shutdowns(&self) -> Vec<Shutdown> {
        self.instances.shutdowns()
    }

    pub(crate) fn engine(&self) -> Result<&'static Engine> {
        Engine::of_this_process(&self.environment)
    }

    pub(super) fn bump(&self) {
        self.generation.bump();
    }

    pub(super) fn references(&self) -> &References {
        &self.references
    }

    pub(super) fn documents(&self) -> &DocumentCache {
        &self.documents
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(super) fn shared_fetches(&self) -> &SharedFetches {
        &self.shared_fetches
    }

    pub(super) fn instances(&self) -> &Instances {
        &self.instances
    }

    pub(super) fn schedule(&self) -> &Arc<Schedule> {
        &self.schedule
    }

    pub(super) fn follow(&self) -> &Follow {
        &self.follow
    }

    pub(super) fn succession(&self) -> &Succession {
        &self.succession
    }

    pub(super) fn previous(&self) -> &Previous {
        &self.previous
    }

    /// By which other workers ask this one; `open` makes it.
    pub(super) fn peer_server(&self, open: impl FnOnce() -> Result<PeerServer>) -> Result<&PeerServer> {
        self.peer_server.get_or_try_init(open)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.schedule.end();
        self.notifier.close();
    }
}
