//! The runtime around a vault that does as it is told: what is fetched, what is served meanwhile, and what is not asked.

#[path = "support/puppet.rs"]
mod puppet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kong_vault::config::entity;
use kong_vault::config::{Config, ConfigSource, IndirectValues};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind};
use kong_vault::resolver::singleflight::{JoinOutcome, Joiner, Purpose};
use kong_vault::resolver::{Lookup, Resolver};
use serde_json::json;

use puppet::{BACKENDS, STAGES, Worker, down};

#[test]
fn many_who_want_one_document_make_one_fetch() {
    let worker = Worker::new(&[]);
    worker.holds(true);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..32)
            .map(|number| {
                let worker = &worker;
                scope.spawn(move || {
                    worker.get(if number % 2 == 0 { "{vault://puppet/a/value}" } else { "{vault://puppet/a/}" })
                })
            })
            .collect();
        worker.until("a fetch", |worker| worker.asked("a") == 1);
        worker.holds(false);
        for value in waiting {
            assert!(value.join().unwrap().unwrap().contains('a'));
        }
    });
    assert_eq!(worker.asked("a"), 1);
}

#[test]
fn who_comes_late_for_his_value_does_not_keep_it_past_a_newer_one() {
    let (worker, reference) = (Worker::new(&[]), b"{vault://puppet/a}");
    let Lookup::Miss(resolved) = worker.resolver.lookup(reference).unwrap() else { panic!("cached") };
    worker.answers(Ok("one"));
    let joined = worker.resolver.join_or_create(&resolved.key, Purpose::Miss, Joiner::WAITER).unwrap();
    let JoinOutcome::Created(ticket) = joined else { panic!("{joined:?}") };
    assert_eq!(
        worker.resolver.join_or_create(&resolved.key, Purpose::Miss, Joiner::WAITER).unwrap(),
        JoinOutcome::Joined(ticket)
    );
    worker.resolver.start_fetch(ticket, None, false).unwrap();
    worker.resolver.wait(ticket);
    let claim = || worker.resolver.collect(ticket, reference).unwrap().unwrap();
    let first = claim();
    assert_eq!((first.secret.as_str(), first.lasting), (Some("one"), true));
    worker.answers(Ok("two"));
    worker.resolver.renew(&resolved.key);
    worker.until("the new value", |worker| worker.get("{vault://puppet/a}").unwrap() == "two");
    let late = claim();
    assert_eq!((late.secret.as_str(), late.lasting), (Some("one"), false));
}

#[test]
fn a_value_in_use_is_renewed_in_the_background_and_nobody_waits() {
    let worker = Worker::new(&[("vault_puppet_ttl", "0.3")]);
    worker.answers(Ok("one"));
    assert_eq!(worker.get("{vault://puppet/a}").unwrap(), "one");
    worker.answers(Ok("two"));
    let before = worker.generation.load(Ordering::Relaxed);
    worker.until("the new value", |worker| worker.get("{vault://puppet/a}").unwrap() == "two");
    assert!(worker.generation.load(Ordering::Relaxed) > before, "copies are known to be over");
    worker.holds(true);
    let asked = worker.asked("a");
    worker.until("a renewal", |worker| worker.asked("a") > asked);
    let end = Instant::now() + Duration::from_millis(600);
    worker.until("the end of ttl", |worker| {
        assert_eq!(worker.get("{vault://puppet/a}").unwrap(), "two", "the old value serves");
        Instant::now() > end
    });
    worker.holds(false);
}

#[test]
fn a_value_nobody_asks_for_is_not_renewed_for_ever() {
    let worker = Worker::new(&[("vault_puppet_ttl", "0.1"), ("vault_idle_ttl", "0.3")]);
    worker.get("{vault://puppet/a}").unwrap();
    worker.until("the end", |worker| worker.resolver.levels(0).entries == 0);
    let asked = worker.asked("a");
    assert!(asked <= 4, "{asked}");
}

