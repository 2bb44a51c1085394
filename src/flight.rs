//! One flight per document: whoever wants a document that is being fetched joins the fetch, if that is young enough for
//! him: it has to begin after what he asked for happened. For those who want a newer outcome than the fetch under way
//! will bring, one further flight follows it.
//!
//! A flight is boarded, departs and lands. Between the first two its worker's Lua side asks the node's cache whether
//! another worker has the document, or is fetching it.

mod boarding;
mod purpose;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::node::Parcel;
use purpose::serves;
pub use purpose::{Boarding, Departing, Landed, Outcome, Purpose, Watch};

/// How many documents may be under way at once, for all vaults and for one: a slow vault leaves room for the others.
const LIMIT: usize = 4096;
const LIMIT_PER_VAULT: usize = 1024;

/// How many fetches of one vault may be under way for one more to begin that nobody waits for, and how many of those may
/// wait: whoever wants what is beyond that will ask for it.
const BACKGROUND_PER_VAULT: usize = 96;
const LONGEST_QUEUE: usize = 65536;

/// How long a result waits for a passenger that never comes: a coroutine may be killed while it waits.
const UNCLAIMED: Duration = Duration::from_secs(30);

/// How long a boarded flight may wait for whoever sees to its departure, before somebody else may.
const UNATTENDED: Duration = Duration::from_secs(1);

/// Tickets are unique in the process: several Lua VMs share an engine. They stay below 2^53, exact in a Lua number.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(1);

/// A ticket that nothing has had.
pub fn next_ticket() -> u64 {
    NEXT_TICKET.fetch_add(1, Ordering::Relaxed)
}

enum Stage {
    /// It follows the one that is under way.
    Queued,
    Boarding {
        since: Instant,
    },
    /// What it brings began after `began`. `elsewhere`: another worker fetches it.
    UnderWay {
        began: Instant,
        elsewhere: bool,
    },
    Landed {
        outcome: Outcome,
        parcel: Option<Parcel>,
    },
}

struct Flight<K, G> {
    key: K,
    vault: G,
    purpose: Purpose,
    after: Option<Instant>,
    passengers: usize,
    /// When it was boarded first, and whether it was called back since.
    since: Instant,
    called_back: bool,
    /// Whether somebody has to take its parcel.
    owned: bool,
    stage: Stage,
    watchers: Vec<oneshot::Sender<Option<Parcel>>>,
}

impl<K, G> Flight<K, G> {
    /// Whether its outcome will serve somebody who wants it for that; if so, and it has not departed yet, it is bound to.
    fn takes(&mut self, purpose: Purpose, after: Option<Instant>) -> bool {
        match self.stage {
            Stage::Queued | Stage::Boarding { .. } => {
                self.purpose = self.purpose.and(purpose);
                self.after = self.after.max(after);
                true
            }
            // It began when it departed, at the earliest.
            Stage::UnderWay { began, .. } if after.is_none_or(|after| began >= after) => {
                self.after = self.after.max(after);
                true
            }
            Stage::UnderWay { .. } => false,
            Stage::Landed { .. } => false,
        }
    }
}

/// The flights of a document that have not landed.
#[derive(Clone, Copy)]
struct Open {
    first: u64,
    next: Option<u64>,
}

/// All flights of one resolver: those that have not landed, and those whose outcome has not been claimed yet. `G` tells
/// vaults apart.
pub struct Flights<K, G> {
    open: HashMap<K, Open>,
    per_vault: HashMap<G, usize>,
    flights: HashMap<u64, Flight<K, G>>,
    landed: VecDeque<(Instant, u64)>,
    deferred: HashMap<G, VecDeque<(K, Purpose)>>,
}

