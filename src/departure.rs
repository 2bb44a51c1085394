//! A flight, run on the engine: from another worker that is fetching the document, or from the vault.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::cache::{Entry, Found};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::exchange::{Claim, vault_name};
use crate::fetch::ATTEMPTS;
use crate::flight::{Boarding, Departing, Landed, Outcome, Purpose, Watch};
use crate::node::{Node, Parcel};
use crate::peers::{self, Missing, Peers, Question};
use crate::plan::{InstanceKey, Origin};
use crate::resolver::{Resolver, lock};
use crate::wake::Event;

/// How long a flight that has to be seen off anew waits for somebody to do so. In init_worker nobody will.
const ATTENDANCE: Duration = Duration::from_millis(100);

/// When a renewal is tried again whose flight left nothing, at the latest.
const RENEWED_AGAIN: Duration = Duration::from_secs(1);

/// The least part of a fetch's time that is left to a flight which other workers kept waiting.
const LEAST_PART: u32 = 8;

/// Sees to it that a flight lands and its passengers are woken, even where the fetch panics or is dropped.
struct Landing {
    resolver: Arc<Resolver>,
    ticket: u64,
    origin: Arc<Origin>,
    purpose: Purpose,
    outcome: Option<(Outcome, Option<Parcel>)>,
    /// What is left of the flight's time, where another worker kept it waiting.
    left: Option<Duration>,
    /// Whether the flight goes on, or has landed, without this task.
    ended: bool,
}

