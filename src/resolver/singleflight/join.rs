//! Joins and creates calls, and defers fetches that nobody waits for.

use std::hash::Hash;
use std::time::Instant;

use super::{
    BACKGROUND_PER_VAULT, Call, JoinOutcome, Joiner, LIMIT, LIMIT_PER_VAULT, LONGEST_QUEUE, Open, Purpose,
    Singleflight, Stage, UNSTARTED,
};
use crate::error::{Error, Kind, Result};
use crate::runtime::ticket::next_ticket;
use crate::spans::Requests;

impl<K: Hash + Eq + Clone, G: Hash + Eq + Clone> Singleflight<K, G> {
    /// Joins a call of the document that serves the purpose, or creates one. An outcome whose fetch began before
    /// `floor` serves nobody. Where there are too many calls, only a joiner that queues may create one.
    pub fn join_or_create(
        &mut self,
        key: &K,
        vault: &G,
        purpose: Purpose,
        floor: Option<Instant>,
        joiner: Joiner,
        now: Instant,
    ) -> Result<JoinOutcome> {
        if let Some(joined) = self.join(key, purpose, floor, joiner, now) {
            return Ok(joined);
        }
        let of_vault = self.of_vault(vault);
        if !joiner.queues && (self.open.len() >= LIMIT || of_vault >= LIMIT_PER_VAULT) {
            let text = format!("{of_vault} fetches from this vault are in progress: try again later");
            return Err(Error::new(Kind::Throttled, text));
        }
        Ok(self.begin(key, vault, purpose, floor, joiner, now))
    }

    fn join(
        &mut self,
        key: &K,
        purpose: Purpose,
        floor: Option<Instant>,
        joiner: Joiner,
        now: Instant,
    ) -> Option<JoinOutcome> {
        self.drop_uncollected(now);
        let after = purpose.since().max(floor);
        let open = *self.open.get(key)?;
        for ticket in [Some(open.first), open.next].into_iter().flatten() {
            let Some(call) = self.calls.get_mut(&ticket) else { continue };
            if !call.takes(purpose, after) {
                continue;
            }
            call.waiters += usize::from(joiner.waits);
            return Some(match &mut call.stage {
                Stage::Created { since } if now.saturating_duration_since(*since) >= UNSTARTED => {
                    *since = now;
                    JoinOutcome::Created(ticket)
                }
                _ => JoinOutcome::Joined(ticket),
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
        joiner: Joiner,
        now: Instant,
    ) -> JoinOutcome {
        let (ticket, open) = (next_ticket(), self.open.get(key).copied());
        *self.per_vault.entry(vault.clone()).or_default() += 1;
        let call = Call {
            key: key.clone(),
            vault: vault.clone(),
            purpose,
            after: purpose.since().max(floor),
            waiters: usize::from(joiner.waits),
            since: now,
            requeued: false,
            owned: false,
            gathers: joiner.queues || !joiner.waits,
            requests: Requests::default(),
            stage: if open.is_some() { Stage::Queued } else { Stage::Created { since: now } },
            watchers: Vec::new(),
        };
        self.calls.insert(ticket, call);
        let first = open.map_or(ticket, |open| open.first);
        self.open.insert(key.clone(), Open { first, next: open.map(|_| ticket) });
        if open.is_some() { JoinOutcome::Joined(ticket) } else { JoinOutcome::Created(ticket) }
    }

    fn of_vault(&self, vault: &G) -> usize {
        self.per_vault.get(vault).copied().unwrap_or(0)
    }

    /// Defers a fetch that nobody waits for, where its vault has enough to do, or drops it where too many are deferred.
    /// Returns false where it may begin.
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

    /// Takes out the next deferred fetch, where its vault has room for it.
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
