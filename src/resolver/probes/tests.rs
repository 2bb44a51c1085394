//! Simulates several workers of a node, and one vault that fails and comes back. Each worker has the real breaker,
//! cache and probes; the shared dictionary is a model. What other threads can come between is split into steps.

use std::num::NonZeroUsize;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cache::document::Document;
use crate::cache::{CacheLookup, Dated, Due, TtlPolicy};
use crate::error::{Error, Kind};
use crate::resolver::breaker::{Breaker, Change, Ended};
use crate::secret::Secret;

const WORKERS: usize = 3;
const DOCUMENTS: u64 = 3;
const INTERVAL: Duration = Duration::from_secs(1);
const SECOND_LOOK: Duration = Duration::from_millis(300);
const TTL: Duration = Duration::from_secs(2);
/// A renewal is due 180 ms before the value's `ttl` ends: far more than a step and a quick fetch together.
const STEP: Duration = Duration::from_millis(25);
const QUICK: u64 = 20;
const TTL_POLICY: TtlPolicy = TtlPolicy {
    ttl: Some(TTL),
    neg_ttl: Duration::ZERO,
    resurrect_ttl: Duration::from_secs(100_000),
    min_ttl: Duration::ZERO,
    max_ttl: None,
};

/// What the workers have in common.
struct Node {
    now: Instant,
    is_well: bool,
    /// Until when the dictionary says that the vault is back, and that somebody probes it.
    up_until: Instant,
    claimed_until: Instant,
}

impl Node {
    /// Moves the time on, so that no two events have the same.
    fn tick(&mut self) -> Instant {
        self.now += Duration::from_nanos(1);
        self.now
    }
}

struct Call {
    document: u64,
    began: Instant,
    completes: Instant,
}

/// A fetch that has ended, and what that did to the breaker; the rest is still to be done.
struct Ending {
    call: Call,
    is_well: bool,
    change: Change,
}

/// A value whose renewal is to be put off, with what was known of the vault when that was decided.
struct Looked {
    document: u64,
    at: Instant,
    reason: Error,
    probe_at: Instant,
}

struct Worker {
    breaker: Breaker,
    cache: Cache<u64>,
    probes: Probes<(), u64>,
    calls: Vec<Call>,
    endings: Vec<Ending>,
    looked: Vec<Looked>,
}

fn down() -> Error {
    Error::new(Kind::Unavailable, "down")
}

impl Worker {
    fn new() -> Self {
        Self {
            breaker: Breaker::new(INTERVAL),
            cache: Cache::new(NonZeroUsize::new(8).unwrap(), |_| 1),
            probes: Probes::default(),
            calls: Vec::new(),
            endings: Vec::new(),
            looked: Vec::new(),
        }
    }

    fn fetch(&mut self, node: &Node, document: u64, takes: u64) {
        if !self.calls.iter().any(|call| call.document == document) {
            let completes = node.now + Duration::from_millis(takes);
            self.calls.push(Call { document, began: node.now, completes });
        }
    }

    /// Looks a document up for a caller that waits.
    fn get(&mut self, node: &Node, document: u64, takes: u64) {
        if !matches!(self.cache.look(&document, node.now), CacheLookup::Nothing) {
            return;
        }
        match self.breaker.probe_at() {
            Some(at) => self.probes.want((), at, document),
            None => self.fetch(node, document, takes),
        }
    }

    fn on_breaker_change(&mut self, node: &mut Node, document: u64, change: &Change) {
        match change {
            Change::None => {}
            Change::Opened | Change::StaysOpen => {
                if *change == Change::Opened {
                    node.up_until = node.now;
                }
                if let Some(at) = self.breaker.probe_at() {
                    self.probes.want((), at, document);
                }
            }
            Change::Closed(_) => {
                (node.up_until, node.claimed_until) = (node.now + INTERVAL, node.now);
                self.probes.forget(&());
                let now = node.now;
                renew_all(&mut self.cache, |_| true, || now);
            }
        }
    }

    fn renew_if_back(&mut self, document: u64, since: Instant, now: Instant) {
        if self.breaker.is_back_since(since) {
            renew_one(&mut self.cache, &document, now);
        }
    }

    /// Tells the breaker of the fetches that have ended by now.
    fn complete(&mut self, node: &mut Node) {
        node.tick();
        for call in self.calls.extract_if(.., |call| call.completes <= node.now).collect::<Vec<_>>() {
            let ended = Ended { document: call.document, began: call.began, at: node.now };
            let change = match node.is_well {
                true => self.breaker.succeeded(call.document, node.now),
                false => self.breaker.failed(&down(), ended),
            };
            self.endings.push(Ending { call, is_well: node.is_well, change });
        }
    }

