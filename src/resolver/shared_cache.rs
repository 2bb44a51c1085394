//! Takes sealed outcomes of the node's other workers, and makes this worker's for them. Lua reads and writes the shared
//! dictionary in which they lie.

pub(super) mod claim;
mod driver;
pub(super) mod published;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Kind;
use crate::node::{Node, SealedOutcome};
use crate::resolver::breaker::{Change, Ended};
use crate::resolver::node_protocol::machine::CompletedBy;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::singleflight::{Outcome, Purpose, Unstarted};
use crate::resolver::state::Resolver;
use crate::runtime::notifier::Event;

impl Resolver {
    /// Tries to complete a created call with what the node's cache has, or with the refusal of its vault's breaker.
    /// Returns how it was completed, and leaves it to the caller to wake its waiters; if it was not, it has to be
    /// started.
    pub fn take_shared(self: &Arc<Self>, ticket: u64, sealed: &[u8]) -> Option<CompletedBy> {
        let now = Instant::now();
        let Some(call) = self.calls().unstarted(ticket) else { return Some(CompletedBy::Another) };
        let Unstarted { key, purpose, .. } = &call;
        let sealed_outcome = Node::of_this_process().filter(|_| !sealed.is_empty());
        let sealed_outcome = sealed_outcome.and_then(|node| node.open(key.name(node), sealed));
        self.keep_old(key, sealed_outcome.as_ref());
        match sealed_outcome {
            Some(SealedOutcome::Value(value)) if call.is_served_by(value.at) => {
                let kept = self.keep_value(key, value);
                // A stale value is kept as well: it serves if the fetch that follows fails. And a joiner may want a
                // newer one by now.
                if kept.fresh && self.complete_quietly(ticket, key, Ok(kept.document), kept.at) {
                    self.metrics().adopted.inc();
                    self.note_answer_elsewhere(key, kept.at);
                    return Some(CompletedBy::SharedOutcome);
                }
            }
            Some(SealedOutcome::Failure { error, began, at, .. })
                if *purpose == Purpose::Miss
                    && call.is_served_by(began)
                    && now.saturating_duration_since(at) < key.ttl_policy.remembers(&error) =>
            {
                let outcome = self.keep_failure(key, error, began, at);
                if self.complete_quietly(ticket, key, outcome, began) {
                    return Some(CompletedBy::SharedOutcome);
                }
            }
            _ => {}
        }
        if matches!(purpose, Purpose::Probe(_)) {
            return None;
        }
        if let Some(outcome) = self.documents().left_alone(key, now) {
            return self.complete_quietly(ticket, key, outcome, now).then_some(CompletedBy::Hold);
        }
        let refusal = self.instances().refusal(&key.instance)?;
        self.metrics().refused.inc();
        self.schedule().want_probe(key, || self.instances().probe_at(&key.instance));
        let outcome = self.keep_failure(key, refusal, now, Instant::now());
        self.complete_quietly(ticket, key, outcome, Instant::now()).then_some(CompletedBy::Breaker)
    }

    /// Completes a created call with an outcome of the time `was_so`, unless a waiter wants a newer one. Returns
    /// whether it is completed; the caller wakes its waiters.
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

    /// Completes a call with an outcome that its own fetch did not bring, and wakes its waiters, unless one of them
    /// wants a newer one.
    pub(super) fn complete_if_served(
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

    /// `take_shared`, and starts what was deferred until the call's completion.
    pub fn take_shared_in_worker(self: &Arc<Self>, ticket: u64, sealed: &[u8]) -> Option<CompletedBy> {
        let key = self.calls().key(ticket);
        let completed = self.take_shared(ticket, sealed);
        if let (Some(_), Some(key)) = (completed, key) {
            self.start_deferred(&key.instance);
        }
        completed
    }

    /// Keeps what another worker fetched, for a call that `probes` the vault or not. Returns what is to be served.
    pub(super) fn keep_shared(
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

    /// The sealed outcome of a call that was started as `owned`, and for how many seconds others may keep it (0: for
    /// ever); `None` where it is nothing to keep.
    pub fn sealed_outcome(&self, ticket: u64) -> Option<(Vec<u8>, f64)> {
        self.sealed_outcome_for(ticket, b"")
    }

    /// The same where `known` lies in the dictionary, sealed: an older outcome doesn't replace it.
    pub fn sealed_outcome_for(&self, ticket: u64, known: &[u8]) -> Option<(Vec<u8>, f64)> {
        let (key, sealed_outcome) = self.calls().sealed_outcome(ticket)?;
        published::seal(Node::of_this_process()?, self.documents(), &key, sealed_outcome?, known)
    }

    /// How long the vault of a call is to be left alone; `None` where it may be asked.
    pub fn away(&self, ticket: u64) -> Option<Duration> {
        let key = self.calls().key(ticket)?;
        Some(self.instances().probe_at(&key.instance)?.saturating_duration_since(Instant::now()))
    }

    /// Ends a created probe, as another worker probes the vault: it is tried again after `again`; `None`: the vault is
    /// back. Returns whether the call is completed. It is not where the vault is back and somebody waits for a value,
    /// nor where a joiner wants a newer value: then it has to be started.
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
