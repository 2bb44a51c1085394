//! What one worker does in one situation.

use std::time::Duration;

use kong_vault::resolver::node_protocol::operation::{Start, Verb};

use super::node::{Dict, INTERVAL, LIFETIME, ModelWorker, State};
use super::{Plain, probe};

/// A dictionary whose claims are gone each time that they are read. Something is published before the first claim.
#[derive(Default)]
struct Vanishing {
    dict: Plain,
    is_published: bool,
    adds: std::cell::Cell<usize>,
}

impl Dict for Vanishing {
    fn get(&self, key: &str) -> Option<String> {
        self.dict.get(key).filter(|_| !key.starts_with("claim:"))
    }

    fn add(&self, _: &str, _: &str, _: f64) -> Result<(), bool> {
        self.adds.set(self.adds.get() + 1);
        if self.is_published {
            self.dict.set("document:d", "3", 1e6);
        }
        Err(true)
    }

    fn set(&self, key: &str, value: &str, seconds: f64) -> bool {
        self.dict.set(key, value, seconds)
    }

    fn delete(&self, key: &str) {
        self.dict.delete(key);
    }

    fn ttl(&self, key: &str) -> f64 {
        self.dict.ttl(key)
    }
}

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
fn a_worker_that_nobody_can_ask_reads_and_one_without_a_dictionary_has_nothing_to_do_with_it() {
    for (has_dictionary, start) in [(true, Start::Fetch), (true, probe()), (false, Start::Fetch), (false, probe())] {
        let dict = Plain::default();
        let mut one = ModelWorker { shares: false, has_dictionary, ..ModelWorker::new("one") };
        one.want(1, "d", 0, start.clone(), true);
        while one.act(&dict, 1) {}
        assert!(matches!(state(&one), State::Fetching { owned: false, .. }));
        assert!(dict.entries.borrow().is_empty() && one.machines.is_empty());
        dict.set("document:d", "1", 1e6);
        let mut two = ModelWorker { shares: false, has_dictionary, ..ModelWorker::new("two") };
        two.want(1, "d", 0, start, true);
        while two.act(&dict, 2) {}
        assert_eq!(matches!(state(&two), State::Complete { began: Some(1) }), has_dictionary);
    }
}

#[test]
fn a_claim_that_is_gone_each_time_is_tried_a_few_times_and_what_was_published_meanwhile_is_taken() {
    for is_published in [false, true] {
        let dict = Vanishing { is_published, ..Vanishing::default() };
        let mut one = ModelWorker::new("one");
        one.want(1, "d", 0, Start::Fetch, true);
        while one.act(&dict, 1) {}
        let (expected, adds) = match is_published {
            true => (State::Complete { began: Some(3) }, 1),
            false => (State::Fetching { began: 1, owned: true }, 3),
        };
        assert_eq!((state(&one), dict.adds.get()), (&expected, adds));
    }
    // Likewise where whoever took over has ended meanwhile.
    let dict = Vanishing::default();
    let mut one = ModelWorker::new("one");
    one.want(1, "d", 0, Start::Past("gone@1".to_owned()), true);
    while one.act(&dict, 1) {}
    assert_eq!((state(&one), dict.adds.get()), (&State::Fetching { began: 1, owned: true }, 1));
}

#[test]
fn what_is_published_between_a_look_and_a_claim_is_taken_and_the_claim_given_up() {
    let dict = Plain::default();
    dict.pass(100);
    dict.set("document:d", "50", 1e6);
    let mut one = ModelWorker::new("one");
    one.want(1, "d", 60, Start::Fetch, true);
    one.act(&dict, 101);
    one.act(&dict, 101);
    assert!(one.pending.as_ref().is_some_and(|(_, operation)| operation.verb == Verb::Claim));
    dict.set("document:d", "70", 1e6);
    while one.act(&dict, 102) {}
    assert_eq!((state(&one), dict.get("claim:d")), (&State::Complete { began: Some(70) }, None));
}

#[test]
fn nothing_is_claimed_for_a_vault_that_is_left_alone() {
    let dict = Plain::default();
    let mut one = ModelWorker { away: Some(5), ..ModelWorker::new("one") };
    one.want(1, "d", 0, Start::Fetch, true);
    one.act(&dict, 1);
    assert!(one.pending.as_ref().is_some_and(|(_, operation)| operation.verb == Verb::Read));
    while one.act(&dict, 1) {}
    assert_eq!(*state(&one), State::Complete { began: None });
}

