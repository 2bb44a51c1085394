//! Shared fetches against a simple model of them: who waits for what, and what was brought when.
#![no_main]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kong_vault::cache::Dated;
use kong_vault::cache::document::Document;
use kong_vault::error::Kind;
use kong_vault::node::SealedOutcome;
use kong_vault::resolver::singleflight::{CallWatch, Completion, JoinOutcome, Joiner, Purpose, Singleflight};
use kong_vault::secret::Secret;
use kong_vault_fuzz::{Bytes, bounded};
use libfuzzer_sys::fuzz_target;

/// After that time nothing is left of an outcome that nobody claims.
const UNCOLLECTED: Duration = Duration::from_secs(30);

/// After that time, a call that nobody started is the next one's to start.
const UNSTARTED: Duration = Duration::from_secs(1);

/// How many fetches that nobody waits for wait for their turn.
const LONGEST_QUEUE: usize = 65536;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || Model::new().run(Bytes(data)));
});

type Key = u16;

/// Somebody who waits for a call: after which time what he is given has to have begun.
struct Waiter {
    ticket: u64,
    after: Option<Instant>,
}

/// A call that was started: when its fetch begins, and whether this worker does it.
#[derive(Clone, Copy)]
struct Started {
    began: Instant,
    here: bool,
}

struct Model {
    calls: Singleflight<Key, u8>,
    start: Instant,
    now: Instant,
    waiters: Vec<Waiter>,
    /// Calls to be started, with the time since when nobody has.
    to_start: HashMap<u64, Instant>,
    started: HashMap<u64, Started>,
    /// Completed calls: when, and when what they brought began.
    completed: HashMap<u64, (Instant, Instant)>,
    /// Whose sealed outcome somebody has to take.
    owned: Vec<u64>,
    watchers: Vec<(u64, tokio::sync::oneshot::Receiver<Option<SealedOutcome>>)>,
    keys: HashMap<u64, Key>,
    /// What waits for its turn.
    queues: [VecDeque<Key>; 2],
}

/// Each key belongs to one vault.
fn vault(key: Key) -> u8 {
    (key % 2) as u8
}

