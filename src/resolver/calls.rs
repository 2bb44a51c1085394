//! The calls of one resolver, shared by its threads: `Singleflight` behind a lock, with the time of now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::node::SealedOutcome;
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::singleflight::{
    CallWatch, Completion, JoinOutcome, Joiner, Outcome, Purpose, Singleflight, Unstarted,
};
use crate::spans::{Requests, TraceContext};
use crate::sync::{Rank, Ranked};

type Key = Arc<DocumentKey>;

/// See `Singleflight`, whose methods these are.
pub struct Calls(Ranked<Singleflight<Key, InstanceKey>>);

impl Default for Calls {
    fn default() -> Self {
        Self(Ranked::new(Rank::Calls, Singleflight::default()))
    }
}

impl Calls {
    pub fn join_or_create(
        &self,
        key: &Key,
        purpose: Purpose,
        floor: Option<Instant>,
        joiner: Joiner,
    ) -> Result<JoinOutcome> {
        self.0.lock().join_or_create(key, &key.instance, purpose, floor, joiner, Instant::now())
    }

    pub fn defer(&self, key: &Key, purpose: Purpose) -> bool {
        self.0.lock().defer(key, &key.instance, purpose)
    }

    pub fn next_turn(&self, vault: &InstanceKey) -> Option<(Key, Purpose)> {
        self.0.lock().next_turn(vault)
    }

    pub fn unstarted(&self, ticket: u64) -> Option<Unstarted<Key>> {
        self.0.lock().unstarted(ticket)
    }

    pub fn key(&self, ticket: u64) -> Option<Key> {
        self.0.lock().key(ticket)
    }

    pub fn start_fetch(&self, ticket: u64, owned: bool) -> Option<Unstarted<Key>> {
        self.0.lock().start_fetch(ticket, owned, Instant::now())
    }

    pub fn start_elsewhere(&self, ticket: u64, began: Option<Instant>) -> Option<Option<Unstarted<Key>>> {
        self.0.lock().start_elsewhere(ticket, began)
    }

    pub fn requeue(&self, ticket: u64) -> bool {
        self.0.lock().requeue(ticket, Instant::now())
    }

    pub fn left(&self, ticket: u64, whole: Duration) -> Option<Duration> {
        self.0.lock().left(ticket, whole, Instant::now())
    }

    pub fn complete(&self, ticket: u64, outcome: Outcome, sealed_outcome: Option<SealedOutcome>) -> Completion {
        self.0.lock().complete(ticket, outcome, sealed_outcome, Instant::now())
    }

    pub fn complete_if_served(
        &self,
        ticket: u64,
        began: Instant,
        outcome: Outcome,
        sealed_outcome: Option<SealedOutcome>,
    ) -> Option<Completion> {
        self.0.lock().complete_if_served(ticket, began, outcome, sealed_outcome, Instant::now())
    }

    pub fn note_request(&self, ticket: u64, request: Option<TraceContext>) {
        self.0.lock().note_request(ticket, request);
    }

    pub fn requests(&self, ticket: u64) -> Requests {
        self.0.lock().requests(ticket)
    }

    pub fn is_awaited(&self, ticket: u64) -> bool {
        self.0.lock().is_awaited(ticket)
    }

    pub fn is_completed(&self, ticket: u64) -> bool {
        self.0.lock().is_completed(ticket)
    }

    pub fn collect(&self, ticket: u64) -> Option<Outcome> {
        self.0.lock().collect(ticket, Instant::now())
    }

    pub fn sealed_outcome(&self, ticket: u64) -> Option<(Key, Option<SealedOutcome>)> {
        self.0.lock().sealed_outcome(ticket)
    }

    pub fn watch(&self, ticket: u64) -> CallWatch {
        self.0.lock().watch(ticket)
    }

    /// `find` and `watch` in one, so that the call can't end between them.
    pub fn find_and_watch(&self, wanted: impl Fn(&Key) -> bool, after: Instant) -> Option<(Key, CallWatch)> {
        let mut calls = self.0.lock();
        let ticket = calls.find(wanted, after, Instant::now())?;
        Some((calls.key(ticket)?, calls.watch(ticket)))
    }

    /// The documents that are being fetched, of those that are `wanted`.
    pub fn open_keys(&self, wanted: impl Fn(&Key) -> bool) -> Vec<Key> {
        self.0.lock().open_keys(wanted)
    }

    pub fn under_way(&self) -> usize {
        self.0.lock().under_way()
    }

    /// Tells how many documents are being fetched, so that what is told last is what is so.
    pub fn tell_under_way(&self, tell: impl FnOnce(usize)) {
        let calls = self.0.lock();
        tell(calls.under_way());
    }
}
