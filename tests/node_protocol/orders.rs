//! What two workers do at once, in all orders in which their single calls of the dictionary may come.

use std::collections::BTreeMap;
use std::sync::Arc;

use kong_vault::resolver::node_protocol::operation::Start;

use super::node::{Dict, ModelWorker, State};

/// The same dictionary under a lock of loom's, without times and bounds.
struct Locked(loom::sync::Mutex<BTreeMap<String, String>>);

impl Dict for Arc<Locked> {
    fn get(&self, key: &str) -> Option<String> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn add(&self, key: &str, value: &str, _: f64) -> Result<(), bool> {
        let mut entries = self.0.lock().unwrap();
        if entries.contains_key(key) {
            return Err(true);
        }
        entries.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn set(&self, key: &str, value: &str, _: f64) -> bool {
        self.0.lock().unwrap().insert(key.to_owned(), value.to_owned());
        true
    }

    fn delete(&self, key: &str) {
        self.0.lock().unwrap().remove(key);
    }

    fn ttl(&self, _: &str) -> f64 {
        0.0
    }
}

/// Runs a worker's part, and returns it.
fn run(dict: &Arc<Locked>, address: &str, now: u64, start: Start, ends: bool) -> ModelWorker {
    let mut worker = ModelWorker::new(address);
    worker.want(1, "d", 0, start, true);
    while worker.act(dict, now) {}
    if ends {
        worker.answered();
        while worker.act(dict, now) {}
    }
    worker
}

/// In all orders in which their single calls of the dictionary may come, the workers of a node.
fn in_all_orders(starts: fn() -> Start, ends: bool, check: fn(Vec<ModelWorker>, Arc<Locked>)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let dict = Arc::new(Locked(loom::sync::Mutex::new(BTreeMap::new())));
        dict.set("claim:d", "gone@0", 0.0);
        if matches!(starts(), Start::Fetch) {
            dict.delete("claim:d");
        }
        let other = Arc::clone(&dict);
        let thread = loom::thread::spawn(move || run(&other, "two", 7, starts(), ends));
        let one = run(&dict, "one", 5, starts(), ends);
        check(vec![one, thread.join().unwrap()], dict);
    });
}

fn owners(workers: &[ModelWorker]) -> usize {
    workers.iter().map(|worker| worker.fetches.len()).sum()
}

#[test]
fn of_two_that_look_at_once_one_fetches_and_the_other_asks_it() {
    in_all_orders(
        || Start::Fetch,
        false,
        |workers, dict| {
            assert_eq!(owners(&workers), 1);
            let owner = workers.iter().position(|worker| !worker.fetches.is_empty()).unwrap();
            let State::Asking { claim } = &workers[1 - owner].calls[&1].state else { panic!("{workers:?}") };
            assert_eq!(claim.split('@').next(), Some(workers[owner].address.as_str()));
            assert_eq!(dict.get("claim:d").as_ref(), Some(claim));
        },
    );
}

#[test]
fn of_two_that_take_over_at_once_one_fetches_and_the_other_asks_it() {
    in_all_orders(
        || Start::Past("gone@0".to_owned()),
        false,
        |workers, dict| {
            assert_eq!(owners(&workers), 1);
            let owner = workers.iter().find(|worker| !worker.fetches.is_empty()).unwrap();
            assert!(dict.get("claim:d").unwrap().starts_with(&owner.address));
        },
    );
}

#[test]
fn who_looks_while_another_publishes_has_it_or_asks_or_fetches_and_no_claim_is_left() {
    in_all_orders(
        || Start::Fetch,
        true,
        |workers, dict| {
            assert_eq!(owners(&workers), 1, "what one published the other takes");
            for worker in &workers {
                assert_ne!(worker.calls[&1].state, State::Unstarted);
            }
            assert_eq!(dict.get("claim:d"), None);
            assert!(dict.get("document:d").is_some());
        },
    );
}
