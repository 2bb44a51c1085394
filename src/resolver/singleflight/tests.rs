use super::*;
use crate::cache::document::Document;
use crate::error::{Error, Kind};
use crate::secret::Secret;
use std::sync::Arc;

const WAITER: Joiner = Joiner::WAITER;

fn document() -> Arc<Document> {
    Arc::new(Document::new(Secret::new("1")))
}

fn failure(began: Instant) -> SealedOutcome {
    SealedOutcome::Failure { error: Error::new(Kind::NotFound, "none"), began, at: began, old: None }
}

fn join_or_create(calls: &mut Singleflight<&'static str, u8>, key: &'static str, waits: bool) -> JoinOutcome {
    calls.join_or_create(&key, &0, Purpose::Miss, None, Joiner { waits, queues: false }, Instant::now()).unwrap()
}

fn created(calls: &mut Singleflight<&'static str, u8>, key: &'static str, waits: bool) -> u64 {
    match join_or_create(calls, key, waits) {
        JoinOutcome::Created(ticket) => ticket,
        JoinOutcome::Joined(ticket) => panic!("{key} is under way as {ticket}"),
    }
}

#[test]
fn one_fetch_per_document_and_every_waiter_gets_its_outcome() {
    let mut calls = Singleflight::default();
    let ticket = created(&mut calls, "a", true);
    assert_eq!(join_or_create(&mut calls, "a", true), JoinOutcome::Joined(ticket));
    assert_ne!(created(&mut calls, "b", true), ticket);
    assert!(calls.start_fetch(ticket, false, Instant::now()).is_some());
    assert!(calls.start_fetch(ticket, false, Instant::now()).is_none(), "once");
    assert_eq!(join_or_create(&mut calls, "a", false), JoinOutcome::Joined(ticket));
    assert!(!calls.is_completed(ticket));
    assert_eq!(calls.complete(ticket, Ok(document()), None, Instant::now()), Completion { waiters: 2, next: None });
    assert!(calls.is_completed(ticket));
    assert!(calls.collect(ticket, Instant::now()).unwrap().is_ok());
    assert!(calls.collect(ticket, Instant::now()).unwrap().is_ok());
    assert!(calls.collect(ticket, Instant::now()).is_none());
    created(&mut calls, "a", true);
}

#[test]
fn an_outcome_nobody_collects_is_dropped() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    let ticket = created(&mut calls, "a", true);
    calls.complete(ticket, Ok(document()), None, now);
    let background = created(&mut calls, "b", false);
    calls.complete(background, Ok(document()), None, now + UNCOLLECTED);
    assert_eq!((calls.calls.len(), calls.completed.len(), calls.under_way()), (0, 0, 0));
    assert!(calls.per_vault.is_empty());
}

#[test]
fn a_waiter_that_gives_up_leaves_the_call_to_the_others() {
    let mut calls = Singleflight::default();
    let ticket = created(&mut calls, "a", true);
    join_or_create(&mut calls, "a", true);
    assert!(calls.collect(ticket, Instant::now()).is_none());
    calls.complete(ticket, Ok(document()), None, Instant::now());
    assert!(calls.collect(ticket, Instant::now()).unwrap().is_ok());
    assert!(calls.calls.is_empty());
}

#[test]
fn its_owner_takes_the_outcome_on() {
    let before = Instant::now();
    let mut calls = Singleflight::default();
    let other = created(&mut calls, "b", true);
    calls.start_fetch(other, false, Instant::now());
    calls.complete(other, Ok(document()), None, Instant::now());
    assert!(calls.sealed_outcome(other).is_none(), "nobody has to take it on");
    assert!(calls.collect(other, Instant::now()).is_some(), "and it is still there for who waits");
    let ticket = created(&mut calls, "a", false);
    calls.start_fetch(ticket, true, Instant::now());
    assert_eq!(calls.find(|key| *key == "a", before, Instant::now()), Some(ticket));
    let error = Error::new(Kind::NotFound, "none");
    calls.complete(ticket, Err(error), Some(failure(Instant::now())), Instant::now());
    assert!(matches!(calls.watch(ticket), CallWatch::Completed(Some(_))));
    assert!(matches!(calls.sealed_outcome(ticket), Some(("a", Some(SealedOutcome::Failure { .. })))));
    assert!(calls.sealed_outcome(ticket).is_none());
}