impl<K, G> Default for Flights<K, G> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            per_vault: HashMap::new(),
            flights: HashMap::new(),
            landed: VecDeque::new(),
            deferred: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, G: Hash + Eq + Clone> Flights<K, G> {
    /// A flight that waits for its departure.
    pub fn boarding(&self, ticket: u64) -> Option<Departing<K>> {
        let flight = self.flights.get(&ticket)?;
        matches!(flight.stage, Stage::Boarding { .. }).then(|| Departing {
            key: flight.key.clone(),
            purpose: flight.purpose,
            after: flight.after,
        })
    }

    /// What a flight brings, as long as somebody has a seat in it.
    pub fn key(&self, ticket: u64) -> Option<K> {
        self.flights.get(&ticket).map(|flight| flight.key.clone())
    }

    /// Whether somebody has a seat in it.
    pub fn has_passengers(&self, ticket: u64) -> bool {
        self.flights.get(&ticket).is_some_and(|flight| flight.passengers > 0)
    }

    /// Lets a flight depart; `None` where it has already. With `owned`, its parcel has to be taken with `parcel`.
    pub fn depart(&mut self, ticket: u64, owned: bool, now: Instant) -> Option<Departing<K>> {
        let departing = self.boarding(ticket)?;
        let flight = self.flights.get_mut(&ticket)?;
        flight.stage = Stage::UnderWay { began: now, elsewhere: false };
        if owned && !flight.owned {
            flight.owned = true;
            flight.passengers += 1;
        }
        Some(departing)
    }

    /// The same by way of another worker, whose fetch began after `began`. `Some(None)` where that is too early: it stays.
    pub fn depart_elsewhere(&mut self, ticket: u64, began: Option<Instant>) -> Option<Option<Departing<K>>> {
        let departing = self.boarding(ticket)?;
        let flight = self.flights.get_mut(&ticket)?;
        if flight.after.zip(began).is_some_and(|(after, began)| began < after) {
            return Some(None);
        }
        // Where nobody knows when it began, the other answers only if it serves those who are aboard.
        let began = began.or(flight.after).unwrap_or(flight.since);
        flight.stage = Stage::UnderWay { began, elsewhere: true };
        Some(Some(departing))
    }

    /// Whether anybody waits for a flight.
    pub fn is_awaited(&self, ticket: u64) -> bool {
        self.flights.get(&ticket).is_some_and(|flight| flight.passengers > 0)
    }

    /// What is left of the time that a flight may take in all, where it was called back: who waits for it does so since
    /// it was boarded. `None` where it has its whole time, or nobody waits.
    pub fn left(&self, ticket: u64, whole: Duration, now: Instant) -> Option<Duration> {
        let flight = self.flights.get(&ticket).filter(|flight| flight.called_back && flight.passengers > 0)?;
        Some(whole.saturating_sub(now.saturating_duration_since(flight.since)))
    }

    /// Calls a flight back, to depart anew.
    pub fn call_back(&mut self, ticket: u64, now: Instant) -> bool {
        match self.flights.get_mut(&ticket) {
            Some(flight) if matches!(flight.stage, Stage::UnderWay { .. }) => {
                flight.stage = Stage::Boarding { since: now };
                flight.called_back = true;
                true
            }
            _ => false,
        }
    }

    /// Brings a flight's outcome.
    pub fn land(&mut self, ticket: u64, outcome: Outcome, parcel: Option<Parcel>, now: Instant) -> Landed {
        self.let_go(now);
        let Some(flight) = self.flights.get_mut(&ticket) else { return Landed::default() };
        if matches!(flight.stage, Stage::Landed { .. }) {
            return Landed::default();
        }
        for watcher in flight.watchers.drain(..) {
            // Whoever doesn't listen any more doesn't want it.
            let _ = watcher.send(parcel.clone());
        }
        let passengers = flight.passengers;
        if let Some(count) = self.per_vault.get_mut(&flight.vault) {
            *count -= 1;
            if *count == 0 {
                self.per_vault.remove(&flight.vault);
            }
        }
        let key = flight.key.clone();
        if passengers == 0 {
            self.flights.remove(&ticket);
        } else {
            flight.stage = Stage::Landed { outcome, parcel };
            self.landed.push_back((now, ticket));
        }
        Landed { passengers, next: self.follow_up(&key, ticket, now) }
    }

    /// Lands a flight with what a fetch brought that began then, if that serves all who are aboard by now.
    pub fn land_served(
        &mut self,
        ticket: u64,
        began: Instant,
        outcome: Outcome,
        parcel: Option<Parcel>,
        now: Instant,
    ) -> Option<Landed> {
        let flight = self.flights.get(&ticket).filter(|flight| serves(began, flight.after))?;
        if matches!(flight.stage, Stage::Landed { .. }) {
            return None;
        }
        Some(self.land(ticket, outcome, parcel, now))
    }

    /// Has the flight that waited for this one's landing take its turn.
    fn follow_up(&mut self, key: &K, landed: u64, now: Instant) -> Option<u64> {
        let open = self.open.get_mut(key)?;
        if open.first != landed {
            open.next = None;
            return None;
        }
        let Some(next) = open.next.take() else {
            self.open.remove(key);
            return None;
        };
        open.first = next;
        let flight = self.flights.get_mut(&next)?;
        flight.stage = Stage::Boarding { since: now };
        flight.since = now;
        Some(next)
    }

    /// Lets go of outcomes that nobody has claimed for long.
    fn let_go(&mut self, now: Instant) {
        while let Some(&(since, old)) = self.landed.front() {
            if now.saturating_duration_since(since) < UNCLAIMED {
                break;
            }
            self.landed.pop_front();
            self.flights.remove(&old);
        }
    }

    /// What a flight brought, for one passenger; `None` where it has not landed, or is unknown.
    pub fn claim(&mut self, ticket: u64, now: Instant) -> Option<Outcome> {
        self.let_go(now);
        self.leave(ticket, |stage| match stage {
            Stage::Landed { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
    }

    /// What a flight brought, for whoever let it depart as `owned`: once it landed, to be handed on, and once only, as
    /// the other seats are others'.
    pub fn parcel(&mut self, ticket: u64) -> Option<(K, Option<Parcel>)> {
        let has_landed = |flight: &&mut Flight<K, G>| matches!(flight.stage, Stage::Landed { .. });
        let flight = self.flights.get_mut(&ticket).filter(|flight| flight.owned).filter(has_landed)?;
        flight.owned = false;
        let key = flight.key.clone();
        let parcel = self.leave(ticket, |stage| match stage {
            Stage::Landed { parcel, .. } => Some(parcel.clone()),
            _ => None,
        })?;
        Some((key, parcel))
    }

    fn leave<T>(&mut self, ticket: u64, take: impl FnOnce(&Stage) -> Option<T>) -> Option<T> {
        let flight = self.flights.get_mut(&ticket)?;
        flight.passengers = flight.passengers.saturating_sub(1);
        let taken = take(&flight.stage)?;
        if flight.passengers == 0 {
            self.flights.remove(&ticket);
        }
        Some(taken)
    }

    /// Whether a flight is not to be waited for any more.
    pub fn has_landed(&self, ticket: u64) -> bool {
        self.flights.get(&ticket).is_none_or(|flight| matches!(flight.stage, Stage::Landed { .. }))
    }

    /// Watches a flight without a seat in it.
    pub fn watch(&mut self, ticket: u64) -> Watch {
        match self.flights.get_mut(&ticket) {
            None => Watch::Landed(None),
            Some(Flight { stage: Stage::Landed { parcel, .. }, .. }) => Watch::Landed(parcel.clone()),
            Some(flight) => {
                let (sender, receiver) = oneshot::channel();
                flight.watchers.push(sender);
                Watch::UnderWay(receiver)
            }
        }
    }

    /// The newest flight of this worker for a document that `wanted` recognises, whether it has landed or not, whose
    /// outcome's fetch began after that time. One that another worker fetches is for that worker to tell of.
    pub fn find(&mut self, wanted: impl Fn(&K) -> bool, after: Instant, now: Instant) -> Option<u64> {
        self.let_go(now);
        let is_it = |flight: &Flight<K, G>| match &flight.stage {
            Stage::Queued => false,
            Stage::Boarding { .. } => true,
            Stage::UnderWay { began, elsewhere } => !elsewhere && *began >= after,
            Stage::Landed { parcel, .. } => parcel.as_ref().is_some_and(|parcel| parcel.began() > after),
        };
        let found = self.flights.iter().filter(|(_, flight)| is_it(flight) && wanted(&flight.key));
        found.map(|(ticket, _)| *ticket).max()
    }

    /// How many documents are being fetched.
    pub fn under_way(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests;
