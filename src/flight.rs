//! One flight per document: whoever wants a document that is being fetched joins the fetch.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::document::Document;
use crate::error::{Error, Kind, Result};

/// How many documents may be under way at once. Each is a task and a connection of the engine's.
const LIMIT: usize = 4096;

/// How long a result waits for a passenger that never comes: a coroutine may be killed while it waits.
const UNCLAIMED: Duration = Duration::from_secs(30);

/// Tickets are unique in the process: several Lua VMs share an engine. They stay below 2^53, exact in a Lua number.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(1);

/// What a flight brought.
pub type Outcome = Result<Arc<Document>>;

/// Whether a passenger found a flight or has to see to one.
#[derive(Debug, PartialEq, Eq)]
pub enum Boarding {
    Joined(u64),
    Departed(u64),
}

struct Flight<K> {
    key: K,
    passengers: usize,
    outcome: Option<Outcome>,
}

/// All flights of one resolver: those under way and those whose outcome has not been claimed yet.
pub struct Flights<K> {
    under_way: HashMap<K, u64>,
    flights: HashMap<u64, Flight<K>>,
    landed: VecDeque<(Instant, u64)>,
}

impl<K: Hash + Eq + Clone> Default for Flights<K> {
    fn default() -> Self {
        Self { under_way: HashMap::new(), flights: HashMap::new(), landed: VecDeque::new() }
    }
}

impl<K: Hash + Eq + Clone> Flights<K> {
    /// Takes a seat in the document's flight, or in a new one. A passenger that `waits` has to call `claim`.
    pub fn board(&mut self, key: &K, waits: bool) -> Result<Boarding> {
        if let Some(&ticket) = self.under_way.get(key) {
            if let Some(flight) = self.flights.get_mut(&ticket) {
                flight.passengers += usize::from(waits);
            }
            return Ok(Boarding::Joined(ticket));
        }
        if self.under_way.len() >= LIMIT {
            return Err(Error::new(
                Kind::Unavailable,
                format!("{LIMIT} fetches are under way already: try again later"),
            ));
        }
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        self.under_way.insert(key.clone(), ticket);
        let flight = Flight { key: key.clone(), passengers: usize::from(waits), outcome: None };
        self.flights.insert(ticket, flight);
        Ok(Boarding::Departed(ticket))
    }

    /// Brings a flight's outcome.
    pub fn land(&mut self, ticket: u64, outcome: Outcome, now: Instant) {
        while let Some(&(since, old)) = self.landed.front() {
            if now.saturating_duration_since(since) < UNCLAIMED {
                break;
            }
            self.landed.pop_front();
            self.flights.remove(&old);
        }
        let Some(flight) = self.flights.get_mut(&ticket) else { return };
        self.under_way.remove(&flight.key);
        if flight.passengers == 0 {
            self.flights.remove(&ticket);
        } else {
            flight.outcome = Some(outcome);
            self.landed.push_back((now, ticket));
        }
    }

    /// What a flight brought, for one passenger; `None` where it is still under way, or unknown.
    pub fn claim(&mut self, ticket: u64) -> Option<Outcome> {
        let flight = self.flights.get_mut(&ticket)?;
        flight.passengers = flight.passengers.saturating_sub(1);
        let outcome = flight.outcome.clone()?;
        if flight.passengers == 0 {
            self.flights.remove(&ticket);
        }
        Some(outcome)
    }

    /// How many documents are being fetched.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn document() -> Arc<Document> {
        Arc::new(Document::new(Secret::new("1")))
    }

    #[test]
    fn one_flight_per_document_and_every_passenger_gets_its_outcome() {
        let mut flights = Flights::default();
        let Boarding::Departed(ticket) = flights.board(&"a", true).unwrap() else { panic!() };
        assert_eq!(flights.board(&"a", true).unwrap(), Boarding::Joined(ticket));
        assert!(matches!(flights.board(&"b", true).unwrap(), Boarding::Departed(other) if other != ticket));
        flights.land(ticket, Ok(document()), Instant::now());
        assert!(flights.claim(ticket).unwrap().is_ok());
        assert!(flights.claim(ticket).unwrap().is_ok());
        assert!(flights.claim(ticket).is_none());
        assert!(matches!(flights.board(&"a", true).unwrap(), Boarding::Departed(_)));
    }

    #[test]
    fn an_outcome_nobody_claims_is_let_go() {
        let (mut flights, now) = (Flights::default(), Instant::now());
        let Boarding::Departed(ticket) = flights.board(&"a", true).unwrap() else { panic!() };
        flights.land(ticket, Ok(document()), now);
        let Boarding::Departed(background) = flights.board(&"b", false).unwrap() else { panic!() };
        flights.land(background, Ok(document()), now + UNCLAIMED);
        assert_eq!((flights.flights.len(), flights.landed.len(), flights.under_way()), (0, 0, 0));
    }

    #[test]
    fn a_passenger_that_gives_up_leaves_the_flight_to_the_others() {
        let mut flights = Flights::default();
        let Boarding::Departed(ticket) = flights.board(&"a", true).unwrap() else { panic!() };
        flights.board(&"a", true).unwrap();
        assert!(flights.claim(ticket).is_none());
        flights.land(ticket, Ok(document()), Instant::now());
        assert!(flights.claim(ticket).unwrap().is_ok());
        assert!(flights.flights.is_empty());
    }

    #[test]
    fn the_number_of_flights_is_bounded() {
        let mut flights = Flights::default();
        for key in 0..LIMIT {
            flights.board(&key, true).unwrap();
        }
        assert_eq!(flights.board(&LIMIT, true).unwrap_err().kind(), Kind::Unavailable);
        assert!(flights.board(&0, true).is_ok());
    }
}