#[test]
fn who_takes_the_outcome_on_takes_it_once_and_from_no_waiter() {
    let mut calls = Singleflight::default();
    let ticket = created(&mut calls, "a", true);
    calls.start_fetch(ticket, true, Instant::now());
    assert!(calls.sealed_outcome(ticket).is_none(), "it is not completed");
    assert!(calls.requeue(ticket, Instant::now()));
    calls.start_fetch(ticket, true, Instant::now());
    let completed = calls.complete(ticket, Ok(document()), Some(failure(Instant::now())), Instant::now());
    assert_eq!(completed.waiters, 2);
    assert!(calls.sealed_outcome(ticket).is_some());
    assert!(calls.sealed_outcome(ticket).is_none());
    assert!(calls.collect(ticket, Instant::now()).is_some(), "it is still there for who waits");
    assert!(calls.calls.is_empty());
}

#[test]
fn a_call_may_be_requeued_and_one_nobody_starts_is_handed_to_the_next() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    let JoinOutcome::Created(ticket) = calls.join_or_create(&"a", &0, Purpose::Miss, None, WAITER, now).unwrap() else {
        panic!()
    };
    let later = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(calls.join_or_create(&"a", &0, Purpose::Miss, None, WAITER, now).unwrap(), JoinOutcome::Joined(ticket));
    assert_eq!(
        calls.join_or_create(&"a", &0, Purpose::Miss, None, WAITER, later(2)).unwrap(),
        JoinOutcome::Created(ticket)
    );
    assert_eq!(
        calls.join_or_create(&"a", &0, Purpose::Miss, None, WAITER, later(2)).unwrap(),
        JoinOutcome::Joined(ticket)
    );
    calls.start_fetch(ticket, false, Instant::now());
    let whole = Duration::from_secs(5);
    assert_eq!(calls.left(ticket, whole, later(2)), None, "it has its whole time");
    assert!(calls.requeue(ticket, later(2)));
    assert!(!calls.requeue(ticket, later(2)));
    assert_eq!(calls.left(ticket, whole, later(2)), Some(Duration::from_secs(3)));
    assert_eq!(calls.left(ticket, whole, later(9)), Some(Duration::ZERO));
    assert!(calls.start_fetch(ticket, false, Instant::now()).is_some());
}

#[test]
fn whoever_watches_is_told_of_the_completion() {
    let mut calls = Singleflight::default();
    let ticket = created(&mut calls, "a", false);
    let CallWatch::Running(completion) = calls.watch(ticket) else { panic!() };
    let sealed_outcome = failure(Instant::now());
    calls.complete(ticket, Ok(document()), Some(sealed_outcome), Instant::now());
    assert!(completion.blocking_recv().unwrap().is_some());
    assert!(matches!(calls.watch(ticket), CallWatch::Completed(None)));
}

#[test]
fn the_number_of_calls_is_bounded_and_a_slow_vault_leaves_room_for_others() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    for key in 0..LIMIT_PER_VAULT {
        calls.join_or_create(&key, &"slow", Purpose::Miss, None, WAITER, now).unwrap();
    }
    let refused = calls.join_or_create(&LIMIT, &"slow", Purpose::Miss, None, WAITER, now).unwrap_err();
    assert_eq!(refused.kind(), Kind::Throttled);
    assert!(calls.join_or_create(&0, &"slow", Purpose::Miss, None, WAITER, now).is_ok());
    assert!(calls.join_or_create(&LIMIT, &"fast", Purpose::Miss, None, WAITER, now).is_ok());
}

fn later(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

#[test]
fn who_wants_a_newer_outcome_than_the_fetch_under_way_brings_gets_the_next_and_shares_it() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    let newer = |calls: &mut Singleflight<&str, u8>, since| {
        calls.join_or_create(&"a", &0, Purpose::Newer(later(now, since)), None, WAITER, later(now, since)).unwrap()
    };
    let JoinOutcome::Created(first) = newer(&mut calls, 0) else { panic!() };
    assert_eq!(newer(&mut calls, 1), JoinOutcome::Joined(first), "it has not begun");
    calls.start_fetch(first, false, later(now, 2));
    assert_eq!(newer(&mut calls, 2), JoinOutcome::Joined(first));
    let JoinOutcome::Joined(second) = newer(&mut calls, 3) else { panic!() };
    assert_ne!(second, first);
    assert_eq!(newer(&mut calls, 4), JoinOutcome::Joined(second), "one further call is enough");
    assert!(calls.unstarted(second).is_none(), "it waits for its turn");
    assert_eq!((calls.under_way(), calls.per_vault[&0]), (1, 2));
    let completed = calls.complete(first, Ok(document()), None, later(now, 5));
    assert_eq!(completed, Completion { waiters: 3, next: Some(second) });
    assert_eq!(calls.unstarted(second).unwrap().after, Some(later(now, 4)));
    calls.start_fetch(second, false, later(now, 6));
    assert_eq!(calls.complete(second, Ok(document()), None, later(now, 7)), Completion { waiters: 2, next: None });
    assert_eq!((calls.under_way(), calls.per_vault.len()), (0, 0));
}

