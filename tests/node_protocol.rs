//! The protocol of the node's cache: the machine itself, run by models of workers with one dictionary, in many orders and with
//! what may happen to each of them: a worker is killed between any two operations, its claim is taken over, the dictionary is
//! full or evicts, the vault is probed, a reload brings workers that know the documents by other names.

#[path = "support/node.rs"]
mod node;
#[path = "node_protocol/orders.rs"]
mod orders;
#[path = "node_protocol/scenarios.rs"]
mod scenarios;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use kong_vault::resolver::node_protocol::operation::Start;
use node::{Dict, INTERVAL, LIFETIME, ModelWorker, State};

/// A dictionary for one thread, whose times a test moves.
#[derive(Default)]
struct Plain {
    entries: RefCell<BTreeMap<String, (String, u64)>>,
    now: RefCell<u64>,
    is_full: RefCell<bool>,
}

impl Plain {
    fn sweep(&self) {
        let now = *self.now.borrow();
        self.entries.borrow_mut().retain(|_, (_, ends)| *ends > now);
    }

    fn pass(&self, time: u64) -> u64 {
        *self.now.borrow_mut() += time;
        self.sweep();
        *self.now.borrow()
    }

    fn evict(&self, which: usize) {
        let mut entries = self.entries.borrow_mut();
        let key = entries.keys().nth(which % entries.len().max(1)).cloned();
        key.map(|key| entries.remove(&key));
    }
}

impl Dict for Plain {
    fn get(&self, key: &str) -> Option<String> {
        self.entries.borrow().get(key).map(|(value, _)| value.clone())
    }

    fn add(&self, key: &str, value: &str, seconds: f64) -> Result<(), bool> {
        if self.get(key).is_some() {
            return Err(true);
        }
        if self.set(key, value, seconds) { Ok(()) } else { Err(false) }
    }

    fn set(&self, key: &str, value: &str, seconds: f64) -> bool {
        if *self.is_full.borrow() {
            return false;
        }
        let ends = *self.now.borrow() + seconds as u64;
        self.entries.borrow_mut().insert(key.to_owned(), (value.to_owned(), ends));
        true
    }

    fn delete(&self, key: &str) {
        self.entries.borrow_mut().remove(key);
    }

    fn ttl(&self, key: &str) -> f64 {
        self.entries.borrow().get(key).map_or(0.0, |(_, ends)| ends.saturating_sub(*self.now.borrow()) as f64)
    }
}

/// Workers of one node.
struct World {
    dict: Plain,
    workers: Vec<ModelWorker>,
    tickets: u64,
}

/// What happens next; the numbers say to which worker, and which document.
#[derive(Debug, Clone)]
enum Event {
    Want(usize, u8),
    WantNewer(usize, u8),
    Probe(usize, u8, bool),
    Act(usize),
    VaultAnswers(usize),
    AskedAnswers(usize),
    GiveUp(usize),
    Kill(usize),
    Reload(u8),
    Evict(usize),
    Fill(bool),
    Pass(u64),
    VaultUp,
}

