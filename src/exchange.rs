//! What a worker has from the others of its node, and hands on to them: sealed parcels, in the shared dictionary that its
//! Lua side sees to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::breaker::Change;
use crate::flight::{Outcome, Purpose};
use crate::node::{Name, Node, Parcel};
use crate::plan::Origin;
use crate::resolver::{Resolver, lock};

impl Resolver {
    /// Tries to land a boarded flight with what the node's cache has, or with the refusal of its vault's breaker.
    /// Returns whether it has landed, and leaves it to the caller to wake its passengers; if not, it has to depart.
    pub fn adopt(self: &Arc<Self>, ticket: u64, sealed: &[u8]) -> bool {
        let now = Instant::now();
        let Some((origin, purpose)) = lock(&self.flights).boarding(ticket) else { return true };
        let parcel = Node::of_this_process().filter(|_| !sealed.is_empty());
        match parcel.and_then(|node| node.open(origin.name(node), sealed)) {
            Some(Parcel::Value(value)) if purpose.is_served_by(value.at) => {
                let document = Arc::clone(&value.document);
                if self.keep_value(&origin, value) {
                    self.metrics.adopted.inc();
                    lock(&self.flights).land(ticket, Ok(document), None, now);
                    if let (Purpose::Probe(_), Some(vault)) = (purpose, self.instances.known(&origin.instance)) {
                        let change = vault.breaker().succeeded(now);
                        self.heed(&origin, change);
                    }
                    return true;
                }
                // It is old, but it serves if the fetch that follows fails.
            }
            Some(Parcel::Failure { error, at })
                if purpose == Purpose::Miss && now.saturating_duration_since(at) < origin.terms.neg_ttl =>
            {
                let outcome = self.keep_failure(&origin, error);
                lock(&self.flights).land(ticket, outcome, None, now);
                return true;
            }
            _ => {}
        }
        if matches!(purpose, Purpose::Probe(_)) {
            return false;
        }
        let refusal = self.instances.known(&origin.instance).and_then(|instance| instance.breaker().refusal());
        let Some(refusal) = refusal else { return false };
        self.metrics.refused.inc();
        self.rotation.want_probe(&origin, || self.probe_at(&origin));
        let outcome = self.keep_failure(&origin, refusal);
        lock(&self.flights).land(ticket, outcome, None, now);
        true
    }

    /// `adopt`, and what waited for the flight's landing is sent.
    pub fn adopt_in_worker(self: &Arc<Self>, ticket: u64, sealed: &[u8]) -> bool {
        let origin = lock(&self.flights).key(ticket);
        let landed = self.adopt(ticket, sealed);
        if let (true, Some(origin)) = (landed, origin) {
            self.send_next(&origin.instance);
        }
        landed
    }

    /// Keeps what another worker fetched. Returns what is to be served.
    pub(crate) fn keep_parcel(&self, origin: &Arc<Origin>, parcel: Parcel) -> Outcome {
        match parcel {
            Parcel::Value(value) => {
                let document = Arc::clone(&value.document);
                self.keep_value(origin, value);
                Ok(document)
            }
            Parcel::Failure { error, .. } => self.keep_failure(origin, error),
        }
    }

    /// The sealed outcome of a flight that departed as `owned`, and for how many seconds others may keep it (0: for
    /// ever); `None` where it is nothing to keep.
    pub fn parcel(&self, ticket: u64) -> Option<(Vec<u8>, f64)> {
        let (origin, parcel) = lock(&self.flights).parcel(ticket)?;
        let (node, parcel) = (Node::of_this_process()?, parcel?);
        let keep = match &parcel {
            Parcel::Failure { .. } => Some(origin.terms.neg_ttl),
            Parcel::Value(value) => origin.terms.serves_for(value, Instant::now()),
        };
        match keep {
            Some(keep) if keep.is_zero() => None,
            keep => Some((node.seal(origin.name(node), &parcel)?, keep.map_or(0.0, |keep| keep.as_secs_f64()))),
        }
    }

    /// How long the vault of a flight is to be left alone; `None` where it may be asked.
    pub fn away(&self, ticket: u64) -> Option<Duration> {
        let origin = lock(&self.flights).key(ticket)?;
        Some(self.probe_at(&origin)?.saturating_duration_since(Instant::now()))
    }

    /// Ends a boarded probe, as another worker probes that vault: to be tried again after that time, or, with none, not
    /// at all, as the vault is back.
    pub fn forgo(self: &Arc<Self>, ticket: u64, again: Option<Duration>) {
        let Some((origin, _)) = lock(&self.flights).boarding(ticket) else { return };
        let Some(vault) = self.instances.known(&origin.instance) else { return };
        let now = Instant::now();
        let (refusal, change) = {
            let mut breaker = vault.breaker();
            match again {
                Some(again) => (breaker.put_off(now + again), Change::StaysOpen),
                None => (None, breaker.succeeded(now)),
            }
        };
        let error = refusal.unwrap_or_else(|| origin.would_block());
        let outcome = match lock(&self.cache).peek(&origin).and_then(|entry| entry.value()) {
            Some(value) => Ok(Arc::clone(&value.document)),
            None => Err(error),
        };
        lock(&self.flights).land(ticket, outcome, None, now);
        self.heed(&origin, change);
    }
}

/// By which the workers of a node call an origin's vault.
pub(crate) fn vault_name(origin: &Origin) -> Name {
    Node::of_this_process().map(|node| origin.instance.name(node)).unwrap_or_default()
}

/// What a vault's news are told apart by from its health.
pub(crate) fn name_of_news(origin: &Origin) -> Name {
    let label = origin.label();
    Node::of_this_process().map(|node| node.name([&b"news"[..], label.as_bytes()])).unwrap_or_default()
}
