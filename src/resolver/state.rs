//! The resolver's services, each of which owns its data and its locks. What uses several of them has a file of its own
//! (`lookup`, `outcome`, `refresh`, `change`…).

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use once_cell::sync::OnceCell;

use crate::audit::Audit;
use crate::backend::Shutdown;
use crate::config::Config;
use crate::entities::followed::Follow;
use crate::environment::Environment;
use crate::error::Result;
use crate::node::Node;
use crate::node::figures::{Figures, NodeFigures};
use crate::node::peers::PeerServer;
use crate::resolver::batches::BatchContext;
use crate::resolver::calls::Calls;
use crate::resolver::document_cache::DocumentCache;
use crate::resolver::generation::Generation;
use crate::resolver::instance::Limits;
use crate::resolver::loaded::Loaded;
use crate::resolver::metrics::Metrics;
use crate::resolver::node_protocol::fetches::SharedFetches;
use crate::resolver::previous::Previous;
use crate::resolver::references::References;
use crate::resolver::schedule::Schedule;
use crate::resolver::succession::Succession;
use crate::resolver::upstream::Instances;
use crate::runtime::engine::Engine;
use crate::runtime::notifier::{Event, Notifier};
use crate::spans::{Collector, Exporter, Tell};

/// Resolves the references of one Lua VM: its configuration, cache and calls.
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
    /// The server that other workers ask.
    peer_server: OnceCell<PeerServer>,
    metrics: Metrics,
    /// `None` where no collector is set.
    spans: Option<Arc<Exporter>>,
    /// What the whole node counts and knows.
    figures: Arc<Figures>,
    follow: Follow,
    succession: Succession,
    /// The identities of the vaults before the reload that made this resolver.
    previous: Previous,
    audit: Audit,
}

impl Resolver {
    pub fn new(config: Config, environment: Environment, generation: Arc<AtomicU32>) -> Self {
        let limits = Limits { timeout: config.fetch_timeout, breaker_interval: config.breaker_interval };
        let (notifier, schedule) = (Notifier::new(), Arc::<Schedule>::default());
        let generation = Generation::new(generation, Arc::clone(&notifier));
        let figures = Arc::new(Figures::new(NodeFigures::of_this_process()));
        let metrics = Metrics::new(Arc::clone(&figures));
        let spans = config.collector.clone().map(|collector| {
            let tell = tell(&notifier, &collector);
            Arc::new(Exporter::new(collector, environment.clone(), metrics.spans.clone(), tell))
        });
        let batches = BatchContext::new(metrics.batches.clone());
        Self {
            references: References::new(config.cache_size),
            documents: DocumentCache::new(config.cache_size, Arc::clone(&schedule), generation.clone()),
            calls: Calls::default(),
            shared_fetches: SharedFetches::default(),
            instances: Instances::new(environment.clone(), limits, true, batches),
            generation,
            schedule,
            peer_server: OnceCell::new(),
            metrics,
            spans,
            figures,
            follow: Follow::default(),
            succession: Succession::new(Arc::clone(&notifier)),
            previous: Previous::default(),
            audit: Audit::default(),
            notifier,
            config,
            environment,
        }
    }

    /// Lets references name kong-vault's own credentials, as the operator wrote them.
    pub fn trusting(mut self) -> Self {
        self.references.trust();
        self
    }

    /// Notes when the configuration was loaded: after a reload, the node's cache may have values from before.
    pub(crate) fn loaded(mut self, loaded: Loaded) -> Self {
        self.documents.set_loaded(loaded);
        self
    }

    /// Notes the identities of the vaults before the reload.
    pub fn after(mut self, previous: Previous) -> Self {
        self.previous = previous;
        self
    }

    /// Has reads, fetches and changes logged.
    pub fn audited(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// The audit log, which may be off.
    pub fn audit(&self) -> &Audit {
        &self.audit
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

    pub(super) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Forgets what belongs to the process that this one was forked from.
    pub fn entered(&self) {
        self.schedule.entered();
    }

    /// Ends the background work, as the worker is told to quit: nothing here may keep its process running.
    pub fn quit(&self) {
        self.schedule.quit();
        // Copies are good only while the refresher runs.
        self.bump();
        self.notifier.close();
    }

    /// The last tasks of the vaults and of the export of spans, for when no more fetches follow.
    pub fn shutdowns(&self) -> Vec<Shutdown> {
        let mut all = self.instances.shutdowns();
        all.extend(self.spans.as_ref().and_then(Exporter::flush).map(|flush| Box::pin(flush) as Shutdown));
        all
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

    pub(super) fn spans(&self) -> Option<&Arc<Exporter>> {
        self.spans.as_ref()
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

    /// The server that other workers ask; `open` creates it.
    pub(super) fn peer_server(&self, open: impl FnOnce() -> Result<PeerServer>) -> Result<&PeerServer> {
        self.peer_server.get_or_try_init(open)
    }
}

/// Has the log say that the collector of spans takes none, or does again: once for the node, as of a vault.
fn tell(notifier: &Arc<Notifier>, collector: &Collector) -> Tell {
    let (notifier, url) = (Arc::clone(notifier), collector.url.to_string());
    Box::new(move |up, text| {
        let node = Node::of_this_process();
        let vault = node.map(|node| node.name([&b"collector"[..], url.as_bytes()])).unwrap_or_default();
        notifier.notify(Event::Health { vault, up, text });
    })
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.schedule.end();
        self.notifier.close();
    }
}
