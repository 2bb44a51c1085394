//! Fetches many documents of one vault with few requests, where its backend can: documents are gathered for a moment
//! (`gathering.rs`) and fetched together.
//!
//! A batch is only the first attempt of each of its documents. Whatever it does not settle is fetched singly, so that
//! retries, the breaker and errors are those of single fetches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, oneshot};

use crate::backend::{Backend, Fetched, SecretId};
use crate::error::Result;
use crate::notice::{debug, took};
use crate::resolver::gathering::{Added, Gathering, NextBatch};
use crate::resolver::metrics::Counter;
use crate::resolver::resolved_reference::DocumentKey;
use crate::sync::{Rank, Ranked};

/// How many batches of one vault are under way at most: a vault may allow fewer of them than single requests, and where
/// it refuses them, the first ones find that out.
const AT_ONCE: usize = 10;

/// Which part of a fetch's time a batch may take; the rest is left to single fetches.
const PART: u32 = 2;

/// What is the same for the batches of all vaults of a resolver.
#[derive(Clone)]
pub struct BatchContext {
    /// Whether a caller is in the middle of a list of look-ups.
    in_list: Arc<AtomicBool>,
    /// Counts the batches.
    requests: Counter,
}

/// One vault's batches.
pub struct Batches {
    backend: Arc<dyn Backend>,
    /// How many documents one request may ask for.
    size: usize,
    limit: Duration,
    context: BatchContext,
    gathering: Ranked<Gathering<Member>>,
    /// A batch is full, or a list has ended.
    changed: Notify,
    slots: Semaphore,
}

/// A document that waits for its batch.
struct Member {
    key: Arc<DocumentKey>,
    sender: oneshot::Sender<Option<BatchOutcome>>,
}

/// What a batch brought of one document, and when it began.
pub type BatchOutcome = (Result<Fetched>, Instant);

impl BatchContext {
    pub fn new(requests: Counter) -> Self {
        Self { in_list: Arc::default(), requests }
    }

    /// Notes that a list of look-ups has begun.
    pub fn begin_list(&self) {
        self.in_list.store(true, Ordering::Relaxed);
    }

    /// Notes that no more look-ups follow at once. Returns whether there was a list: if so, batches may be due.
    pub fn end_list(&self) -> bool {
        self.in_list.swap(false, Ordering::Relaxed)
    }
}

impl Batches {
    /// `timeout`: the whole time of a fetch. `None` where `size` says that the backend fetches singly.
    pub fn new(backend: &Arc<dyn Backend>, size: usize, timeout: Duration, context: BatchContext) -> Option<Arc<Self>> {
        (size > 1).then(|| {
            Arc::new(Self {
                backend: Arc::clone(backend),
                size,
                limit: timeout / PART,
                context,
                gathering: Ranked::new(Rank::Gathering, Gathering::default()),
                changed: Notify::new(),
                slots: Semaphore::new(AT_ONCE),
            })
        })
    }

    /// Looks again whether a batch is due.
    pub fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Fetches a document together with others; `None` where it has to be fetched singly.
    pub async fn fetch(self: &Arc<Self>, key: &Arc<DocumentKey>) -> Option<BatchOutcome> {
        if !self.backend.takes_in_batch(&key.secret_id) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let member = Member { key: Arc::clone(key), sender };
        let added = self.gathering.lock().add(member, self.size, Instant::now());
        match added {
            Added::Serve => drop(tokio::spawn(Arc::clone(self).serve())),
            Added::Wake => self.changed.notify_one(),
            Added::Nothing => {}
        }
        receiver.await.ok().flatten()
    }

    /// Takes batches out until none is left.
    async fn serve(self: Arc<Self>) {
        loop {
            let in_list = self.context.in_list.load(Ordering::Relaxed);
            let next = self.gathering.lock().next(self.size, in_list, Instant::now());
            match next {
                NextBatch::Fetch(members) => drop(tokio::spawn(Arc::clone(&self).settle(members))),
                NextBatch::WaitUntil(time) => {
                    let _ = tokio::time::timeout_at(time.into(), self.changed.notified()).await;
                }
                NextBatch::Nothing => return,
            }
        }
    }

    /// Fetches a batch. Whoever gets no outcome fetches singly.
    async fn settle(self: Arc<Self>, mut members: Vec<Member>) {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        // Some may wait no longer, and an earlier batch may have been refused.
        members.retain(|member| !member.sender.is_closed() && self.backend.takes_in_batch(&member.key.secret_id));
        let Some(first) = members.first().filter(|_| members.len() > 1) else { return };
        let (label, began) = (first.key.label(), Instant::now());
        debug(|| format!("asking {label} for {} secrets with one request", members.len()));
        self.context.requests.inc();
        let secret_ids: Vec<SecretId> = members.iter().map(|member| member.key.secret_id.clone()).collect();
        let fetching = self.backend.fetch_batch(&secret_ids);
        let outcomes = tokio::time::timeout(self.limit, fetching).await.unwrap_or_default();
        debug(|| {
            let settled = outcomes.iter().flatten();
            let (secrets, errors) = settled.fold((0, 0), |(secrets, errors), outcome| match outcome {
                Ok(_) => (secrets + 1, errors),
                Err(_) => (secrets, errors + 1),
            });
            let rest = members.len().saturating_sub(secrets + errors);
            format!(
                "{label} brought {secrets} secrets and {errors} errors after {}; {rest} are fetched singly",
                took(began)
            )
        });
        for (member, outcome) in members.into_iter().zip(outcomes) {
            // Whoever waits no longer doesn't want it.
            let _ = member.sender.send(outcome.map(|outcome| (outcome, began)));
        }
    }
}
