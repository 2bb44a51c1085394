//! What one worker does in one situation.

use kong_vault::resolver::shared_cache::operation::Start;

use super::Plain;
use super::node::{Dict, INTERVAL, LIFETIME, ModelWorker, State};

/// A worker with a fetch of the document d, which has run as far as it can.
fn begun(dict: &Plain, address: &str, after: u64, start: Start) -> ModelWorker {
    let now = dict.pass(1);
    let mut worker = ModelWorker::new(address);
    worker.want(1, "d", after, start, false);
    while worker.act(dict, now) {}
    worker
}

fn state(worker: &ModelWorker) -> &State {
    &worker.calls[&1].state
}

#[test]
fn a_document_that_does_not_serve_is_claimed_and_fetched() {
    let dict = Plain::default();
    dict.pass(100);
    dict.set("document:d", "50", 1e6);
    let one = begun(&dict, "one", 0, Start::Fetch);
    assert_eq!(*state(&one), State::Complete { began: Some(50) });
    let mut two = begun(&dict, "two", 60, Start::Fetch);
    assert!(matches!(state(&two), State::Fetching { owned: true, .. }));
    assert_eq!(dict.get("claim:d").as_deref(), Some("two@102"));
    assert_eq!(dict.ttl("claim:d"), LIFETIME as f64);
    two.answered();
    while two.act(&dict, 103) {}
    assert_eq!((dict.get("document:d").as_deref(), dict.get("claim:d")), (Some("102"), None));
}

#[test]
fn a_claim_that_is_too_old_or_of_a_worker_that_is_gone_is_replaced_and_removed_by_its_owner_only() {
    for start in [Start::Fetch, Start::Past("gone@5".to_owned())] {
        let dict = Plain::default();
        dict.pass(100);
        dict.set("claim:d", "gone@5", 1e6);
        let mut one = begun(&dict, "one", 50, start.clone());
        assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
        assert_eq!(dict.get("claim:d").as_deref(), Some("one@101"));
        // The first to find it out has taken over: whoever comes next asks that one.
        let two = begun(&dict, "two", 50, start.clone());
        assert_eq!(*state(&two), State::Asking { claim: "one@101".to_owned() });
        // Who took over before, and asks anew, fetches.
        let again = begun(&dict, "one", 50, Start::Past("gone@5".to_owned()));
        assert!(matches!(state(&again), State::Fetching { owned: true, .. }));
        dict.set("claim:d", "two@110", 1e6);
        one.answered();
        while one.act(&dict, 111) {}
        assert_eq!(dict.get("claim:d").as_deref(), Some("two@110"), "it is not the first one's to remove");
        assert_eq!(dict.get("document:d").as_deref(), Some("101"));
    }
}

#[test]
fn a_worker_that_finds_nobody_who_serves_fetches_after_a_few() {
    let dict = Plain::default();
    dict.pass(100);
    dict.set("claim:d", "w0@1", 1e6);
    for number in 0..9 {
        dict.set(&format!("claim:d!w{number}@1"), &format!("w{}@1", number + 1), 1e6);
    }
    let one = begun(&dict, "one", 50, Start::Fetch);
    assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
    assert_eq!(dict.get("claim:d").as_deref(), Some("w0@1"));
}

#[test]
fn no_worker_is_taken_for_one_whose_address_begins_alike() {
    let dict = Plain::default();
    let _ = begun(&dict, "worker-10", 0, Start::Fetch);
    let one = begun(&dict, "worker-1", 0, Start::Fetch);
    assert_eq!(*state(&one), State::Asking { claim: "worker-10@1".to_owned() });
}

#[test]
fn a_worker_that_nobody_can_ask_reads_and_fetches_for_itself() {
    let dict = Plain::default();
    let mut one = ModelWorker { shares: false, ..ModelWorker::new("one") };
    one.want(1, "d", 0, Start::Fetch, true);
    while one.act(&dict, 1) {}
    assert!(matches!(state(&one), State::Fetching { owned: false, .. }));
    assert!(dict.entries.borrow().is_empty() && one.machines.is_empty());
}

#[test]
fn without_room_for_a_claim_a_worker_fetches_and_publishes_later() {
    let dict = Plain::default();
    *dict.is_full.borrow_mut() = true;
    let mut one = begun(&dict, "one", 0, Start::Fetch);
    assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
    *dict.is_full.borrow_mut() = false;
    one.answered();
    while one.act(&dict, 2) {}
    assert_eq!(dict.get("document:d").as_deref(), Some("1"));
}

#[test]
fn a_vault_is_probed_by_one_worker_in_an_interval_and_left_alone_as_long_as_it_asks_for() {
    let probe = || Start::Probe { vault: "v".to_owned(), interval: std::time::Duration::from_secs(INTERVAL) };
    let dict = Plain::default();
    let mut one = begun(&dict, "one", 0, probe());
    assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
    let two = begun(&dict, "two", 0, probe());
    assert_eq!(*state(&two), State::Complete { began: None }, "another worker probes it");
    one.away = Some(3 * INTERVAL);
    one.answered();
    while one.act(&dict, 3) {}
    assert_eq!(dict.ttl("probe:v"), (3 * INTERVAL) as f64);
    dict.pass(4 * INTERVAL);
    dict.set("up:v", "true", 10.0);
    dict.delete("document:d");
    let three = begun(&dict, "three", 0, probe());
    assert_eq!(*state(&three), State::Complete { began: None }, "another worker found it back");
}

#[test]
fn after_a_reload_what_lay_under_the_name_of_before_serves_meanwhile() {
    let dict = Plain::default();
    dict.set("document:before", "1", 1e6);
    let mut one = ModelWorker { previous: Some("before".to_owned()), ..ModelWorker::new("one") };
    one.want(1, "d", 0, Start::Fetch, true);
    while one.act(&dict, 2) {}
    assert!(one.inherited);
    assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
}