#[test]
fn another_workers_fetch_serves_by_its_beginning() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    let since = later(now, 10);
    let JoinOutcome::Created(ticket) =
        calls.join_or_create(&"a", &0, Purpose::Newer(since), None, WAITER, since).unwrap()
    else {
        panic!()
    };
    assert!(matches!(calls.start_elsewhere(ticket, Some(later(now, 9))), Some(None)));
    assert!(matches!(calls.start_elsewhere(ticket, Some(since)), Some(Some(_))));
    assert!(calls.start_elsewhere(ticket, Some(since)).is_none(), "once");
    assert!(calls.find(|_| true, now, now).is_none(), "who wants it asks the one who fetches");
    // Whoever wants a fetch that begins after the other worker's waits for the next call.
    let next = calls.join_or_create(&"a", &0, Purpose::Newer(later(now, 11)), None, WAITER, later(now, 12)).unwrap();
    assert!(next != JoinOutcome::Joined(ticket));
}

#[test]
fn an_outcome_is_told_to_those_whom_it_serves_and_not_for_long() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    let fly = |calls: &mut Singleflight<&'static str, u8>, at: u64| {
        let ticket = created(calls, "a", true);
        calls.start_fetch(ticket, false, later(now, at));
        calls.complete(ticket, Ok(document()), Some(failure(later(now, at))), later(now, at + 1));
        ticket
    };
    let find = |calls: &mut Singleflight<&'static str, u8>, after, at| calls.find(|_| true, later(now, after), at);
    // Nobody collects the outcomes.
    let first = fly(&mut calls, 10);
    assert_eq!(find(&mut calls, 9, later(now, 11)), Some(first));
    assert_eq!(find(&mut calls, 10, later(now, 11)), None);
    let second = fly(&mut calls, 20);
    assert_eq!(find(&mut calls, 9, later(now, 21)), Some(second), "the newest");
    assert_eq!(find(&mut calls, 9, later(now, 21) + UNCOLLECTED), None);
    assert!(calls.calls.is_empty());
}

#[test]
fn a_value_of_before_completes_no_call_that_somebody_joined_for_a_newer_one() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    let ticket = created(&mut calls, "a", true);
    calls.join_or_create(&"a", &0, Purpose::Newer(later(now, 5)), None, WAITER, later(now, 5)).unwrap();
    assert!(calls.complete_if_served(ticket, later(now, 5), Ok(document()), None, later(now, 6)).is_none());
    assert!(calls.unstarted(ticket).unwrap().purpose == Purpose::Newer(later(now, 5)));
    assert!(calls.complete_if_served(ticket, later(now, 6), Ok(document()), None, later(now, 7)).is_some());
}

#[test]
fn who_waits_for_his_turn_is_not_refused() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    for key in 0..LIMIT_PER_VAULT {
        calls.join_or_create(&key, &"slow", Purpose::Miss, None, WAITER, now).unwrap();
    }
    assert!(calls.join_or_create(&LIMIT, &"slow", Purpose::Miss, None, WAITER, now).is_err());
    let mut queue = || {
        let joiner = Joiner { waits: true, queues: true };
        calls.join_or_create(&LIMIT, &"slow", Purpose::Miss, None, joiner, now).unwrap()
    };
    let JoinOutcome::Created(ticket) = queue() else { panic!() };
    assert_eq!(queue(), JoinOutcome::Joined(ticket));
}

#[test]
fn what_nobody_waits_for_begins_when_its_vault_has_room() {
    let (mut calls, now) = (Singleflight::default(), Instant::now());
    let mut tickets = Vec::new();
    while !calls.defer(&tickets.len(), &"slow", Purpose::Miss) {
        let Ok(JoinOutcome::Created(ticket)) =
            calls.join_or_create(&tickets.len(), &"slow", Purpose::Miss, None, Joiner::BACKGROUND, now)
        else {
            panic!()
        };
        tickets.push(ticket);
    }
    assert_eq!(tickets.len(), BACKGROUND_PER_VAULT);
    assert!(!calls.defer(&0, &"slow", Purpose::Miss), "it is under way");
    assert!(!calls.defer(&LIMIT, &"fast", Purpose::Miss));
    assert!(calls.defer(&LIMIT, &"slow", Purpose::Newer(now)));
    assert_eq!(calls.next_turn(&"slow"), None);
    calls.complete(tickets[0], Ok(document()), None, now);
    assert_eq!(calls.next_turn(&"slow"), Some((BACKGROUND_PER_VAULT, Purpose::Miss)));
    assert_eq!(calls.next_turn(&"slow"), Some((LIMIT, Purpose::Newer(now))));
    assert_eq!(calls.next_turn(&"slow"), None);
    assert!(calls.deferred.is_empty());
}