/// The socket by which other workers ask this one, for as long as its resolver lives.
#[derive(Debug)]
pub struct Ear {
    address: String,
    serving: tokio::task::AbortHandle,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Resolver {
    /// Boards a flight that nobody waits for and sees to its departure, or has it wait where its vault has enough to do.
    pub fn send(self: &Arc<Self>, origin: &Arc<Origin>, purpose: Purpose) {
        let is_probe = matches!(purpose, Purpose::Probe(_));
        if is_probe || !lock(&self.flights).defer(origin, &origin.instance, purpose) {
            self.send_now(origin, purpose);
        }
    }

    /// The same at once.
    fn send_now(self: &Arc<Self>, origin: &Arc<Origin>, purpose: Purpose) {
        // Best effort: whoever needs the value will ask, and hear of a failure then. A renewal is tried again.
        match self.board(origin, purpose, false) {
            Ok(Boarding::Boarded(ticket)) => self.see_off(ticket, origin, purpose),
            Ok(Boarding::Joined(_)) => {}
            Err(_) => {
                let soon = Instant::now() + RENEWED_AGAIN;
                lock(&self.cache).renew_at(origin, soon);
                self.rotation.expect(Some(soon));
            }
        }
    }

    /// Sees to a boarded flight's departure: by the worker, where it listens.
    fn see_off(self: &Arc<Self>, ticket: u64, origin: &Arc<Origin>, purpose: Purpose) {
        let node = Node::of_this_process();
        let name = node.map(|node| *origin.name(node)).unwrap_or_default();
        let event = match purpose {
            Purpose::Probe(_) => Event::Probing { ticket, name, vault: vault_name(origin) },
            _ => Event::Boarding { ticket, name, dead: None },
        };
        if !self.bell.ring(event) && !self.adopt(ticket, b"") {
            let _ = self.depart(ticket, None, false);
        }
    }

    /// Sends what waited for its turn, as a flight of that vault has landed.
    pub(crate) fn send_next(self: &Arc<Self>, vault: &InstanceKey) {
        loop {
            let next = lock(&self.flights).next_turn(vault);
            let Some((origin, purpose)) = next else { return };
            self.send_now(&origin, purpose);
        }
    }

    /// Lands a flight, has its passengers woken, and sees the one off that follows it.
    pub(crate) fn land(self: &Arc<Self>, ticket: u64, outcome: Outcome, parcel: Option<Parcel>) {
        let origin = lock(&self.flights).key(ticket);
        let away = parcel.as_ref().is_some_and(Parcel::is_outage);
        let landed = lock(&self.flights).land(ticket, outcome.clone(), parcel, Instant::now());
        if landed.passengers > 0 {
            self.bell.ring(Event::Landed { ticket });
        }
        let Some(origin) = origin else { return };
        match landed.next {
            // That the vault is away holds for those as well who asked while that was being found out.
            Some(next) if away => self.land(next, outcome, None),
            _ => self.landed(&origin, landed),
        }
    }

    /// Does what a landing leaves to be done, but wakes nobody.
    pub(crate) fn landed(self: &Arc<Self>, origin: &Arc<Origin>, landed: Landed) {
        self.renewal_ended(origin);
        let Some(next) = landed.next else { return };
        let Some(flight) = lock(&self.flights).boarding(next) else { return };
        self.see_off(next, origin, flight.purpose);
    }

    /// A renewal whose flight left nothing is tried again.
    fn renewal_ended(&self, origin: &Arc<Origin>) {
        let again = Instant::now() + RENEWED_AGAIN.mul_f64(0.5 + fastrand::f64() / 2.0);
        let next = {
            let mut cache = lock(&self.cache);
            cache.renewal_ended(origin, again);
            cache.next()
        };
        self.rotation.expect(next);
    }

    /// Starts the fetch of a boarded flight: by `peer`, another worker that is at it (its claim), or from the vault. With
    /// `owned`, the outcome has to be taken by `parcel` after the landing. Returns false where the other's fetch began
    /// too early to serve: the flight has to depart otherwise.
    pub fn depart(self: &Arc<Self>, ticket: u64, peer: Option<String>, owned: bool) -> Result<bool> {
        let engine = self.engine()?;
        let peer = peer.map(Claim::read);
        let departing = {
            let mut flights = lock(&self.flights);
            match &peer {
                None => Some(flights.depart(ticket, owned, Instant::now())),
                Some(claim) => flights.depart_elsewhere(ticket, claim.began()),
            }
        };
        let Some(Some(Departing { key: origin, purpose, after })) = departing else {
            // Either it has departed already, or it can't that way.
            return Ok(peer.is_none() || departing.is_none());
        };
        let after = after.and_then(|after| Some(Node::of_this_process()?.clock(after))).unwrap_or(0);
        let peer = peer.map(|claim| (after.max(claim.clock), claim));
        let whole = self.config().fetch_timeout;
        let left = lock(&self.flights).left(ticket, whole, Instant::now());
        let left = left.map(|left| left.max(whole / LEAST_PART));
        let resolver = Arc::clone(self);
        let landing = Landing { resolver, ticket, origin, purpose, outcome: None, left, ended: false };
        engine.spawn(landing.fly(peer));
        Ok(true)
    }

    /// Where other workers find this one. Starts the engine, so it is not for a process that forks.
    pub fn address(self: &Arc<Self>) -> Result<&str> {
        if let Some(ear) = self.ear.get() {
            return Ok(&ear.address);
        }
        let ear = self.listen(self.engine()?)?;
        Ok(&self.ear.get_or_init(|| ear).address)
    }

    fn listen(self: &Arc<Self>, engine: &Engine) -> Result<Ear> {
        let opened = engine.within(Peers::open);
        let peers = opened.map_err(|err| {
            Error::new(Kind::Internal, format!("kong-vault can't open a socket for its other workers ({err})"))
        })?;
        let (address, resolver) = (peers.name().to_owned(), Arc::downgrade(self));
        let serving = engine.spawn(peers.serve(move |question| answer(resolver.clone(), question)));
        Ok(Ear { address, serving })
    }
}

/// What another worker is told: the outcome of a flight that serves its question, once there is one.
async fn answer(resolver: Weak<Resolver>, Question { name, after }: Question) -> Option<Vec<u8>> {
    let node = Node::of_this_process()?;
    let watch = {
        let resolver = resolver.upgrade()?;
        let mut flights = lock(&resolver.flights);
        let ticket = flights.find(|origin| *origin.name(node) == name, node.instant(after)?, Instant::now())?;
        flights.watch(ticket)
    };
    let parcel = match watch {
        Watch::Landed(parcel) => parcel,
        Watch::UnderWay(landing) => landing.await.ok()?,
    };
    node.seal(&name, &parcel.filter(|parcel| node.clock(parcel.began()) > after)?)
}

/// Asks another worker for the outcome of its flight, and waits until that has landed.
async fn ask(address: String, origin: Arc<Origin>, after: u64) -> std::result::Result<Parcel, Missing> {
    let node = Node::of_this_process().ok_or(Missing::Unknown)?;
    let name = *origin.name(node);
    let sealed = peers::ask(&address, Question { name, after }).await?;
    node.open(&name, &sealed).filter(|parcel| node.clock(parcel.began()) > after).ok_or(Missing::Unknown)
}

/// Lands a flight with what another worker answers late, where nobody was quicker.
async fn hear_out(
    asking: impl Future<Output = std::result::Result<Parcel, Missing>>,
    resolver: Weak<Resolver>,
    ticket: u64,
    origin: Arc<Origin>,
) {
    let Ok(parcel) = asking.await else { return };
    // What the other could not have, this worker may.
    let Parcel::Value(value) = parcel else { return };
    let Some(resolver) = resolver.upgrade() else { return };
    if lock(&resolver.flights).has_landed(ticket) {
        return;
    }
    resolver.metrics.adopted.inc();
    let outcome = resolver.keep_parcel(&origin, Parcel::Value(value.clone()), false);
    resolver.land_served(ticket, &origin, outcome, Parcel::Value(value));
    resolver.send_next(&origin.instance);
}

impl Landing {
    async fn fly(mut self, peer: Option<(u64, Claim)>) {
        if let Some((after, claim)) = peer {
            let whole = self.left.unwrap_or(self.resolver.config().fetch_timeout);
            let start = Instant::now();
            let mut asking = Box::pin(ask(claim.address.clone(), Arc::clone(&self.origin), after));
            let mut answer = tokio::time::timeout(whole / 2, &mut asking).await;
            if answer.is_err() && !lock(&self.resolver.flights).is_awaited(self.ticket) {
                // A renewal has time, and a vault that is silent is not to be asked once more.
                answer = tokio::time::timeout(whole, &mut asking).await;
            }
            match answer {
                Ok(Ok(parcel)) => {
                    self.resolver.metrics.adopted.inc();
                    self.outcome = Some((self.resolver.keep_parcel(&self.origin, parcel, self.is_probe()), None));
                    return;
                }
                Ok(Err(_)) => {}
                // It may be stopped, or its vault may be slow: whichever is first now, it or we.
                Err(_) => {
                    let resolver = Arc::downgrade(&self.resolver);
                    let hearing = hear_out(asking, resolver, self.ticket, Arc::clone(&self.origin));
                    tokio::spawn(tokio::time::timeout(whole, hearing));
                }
            }
            self.left = Some(whole.saturating_sub(start.elapsed()).max(whole / LEAST_PART));
            self.resolver.bell.attended(ATTENDANCE).await;
            if self.call_back(&claim.text) {
                return;
            }
            lock(&self.resolver.flights).depart(self.ticket, false, Instant::now());
        }
        if self.finds_fresh() {
            return;
        }
        let (resolver, origin) = (&self.resolver, &self.origin);
        // Where an old value serves, its next renewal is the next attempt; one that is held ends with this one.
        let held = lock(&resolver.cache).peek(origin).is_some_and(Entry::is_held);
        let serves = matches!(resolver.peek(origin), Found::Fresh(_) | Found::Stale { .. }) && !held;
        let attempts = if serves || self.is_probe() { 1 } else { ATTEMPTS };
        resolver.metrics.fetches.inc();
        let done = resolver.instances.fetch(origin, attempts, self.left).await;
        if resolver.keeper(origin).is_none() {
            // The vault has other options by now: who was late must not bring back its connections and its logins.
            for farewell in resolver.instances.forget(|key| *key == origin.instance) {
                tokio::spawn(farewell);
            }
        }
        let (outcome, parcel) = resolver.keep(origin, done);
        self.outcome = Some((outcome, Some(parcel)));
    }

