//! What a worker has from the others of its node, and hands on to them: sealed parcels, in the shared dictionary that its
//! Lua side sees to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::breaker::{Change, Ended};
use crate::error::{Kind, Result};
use crate::flight::{Departing, Outcome, Purpose};
use crate::node::{Name, Node, Parcel};
use crate::plan::Origin;
use crate::resolver::{Resolver, lock};
use crate::wake::Event;

/// How long a value stays for other workers after its `ttl`: long enough for an outage with a reload in it.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How late the outcome of a probe may be.
const STILL_BAD_GRACE: Duration = Duration::from_secs(5);

impl Resolver {
    /// Tries to land a boarded flight with what the node's cache has, or with the refusal of its vault's breaker.
    /// Returns whether it has landed, and leaves it to the caller to wake its passengers; if not, it has to depart.
    pub fn adopt(self: &Arc<Self>, ticket: u64, sealed: &[u8]) -> bool {
        let now = Instant::now();
        let Some(flight) = lock(&self.flights).boarding(ticket) else { return true };
        let Departing { key: origin, purpose, .. } = &flight;
        let parcel = Node::of_this_process().filter(|_| !sealed.is_empty());
        match parcel.and_then(|node| node.open(origin.name(node), sealed)) {
            Some(Parcel::Value(value)) if flight.is_served_by(value.at) => {
                let kept = self.keep_value(origin, value);
                // It may be old, but it serves if the fetch that follows fails. And somebody may have come aboard since
                // who wants a newer one.
                if kept.fresh && self.land_unrung(ticket, origin, Ok(kept.document), kept.at) {
                    self.metrics.adopted.inc();
                    self.heard(origin, kept.at);
                    return true;
                }
            }
            Some(Parcel::Failure { error, began, at })
                if *purpose == Purpose::Miss
                    && flight.is_served_by(began)
                    && now.saturating_duration_since(at) < origin.terms.remembers(&error) =>
            {
                let outcome = self.keep_failure(origin, error, began, at);
                if self.land_unrung(ticket, origin, outcome, began) {
                    return true;
                }
            }
            _ => {}
        }
        if matches!(purpose, Purpose::Probe(_)) {
            return false;
        }
        let held = {
            let cache = lock(&self.cache);
            let entry = cache.peek(origin);
            entry.and_then(|entry| Some(entry.look(now).document().ok_or(entry.left_alone(now)?.clone())))
        };
        if let Some(outcome) = held {
            return self.land_unrung(ticket, origin, outcome, now);
        }
        let refusal = self.instances.known(&origin.instance).and_then(|instance| instance.breaker().refusal());
        let Some(refusal) = refusal else { return false };
        self.metrics.refused.inc();
        self.rotation.want_probe(origin, || self.probe_at(origin));
        let outcome = self.keep_failure(origin, refusal, now, Instant::now());
        self.land_unrung(ticket, origin, outcome, Instant::now())
    }

    /// Lands a boarded flight with what was so at that time, unless somebody aboard wants what is newer. Returns whether
    /// it has landed; its passengers are the caller's to wake.
    fn land_unrung(self: &Arc<Self>, ticket: u64, origin: &Arc<Origin>, outcome: Outcome, was_so: Instant) -> bool {
        let landed = lock(&self.flights).land_served(ticket, was_so, outcome, None, Instant::now());
        let has_landed = landed.is_some();
        self.landed(origin, landed.unwrap_or_default());
        has_landed
    }

    /// Lands a flight with what another one brought, and wakes its passengers, unless somebody aboard wants what is newer.
    pub(crate) fn land_served(
        self: &Arc<Self>,
        ticket: u64,
        origin: &Arc<Origin>,
        outcome: Outcome,
        parcel: Parcel,
    ) -> bool {
        let began = parcel.began();
        let landed = lock(&self.flights).land_served(ticket, began, outcome, Some(parcel), Instant::now());
        let Some(landed) = landed else { return false };
        if landed.passengers > 0 {
            self.bell.ring(Event::Landed { ticket });
        }
        self.landed(origin, landed);
        true
    }

    /// Has the other workers know for how long they need not tell of a vault that went bad: until the second probe from now.
    /// Where nobody probes it any more, the next outage is another one.
    pub(crate) fn still_bad(&self, origin: &Origin) {
        let Some(probe_at) = self.probe_at(origin) else { return };
        let until_probe = probe_at.saturating_duration_since(Instant::now());
        let lasts = until_probe * 2 + self.config().fetch_timeout + STILL_BAD_GRACE;
        self.bell.ring(Event::StillBad { vault: vault_name(origin), lasts });
    }

