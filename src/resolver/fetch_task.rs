//! The engine's task for one fetch: it asks another worker that is fetching the document, or the vault.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::http::{self, Asked};
use crate::node::peers::{self, PeerError, Question};
use crate::node::{Node, SealedOutcome};
use crate::notice::{debug, took};
use crate::resolver::heir::kept_under;
use crate::resolver::instance::{ATTEMPTS, Attempts};
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::shared_cache::claim::Claim;
use crate::resolver::singleflight::{Completion, JoinOutcome, Joiner, Outcome, Purpose, Unstarted};
use crate::resolver::state::Resolver;
use crate::runtime::notifier::Event;
use crate::spans::FetchTrace;

/// How long a requeued call waits for the worker's listener to connect. In init_worker there is none.
const SUBSCRIBER_PATIENCE: Duration = Duration::from_millis(100);

/// The longest pause before a renewal is tried again that stored neither a value nor a failure.
const RENEWED_AGAIN: Duration = Duration::from_secs(1);

/// A call that waited in vain for another worker keeps at least its time divided by this.
const LEAST_PART: u32 = 8;

/// Completes a call and wakes its waiters, even where the fetch panics or is dropped.
struct FetchTask {
    resolver: Arc<Resolver>,
    ticket: u64,
    key: Arc<DocumentKey>,
    purpose: Purpose,
    outcome: Option<(Outcome, Option<SealedOutcome>)>,
    /// See `Attempts::gathers`.
    gathers: bool,
    /// The time that the call has left, where it has waited for another worker.
    left: Option<Duration>,
    /// Whether the call is completed, or goes on without this task: then dropping the task does not complete it.
    ended: bool,
}

impl Resolver {
    /// Joins or creates a call that nobody waits for and starts it, or defers it where its vault has enough to do.
    pub fn fetch_in_background(self: &Arc<Self>, key: &Arc<DocumentKey>, purpose: Purpose) {
        let is_probe = matches!(purpose, Purpose::Probe(_));
        if is_probe || !self.calls().defer(key, purpose) {
            self.fetch_in_background_now(key, purpose);
        } else {
            debug(|| format!("{}: deferred, as {} has enough to do", key.shown(), key.label()));
        }
    }

    /// Does the same, but never defers it.
    fn fetch_in_background_now(self: &Arc<Self>, key: &Arc<DocumentKey>, purpose: Purpose) {
        // The error is dropped: a look-up that needs the value gets its own. A renewal is tried again.
        match self.join_or_create(key, purpose, Joiner::BACKGROUND) {
            Ok(JoinOutcome::Created(ticket)) => self.start_by_worker(ticket, key, purpose),
            Ok(JoinOutcome::Joined(_)) => {}
            Err(_) => {
                self.documents().renew_at(key, Instant::now() + RENEWED_AGAIN);
            }
        }
    }

    /// Has the worker start a created call; where no listener is connected, starts it here.
    fn start_by_worker(self: &Arc<Self>, ticket: u64, key: &Arc<DocumentKey>, purpose: Purpose) {
        let event = match purpose {
            Purpose::Probe(_) => Event::Probe { ticket, vault: key.vault_name() },
            _ => Event::Start { ticket, dead: None },
        };
        if !self.notifier().notify(event) && self.take_shared(ticket, b"").is_none() {
            let _ = self.start_fetch(ticket, None, false);
        }
    }

    /// Starts the deferred fetches that a vault has room for, now that one of its calls is completed.
    pub(super) fn start_deferred(self: &Arc<Self>, vault: &InstanceKey) {
        loop {
            let Some((key, purpose)) = self.calls().next_turn(vault) else { return };
            self.fetch_in_background_now(&key, purpose);
        }
    }

    /// Completes a call, has its waiters woken, and starts the one that follows it.
    pub(super) fn complete(self: &Arc<Self>, ticket: u64, outcome: Outcome, sealed_outcome: Option<SealedOutcome>) {
        let key = self.calls().key(ticket);
        let away = sealed_outcome.as_ref().is_some_and(SealedOutcome::is_outage);
        let completion = self.calls().complete(ticket, outcome.clone(), sealed_outcome);
        if completion.waiters > 0 {
            self.notifier().notify(Event::Completed { ticket });
        }
        let Some(key) = key else { return };
        match completion.next {
            // The outage is also the answer for those who joined the next call meanwhile.
            Some(next) if away => self.complete(next, outcome, None),
            _ => self.after_completion(&key, completion),
        }
    }

