//! Which outcomes serve whom, by when their fetches began; and what is left alone that asked for it.

#[path = "support/puppet.rs"]
mod puppet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kong_vault::error::{Error, Kind};
use kong_vault::resolver::singleflight::{JoinOutcome, Joiner, Purpose};
use puppet::Worker;

#[test]
fn a_wait_that_the_vault_asks_for_is_kept() {
    let wait = Some(Duration::from_secs(3600));
    let worker = Worker::new(&[]);
    let failing = Error::new(Kind::Unavailable, "under maintenance").with_retry_after(wait);
    *worker.stage.answer.lock().unwrap() = Some(Err(failing));
    assert_eq!(worker.get("{vault://puppet/a}").unwrap_err().kind(), Kind::Unavailable);
    let refused = worker.get("{vault://puppet/b}").unwrap_err();
    assert!(refused.to_string().contains("circuit breaker open for 300 s, as the vault asked"), "{refused}");
    assert_eq!((worker.asked("a"), worker.asked("b")), (1, 0));
}

#[test]
fn a_wait_for_one_document_is_that_documents() {
    let worker = Worker::new(&[]);
    let slow = Error::new(Kind::Throttled, "slow down").with_retry_after(Some(Duration::from_secs(60)));
    *worker.stage.answer.lock().unwrap() = Some(Err(slow));
    assert_eq!(worker.get("{vault://puppet/a}").unwrap_err().kind(), Kind::Throttled);
    for _ in 0..5 {
        let refused = worker.get("{vault://puppet/a}").unwrap_err();
        assert!(refused.to_string().contains("no requests for this secret for 60 s, as the vault asked"), "{refused}");
    }
    assert_eq!(worker.asked("a"), 1);
    worker.answers(Ok("one"));
    for other in ["b", "c", "d"] {
        assert_eq!(worker.get(&format!("{{vault://puppet/{other}}}")).unwrap(), "one");
    }
    // Where several documents have to wait, the vault as a whole is left alone.
    let slow = Error::new(Kind::Throttled, "slow down").with_retry_after(Some(Duration::from_secs(60)));
    *worker.stage.answer.lock().unwrap() = Some(Err(slow));
    let refuse = |number| worker.get(&format!("{{vault://puppet/{number}}}")).unwrap_err().to_string();
    let refused: Vec<_> = (0..4).map(refuse).collect();
    assert!(refused[3].contains("circuit breaker open for"));
    assert_eq!((worker.asked("2"), worker.asked("3")), (1, 0));
}

/// Joins or creates a call for what begins after now; returns the ticket.
fn join_newer(worker: &Worker, resolved: &kong_vault::resolver::resolved_reference::ResolvedReference) -> u64 {
    match worker.resolver.join_or_create(&resolved.key, Purpose::Newer(Instant::now()), Joiner::WAITER).unwrap() {
        JoinOutcome::Joined(ticket) => ticket,
        JoinOutcome::Created(ticket) => {
            worker.resolver.start_fetch(ticket, None, false).unwrap();
            ticket
        }
    }
}

#[test]
fn who_asks_after_a_rotation_does_not_get_what_a_fetch_of_before_brings() {
    let (worker, reference) = (Worker::new(&[]), b"{vault://puppet/a}");
    let resolved = worker.resolver.resolve(reference).unwrap();
    worker.holds(true);
    let first = join_newer(&worker, &resolved);
    worker.until("the first fetch", |worker| worker.asked("a") == 1);
    let (second, third) = (join_newer(&worker, &resolved), join_newer(&worker, &resolved));
    assert_ne!(second, first);
    assert_eq!(third, second);
    worker.answers(Ok("two"));
    worker.holds(false);
    for ticket in [first, second, third] {
        worker.resolver.wait(ticket);
        assert_eq!(worker.resolver.collect(ticket, reference).unwrap().unwrap().secret.as_str(), Some("two"));
    }
    assert_eq!(worker.asked("a"), 2);
}