#[test]
fn a_worker_claims_again_what_it_claimed_for_a_fetch_that_has_ended() {
    let dict = Plain::default();
    dict.pass(10);
    dict.set("claim:d", "one@3", 20.0);
    let one = begun(&dict, "one", 5, Start::Fetch);
    assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
    assert_eq!((dict.get("claim:d").as_deref(), dict.ttl("claim:d")), (Some("one@11"), LIFETIME as f64));
}

#[test]
fn other_documents_are_fetched_beside() {
    let dict = Plain::default();
    let _ = begun(&dict, "one", 0, Start::Fetch);
    let mut two = ModelWorker::new("two");
    two.want(1, "e", 0, Start::Fetch, true);
    while two.act(&dict, 1) {}
    assert!(matches!(state(&two), State::Fetching { owned: true, .. }));
}

#[test]
fn what_a_worker_left_that_took_over_and_is_gone_as_well_is_taken_over() {
    let dict = Plain::default();
    dict.pass(10);
    let _ = begun(&dict, "two", 0, Start::Past("one@1".to_owned()));
    let three = begun(&dict, "three", 11, Start::Past("one@1".to_owned()));
    assert_eq!(*state(&three), State::Asking { claim: "two@11".to_owned() });
    // It began too early for this one.
    let four = begun(&dict, "four", 12, Start::Past("one@1".to_owned()));
    assert!(matches!(state(&four), State::Fetching { owned: true, .. }));
    assert_eq!(dict.get("claim:d").as_deref(), Some("four@13"));
}

#[test]
fn nothing_older_is_published_in_the_place_of_what_is_newer_and_nothing_twice() {
    let dict = Plain::default();
    let mut one = begun(&dict, "one", 0, Start::Fetch);
    dict.set("document:d", "7", 1e6);
    one.answered();
    while one.act(&dict, 9) {}
    assert_eq!((dict.get("document:d").as_deref(), dict.get("claim:d")), (Some("7"), None));
    dict.delete("document:d");
    one.completed.push_back(1);
    while one.act(&dict, 10) {}
    assert_eq!(dict.get("document:d"), None);
}

#[test]
fn a_probe_is_put_off_until_the_others_is_over_and_where_somebody_waits_the_fetch_is_made_all_the_same() {
    let dict = Plain::default();
    let mut one = begun(&dict, "one", 0, probe());
    assert_eq!(dict.ttl("probe:v"), INTERVAL as f64);
    let two = begun(&dict, "two", 0, probe());
    assert_eq!(two.skipped, Some(Some(Duration::from_secs(INTERVAL - 1))));
    let mut three = ModelWorker::new("three");
    three.want(1, "e", 0, probe(), true);
    while three.act(&dict, 3) {}
    assert!(matches!(state(&three), State::Fetching { owned: true, .. }));
    // A vault that asked for less than the interval gets the interval.
    one.away = Some(3);
    one.answered();
    while one.act(&dict, 4) {}
    assert_eq!(dict.ttl("probe:v"), (INTERVAL - 1) as f64);
    dict.pass(INTERVAL);
    let four = begun(&dict, "four", 2 * INTERVAL, probe());
    assert!(matches!(state(&four), State::Fetching { owned: true, .. }));
}

#[test]
fn a_fresh_probe_is_looked_at_again_soon() {
    let dict = Plain::default();
    dict.pass(1);
    dict.set("probe:v", "other", INTERVAL as f64);
    let mut one = ModelWorker::new("one");
    one.want(1, "d", 0, probe(), false);
    while one.act(&dict, 1) {}
    assert_eq!(one.skipped, Some(Some(Duration::from_millis(300))));
}

#[test]
fn a_vault_is_probed_where_there_is_no_room_to_say_so() {
    let dict = Plain::default();
    *dict.is_full.borrow_mut() = true;
    let one = begun(&dict, "one", 0, probe());
    assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
    assert_eq!(one.skipped, None);
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
    assert_eq!((three.skipped, dict.get("probe:v")), (Some(None), None));
    let mut four = ModelWorker::new("four");
    four.want(1, "d", 0, probe(), true);
    while four.act(&dict, 5) {}
    assert!(matches!(state(&four), State::Fetching { owned: true, .. }), "somebody waits for it");
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

#[test]
fn after_a_reload_nothing_serves_meanwhile_where_nothing_is_left() {
    let dict = Plain::default();
    let mut one = ModelWorker { previous: Some("before".to_owned()), ..ModelWorker::new("one") };
    one.want(1, "d", 0, Start::Fetch, true);
    while one.act(&dict, 2) {}
    assert!(!one.inherited);
    assert!(matches!(state(&one), State::Fetching { owned: true, .. }));
}