    /// Ends the renewal and starts the next call, but wakes no waiter.
    pub(super) fn after_completion(self: &Arc<Self>, key: &Arc<DocumentKey>, completion: Completion) {
        self.renewal_ended(key);
        self.account_for_calls();
        let Some(next) = completion.next else { return };
        let Some(call) = self.calls().unstarted(next) else { return };
        self.start_by_worker(next, key, call.purpose);
    }

    /// Has a renewal that stored neither a value nor a failure tried again.
    fn renewal_ended(&self, key: &Arc<DocumentKey>) {
        self.documents().renewal_ended(key, || Instant::now() + RENEWED_AGAIN.mul_f64(0.5 + fastrand::f64() / 2.0));
    }

    /// Starts the fetch of a created call: from another worker, where `peer` is its claim, or from the vault. With
    /// `owned`, the outcome has to be taken by `sealed_outcome` after the completion. Returns false where the other
    /// worker's fetch began too early to serve: the call has to be started in another way.
    pub fn start_fetch(self: &Arc<Self>, ticket: u64, peer: Option<String>, owned: bool) -> Result<bool> {
        let engine = self.engine()?;
        let peer = peer.map(Claim::read);
        let unstarted = match &peer {
            None => Some(self.calls().start_fetch(ticket, owned)),
            Some(claim) => self.calls().start_elsewhere(ticket, claim.began()),
        };
        let Some(Some(Unstarted { key, purpose, after, gathers })) = unstarted else {
            // The call is started already (true), or the other worker's fetch began too early (false).
            return Ok(peer.is_none() || unstarted.is_none());
        };
        self.account_for_calls();
        let after = after.and_then(|after| Some(Node::of_this_process()?.clock(after))).unwrap_or(0);
        let peer = peer.map(|claim| (after.max(claim.clock), claim));
        let whole = self.config().fetch_timeout;
        let left = self.calls().left(ticket, whole);
        let left = left.map(|left| left.max(whole / LEAST_PART));
        let resolver = Arc::clone(self);
        let task = FetchTask { resolver, ticket, key, purpose, outcome: None, gathers, left, ended: false };
        engine.spawn(task.run(peer));
        Ok(true)
    }
}

/// Asks another worker for the outcome of its call, and waits until that is completed.
async fn ask(address: String, key: Arc<DocumentKey>, after: u64) -> std::result::Result<SealedOutcome, PeerError> {
    let node = Node::of_this_process().ok_or(PeerError::Unknown)?;
    let name = *key.name(node);
    let sealed = peers::ask(&address, Question { name, after }).await?;
    node.open(&name, &sealed)
        .filter(|sealed_outcome| node.clock(sealed_outcome.began()) > after)
        .ok_or(PeerError::Unknown)
}

/// Completes a call with another worker's late answer, unless it is completed already.
async fn await_late_answer(
    asking: impl Future<Output = std::result::Result<SealedOutcome, PeerError>>,
    resolver: Weak<Resolver>,
    ticket: u64,
    key: Arc<DocumentKey>,
) {
    let Ok(sealed_outcome) = asking.await else { return };
    // A failure is ignored, as this worker's own fetch may succeed.
    let SealedOutcome::Value(value) = sealed_outcome else { return };
    let Some(resolver) = resolver.upgrade() else { return };
    if resolver.calls().is_completed(ticket) {
        return;
    }
    resolver.metrics().adopted.inc();
    let outcome = resolver.keep_shared(&key, SealedOutcome::Value(value.clone()), false);
    resolver.complete_if_served(ticket, &key, outcome, SealedOutcome::Value(value));
    resolver.start_deferred(&key.instance);
}

impl FetchTask {
    /// A debug line about the fetch.
    fn debug(&self, what: impl FnOnce() -> String) {
        debug(|| {
            let (ticket, document) = (self.ticket, self.key.shown());
            format!("fetch {ticket} of {document}: {}", what())
        });
    }