    /// Lands the flight with a value that came between the look-up that missed it and this departure.
    fn finds_fresh(&mut self) -> bool {
        let value = {
            let cache = lock(&self.resolver.cache);
            let entry = cache.peek(&self.origin).filter(|entry| matches!(entry.look(Instant::now()), Found::Fresh(_)));
            entry.and_then(|entry| entry.value().cloned())
        };
        let Some(value) = value.filter(|_| self.purpose == Purpose::Miss) else { return false };
        let outcome = Ok(Arc::clone(&value.document));
        self.ended = self.resolver.land_served(self.ticket, &self.origin, outcome, Parcel::Value(value));
        if self.ended {
            self.resolver.send_next(&self.origin.instance);
        }
        self.ended
    }

    /// Has the worker see the flight off once more, past `peer`; false where it does not listen.
    fn call_back(&mut self, peer: &str) -> bool {
        let name = Node::of_this_process().map(|node| *self.origin.name(node)).unwrap_or_default();
        let event = Event::Boarding { ticket: self.ticket, name, dead: Some(peer.to_owned()) };
        self.ended =
            lock(&self.resolver.flights).call_back(self.ticket, Instant::now()) && self.resolver.bell.ring(event);
        self.ended
    }

    fn is_probe(&self) -> bool {
        matches!(self.purpose, Purpose::Probe(_))
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.ended {
            let (outcome, parcel) = self.outcome.take().unwrap_or_else(|| (Err(self.origin.ended_early()), None));
            self.resolver.land(self.ticket, outcome, parcel);
            self.resolver.send_next(&self.origin.instance);
        }
    }
}
