//! One flight per document: whoever wants a document that is being fetched joins the fetch.
//!
//! A flight is boarded, departs and lands. Between the first two its worker's Lua side asks the node's cache whether
//! another worker has the document, or is fetching it.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::document::Document;
use crate::error::{Error, Kind, Result};
use crate::node::Parcel;

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

/// What a flight brought.
pub type Outcome = Result<Arc<Document>>;

/// Why a document is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It isn't there: any value that is fresh will do.
    Miss,
    /// It is there, but a newer one than from that time is wanted.
    Newer(Instant),
    /// To learn whether its vault is back; newer as well.
    Probe(Instant),
}

impl Purpose {
    /// After which time a value has to be from.
    pub fn since(self) -> Option<Instant> {
        match self {
            Purpose::Miss => None,
            Purpose::Newer(than) | Purpose::Probe(than) => Some(than),
        }
    }

    /// Whether a value of that time is what was wanted.
    pub fn is_served_by(self, at: Instant) -> bool {
        self.since().is_none_or(|since| at > since)
    }
}

/// Whether a passenger found a flight or has to see to its departure.
#[derive(Debug, PartialEq, Eq)]
pub enum Boarding {
    Joined(u64),
    Boarded(u64),
}

/// What somebody sees who watches a flight.
#[derive(Debug)]
pub enum Watch {
    /// It has landed with that parcel.
    Landed(Option<Parcel>),
    UnderWay(oneshot::Receiver<Option<Parcel>>),
}

enum Stage {
    Boarding { since: Instant },
    UnderWay,
    Landed { outcome: Outcome, parcel: Option<Parcel> },
}

struct Flight<K, G> {
    key: K,
    vault: G,
    purpose: Purpose,
    passengers: usize,
    /// When it was boarded first, and whether it was called back since.
    since: Instant,
    called_back: bool,
    /// Whether somebody has to take its parcel.
    owned: bool,
    stage: Stage,
    watchers: Vec<oneshot::Sender<Option<Parcel>>>,
}

/// All flights of one resolver: those that have not landed, and those whose outcome has not been claimed yet. `G` tells
/// vaults apart.
pub struct Flights<K, G> {
    open: HashMap<K, u64>,
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
    /// Takes a seat in the document's flight, or in a new one. A passenger that `waits` has to call `claim`. Where there
    /// are too many flights, no new one is begun.
    pub fn board(&mut self, key: &K, vault: &G, purpose: Purpose, waits: bool, now: Instant) -> Result<Boarding> {
        if let Some(joined) = self.join(key, waits, now) {
            return Ok(joined);
        }
        let of_vault = self.of_vault(vault);
        if self.open.len() >= LIMIT || of_vault >= LIMIT_PER_VAULT {
            let text = format!("{of_vault} fetches from this vault are under way already: try again later");
            return Err(Error::new(Kind::Throttled, text));
        }
        Ok(self.begin(key, vault, purpose, waits, now))
    }

    /// The same for somebody who has only so many under way, and waits for his turn with the others.
    pub fn board_in_turn(&mut self, key: &K, vault: &G, purpose: Purpose, waits: bool, now: Instant) -> Boarding {
        match self.join(key, waits, now) {
            Some(joined) => joined,
            None => self.begin(key, vault, purpose, waits, now),
        }
    }

    fn join(&mut self, key: &K, waits: bool, now: Instant) -> Option<Boarding> {
        let ticket = *self.open.get(key)?;
        let flight = self.flights.get_mut(&ticket)?;
        flight.passengers += usize::from(waits);
        Some(match &mut flight.stage {
            Stage::Boarding { since } if now.saturating_duration_since(*since) >= UNATTENDED => {
                *since = now;
                Boarding::Boarded(ticket)
            }
            _ => Boarding::Joined(ticket),
        })
    }

    fn begin(&mut self, key: &K, vault: &G, purpose: Purpose, waits: bool, now: Instant) -> Boarding {
        let ticket = next_ticket();
        self.open.insert(key.clone(), ticket);
        *self.per_vault.entry(vault.clone()).or_default() += 1;
        let flight = Flight {
            key: key.clone(),
            vault: vault.clone(),
            purpose,
            passengers: usize::from(waits),
            since: now,
            called_back: false,
            owned: false,
            stage: Stage::Boarding { since: now },
            watchers: Vec::new(),
        };
        self.flights.insert(ticket, flight);
        Boarding::Boarded(ticket)
    }

    fn of_vault(&self, vault: &G) -> usize {
        self.per_vault.get(vault).copied().unwrap_or(0)
    }