#[test]
fn without_a_ttl_and_with_one_of_0_a_value_is_fetched_once() {
    let once = |worker: &Worker, references: &[&str]| {
        for reference in references {
            worker.answers(Ok("one"));
            assert_eq!(worker.get(reference).unwrap(), "one", "{reference}");
            let asked = worker.asked("a");
            worker.answers(Ok("two"));
            let end = Instant::now() + Duration::from_millis(100);
            worker.until("some time", |worker| {
                assert_eq!(worker.get(reference).unwrap(), "one", "{reference}");
                Instant::now() > end
            });
            assert_eq!(worker.asked("a"), asked, "{reference}");
        }
    };
    let plain = "{vault://puppet/a}";
    let short = &[("vault_puppet_ttl", "0.01"), ("vault_puppet_resurrect_ttl", "0")];
    once(&Worker::new(&[]), &[plain, "{vault://puppet/a?ttl=0}", "{vault://puppet/a?ttl=0.0}"]);
    once(&Worker::new(&[("vault_puppet_ttl", "0"), ("vault_puppet_resurrect_ttl", "0")]), &[plain]);
    once(&Worker::new(short), &["{vault://puppet/a?ttl=0}"]);
    let worker = Worker::new(short);
    let settings = Arc::clone(&worker.resolver.resolve(plain.as_bytes()).unwrap().key.settings);
    let config = json!({"stage": settings.text("stage"), "ttl": 0, "max_ttl": 0, "resurrect_ttl": 0});
    let entity = json!({"prefix": "own", "name": "puppet", "config": config});
    worker.resolver.replace_entities(vec![entity::listed(&entity, BACKENDS, "a test")], "a test");
    once(&worker, &["{vault://own/a}"]);
    // A lease is the vault's own word; it is bounded by nothing then.
    let worker = Worker::new(&[("vault_puppet_ttl", "0"), ("vault_puppet_max_ttl", "0")]);
    *worker.stage.lease.lock().unwrap() = Some(Duration::from_secs(60));
    once(&worker, &[plain]);
    let worker = Worker::new(&[("vault_puppet_ttl", "0")]);
    *worker.stage.lease.lock().unwrap() = Some(Duration::from_millis(200));
    worker.answers(Ok("one"));
    assert_eq!(worker.get(plain).unwrap(), "one");
    worker.answers(Ok("two"));
    worker.until("the end of the lease", |worker| worker.get(plain).unwrap() == "two");
}

#[test]
fn a_strategy_of_kongs_is_given_a_new_value_each_time() {
    let worker = Worker::new(&[]);
    let settings = Arc::clone(&worker.resolver.resolve(b"{vault://puppet/a}").unwrap().key.settings);
    for (index, resource) in ["a", "a", "b;c/d@e", "a", "b;c/d@e"].into_iter().enumerate() {
        let options = ["0", "60"].map(|ttl| BTreeMap::from([("stage", settings.text("stage").unwrap()), ("ttl", ttl)]));
        let options =
            options[index % 2].iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let asked = worker.asked(resource);
        let reference =
            worker.resolver.reference_of_strategy(BACKENDS[0], &options, resource.as_bytes(), None, true).unwrap();
        let answer = worker.resolver.fetch_blocking(&[reference]).pop().unwrap().unwrap();
        assert!(answer.as_str().unwrap().contains(resource), "{resource}");
        assert_eq!(worker.asked(resource), asked + 1, "{resource}");
    }
}

#[test]
fn an_outage_costs_those_nothing_who_have_a_value_and_is_probed_in_the_background() {
    let options = [("vault_puppet_ttl", "0.1"), ("vault_breaker_interval", "0.2")];
    let worker = Worker::new(&options);
    worker.answers(Ok("one"));
    assert_eq!(worker.get("{vault://puppet/a}").unwrap(), "one");
    worker.answers(down());
    worker.until("the breaker", |worker| {
        worker.resolver.levels(0).breakers.iter().any(|(_, state)| state.name() == "open")
    });
    let (asked, start) = (worker.asked("a"), Instant::now());
    worker.until("five intervals", |worker| {
        assert_eq!(worker.get("{vault://puppet/a}").unwrap(), "one");
        start.elapsed() > Duration::from_secs(1)
    });
    let intervals = (start.elapsed().as_secs_f64() / 0.2).ceil() as usize;
    let probes = worker.asked("a") - asked;
    assert!((1..=intervals + 1).contains(&probes), "{probes} in {intervals} intervals");

    let cold = worker.get("{vault://puppet/cold}").unwrap_err();
    assert!(cold.to_string().contains("connection refused; circuit breaker open"), "{cold}");
    assert_eq!(worker.asked("cold"), 0, "who has no value is refused at once");
    worker.answers(Ok("two"));
    worker.until("the vault to be back", |worker| worker.get("{vault://puppet/a}").unwrap() == "two");
    assert_eq!(worker.get("{vault://puppet/cold}").unwrap(), "two");
}

#[test]
fn what_can_be_tried_again_is_and_what_can_not_is_not() {
    for (kind, attempts) in [(Kind::Unavailable, 3), (Kind::Denied, 1), (Kind::NotFound, 1), (Kind::Tls, 1)] {
        let worker = Worker::new(&[]);
        worker.answers(Err(Error::new(kind, "no")));
        assert_eq!(worker.get("{vault://puppet/a}").unwrap_err().kind(), kind);
        assert_eq!(worker.asked("a"), attempts, "{kind:?}");
    }
}

#[test]
fn the_deadline_covers_everything() {
    let worker = Worker::new(&[("vault_fetch_timeout", "0.1")]);
    worker.holds(true);
    let error = worker.get("{vault://puppet/a}").unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.to_string().contains("did not answer within 0.1 s"), "{error}");
}