mod served {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        JoinOrCreate { newer: bool, floor: bool },
        Start,
        Elsewhere { began: u64 },
        Complete,
        Offer { began: u64 },
        CallBack,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<bool>(), any::<bool>()).prop_map(|(newer, floor)| Step::JoinOrCreate { newer, floor }),
            3 => Just(Step::Start),
            1 => (0u64..20).prop_map(|began| Step::Elsewhere { began }),
            3 => Just(Step::Complete),
            1 => (0u64..20).prop_map(|began| Step::Offer { began }),
            1 => Just(Step::CallBack),
        ]
    }

    proptest! {
        /// In any order of joins, starts and completions, each joiner gets the outcome of a fetch that began after the
        /// time that it asked for. No more than one call of a document is under way.
        #[test]
        fn nothing_older_than_asked(steps in proptest::collection::vec(step(), 1..80)) {
            let (mut calls, start) = (Singleflight::<u8, u8>::default(), Instant::now());
            // Each waiter's ticket, and the time that it asked for; when the fetch of each ticket began.
            let (mut waiting, mut began) = (Vec::<(u64, Option<u64>)>::new(), HashMap::<u64, u64>::new());
            let mut current: Option<u64> = None;
            let mut now = 20;
            let end = [Step::Start, Step::Complete, Step::Start, Step::Complete];
            for step in steps.into_iter().chain(end) {
                now += 1;
                let at = later(start, now);
                let completed = match step {
                    Step::JoinOrCreate { newer, floor } => {
                        let purpose = if newer { Purpose::Newer(at) } else { Purpose::Miss };
                        let unstarted = calls.join_or_create(&1, &1, purpose, floor.then_some(at), WAITER, at).unwrap();
                        let (JoinOutcome::Created(ticket) | JoinOutcome::Joined(ticket)) = unstarted;
                        if let JoinOutcome::Created(ticket) = unstarted {
                            prop_assert!(current.is_none());
                            current = Some(ticket);
                        }
                        waiting.push((ticket, (newer || floor).then_some(now)));
                        None
                    }
                    Step::Start => {
                        if let Some(ticket) = current && calls.start_fetch(ticket, false, at).is_some() {
                            began.insert(ticket, now);
                        }
                        None
                    }
                    Step::Elsewhere { began: ago } => {
                        let then = now - ago;
                        let gone = current.and_then(|ticket| calls.start_elsewhere(ticket, Some(later(start, then))));
                        if let (Some(ticket), Some(Some(_))) = (current, gone) {
                            // The other's fetch begins a moment after its claim.
                            began.insert(ticket, then);
                        }
                        None
                    }
                    Step::CallBack => {
                        if let Some(ticket) = current && calls.requeue(ticket, at) {
                            began.remove(&ticket);
                        }
                        None
                    }
                    Step::Complete => match current {
                        Some(ticket) if began.contains_key(&ticket) => {
                            Some((ticket, began[&ticket], true, calls.complete(ticket, Ok(document()), None, at)))
                        }
                        _ => None,
                    },
                    Step::Offer { began: ago } => current.and_then(|ticket| {
                        let then = now - ago;
                        let completed = calls.complete_if_served(ticket, later(start, then), Ok(document()), None, at)?;
                        Some((ticket, then, false, completed))
                    }),
                };
                if let Some((ticket, then, started, completed)) = completed {
                    let mut told = 0;
                    for (_, after) in waiting.extract_if(.., |(waits, _)| *waits == ticket) {
                        // A fetch begins when it is started, or later.
                        prop_assert!(after.is_none_or(|after| then > after || started && then == after), "{after:?} {then}");
                        prop_assert!(calls.collect(ticket, at).is_some());
                        told += 1;
                    }
                    prop_assert_eq!(told, completed.waiters);
                    current = completed.next;
                }
            }
            prop_assert!(waiting.is_empty(), "{waiting:?}");
            prop_assert_eq!((calls.calls.len(), calls.under_way()), (0, 0));
        }
    }
}
