//! A flight, run on the engine: from another worker that is fetching the document, or from the vault.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::cache::{Entry, Found};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::exchange::vault_name;
use crate::fetch::ATTEMPTS;
use crate::flight::{Boarding, Outcome, Purpose, Watch};
use crate::node::{Node, Parcel};
use crate::peers::{self, Missing, Peers, Question};
use crate::plan::{InstanceKey, Origin};
use crate::resolver::{Resolver, lock};
use crate::wake::Event;

/// How long a flight that has to be seen off anew waits for somebody to do so. In init_worker nobody will.
const ATTENDANCE: Duration = Duration::from_millis(100);

/// When a renewal is tried again for which too much is under way.
const FULL: Duration = Duration::from_secs(1);

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
    /// Whether the flight goes on without this task.
    called_back: bool,
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

    /// The same at once, by the worker, where it listens.
    fn send_now(self: &Arc<Self>, origin: &Arc<Origin>, purpose: Purpose) {
        // Best effort: whoever needs the value will ask, and hear of a failure then.
        let ticket = match self.board(origin, purpose, false) {
            Ok(Boarding::Boarded(ticket)) => ticket,
            Ok(Boarding::Joined(_)) => return,
            Err(_) => {
                let soon = Instant::now() + FULL;
                lock(&self.cache).renew_at(origin, soon);
                return self.rotation.expect(Some(soon));
            }
        };
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

    /// Starts the fetch of a boarded flight: by `peer`, another worker that is at it, or from the vault. With `owned`,
    /// the outcome has to be taken by `parcel` after the landing.
    pub fn depart(self: &Arc<Self>, ticket: u64, peer: Option<String>, owned: bool) -> Result<()> {
        let engine = self.engine()?;
        let Some((origin, purpose)) = lock(&self.flights).depart(ticket, owned) else { return Ok(()) };
        let whole = self.config().fetch_timeout;
        let left = lock(&self.flights).left(ticket, whole, Instant::now());
        let left = left.map(|left| left.max(whole / LEAST_PART));
        let resolver = Arc::clone(self);
        let landing = Landing { resolver, ticket, origin, purpose, outcome: None, left, called_back: false };
        engine.spawn(landing.fly(peer));
        Ok(())
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
        let ticket = flights.find(|origin| *origin.name(node) == name)?;
        flights.watch(ticket)
    };
    let parcel = match watch {
        Watch::Landed(parcel) => parcel,
        Watch::UnderWay(landing) => landing.await.ok()?,
    };
    node.seal(&name, &parcel.filter(|parcel| node.clock(parcel.at()) > after)?)
}

/// Asks another worker for the outcome of its flight, and waits until that has landed.
async fn ask(peer: String, origin: Arc<Origin>, purpose: Purpose) -> std::result::Result<Parcel, Missing> {
    let node = Node::of_this_process().ok_or(Missing::Unknown)?;
    let name = origin.name(node);
    let question = Question { name: *name, after: purpose.since().map_or(0, |since| node.clock(since)) };
    node.open(name, &peers::ask(&peer, question).await?).ok_or(Missing::Unknown)
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
    let outcome = resolver.keep_parcel(&origin, Parcel::Value(value.clone()));
    resolver.land(ticket, outcome, Some(Parcel::Value(value)));
    resolver.send_next(&origin.instance);
}

impl Landing {
    async fn fly(mut self, peer: Option<String>) {
        if let Some(peer) = peer {
            let whole = self.left.unwrap_or(self.resolver.config().fetch_timeout);
            let start = Instant::now();
            let mut asking = Box::pin(ask(peer.clone(), Arc::clone(&self.origin), self.purpose));
            match tokio::time::timeout(whole / 2, &mut asking).await {
                Ok(Ok(parcel)) => {
                    self.resolver.metrics.adopted.inc();
                    self.outcome = Some((self.resolver.keep_parcel(&self.origin, parcel), None));
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
            self.left = Some(whole.saturating_sub(start.elapsed()));
            self.resolver.bell.attended(ATTENDANCE).await;
            if self.call_back(&peer) {
                return;
            }
            lock(&self.resolver.flights).depart(self.ticket, false);
        }
        let (resolver, origin) = (&self.resolver, &self.origin);
        self.outcome = Some(match resolver.peek(origin) {
            // It may have landed between the look-up that missed it and this departure.
            Found::Fresh(document) if self.purpose == Purpose::Miss => (Ok(document), None),
            before => {
                // Where an old value serves, its next renewal is the next attempt; one that is held ends with this one.
                let held = lock(&resolver.cache).peek(origin).is_some_and(Entry::is_held);
                let serves = matches!(before, Found::Fresh(_) | Found::Stale { .. }) && !held;
                let attempts = if serves || self.is_probe() { 1 } else { ATTEMPTS };
                resolver.metrics.fetches.inc();
                let done = resolver.instances.fetch(origin, attempts, self.left).await;
                let (outcome, parcel) = resolver.keep(origin, done);
                (outcome, Some(parcel))
            }
        });
    }

    /// Has the worker see the flight off once more, past `peer`; false where it does not listen.
    fn call_back(&mut self, peer: &str) -> bool {
        let name = Node::of_this_process().map(|node| *self.origin.name(node)).unwrap_or_default();
        let event = Event::Boarding { ticket: self.ticket, name, dead: Some(peer.to_owned()) };
        self.called_back =
            lock(&self.resolver.flights).call_back(self.ticket, Instant::now()) && self.resolver.bell.ring(event);
        self.called_back
    }

    fn is_probe(&self) -> bool {
        matches!(self.purpose, Purpose::Probe(_))
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.called_back {
            let (outcome, parcel) = self.outcome.take().unwrap_or_else(|| (Err(self.origin.ended_early()), None));
            self.resolver.land(self.ticket, outcome, parcel);
            self.resolver.send_next(&self.origin.instance);
        }
    }
}