#[test]
fn a_slow_vault_does_not_hold_up_another() {
    let (slow, fast) = (Worker::new(&[]), Worker::new(&[]));
    slow.holds(true);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..40)
            .map(|number| {
                let slow = &slow;
                scope.spawn(move || slow.get(&format!("{{vault://puppet/{number}}}")))
            })
            .collect();
        slow.until("all to be asked for", |slow| (0..40).all(|number| slow.asked(&number.to_string()) == 1));
        assert!(fast.get("{vault://puppet/a}").is_ok());
        slow.holds(false);
        for value in waiting {
            value.join().unwrap().unwrap();
        }
    });
}

#[test]
fn one_worker_has_a_document_from_another_that_is_fetching_it() {
    let (owner, follower) = (Worker::new(&[]), Worker::new(&[]));
    // The same document: both have the stage of the first.
    let conf = BTreeMap::from([("vault_puppet_stage".to_owned(), "shared".to_owned())]);
    STAGES.lock().unwrap().insert("shared".to_owned(), Arc::clone(&owner.stage));
    let worker = |worker: &Worker| {
        let config = Config::load_with(
            &conf,
            ConfigSource::Configure,
            &Environment::default(),
            BACKENDS,
            &IndirectValues::default(),
        )
        .unwrap();
        let resolver = Arc::new(Resolver::new(config, Environment::default(), Arc::clone(&worker.generation)));
        Worker { stage: Arc::clone(&owner.stage), resolver, generation: Arc::clone(&worker.generation) }
    };
    let (first, second) = (worker(&owner), worker(&follower));
    let reference = b"{vault://puppet/a}";
    let join_or_create = |worker: &Worker| {
        let Lookup::Miss(resolved) = worker.resolver.lookup(reference).unwrap() else { panic!("cached") };
        let JoinOutcome::Created(ticket) =
            worker.resolver.join_or_create(&resolved.key, Purpose::Miss, Joiner::WAITER).unwrap()
        else {
            panic!()
        };
        ticket
    };
    first.holds(true);
    let (mine, theirs) = (join_or_create(&first), join_or_create(&second));
    first.resolver.start_fetch(mine, None, true).unwrap();
    let address = first.resolver.address().unwrap().to_string();
    second.resolver.start_fetch(theirs, Some(address), false).unwrap();
    first.until("the fetch", |first| first.asked("a") == 1);
    first.holds(false);
    second.resolver.wait(theirs);
    assert!(second.resolver.collect(theirs, reference).unwrap().is_some());
    assert_eq!(first.asked("a"), 1);

    // What the first publishes, a third may take.
    first.resolver.wait(mine);
    let (sealed, seconds) = first.resolver.sealed_outcome(mine).unwrap();
    assert_eq!(seconds, 0.0, "without ttl: for ever");
    let third = worker(&owner);
    let ticket = join_or_create(&third);
    assert!(third.resolver.take_shared(ticket, &sealed).is_some());
    assert!(third.resolver.collect(ticket, reference).unwrap().is_some());
    // A worker that is gone is no reason to fail.
    let fourth = worker(&owner);
    let ticket = join_or_create(&fourth);
    fourth.resolver.start_fetch(ticket, Some("kong-vault-nobody".to_owned()), false).unwrap();
    fourth.resolver.wait(ticket);
    assert!(fourth.resolver.collect(ticket, reference).unwrap().is_some());
    assert_eq!(first.asked("a"), 2);
}

#[test]
fn a_flush_has_what_was_known_fetched_anew() {
    let worker = Worker::new(&[]);
    worker.get("{vault://puppet/a}").unwrap();
    worker.resolver.flush(true);
    worker.until("the renewal", |worker| worker.asked("a") == 2 && worker.resolver.levels(0).entries == 1);
}

#[test]
fn a_vault_that_has_no_room_any_more_is_shut_down() {
    let worker = Worker::new(&[]);
    let ask = |region: usize| worker.get(&format!("{{vault://puppet/a{region}?region=r{region}}}")).unwrap();
    let shutdowns = |worker: &Worker| worker.stage.shutdowns.load(Ordering::Relaxed);
    // Twice in turn, as each has room.
    for region in (0..1024).chain(0..1024) {
        ask(region);
    }
    assert_eq!(shutdowns(&worker), 0);
    ask(1024);
    worker.until("the shutdown", |worker| shutdowns(worker) == 1);
}

#[test]
fn a_lease_of_the_vault_shortens_the_wait() {
    let worker = Worker::new(&[("vault_puppet_ttl", "3600")]);
    *worker.stage.lease.lock().unwrap() = Some(Duration::from_millis(200));
    worker.get("{vault://puppet/a}").unwrap();
    worker.until("a renewal", |worker| worker.asked("a") > 1);
}