    /// Tells, once in this VM, that a vault answers: an outage may have ended with the VM that knew of it.
    pub(crate) fn note_answer(&self, origin: &Origin) {
        let Some(vault) = self.instances.known(&origin.instance).filter(|vault| !vault.answered()) else { return };
        let text = format!("{} answers again", origin.label());
        if self.bell.ring(Event::Answers { vault: vault_name(origin), news: name_of_news(origin), text }) {
            vault.has_answered();
        }
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

    /// Notes that the vault answered another worker's fetch, which began at that time.
    fn heard(self: &Arc<Self>, origin: &Arc<Origin>, began: Instant) {
        let Some(vault) = self.instances.known(&origin.instance) else { return };
        let ended = Ended { document: origin.number(), began, at: Instant::now() };
        let change = vault.breaker().answered_another(ended);
        self.heed(origin, change);
    }

    /// Keeps what another worker fetched, for a flight that `probes` the vault or not. Returns what is to be served.
    pub(crate) fn keep_parcel(self: &Arc<Self>, origin: &Arc<Origin>, parcel: Parcel, probes: bool) -> Outcome {
        let began = parcel.began();
        match parcel {
            Parcel::Value(value) => {
                let kept = self.keep_value(origin, value);
                self.heard(origin, began);
                Ok(kept.document)
            }
            Parcel::Failure { error, at, .. } => {
                match self.instances.known(&origin.instance) {
                    Some(vault) if probes && error.is_outage() => {
                        let ended = Ended { document: origin.number(), began, at };
                        let change = vault.breaker().failed(&error, ended);
                        self.heed(origin, change);
                    }
                    _ if !error.is_outage() && error.kind() != Kind::Config => self.heard(origin, began),
                    _ => {}
                }
                self.keep_failure(origin, error, began, at)
            }
        }
    }

    /// How another worker is told that this one fetches a document from now on.
    pub fn claim_text(self: &Arc<Self>) -> Result<String> {
        let clock = Node::of_this_process().map_or(0, |node| node.clock(Instant::now()));
        Ok(format!("{}@{clock}", self.address()?))
    }

    /// The sealed outcome of a flight that departed as `owned`, and for how many seconds others may keep it (0: for
    /// ever); `None` where it is nothing to keep.
    pub fn parcel(&self, ticket: u64) -> Option<(Vec<u8>, f64)> {
        self.parcel_for(ticket, b"")
    }

    /// The same for a place where `known` lies, sealed: nothing older takes its place.
    pub fn parcel_for(&self, ticket: u64, known: &[u8]) -> Option<(Vec<u8>, f64)> {
        let (origin, parcel) = lock(&self.flights).parcel(ticket)?;
        let (node, parcel) = (Node::of_this_process()?, parcel?);
        let name = origin.name(node);
        let known = Some(known).filter(|known| !known.is_empty()).and_then(|known| node.open(name, known));
        if known.is_some_and(|known| known.began() > parcel.began()) {
            return None;
        }
        let keep = match &parcel {
            Parcel::Failure { error, .. } => Some(origin.terms.remembers(error)),
            Parcel::Value(value) => origin.terms.serves_for(value, Instant::now()),
        };
        match keep {
            Some(keep) if keep.is_zero() => None,
            keep => {
                // Whoever uses a value renews it, and each renewal lies here anew.
                let keep = keep.map_or(0.0, |keep| keep.min(origin.terms.ttl.unwrap_or_default() + KEPT).as_secs_f64());
                Some((node.seal(name, &parcel)?, keep))
            }
        }
    }

    /// How long the vault of a flight is to be left alone; `None` where it may be asked.
    pub fn away(&self, ticket: u64) -> Option<Duration> {
        let origin = lock(&self.flights).key(ticket)?;
        Some(self.probe_at(&origin)?.saturating_duration_since(Instant::now()))
    }

    /// Ends a boarded probe, as another worker probes that vault: to be tried again after that time, or, with none, not
    /// at all, as the vault is back. Returns whether it has landed: where the vault is back, it is left to bring a value to
    /// those who wait for one, and so is one that somebody joined meanwhile who wants a newer value.
    pub fn forgo(self: &Arc<Self>, ticket: u64, again: Option<Duration>) -> bool {
        let Some(Departing { key: origin, .. }) = lock(&self.flights).boarding(ticket) else { return true };
        let Some(vault) = self.instances.known(&origin.instance) else { return false };
        let now = Instant::now();
        let (refusal, change) = {
            let mut breaker = vault.breaker();
            match again {
                Some(again) => (breaker.put_off(now, again), Change::StaysOpen),
                None => (None, breaker.succeeded(origin.number(), now)),
            }
        };
        let waited_for = lock(&self.flights).has_passengers(ticket);
        let landed = (again.is_some() || !waited_for) && {
            let error = refusal.unwrap_or_else(|| origin.would_block());
            self.land_unrung(ticket, &origin, self.peek(&origin).document().ok_or(error), now)
        };
        if landed {
            self.send_next(&origin.instance);
        }
        self.heed(&origin, change);
        landed
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

/// By which the workers of a node call an origin's vault.
pub(crate) fn vault_name(origin: &Origin) -> Name {
    Node::of_this_process().map(|node| origin.instance.name(node)).unwrap_or_default()
}

/// What a vault's news are told apart by from its health.
pub(crate) fn name_of_news(origin: &Origin) -> Name {
    let label = origin.label();
    Node::of_this_process().map(|node| node.name([&b"news"[..], label.as_bytes()])).unwrap_or_default()
}
