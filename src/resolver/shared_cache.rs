//! What a worker has from the others of its node, and hands on to them: sealed outcomes, in the shared dictionary that its
//! Lua side sees to.

mod driver;
pub mod fetches;
pub mod machine;
pub mod operation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::Dated;
use crate::error::{Kind, Result};
use crate::node::{Name, Node, SealedOutcome};
use crate::resolver::Resolver;
use crate::resolver::breaker::{Change, Ended};
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::singleflight::{Outcome, Purpose, Unstarted};
use crate::runtime::notifier::Event;

/// How long a value stays for other workers after its `ttl`: long enough for an outage with a reload in it.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How late the outcome of a probe may be.
const STILL_BAD_GRACE: Duration = Duration::from_secs(5);

impl Resolver {
    /// Tries to complete a created call with what the node's cache has, or with the refusal of its vault's breaker.
    /// Returns whether it is completed, and leaves it to the caller to wake its waiters; if not, it has to be started.
    pub fn take_shared(self: &Arc<Self>, ticket: u64, sealed: &[u8]) -> bool {
        let now = Instant::now();
        let Some(call) = self.calls().unstarted(ticket) else { return true };
        let Unstarted { key, purpose, .. } = &call;
        let sealed_outcome = Node::of_this_process().filter(|_| !sealed.is_empty());
        let sealed_outcome = sealed_outcome.and_then(|node| node.open(key.name(node), sealed));
        self.keep_old(key, sealed_outcome.as_ref());
        match sealed_outcome {
            Some(SealedOutcome::Value(value)) if call.is_served_by(value.at) => {
                let kept = self.keep_value(key, value);
                // It may be old, but it serves if the fetch that follows fails. And somebody may have joined since
                // who wants a newer one.
                if kept.fresh && self.complete_quietly(ticket, key, Ok(kept.document), kept.at) {
                    self.metrics().adopted.inc();
                    self.note_answer_elsewhere(key, kept.at);
                    return true;
                }
            }
            Some(SealedOutcome::Failure { error, began, at, .. })
                if *purpose == Purpose::Miss
                    && call.is_served_by(began)
                    && now.saturating_duration_since(at) < key.ttl_policy.remembers(&error) =>
            {
                let outcome = self.keep_failure(key, error, began, at);
                if self.complete_quietly(ticket, key, outcome, began) {
                    return true;
                }
            }
            _ => {}
        }
        if matches!(purpose, Purpose::Probe(_)) {
            return false;
        }
        if let Some(outcome) = self.documents().left_alone(key, now) {
            return self.complete_quietly(ticket, key, outcome, now);
        }
        let Some(refusal) = self.instances().refusal(&key.instance) else { return false };
        self.metrics().refused.inc();
        self.schedule().want_probe(key, || self.instances().probe_at(&key.instance));
        let outcome = self.keep_failure(key, refusal, now, Instant::now());
        self.complete_quietly(ticket, key, outcome, Instant::now())
    }

    /// Completes a created call with what was so at that time, unless a waiter wants what is newer. Returns whether
    /// it is completed; its waiters are the caller's to wake.
    fn complete_quietly(
        self: &Arc<Self>,
        ticket: u64,
        key: &Arc<DocumentKey>,
        outcome: Outcome,
        was_so: Instant,
    ) -> bool {
        let completion = self.calls().complete_if_served(ticket, was_so, outcome, None);
        let is_completed = completion.is_some();
        self.after_completion(key, completion.unwrap_or_default());
        is_completed
    }

    /// Completes a call with what another one brought, and wakes its waiters, unless one of them wants what is newer.
    pub(crate) fn complete_if_served(
        self: &Arc<Self>,
        ticket: u64,
        key: &Arc<DocumentKey>,
        outcome: Outcome,
        sealed_outcome: SealedOutcome,
    ) -> bool {
        let began = sealed_outcome.began();
        let completion = self.calls().complete_if_served(ticket, began, outcome, Some(sealed_outcome));
        let Some(completion) = completion else { return false };
        if completion.waiters > 0 {
            self.notifier().notify(Event::Completed { ticket });
        }
        self.after_completion(key, completion);
        true
    }

    /// Has the other workers know for how long they need not tell of a vault that went bad: until the second probe from now.
    /// Where nobody probes it any more, the next outage is another one.
    pub(crate) fn still_bad(&self, key: &DocumentKey) {
        let Some(probe_at) = self.instances().probe_at(&key.instance) else { return };
        let until_probe = probe_at.saturating_duration_since(Instant::now());
        let lasts = until_probe * 2 + self.config().fetch_timeout + STILL_BAD_GRACE;
        self.notifier().notify(Event::StillBad { vault: vault_name(key), lasts });
    }

