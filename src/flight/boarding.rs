//! Who takes a seat in which flight, and what waits until its vault has less to do.

use std::hash::Hash;
use std::time::Instant;

use super::{
    BACKGROUND_PER_VAULT, Boarding, Flight, Flights, LIMIT, LIMIT_PER_VAULT, LONGEST_QUEUE, Open, Purpose, Stage,
    UNATTENDED, next_ticket,
};
use crate::error::{Error, Kind, Result};

impl<K: Hash + Eq + Clone, G: Hash + Eq + Clone> Flights<K, G> {
    /// Takes a seat in a flight of the document that serves the purpose, or in a new one; nothing that began before
    /// `floor` serves anybody. A passenger that `waits` has to call `claim`. Where there are too many flights, no new one is
    /// begun.
    pub fn board(
        &mut self,
        key: &K,
        vault: &G,
        purpose: Purpose,
        floor: Option<Instant>,
        waits: bool,
        now: Instant,
    ) -> Result<Boarding> {
        if let Some(joined) = self.join(key, purpose, floor, waits, now) {
            return Ok(joined);
        }
        let of_vault = self.of_vault(vault);
        if self.open.len() >= LIMIT || of_vault >= LIMIT_PER_VAULT {
            let text = format!("{of_vault} fetches from this vault are in progress: try again later");
            return Err(Error::new(Kind::Throttled, text));
        }
        Ok(self.begin(key, vault, purpose, floor, waits, now))
    }

    /// The same for somebody who has only so many under way, and waits for his turn with the others.
    pub fn board_in_turn(
        &mut self,
        key: &K,
        vault: &G,
        purpose: Purpose,
        floor: Option<Instant>,
        waits: bool,
        now: Instant,
    ) -> Boarding {
        let joined = self.join(key, purpose, floor, waits, now);
        joined.unwrap_or_else(|| self.begin(key, vault, purpose, floor, waits, now))
    }

    fn join(
        &mut self,
        key: &K,
        purpose: Purpose,
        floor: Option<Instant>,
        waits: bool,
        now: Instant,
    ) -> Option<Boarding> {
        self.let_go(now);
        let after = purpose.since().max(floor);
        let open = *self.open.get(key)?;
        for ticket in [Some(open.first), open.next].into_iter().flatten() {
            let Some(flight) = self.flights.get_mut(&ticket) else { continue };
            if !flight.takes(purpose, after) {
                continue;
            }
            flight.passengers += usize::from(waits);
            return Some(match &mut flight.stage {
                Stage::Boarding { since } if now.saturating_duration_since(*since) >= UNATTENDED => {
                    *since = now;
                    Boarding::Boarded(ticket)
                }
                _ => Boarding::Joined(ticket),
            });
        }
        None
    }

    fn begin(
        &mut self,
        key: &K,
        vault: &G,
        purpose: Purpose,
        floor: Option<Instant>,
        waits: bool,
        now: Instant,
    ) -> Boarding {
        let (ticket, open) = (next_ticket(), self.open.get(key).copied());
        *self.per_vault.entry(vault.clone()).or_default() += 1;
        let flight = Flight {
            key: key.clone(),
            vault: vault.clone(),
            purpose,
            after: purpose.since().max(floor),
            passengers: usize::from(waits),
            since: now,
            called_back: false,
            owned: false,
            stage: if open.is_some() { Stage::Queued } else { Stage::Boarding { since: now } },
            watchers: Vec::new(),
        };
        self.flights.insert(ticket, flight);
        let first = open.map_or(ticket, |open| open.first);
        self.open.insert(key.clone(), Open { first, next: open.map(|_| ticket) });
        if open.is_some() { Boarding::Joined(ticket) } else { Boarding::Boarded(ticket) }
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
}
