//! Fetches where waiting is allowed and no thread may be left: nginx's init phase, the command line, plain LuaJIT.

#![expect(clippy::disallowed_types, reason = "a runtime on the thread of whoever waits")]

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::{Error, Kind, Result};
use crate::pool;
use crate::resolver::batches::BatchContext;
use crate::resolver::instance::{AT_ONCE, ATTEMPTS, Attempts, Limits};
use crate::resolver::lookup::{Lookup, pick};
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::singleflight::{CallWatch, Outcome, Purpose};
use crate::resolver::state::Resolver;
use crate::resolver::upstream::Instances;
use crate::secret::Secret;

/// How many fetches of a vault are under way at once that brings many documents with one request. Where it refuses to,
/// each still has a third of its time when its turn comes.
const BATCHED: usize = 512;

/// Runs a future to its end on this thread; the future bounds its own time. Threads that looked names up or read files
/// for it end with the call. It waits for none that hangs: such a one ends by itself, when the system's resolver or the
/// file system lets it.
pub fn run<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|err| Error::new(Kind::Internal, format!("a fetch can't be started ({err})")))?;
    let done = runtime.block_on(future);
    drop(runtime);
    pool::end_idle_threads();
    Ok(done)
}

impl Resolver {
    /// Blocks this thread until a call is completed; its own deadline bounds that.
    pub fn wait(&self, ticket: u64) {
        if let CallWatch::Running(completion) = self.calls().watch(ticket) {
            // An error says that the engine is gone, and the call with it.
            let _ = completion.blocking_recv();
        }
    }

    /// Resolves references on this thread, blocking it; for phases in which nobody else waits. Misses, and values whose
    /// time is over, are fetched side by side, each document once. No thread is left.
    pub fn fetch_blocking(self: &Arc<Self>, references: &[Vec<u8>]) -> Vec<Result<Arc<Secret>>> {
        let lookups: Vec<_> = references.iter().map(|reference| self.lookup_waiting(reference)).collect();
        let (mut wanted, mut known) = (Vec::new(), HashSet::new());
        for lookup in &lookups {
            if let Ok(Lookup::Miss(resolved)) = lookup
                && known.insert(Arc::clone(&resolved.key))
            {
                wanted.push(Arc::clone(&resolved.key));
            }
        }
        let outcomes = if wanted.is_empty() { Ok(HashMap::new()) } else { self.fetch_all(wanted) };
        self.audit().flush(self.config().fetch_timeout);
        let resolve = |lookup: Result<Lookup>| match lookup? {
            Lookup::Value(value) => Ok(value.secret),
            Lookup::Miss(resolved) => match outcomes.as_ref().map_err(Clone::clone)?.get(&resolved.key) {
                Some(Ok(document)) => pick(&resolved, document, false).map(|value| value.secret),
                Some(Err(error)) => Err(resolved.explain(error.clone())),
                None => Err(resolved.key.ended_early()),
            },
        };
        lookups.into_iter().map(resolve).collect()
    }

    #[expect(clippy::mutable_key_type, reason = "an instance's cells are no part of what makes it equal")]
    /// Each fetch has its whole deadline, from when it is its turn at its vault. Those that wait while the vault fails
    /// others are refused.
    fn fetch_all(self: &Arc<Self>, wanted: Vec<Arc<DocumentKey>>) -> Result<HashMap<Arc<DocumentKey>, Outcome>> {
        let resolver = Arc::clone(self);
        run(async move {
            // Connections belong to the runtime that made them, and this one ends with the call.
            let config = resolver.config();
            let limits = Limits { timeout: config.fetch_timeout, breaker_interval: config.breaker_interval };
            let batches = BatchContext::new(resolver.metrics().batches.clone());
            let instances = Arc::new(Instances::new(resolver.environment().clone(), limits, false, batches));
            let how = Attempts { most: ATTEMPTS, gathers: wanted.len() > 1 };
            let mut turns: HashMap<InstanceKey, Arc<Semaphore>> = HashMap::new();
            let mut fetches = JoinSet::new();
            for key in wanted {
                let (resolver, instances) = (Arc::clone(&resolver), Arc::clone(&instances));
                let window = if key.descriptor.batch > 1 { BATCHED } else { AT_ONCE };
                let turns = turns.entry(key.instance.clone()).or_insert_with(|| Arc::new(Semaphore::new(window)));
                let turns = Arc::clone(turns);
                fetches.spawn(async move {
                    // The semaphore is never closed.
                    let _turn = turns.acquire().await;
                    let outcome = match instances.refusal(&key.instance) {
                        Some(refusal) => {
                            let now = Instant::now();
                            resolver.keep_failure(&key, refusal, now, now)
                        }
                        None => {
                            resolver.metrics().fetches.inc();
                            let done = instances.fetch(&key, how, None).await;
                            resolver.keep(&key, Purpose::Miss, resolver.with_group(&key, done).await).0
                        }
                    };
                    (key, outcome)
                });
            }
            let mut outcomes = HashMap::new();
            while let Some(completion) = fetches.join_next().await {
                outcomes.extend(completion);
            }
            for shutdown in instances.shutdowns() {
                shutdown.await;
            }
            outcomes
        })
    }
}