    /// Tells, once in this VM, that a vault answers: an outage may have ended with the VM that knew of it.
    pub(crate) fn note_answer(&self, key: &DocumentKey) {
        let Some(vault) = self.instances().known(&key.instance).filter(|vault| !vault.answered()) else { return };
        let text = format!("{} answers again", key.label());
        if self.notifier().notify(Event::Answers { vault: vault_name(key), notice: name_of_notices(key), text }) {
            vault.has_answered();
        }
    }

    /// `take_shared`, and starts what was deferred until the call's completion.
    pub fn take_shared_in_worker(self: &Arc<Self>, ticket: u64, sealed: &[u8]) -> bool {
        let key = self.calls().key(ticket);
        let completion = self.take_shared(ticket, sealed);
        if let (true, Some(key)) = (completion, key) {
            self.start_deferred(&key.instance);
        }
        completion
    }

    /// Notes that the vault answered another worker's fetch, which began at that time.
    fn note_answer_elsewhere(self: &Arc<Self>, key: &Arc<DocumentKey>, began: Instant) {
        let Some(vault) = self.instances().known(&key.instance) else { return };
        let ended = Ended { document: key.number(), began, at: Instant::now() };
        let change = vault.answered_another(ended);
        self.on_breaker_change(key, change);
    }

    /// Keeps what another worker fetched, for a call that `probes` the vault or not. Returns what is to be served.
    pub(crate) fn keep_shared(
        self: &Arc<Self>,
        key: &Arc<DocumentKey>,
        sealed_outcome: SealedOutcome,
        probes: bool,
    ) -> Outcome {
        let began = sealed_outcome.began();
        self.keep_old(key, Some(&sealed_outcome));
        match sealed_outcome {
            SealedOutcome::Value(value) => {
                let kept = self.keep_value(key, value);
                self.note_answer_elsewhere(key, began);
                Ok(kept.document)
            }
            SealedOutcome::Failure { error, at, .. } => {
                match self.instances().known(&key.instance) {
                    Some(vault) if probes && error.is_outage() => {
                        let ended = Ended { document: key.number(), began, at };
                        let change = vault.failed(&error, ended);
                        self.on_breaker_change(key, change);
                    }
                    _ if !error.is_outage() && error.kind() != Kind::Config => self.note_answer_elsewhere(key, began),
                    _ => {}
                }
                self.keep_failure(key, error, began, at)
            }
        }
    }

    /// Keeps the old value that came with another worker's failure, to serve meanwhile.
    fn keep_old(&self, key: &Arc<DocumentKey>, sealed_outcome: Option<&SealedOutcome>) {
        if let Some(SealedOutcome::Failure { old: Some(old), .. }) = sealed_outcome {
            self.keep_value(key, old.clone());
        }
    }

    /// An outcome as other workers are given it: a failure with the value that serves meanwhile, of this worker or of
    /// `known`, the newer one.
    pub(crate) fn with_old(
        &self,
        key: &Arc<DocumentKey>,
        sealed_outcome: SealedOutcome,
        known: Option<&SealedOutcome>,
    ) -> SealedOutcome {
        let SealedOutcome::Failure { error, began, at, .. } = sealed_outcome else { return sealed_outcome };
        // One that was brought under other options is never handed on.
        let own = self.documents().own(key);
        let serves = |value: &Dated| key.ttl_policy.serves_for(value, at).is_none_or(|left| !left.is_zero());
        let known = known.and_then(SealedOutcome::value).cloned();
        let old = own.into_iter().chain(known).filter(serves).max_by_key(|value| value.at);
        SealedOutcome::Failure { error, began, at, old }
    }

    /// How another worker is told that this one fetches a document from now on.
    pub fn claim_text(self: &Arc<Self>) -> Result<String> {
        let clock = Node::of_this_process().map_or(0, |node| node.clock(Instant::now()));
        Ok(format!("{}@{clock}", self.address()?))
    }

    /// The sealed outcome of a call that was started as `owned`, and for how many seconds others may keep it (0: for
    /// ever); `None` where it is nothing to keep.
    pub fn sealed_outcome(&self, ticket: u64) -> Option<(Vec<u8>, f64)> {
        self.sealed_outcome_for(ticket, b"")
    }