impl World {
    fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|number| ModelWorker::new(&format!("w{number}"))).collect();
        Self { dict: Plain::default(), workers, tickets: 0 }
    }

    fn want(&mut self, worker: usize, document: &str, after: u64, start: Start, waits: bool) {
        self.tickets += 1;
        let worker = &mut self.workers[worker];
        if !worker.is_dead {
            worker.want(self.tickets, document, after, start, waits);
        }
    }

    fn claims(&self) -> BTreeMap<String, String> {
        let entries = self.dict.entries.borrow();
        let claims = entries.iter().filter(|(key, _)| key.starts_with("claim:"));
        claims.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    /// A worker does the next thing, and removes no claim but its own.
    fn act(&mut self, worker: usize, now: u64) -> bool {
        let before = self.claims();
        let has_acted = self.workers[worker].act(&self.dict, now);
        let after = self.claims();
        for (key, claim) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
            assert!(self.workers[worker].made(claim), "{} removed {key}: {claim}", self.workers[worker].address);
        }
        has_acted
    }

    /// A worker that asked another one hears from it; with `gives_up`, it doesn't wait any longer.
    fn hear(&mut self, asking: usize, gives_up: bool) -> bool {
        let asked: Vec<_> = self.workers[asking]
            .calls
            .iter()
            .filter_map(|(ticket, call)| match &call.state {
                State::Asking { claim } => Some((*ticket, call.name.clone(), call.after, claim.clone())),
                _ => None,
            })
            .collect();
        let mut has_changed = false;
        for (ticket, name, after, claim) in asked {
            let (address, clock) = claim.split_once('@').expect("a claim");
            let owner = self.workers.iter().find(|worker| worker.address == address && !worker.is_dead);
            let told = owner.and_then(|owner| owner.told(&name, after.max(clock.parse().expect("a time")).max(1) - 1));
            let told = if gives_up && told == Some(None) { None } else { told };
            let worker = &mut self.workers[asking];
            let call = worker.calls.get_mut(&ticket).expect("a call");
            match told {
                Some(None) => continue,
                Some(Some(began)) => call.state = State::Complete { began: Some(began) },
                None => {
                    call.state = State::Unstarted;
                    worker.starts.push_back((ticket, Start::Past(claim)));
                }
            }
            has_changed = true;
        }
        has_changed
    }

    fn happen(&mut self, event: &Event) {
        let now = self.dict.pass(1);
        let of_all = |worker: usize| worker % self.workers.len();
        let name = |document: u8| format!("d{document}");
        match *event {
            Event::Want(worker, document) => self.want(of_all(worker), &name(document), 0, Start::Fetch, true),
            Event::WantNewer(worker, document) => self.want(of_all(worker), &name(document), now, Start::Fetch, true),
            Event::Probe(worker, document, waits) => self.want(of_all(worker), &name(document), now, probe(), waits),
            Event::Act(worker) if !self.workers[of_all(worker)].is_dead => drop(self.act(of_all(worker), now)),
            Event::VaultAnswers(worker) if !self.workers[of_all(worker)].is_dead => {
                let worker = of_all(worker);
                self.workers[worker].answered();
            }
            Event::AskedAnswers(worker) => drop(self.hear(of_all(worker), false)),
            Event::GiveUp(worker) => drop(self.hear(of_all(worker), true)),
            Event::Kill(worker) => {
                let worker = of_all(worker);
                self.workers[worker].is_dead = true;
            }
            Event::Reload(document) => {
                // The old workers live on; the new one calls its documents otherwise.
                let mut new = ModelWorker::new(&format!("r{}", self.workers.len()));
                (new.suffix, new.previous) = ("'", Some(name(document)));
                self.workers.push(new);
            }
            Event::Evict(which) => self.dict.evict(which),
            Event::Fill(is_full) => *self.dict.is_full.borrow_mut() = is_full,
            Event::Pass(time) => drop(self.dict.pass(time)),
            Event::VaultUp => drop(self.dict.set("up:v", "true", INTERVAL as f64)),
            Event::Act(_) | Event::VaultAnswers(_) => {}
        }
        self.check();
    }

    fn check(&self) {
        for worker in self.workers.iter().filter(|worker| !worker.is_dead) {
            for call in worker.calls.values() {
                if let State::Complete { began: Some(began) } = call.state {
                    assert!(began > call.after || call.after == 0, "too old: {call:?}");
                }
            }
        }
        for (key, (value, _)) in self.dict.entries.borrow().iter() {
            let Some(worker) = self.workers.iter().find(|worker| value.starts_with(&format!("{}@", worker.address)))
            else {
                continue;
            };
            // A claim lies there for as long as somebody may rely on it, and not much longer.
            let is_idle = worker.pending.is_none() && worker.machines.is_empty();
            let is_main = key.starts_with("claim:") && !key.contains('!');
            assert!(!is_main || worker.is_dead || !is_idle, "{key} is left of {}: {value}", worker.address);
        }
    }

    /// Lets everybody who lives go on until nobody has anything to do.
    fn settle(&mut self) {
        for _ in 0..2000 {
            let now = self.dict.pass(1);
            let mut has_changed = false;
            for number in 0..self.workers.len() {
                if self.workers[number].is_dead {
                    continue;
                }
                has_changed |= self.act(number, now);
                self.workers[number].answered();
                has_changed |= self.hear(number, false);
            }
            let live = || self.workers.iter().filter(|worker| !worker.is_dead);
            let is_under_way = |state: &State| !matches!(state, State::Complete { .. });
            let under_way =
                live().flat_map(|worker| &worker.calls).filter(|(_, call)| is_under_way(&call.state)).count();
            if under_way == 0 && !has_changed {
                return self.check();
            }
        }
        panic!("somebody waits for ever: {:#?}", self.workers);
    }

    /// Has a worker probe the vault until it has asked it, or heard that it is back.
    fn probe_until_asked(&mut self, worker: usize) {
        for round in 0..self.workers.len() + 2 {
            let now = self.dict.pass(1);
            self.want(worker, &format!("probed-{round}"), now, probe(), false);
            while self.act(worker, now) {}
            let Some(again) = self.workers[worker].skipped.take() else { return };
            let Some(again) = again else { return };
            assert!(again <= std::time::Duration::from_secs(INTERVAL), "skipped for too long: {again:?}");
            self.dict.pass(again.as_secs() + 1);
        }
        panic!("a probe is skipped for ever: {:#?}", self.workers[worker]);
    }

    fn fetches(&self, name: &str) -> usize {
        self.workers.iter().flat_map(|worker| &worker.fetches).filter(|fetched| *fetched == name).count()
    }
}