    async fn run(mut self, peer: Option<(u64, Claim)>) {
        if let Some((after, claim)) = peer {
            let whole = self.left.unwrap_or(self.resolver.config().fetch_timeout);
            let start = Instant::now();
            self.debug(|| "asking the worker that fetches it".to_owned());
            let mut asking = Box::pin(ask(claim.address.clone(), Arc::clone(&self.key), after));
            let mut answer = tokio::time::timeout(whole / 2, &mut asking).await;
            if answer.is_err() && !self.resolver.calls().is_awaited(self.ticket) {
                // Nobody waits for this call: it gives the other worker more time, so that a silent vault is not asked
                // twice.
                answer = tokio::time::timeout(whole, &mut asking).await;
            }
            match answer {
                Ok(Ok(sealed_outcome)) => {
                    self.debug(|| format!("that worker answered after {}", took(start)));
                    self.resolver.metrics().adopted.inc();
                    self.outcome = Some((self.resolver.keep_shared(&self.key, sealed_outcome, self.is_probe()), None));
                    return;
                }
                Ok(Err(_)) => {}
                // That worker may hang, or its vault may be slow: from now on its answer and this worker's own fetch
                // race.
                Err(_) => {
                    let resolver = Arc::downgrade(&self.resolver);
                    let hearing = await_late_answer(asking, resolver, self.ticket, Arc::clone(&self.key));
                    tokio::spawn(tokio::time::timeout(whole, hearing));
                }
            }
            self.debug(|| format!("no answer from that worker after {}", took(start)));
            self.left = Some(whole.saturating_sub(start.elapsed()).max(whole / LEAST_PART));
            self.resolver.notifier().subscriber_within(SUBSCRIBER_PATIENCE).await;
            if self.requeue(&claim.text) {
                return;
            }
            self.resolver.calls().start_fetch(self.ticket, false);
        }
        if self.finds_fresh() {
            self.debug(|| "served by a value that came meanwhile".to_owned());
            return;
        }
        let (resolver, key, start) = (&self.resolver, &self.key, Instant::now());
        self.debug(|| format!("asking {} {}", key.label(), self.purpose.clause()));
        // Where an old value would serve on after a failure, its next renewal is the next attempt. A held value would
        // not.
        let most = if resolver.documents().serves(key) || self.is_probe() { 1 } else { ATTEMPTS };
        let how = Attempts { most, gathers: self.gathers && !self.is_probe() };
        resolver.metrics().fetches.inc();
        let fetching = resolver.instances().fetch(key, how, self.left);
        let (done, asked) = match resolver.has_spans() {
            true => http::noting(fetching).await,
            false => (fetching.await, Asked::default()),
        };
        self.debug(|| match &done.fetched {
            Ok(_) => format!("{} answered after {}", key.label(), took(start)),
            Err(error) => format!("{} failed after {}: {}", key.label(), took(start), error.kind().name()),
        });
        resolver.listen_to_vault(key);
        let mut done = resolver.with_group(key, done).await;
        done.trace =
            resolver.has_spans().then(|| FetchTrace { requests: resolver.calls().requests(self.ticket), asked });
        if kept_under(key, resolver.config()).is_none() {
            // The vault's options have changed meanwhile: this fetch must not leave connections and logins with the old
            // ones.
            for shutdown in resolver.instances().forget(|instance| *instance == key.instance) {
                tokio::spawn(shutdown);
            }
        }
        let (outcome, sealed_outcome) = resolver.keep(key, self.purpose, done);
        self.outcome = Some((outcome, Some(sealed_outcome)));
    }

    /// Completes the call with a fresh value that was stored after the look-up that missed it.
    fn finds_fresh(&mut self) -> bool {
        let value = (self.purpose == Purpose::Miss).then(|| self.resolver.documents().fresh(&self.key)).flatten();
        let Some(value) = value else { return false };
        let outcome = Ok(Arc::clone(&value.document));
        self.ended = self.resolver.complete_if_served(self.ticket, &self.key, outcome, SealedOutcome::Value(value));
        if self.ended {
            self.resolver.start_deferred(&self.key.instance);
        }
        self.ended
    }

    /// Has the worker start the call again, but not from `peer`; false where it is completed, or no listener is
    /// connected.
    fn requeue(&mut self, peer: &str) -> bool {
        let event = Event::Start { ticket: self.ticket, dead: Some(peer.to_owned()) };
        self.ended = self.resolver.calls().requeue(self.ticket) && self.resolver.notifier().notify(event);
        self.ended
    }

    fn is_probe(&self) -> bool {
        matches!(self.purpose, Purpose::Probe(_))
    }
}

impl Drop for FetchTask {
    fn drop(&mut self) {
        if !self.ended {
            let (outcome, sealed_outcome) = self.outcome.take().unwrap_or_else(|| (Err(self.key.ended_early()), None));
            self.resolver.complete(self.ticket, outcome, sealed_outcome);
            self.resolver.start_deferred(&self.key.instance);
        }
    }
}