    /// The same for a place where `known` lies, sealed: nothing older takes its place.
    pub fn sealed_outcome_for(&self, ticket: u64, known: &[u8]) -> Option<(Vec<u8>, f64)> {
        let (key, sealed_outcome) = self.calls().sealed_outcome(ticket)?;
        let (node, sealed_outcome) = (Node::of_this_process()?, sealed_outcome?);
        let name = key.name(node);
        let known = Some(known).filter(|known| !known.is_empty()).and_then(|known| node.open(name, known));
        if known.as_ref().is_some_and(|known| known.began() > sealed_outcome.began()) {
            return None;
        }
        let sealed_outcome = self.with_old(&key, sealed_outcome, known.as_ref());
        let serves_for = |value| key.ttl_policy.serves_for(value, Instant::now());
        let keep = match &sealed_outcome {
            // What is not remembered leaves the value that lies there as it is.
            SealedOutcome::Failure { error, .. } if key.ttl_policy.remembers(error).is_zero() => Some(Duration::ZERO),
            SealedOutcome::Failure { error, old, .. } => {
                let serves = old.as_ref().map_or(Some(Duration::ZERO), serves_for);
                serves.map(|serves| serves.max(key.ttl_policy.remembers(error)))
            }
            SealedOutcome::Value(value) => serves_for(value),
        };
        match keep {
            Some(keep) if keep.is_zero() => None,
            keep => {
                // Whoever uses a value renews it, and each renewal lies here anew.
                let keep =
                    keep.map_or(0.0, |keep| keep.min(key.ttl_policy.ttl.unwrap_or_default() + KEPT).as_secs_f64());
                Some((node.seal(name, &sealed_outcome)?, keep))
            }
        }
    }

    /// How long the vault of a call is to be left alone; `None` where it may be asked.
    pub fn away(&self, ticket: u64) -> Option<Duration> {
        let key = self.calls().key(ticket)?;
        Some(self.instances().probe_at(&key.instance)?.saturating_duration_since(Instant::now()))
    }

    /// Ends a created probe, as another worker probes that vault: to be tried again after that time, or, with none, not
    /// at all, as the vault is back. Returns whether it is completed: where the vault is back, it is left to bring a value to
    /// those who wait for one, and so is one that somebody joined meanwhile who wants a newer value.
    pub fn skip_probe(self: &Arc<Self>, ticket: u64, again: Option<Duration>) -> bool {
        let Some(Unstarted { key, .. }) = self.calls().unstarted(ticket) else { return true };
        let Some(vault) = self.instances().known(&key.instance) else { return false };
        let now = Instant::now();
        let (refusal, change) = match again {
            Some(again) => (vault.put_off(now, again), Change::StaysOpen),
            None => (None, vault.succeeded(key.number(), now)),
        };
        let waited_for = self.calls().is_awaited(ticket);
        let completion = (again.is_some() || !waited_for) && {
            let error = refusal.unwrap_or_else(|| key.would_block());
            self.complete_quietly(ticket, &key, self.documents().peek(&key).document().ok_or(error), now)
        };
        if completion {
            self.start_deferred(&key.instance);
        }
        self.on_breaker_change(&key, change);
        completion
    }
}

/// What lies in the shared dictionary of a worker that fetches a document.
pub(crate) struct Claim {
    /// As it lies there.
    pub text: String,
    /// Where the worker is to be asked.
    pub address: String,
    /// When it was made, by the node's clock: the fetch began later. 0: unknown.
    pub clock: u64,
}

impl Claim {
    pub fn read(text: String) -> Self {
        let known = text.split_once('@').and_then(|(address, clock)| Some((address.to_owned(), clock.parse().ok()?)));
        let (address, clock) = known.unwrap_or_else(|| (text.clone(), 0));
        Self { text, address, clock }
    }

    pub fn began(&self) -> Option<Instant> {
        Node::of_this_process()?.instant(self.clock).filter(|_| self.clock > 0)
    }
}

/// The vault's key in the node's cache.
pub(crate) fn vault_name(key: &DocumentKey) -> Name {
    Node::of_this_process().map(|node| key.instance.name(node)).unwrap_or_default()
}

/// The key of a vault's notices in the node's cache, apart from its health.
pub(crate) fn name_of_notices(key: &DocumentKey) -> Name {
    let label = key.label();
    Node::of_this_process().map(|node| node.name([&b"news"[..], label.as_bytes()])).unwrap_or_default()
}