const WORKERS: usize = 3;
/// The same, with some that a reload brings.
const ALL: usize = 5;

fn probe() -> Start {
    Start::Probe { vault: "v".to_owned(), interval: std::time::Duration::from_secs(INTERVAL) }
}

/// How often a document may have to be fetched once more because of an event. Whose claim is evicted publishes nothing: each
/// other worker may have to fetch for itself.
fn fetches_more(event: &Event) -> usize {
    match event {
        Event::Want(..) | Event::Act(_) | Event::VaultAnswers(_) | Event::AskedAnswers(_) | Event::VaultUp => 0,
        Event::Evict(_) => WORKERS - 1,
        _ => 1,
    }
}

fn ordinary() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..ALL, 0..2u8).prop_map(|(worker, document)| Event::Want(worker, document)),
        8 => (0..ALL).prop_map(Event::Act),
        2 => (0..ALL).prop_map(Event::VaultAnswers),
        2 => (0..ALL).prop_map(Event::AskedAnswers),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => ordinary(),
        1 => (0..ALL, 0..2u8).prop_map(|(worker, document)| Event::WantNewer(worker, document)),
        1 => (0..ALL, 0..2u8, any::<bool>()).prop_map(|(worker, document, waits)| Event::Probe(worker, document, waits)),
        1 => (0..ALL).prop_map(Event::GiveUp),
        1 => (0..ALL).prop_map(Event::Kill),
        1 => (0..2u8).prop_map(Event::Reload),
        1 => (0..20usize).prop_map(Event::Evict),
        1 => any::<bool>().prop_map(Event::Fill),
        1 => (1..LIFETIME * 2).prop_map(Event::Pass),
        1 => Just(Event::VaultUp),
    ]
}

fn mostly_ordinary() -> impl Strategy<Value = Event> {
    prop_oneof![20 => ordinary(), 1 => any_event()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, nobody who lives waits for ever, nobody is served what is too old, and no claim is left.
    #[test]
    fn nobody_waits_for_ever_and_nothing_old_is_served(events in proptest::collection::vec(any_event(), 1..120)) {
        let mut world = World::new(WORKERS);
        for event in &events {
            world.happen(event);
        }
        world.settle();
    }

    /// A document is fetched once more only because a worker or an entry is gone, or somebody wants what is newer.
    #[test]
    fn each_fetch_more_has_a_reason(events in proptest::collection::vec(mostly_ordinary(), 1..120)) {
        let mut world = World::new(WORKERS);
        for event in events.iter().filter(|event| !matches!(event, Event::Fill(_))) {
            world.happen(event);
        }
        world.settle();
        let reasons: usize = events.iter().map(fetches_more).sum();
        for name in ["d0", "d1", "d0'", "d1'"] {
            prop_assert!(world.fetches(name) <= 1 + reasons, "{name}: {} for {reasons}", world.fetches(name));
        }
    }

    /// Whoever is to probe a vault does so in the end, whatever became of those who did before.
    #[test]
    fn no_probe_is_skipped_for_ever(events in proptest::collection::vec(any_event(), 1..120)) {
        let mut world = World::new(WORKERS);
        for event in &events {
            world.happen(event);
        }
        if let Some(worker) = world.workers.iter().position(|worker| !worker.is_dead) {
            while world.act(worker, world.dict.pass(1)) {}
            world.probe_until_asked(worker);
        }
    }

    /// Where nothing goes wrong, each document is fetched once.
    #[test]
    fn a_document_is_fetched_once(events in proptest::collection::vec(ordinary(), 1..120)) {
        let mut world = World::new(WORKERS);
        *world.dict.now.borrow_mut() = 1;
        for event in &events {
            world.happen(event);
        }
        world.settle();
        for name in ["d0", "d1"] {
            prop_assert!(world.fetches(name) <= 1, "{name}: {}", world.fetches(name));
        }
    }
}