    /// Keeps the outcomes of those, and acts on what they did to the breaker.
    fn end(&mut self, node: &mut Node) {
        for Ending { call: Call { document, began, .. }, is_well, change } in std::mem::take(&mut self.endings) {
            if is_well {
                let value = Dated { document: Arc::new(Document::new(Secret::new("value"))), at: began };
                let _ = self.cache.fetched(document, value, &TTL_POLICY, node.now, 0.5);
            } else {
                let _ = self.cache.failed(document, down(), &TTL_POLICY, node.now, node.now, 0.5);
                self.renew_if_back(document, began, node.now);
            }
            self.on_breaker_change(node, document, &change);
            self.cache.renewal_ended(&document, node.now + INTERVAL);
        }
    }

    /// One scan of the refresher. Renewals to put off are only noted.
    fn rotate(&mut self, node: &mut Node, takes: u64) {
        let at = node.tick();
        while let Some((document, due)) = self.cache.due(node.now, Duration::from_secs(1_000_000)) {
            match (due, self.breaker.refusal(), self.breaker.probe_at()) {
                (Due::Renew, Some(reason), Some(probe_at)) => {
                    self.looked.push(Looked { document, at, reason, probe_at });
                }
                (Due::Renew, ..) => self.fetch(node, document, takes),
                (Due::Drop, ..) => {}
            }
        }
        while let Some(document) = self.probes.take(node.now) {
            let permitted = self.breaker.refusal().is_some() && self.breaker.probe(node.now);
            if let Some(at) = self.breaker.probe_at() {
                self.probes.want((), at, document);
            }
            if permitted {
                self.probe(node, document, takes);
            }
        }
    }

    fn put_off(&mut self) {
        for looked in std::mem::take(&mut self.looked) {
            self.cache.put_off(&looked.document, looked.reason, looked.at + AWAY);
            self.probes.want((), looked.probe_at, looked.document);
            self.renew_if_back(looked.document, looked.at, looked.at);
        }
    }

    /// Probes, unless another worker does, or has found the vault back.
    fn probe(&mut self, node: &mut Node, document: u64, takes: u64) {
        node.tick();
        if node.up_until > node.now {
            let change = self.breaker.succeeded(document, node.now);
            self.on_breaker_change(node, document, &change);
        } else if node.claimed_until > node.now {
            let left = node.claimed_until - node.now;
            let again = if left > INTERVAL.saturating_sub(SECOND_LOOK) { SECOND_LOOK } else { left };
            self.breaker.put_off(node.now, again);
            self.on_breaker_change(node, document, &Change::StaysOpen);
        } else {
            node.claimed_until = node.now + INTERVAL;
            self.fetch(node, document, takes);
        }
    }
}

fn run(steps: &[(usize, u8, u64)]) -> Result<(), TestCaseError> {
    let now = Instant::now();
    let mut node = Node { now, is_well: true, up_until: now, claimed_until: now };
    let mut workers: Vec<_> = (0..WORKERS).map(|_| Worker::new()).collect();
    for &(who, what, number) in steps {
        let (worker, document, takes) = (&mut workers[who], number % DOCUMENTS, number % 400);
        match what {
            0..=3 => node.now += Duration::from_millis(number * 4),
            4 => node.is_well = !node.is_well,
            5 => worker.get(&node, document, takes),
            6 | 7 => worker.complete(&mut node),
            8 | 9 => worker.end(&mut node),
            10 | 11 => worker.rotate(&mut node, takes),
            _ => worker.put_off(),
        }
    }
    // From here on the vault is well, and everybody does what is due.
    node.is_well = true;
    let end = node.now + 4 * INTERVAL + TTL;
    while node.now < end {
        for worker in &mut workers {
            worker.complete(&mut node);
            worker.put_off();
            worker.end(&mut node);
            worker.rotate(&mut node, QUICK);
            (0..DOCUMENTS).for_each(|document| worker.get(&node, document, QUICK));
        }
        node.now += STEP;
    }
    for (number, worker) in workers.iter().enumerate() {
        prop_assert!(worker.breaker.refusal().is_none(), "worker {number} leaves the vault alone");
        for document in 0..DOCUMENTS {
            let found = worker.cache.peek(&document).map(|entry| entry.look(node.now));
            prop_assert!(matches!(found, Some(CacheLookup::Fresh(_))), "worker {number}: {document}: {found:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn once_the_vault_is_back_nothing_stays_put_off(
        steps in prop::collection::vec((0..WORKERS, 0..14u8, 0..400u64), 0..250),
    ) {
        run(&steps)?;
    }
}