impl Model {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            calls: Singleflight::default(),
            start,
            now: start,
            waiters: Vec::new(),
            to_start: HashMap::new(),
            started: HashMap::new(),
            completed: HashMap::new(),
            owned: Vec::new(),
            watchers: Vec::new(),
            keys: HashMap::new(),
            queues: [VecDeque::new(), VecDeque::new()],
        }
    }

    fn run(mut self, mut bytes: Bytes<'_>) {
        while !bytes.is_empty() {
            self.now += Duration::from_millis(1);
            self.step(&mut bytes);
        }
        self.end();
    }

    fn some_time_ago(&self, bytes: &mut Bytes<'_>) -> Instant {
        let ago = Duration::from_millis(u64::from(bytes.byte()));
        self.now.checked_sub(ago).unwrap_or(self.start).max(self.start)
    }

    fn one_of(from: impl Iterator<Item = u64>, bytes: &mut Bytes<'_>) -> Option<u64> {
        let mut tickets: Vec<_> = from.collect();
        tickets.sort_unstable();
        (!tickets.is_empty()).then(|| *bytes.one_of(&tickets))
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.byte() % 16 {
            0 => self.now += Duration::from_millis(u64::from(bytes.byte()) * 20),
            1 if bytes.byte() > 200 => self.now += UNCOLLECTED,
            1..=4 => {
                let key = Key::from(bytes.byte() % 4);
                self.join_or_create(key, bytes);
            }
            5 => {
                // Many at once.
                let first = 4 + Key::from(bytes.byte()) * 16;
                for key in first..first + 64 {
                    self.join_or_create(key, bytes);
                }
            }
            6 | 7 => {
                let Some(ticket) = Self::one_of(self.to_start.keys().copied(), bytes) else { return };
                let owned = bytes.byte() & 1 == 1;
                let unstarted = self.calls.start_fetch(ticket, owned, self.now).expect("it was to be started");
                assert_eq!(unstarted.key, self.keys[&ticket]);
                for waiter in self.waiters.iter().filter(|waiter| waiter.ticket == ticket) {
                    assert!(waiter.after.is_none_or(|after| unstarted.after.is_some_and(|bound| bound >= after)));
                }
                assert!(self.calls.start_fetch(ticket, owned, self.now).is_none(), "once");
                if owned && !self.owned.contains(&ticket) {
                    self.owned.push(ticket);
                }
                self.to_start.remove(&ticket);
                self.started.insert(ticket, Started { began: self.now, here: true });
            }
            8 => {
                let Some(ticket) = Self::one_of(self.to_start.keys().copied(), bytes) else { return };
                let began = self.some_time_ago(bytes);
                if self.calls.start_elsewhere(ticket, Some(began)).expect("it was to be started").is_some() {
                    self.to_start.remove(&ticket);
                    self.started.insert(ticket, Started { began, here: false });
                }
            }
            9 => {
                let Some(ticket) = Self::one_of(self.started.keys().copied(), bytes) else { return };
                assert!(self.calls.requeue(ticket, self.now));
                self.started.remove(&ticket);
                self.to_start.insert(ticket, self.now);
            }
            10 | 11 => {
                let Some(ticket) = Self::one_of(self.started.keys().copied(), bytes) else { return };
                self.complete(ticket, None);
            }
            12 => {
                // Something else brought an outcome.
                let under_way = self.started.keys().chain(self.to_start.keys()).copied();
                let Some(ticket) = Self::one_of(under_way, bytes) else { return };
                let began = self.some_time_ago(bytes);
                self.complete(ticket, Some(began));
            }
            13 if !self.waiters.is_empty() => {
                // A client claims, or leaves before it can.
                let index = bytes.number() % self.waiters.len();
                let waiter = self.waiters.swap_remove(index);
                self.collect(&waiter);
            }
            14 => self.look_around(bytes),
            _ => {
                let key = 4096 + Key::from(bytes.byte());
                self.send(key);
                self.take_turns();
            }
        }
    }

    fn join_or_create(&mut self, key: Key, bytes: &mut Bytes<'_>) {
        let choice = bytes.byte();
        let since = self.some_time_ago(bytes);
        let purpose = match choice % 4 {
            0 => Purpose::Newer(since),
            1 => Purpose::Probe(since),
            _ => Purpose::Miss,
        };
        let floor = (choice & 4 > 0).then_some(self.start + Duration::from_millis(u64::from(choice)));
        let floor = floor.filter(|floor| *floor <= self.now);
        let waits = choice & 24 > 0;
        let joiner = Joiner { waits, queues: choice & 32 > 0 };
        let joined = match self.calls.join_or_create(&key, &vault(key), purpose, floor, joiner, self.now) {
            Ok(joined) => joined,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Throttled);
                assert!(!joiner.queues && self.keys.len() >= 1024, "refused without need");
                return;
            }
        };
        self.joined(key, &joined);
        let (JoinOutcome::Joined(ticket) | JoinOutcome::Created(ticket)) = joined;
        assert!(!self.completed.contains_key(&ticket), "nobody joins what is over");
        if waits {
            self.waiters.push(Waiter { ticket, after: purpose.since().max(floor) });
        }
    }

    fn joined(&mut self, key: Key, joined: &JoinOutcome) {
        match *joined {
            JoinOutcome::Created(ticket) => {
                // A new one, or one that nobody has started for long.
                let neglected = self.to_start.insert(ticket, self.now);
                assert!(neglected.is_none_or(|since| self.now - since >= UNSTARTED));
                assert_eq!(*self.keys.entry(ticket).or_insert(key), key);
            }
            JoinOutcome::Joined(ticket) => {
                if let Some(since) = self.to_start.get(&ticket) {
                    assert!(self.now - *since < UNSTARTED, "nobody starts it");
                }
                // The one under way, or its one successor.
                assert_eq!(*self.keys.entry(ticket).or_insert(key), key);
            }
        }
    }

    /// Completes a call with what its fetch brought, or with what something else did that began then.
    fn complete(&mut self, ticket: u64, began: Option<Instant>) {
        self.now += Duration::from_millis(1);
        let known = self.started.get(&ticket).copied();
        let at = began.or(known.map(|started| started.began)).expect("a beginning");
        let millis = (at - self.start).as_millis();
        let document = Arc::new(Document::new(Secret::new(millis.to_string())));
        let sealed_outcome = SealedOutcome::Value(Dated { document: Arc::clone(&document), at });
        let completed = match began {
            None => self.calls.complete(ticket, Ok(document), Some(sealed_outcome), self.now),
            Some(began) => {
                let completed =
                    self.calls.complete_if_served(ticket, began, Ok(document), Some(sealed_outcome), self.now);
                let serves = |waiter: &Waiter| waiter.after.is_none_or(|after| began > after);
                let serves_all = self.waiters.iter().filter(|waiter| waiter.ticket == ticket).all(serves);
                let Some(completed) = completed else { return };
                assert!(serves_all, "somebody wants what is newer");
                completed
            }
        };
        let waiting = self.waiters.iter().filter(|waiter| waiter.ticket == ticket).count();
        let owned = usize::from(self.owned.contains(&ticket));
        assert_eq!(completed.waiters, waiting + owned, "each must be told");
        assert_eq!(self.calls.complete(ticket, Err(away()), None, self.now), Completion::default(), "once");
        self.to_start.remove(&ticket);
        self.started.remove(&ticket);
        self.completed.insert(ticket, (self.now, at));
        // A watcher is told of it, whoever else there is.
        for (_, mut told) in self.watchers.extract_if(.., |(watched, _)| *watched == ticket) {
            let sealed_outcome = told.try_recv().expect("the completion").expect("a value");
            assert_eq!(sealed_outcome.began(), at);
        }
        if let Some(next) = completed.next {
            assert_eq!(self.keys[&next], self.keys[&ticket]);
            assert!(self.to_start.insert(next, self.now).is_none());
        }
        self.take_turns();
    }

    fn collect(&mut self, waiter: &Waiter) {
        let outcome = self.calls.collect(waiter.ticket, self.now);
        match self.completed.get(&waiter.ticket) {
            None => assert!(outcome.is_none(), "before it is there"),
            Some((at, _)) if self.now - *at >= UNCOLLECTED => assert!(outcome.is_none(), "for ever"),
            Some((_, began)) => {
                let document = outcome.expect("everybody who waits is given it").expect("a value");
                let millis = document.whole().as_str().and_then(|text| text.parse().ok()).expect("a number");
                assert_eq!(self.start + Duration::from_millis(millis), *began);
                // What starts after a request begins then or later.
                assert!(waiter.after.is_none_or(|after| *began >= after), "older than asked for");
            }
        }
    }

    fn look_around(&mut self, bytes: &mut Bytes<'_>) {
        let Some(ticket) = Self::one_of(self.keys.keys().copied(), bytes) else { return };
        let (key, after) = (self.keys[&ticket], self.some_time_ago(bytes));
        match bytes.byte() % 4 {
            0 => match self.calls.watch(ticket) {
                CallWatch::Running(told) => {
                    assert!(!self.completed.contains_key(&ticket));
                    self.watchers.push((ticket, told));
                }
                CallWatch::Completed(sealed_outcome) => {
                    assert!(self.completed.contains_key(&ticket));
                    assert!(
                        sealed_outcome.is_none_or(|sealed_outcome| sealed_outcome.began() == self.completed[&ticket].1)
                    );
                }
            },
            1 => {
                let found = self.calls.find(|other| *other == key, after, self.now);
                if let Some(found) = found {
                    assert_eq!(self.keys[&found], key);
                    assert!(self.started.get(&found).is_none_or(|started| started.here && started.began >= after));
                    assert!(self.completed.get(&found).is_none_or(|(_, began)| *began > after), "older than asked for");
                }
                // Nothing newer is kept back.
                for (other, started) in &self.started {
                    if self.keys[other] == key && started.here && started.began >= after {
                        assert!(found >= Some(*other));
                    }
                }
            }
            2 => {
                let taken = self.calls.sealed_outcome(ticket);
                let is_over = self.completed.get(&ticket).is_some_and(|(at, _)| self.now - *at < UNCOLLECTED);
                let owned = self.owned.iter().position(|owned| *owned == ticket);
                assert!(taken.is_none() || owned.is_some() && self.is_over(ticket), "once, and not before it is there");
                assert!(taken.is_some() || owned.is_none() || !is_over, "it is lost");
                if let Some(index) = owned.filter(|_| self.is_over(ticket)) {
                    self.owned.swap_remove(index);
                }
                if let Some((_, sealed_outcome)) = taken {
                    assert_eq!(
                        sealed_outcome.map(|sealed_outcome| sealed_outcome.began()),
                        Some(self.completed[&ticket].1)
                    );
                }
            }
            _ => assert_eq!(self.calls.is_completed(ticket), self.is_over(ticket)),
        }
    }

    fn is_over(&self, ticket: u64) -> bool {
        self.completed.contains_key(&ticket)
    }

    /// A fetch that nobody waits for.
    fn send(&mut self, key: Key) {
        let queue = &mut self.queues[usize::from(vault(key))];
        if self.calls.defer(&key, &vault(key), Purpose::Newer(self.now)) {
            if queue.len() < LONGEST_QUEUE {
                queue.push_back(key);
            }
            return;
        }
        self.start_now(key, Purpose::Newer(self.now));
    }

    fn start_now(&mut self, key: Key, purpose: Purpose) {
        if let Ok(joined) = self.calls.join_or_create(&key, &vault(key), purpose, None, Joiner::BACKGROUND, self.now) {
            self.joined(key, &joined);
        }
    }

    fn take_turns(&mut self) {
        for vault in [0, 1] {
            while let Some((key, purpose)) = self.calls.next_turn(&vault) {
                assert_eq!(self.queues[usize::from(vault)].pop_front(), Some(key), "each in its turn");
                self.start_now(key, purpose);
            }
        }
    }

    /// Whatever was: all calls can be completed, everybody is given something, and nothing is left.
    fn end(mut self) {
        while let Some(ticket) = self.to_start.keys().chain(self.started.keys()).copied().min() {
            if self.to_start.contains_key(&ticket) {
                self.calls.start_fetch(ticket, false, self.now).expect("it was to be started");
                self.to_start.remove(&ticket);
                self.started.insert(ticket, Started { began: self.now, here: true });
            }
            self.complete(ticket, None);
        }
        assert!(self.queues.iter().all(VecDeque::is_empty), "something never has its turn");
        assert!(self.watchers.is_empty());
        for waiter in std::mem::take(&mut self.waiters) {
            self.collect(&waiter);
        }
        self.now += UNCOLLECTED;
        assert!(self.calls.collect(0, self.now).is_none());
        assert_eq!(self.calls.under_way(), 0);
        for ticket in self.keys.keys() {
            assert_eq!(self.calls.key(*ticket), None, "it is kept for ever");
        }
        assert!([0, 1].iter().all(|vault| !self.calls.defer(&0, vault, Purpose::Miss)), "a vault stays full");
    }
}

fn away() -> kong_vault::error::Error {
    kong_vault::error::Error::new(Kind::Unavailable, "away")
}