    /// Has a fetch that nobody waits for wait for its turn, where its vault has enough to do; false: it may begin.
    pub fn defer(&mut self, key: &K, vault: &G, purpose: Purpose) -> bool {
        if self.of_vault(vault) < BACKGROUND_PER_VAULT || self.open.contains_key(key) {
            return false;
        }
        let waiting = self.deferred.entry(vault.clone()).or_default();
        if waiting.len() < LONGEST_QUEUE {
            waiting.push_back((key.clone(), purpose));
        }
        true
    }

    /// Takes out what waited for its turn, where a vault has room for it by now.
    pub fn next_turn(&mut self, vault: &G) -> Option<(K, Purpose)> {
        if self.of_vault(vault) >= BACKGROUND_PER_VAULT {
            return None;
        }
        let waiting = self.deferred.get_mut(vault)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.deferred.remove(vault);
        }
        next
    }

    /// A flight that waits for its departure.
    pub fn boarding(&self, ticket: u64) -> Option<(K, Purpose)> {
        let flight = self.flights.get(&ticket)?;
        matches!(flight.stage, Stage::Boarding { .. }).then(|| (flight.key.clone(), flight.purpose))
    }

    /// What a flight brings, as long as somebody has a seat in it.
    pub fn key(&self, ticket: u64) -> Option<K> {
        self.flights.get(&ticket).map(|flight| flight.key.clone())
    }

    /// Lets a flight depart; `None` where it has already. With `owned`, its parcel has to be taken with `parcel`.
    pub fn depart(&mut self, ticket: u64, owned: bool) -> Option<(K, Purpose)> {
        let departing = self.boarding(ticket)?;
        let flight = self.flights.get_mut(&ticket)?;
        flight.stage = Stage::UnderWay;
        if owned && !flight.owned {
            flight.owned = true;
            flight.passengers += 1;
        }
        Some(departing)
    }

    /// What is left of the time that a flight may take in all, where it was called back: who waits for it does so since
    /// it was boarded. `None` where it has its whole time, or is unknown.
    pub fn left(&self, ticket: u64, whole: Duration, now: Instant) -> Option<Duration> {
        let flight = self.flights.get(&ticket).filter(|flight| flight.called_back)?;
        Some(whole.saturating_sub(now.saturating_duration_since(flight.since)))
    }

    /// Calls a flight back, to depart anew.
    pub fn call_back(&mut self, ticket: u64, now: Instant) -> bool {
        match self.flights.get_mut(&ticket) {
            Some(flight) if matches!(flight.stage, Stage::UnderWay) => {
                flight.stage = Stage::Boarding { since: now };
                flight.called_back = true;
                true
            }
            _ => false,
        }
    }

    /// Brings a flight's outcome. Returns how many passengers it has.
    pub fn land(&mut self, ticket: u64, outcome: Outcome, parcel: Option<Parcel>, now: Instant) -> usize {
        while let Some(&(since, old)) = self.landed.front() {
            if now.saturating_duration_since(since) < UNCLAIMED {
                break;
            }
            self.landed.pop_front();
            self.flights.remove(&old);
        }
        let Some(flight) = self.flights.get_mut(&ticket) else { return 0 };
        if matches!(flight.stage, Stage::Landed { .. }) {
            return 0;
        }
        self.open.remove(&flight.key);
        if let Some(count) = self.per_vault.get_mut(&flight.vault) {
            *count -= 1;
            if *count == 0 {
                self.per_vault.remove(&flight.vault);
            }
        }
        for watcher in flight.watchers.drain(..) {
            // Whoever doesn't listen any more doesn't want it.
            let _ = watcher.send(parcel.clone());
        }
        let passengers = flight.passengers;
        if passengers == 0 {
            self.flights.remove(&ticket);
        } else {
            flight.stage = Stage::Landed { outcome, parcel };
            self.landed.push_back((now, ticket));
        }
        passengers
    }

    /// What a flight brought, for one passenger; `None` where it has not landed, or is unknown.
    pub fn claim(&mut self, ticket: u64) -> Option<Outcome> {
        self.leave(ticket, |stage| match stage {
            Stage::Landed { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
    }

    /// What a flight brought, for whoever let it depart as `owned`: once it landed, to be handed on.
    pub fn parcel(&mut self, ticket: u64) -> Option<(K, Option<Parcel>)> {
        let flight = self.flights.get_mut(&ticket).filter(|flight| flight.owned)?;
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

    /// The flight of a document that `wanted` recognises, whether it has landed or not.
    pub fn find(&self, wanted: impl Fn(&K) -> bool) -> Option<u64> {
        self.flights.iter().find(|(_, flight)| wanted(&flight.key)).map(|(ticket, _)| *ticket)
    }

    /// How many documents are being fetched.
    pub fn under_way(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests;