#[test]
fn a_value_is_as_old_as_its_fetchs_beginning_and_a_flush_keeps_older_ones_out() {
    let (worker, reference) = (Worker::new(&[("vault_puppet_ttl", "60")]), b"{vault://puppet/a}");
    let resolved = worker.resolver.resolve(reference).unwrap();
    worker.holds(true);
    let ticket = join_newer(&worker, &resolved);
    worker.until("the fetch", |worker| worker.asked("a") == 1);
    worker.resolver.flush(false);
    worker.answers(Ok("old"));
    worker.holds(false);
    worker.resolver.wait(ticket);
    let value = worker.resolver.collect(ticket, reference).unwrap().unwrap();
    assert_eq!((value.secret.as_str(), value.lasting), (Some("old"), false), "for who asked before the flush");
    worker.answers(Ok("new"));
    assert_eq!(worker.get("{vault://puppet/a}").unwrap(), "new", "for who asks after it");

    // What another worker fetched before the flush is not taken after it.
    let ticket = match worker
        .resolver
        .join_or_create(&resolved.key, Purpose::Newer(Instant::now()), Joiner::BACKGROUND)
        .unwrap()
    {
        JoinOutcome::Created(ticket) => ticket,
        JoinOutcome::Joined(_) => panic!("nothing is under way"),
    };
    worker.resolver.start_fetch(ticket, None, true).unwrap();
    worker.resolver.wait(ticket);
    let (sealed, _) = worker.resolver.sealed_outcome(ticket).unwrap();
    worker.resolver.flush(false);
    let JoinOutcome::Created(ticket) =
        worker.resolver.join_or_create(&resolved.key, Purpose::Miss, Joiner::WAITER).unwrap()
    else {
        panic!()
    };
    assert!(worker.resolver.take_shared(ticket, &sealed).is_none());
    worker.resolver.start_fetch(ticket, None, true).unwrap();
    worker.resolver.wait(ticket);
    // Nothing older takes the place of what lies in the node's cache.
    let (newer, _) = worker.resolver.sealed_outcome(ticket).unwrap();
    assert_ne!(newer, sealed);
}

#[test]
fn a_failure_goes_to_other_workers_with_the_value_that_serves_meanwhile() {
    // The value serves for less time than the failure is remembered, and for longer; and one that is not remembered.
    for (ttl, neg_ttl, resurrect_ttl, lies) in
        [("30", "60", "5", 55.0..=60.0), ("60", "60", "600", 650.0..=660.0), ("60", "0", "600", 0.0..=0.0)]
    {
        let stage = format!("of both with neg_ttl {neg_ttl} and resurrect_ttl {resurrect_ttl}");
        let options = [
            ("vault_puppet_ttl", ttl),
            ("vault_puppet_neg_ttl", neg_ttl),
            ("vault_puppet_resurrect_ttl", resurrect_ttl),
            ("vault_puppet_stage", &stage),
        ];
        puppet::STAGES.lock().unwrap().insert(stage.clone(), Arc::default());
        // The same document for both.
        let worker = || {
            let stage = Arc::clone(&puppet::STAGES.lock().unwrap()[&stage]);
            Worker { stage, ..Worker::new(&options) }
        };
        let (owner, reference) = (worker(), b"{vault://puppet/a}");
        owner.answers(Ok("old"));
        assert_eq!(owner.get("{vault://puppet/a}").unwrap(), "old");
        owner.answers(puppet::down());
        let resolved = owner.resolver.resolve(reference).unwrap();
        let JoinOutcome::Created(ticket) =
            owner.resolver.join_or_create(&resolved.key, Purpose::Newer(Instant::now()), Joiner::BACKGROUND).unwrap()
        else {
            panic!("nothing is under way")
        };
        owner.resolver.start_fetch(ticket, None, true).unwrap();
        owner.resolver.wait(ticket);
        let Some((sealed, seconds)) = owner.resolver.sealed_outcome(ticket) else {
            assert_eq!(neg_ttl, "0", "what is remembered is handed on");
            continue;
        };
        assert!(lies.contains(&seconds), "{neg_ttl} and {resurrect_ttl}: {seconds} s");
        let later = worker();
        let JoinOutcome::Created(ticket) =
            later.resolver.join_or_create(&resolved.key, Purpose::Miss, Joiner::WAITER).unwrap()
        else {
            panic!()
        };
        assert!(later.resolver.take_shared(ticket, &sealed).is_some(), "the failure is remembered");
        let value = later.resolver.collect(ticket, reference).unwrap().unwrap();
        assert_eq!((value.secret.as_str(), later.asked("a")), (Some("old"), 2), "it asks nobody");
    }
}
