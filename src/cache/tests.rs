mod along;

use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);

fn ttl_policy(ttl: Option<u64>, neg_ttl: u64, resurrect_ttl: u64) -> TtlPolicy {
    TtlPolicy {
        ttl: ttl.map(Duration::from_secs),
        neg_ttl: Duration::from_secs(neg_ttl),
        resurrect_ttl: Duration::from_secs(resurrect_ttl),
        min_ttl: Duration::ZERO,
        max_ttl: None,
    }
}

fn down() -> Error {
    Error::new(Kind::Unavailable, "down")
}

struct Shelf {
    cache: Cache<&'static str>,
    start: Instant,
    idle: Duration,
}

impl Shelf {
    fn new(size: usize) -> Self {
        Self {
            cache: Cache::new(NonZeroUsize::new(size).unwrap(), |key| key.len()),
            start: Instant::now(),
            idle: 1_000_000 * SECOND,
        }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn brings(
        &mut self,
        key: &'static str,
        text: &str,
        lease: Option<u64>,
        ttl_policy: &TtlPolicy,
        second: u64,
    ) -> bool {
        let at = self.at(second);
        let lease = lease.map(Duration::from_secs);
        let value = Dated { document: Arc::new(Document::leased(Secret::new(text), lease)), at };
        self.cache.fetched(key, value, ttl_policy, at, 0.0)
    }

    fn fails(&mut self, key: &'static str, error: Error, ttl_policy: &TtlPolicy, second: u64) -> (bool, bool) {
        let (lost, old) = self.cache.failed(key, error, ttl_policy, self.at(second), self.at(second), 1.0);
        (lost, old.is_some())
    }

    /// `value`, `~value` for a stale one, `~value!` if it is due, `!` for a remembered failure, `-` for nothing.
    fn look(&mut self, key: &'static str, second: u64) -> String {
        let text = |document: Arc<Document>| document.whole().as_str().unwrap().to_owned();
        match self.cache.look(&key, self.at(second)) {
            CacheLookup::Fresh(document) => text(document),
            CacheLookup::Stale { document, due } => format!("~{}{}", text(document), if due { "!" } else { "" }),
            CacheLookup::Failure(_) => "!".into(),
            CacheLookup::Nothing => "-".into(),
        }
    }

    fn due(&mut self, second: u64) -> Vec<(&'static str, Due)> {
        let now = self.at(second);
        let mut due: Vec<_> = std::iter::from_fn(|| self.cache.due(now, self.idle)).collect();
        due.sort_by_key(|(key, _)| *key);
        due
    }
}

#[test]
fn a_value_is_fresh_for_ttl_and_without_one_for_ever() {
    let mut shelf = Shelf::new(2);
    assert!(!shelf.brings("a", "1", None, &ttl_policy(Some(10), 0, 100), 0));
    assert!(!shelf.brings("b", "2", None, &ttl_policy(None, 0, 0), 0));
    assert_eq!(shelf.look("a", 9), "1");
    assert_eq!(shelf.look("a", 10), "~1!");
    assert_eq!(shelf.look("a", 110), "-");
    assert_eq!(shelf.look("b", 1_000_000), "2");
    assert_eq!(shelf.cache.next(), Some(shelf.at(0) + Duration::from_millis(8500)));
}

#[test]
fn a_value_is_renewed_ahead_of_its_end_and_once() {
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(Some(100), 0, 100);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    assert_eq!(shelf.due(84), vec![]);
    assert_eq!(shelf.due(85), vec![("a", Due::Renew)]);
    assert_eq!(shelf.due(86), vec![]);
    assert!(shelf.brings("a", "2", None, &ttl_policy, 87), "a new value");
    assert!(!shelf.brings("a", "2", None, &ttl_policy, 88), "the same value");
    assert_eq!(shelf.due(172), vec![]);
    assert_eq!(shelf.due(173), vec![("a", Due::Renew)]);
    assert_eq!(shelf.due(400), vec![("a", Due::Drop)]);
    assert_eq!(shelf.cache.len(), 0);
}

#[test]
fn a_value_nobody_asks_for_is_dropped_instead_of_renewed() {
    let mut shelf = Shelf::new(2);
    shelf.idle = 15 * SECOND;
    let ttl_policy = ttl_policy(Some(10), 0, 100);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    shelf.brings("b", "1", None, &ttl_policy, 0);
    assert_eq!(shelf.look("b", 6), "1");
    assert_eq!(shelf.due(9), vec![("a", Due::Renew), ("b", Due::Renew)]);
    shelf.brings("a", "1", None, &ttl_policy, 9);
    shelf.brings("b", "1", None, &ttl_policy, 9);
    assert_eq!(shelf.due(18), vec![("a", Due::Drop), ("b", Due::Renew)]);
}

#[test]
fn a_lease_shortens_ttl_or_stands_in_for_it_within_its_bounds() {
    let mut shelf = Shelf::new(9);
    let fresh_for = |shelf: &mut Shelf, lease, ttl_policy: &TtlPolicy| {
        shelf.brings("a", "1", lease, ttl_policy, 0);
        (0..1000).take_while(|second| shelf.look("a", *second) == "1").count()
    };
    assert_eq!(fresh_for(&mut shelf, Some(5), &ttl_policy(Some(10), 0, 0)), 5);
    assert_eq!(fresh_for(&mut shelf, Some(5), &ttl_policy(None, 0, 0)), 5);
    assert_eq!(fresh_for(&mut shelf, Some(5), &ttl_policy(Some(2), 0, 0)), 2);
    let bounded = TtlPolicy { min_ttl: 20 * SECOND, max_ttl: Some(30 * SECOND), ..ttl_policy(None, 0, 0) };
    assert_eq!(fresh_for(&mut shelf, Some(5), &bounded), 20);
    assert_eq!(fresh_for(&mut shelf, Some(25), &bounded), 25);
    assert_eq!(fresh_for(&mut shelf, Some(500), &bounded), 30);
}

#[test]
fn a_failure_is_remembered_for_neg_ttl() {
    let mut shelf = Shelf::new(2);
    assert_eq!(shelf.fails("a", down(), &ttl_policy(None, 3, 0), 0), (false, false));
    assert_eq!(shelf.look("a", 2), "!");
    assert_eq!(shelf.look("a", 3), "-");
    shelf.fails("b", down(), &ttl_policy(None, 0, 0), 0);
    assert_eq!(shelf.look("b", 0), "-");
    assert_eq!(shelf.due(3), vec![("a", Due::Drop)]);
}

#[test]
fn a_failure_that_is_heard_of_late_revives_no_value_whose_time_has_ended_since() {
    for (neg_ttl, resurrect_ttl) in [(0, 0), (9, 0), (0, 1), (9, 1)] {
        let ttl_policy = ttl_policy(Some(10), neg_ttl, resurrect_ttl);
        let mut shelf = Shelf::new(2);
        let heard = |shelf: &mut Shelf, second| {
            shelf.brings("a", "1", None, &ttl_policy, 0);
            let (at, now) = (shelf.at(8), shelf.at(second));
            shelf.cache.failed("a", down(), &ttl_policy, at, now, 1.0).1.is_some()
        };
        let end = 10 + resurrect_ttl;
        assert!(heard(&mut shelf, end - 1), "it serves on");
        assert!(!heard(&mut shelf, end), "neg_ttl {neg_ttl}, resurrect_ttl {resurrect_ttl}");
        // The failure is remembered from its own time, not from when this worker heard of it.
        let remembered = if neg_ttl > 0 { "!" } else { "-" };
        assert_eq!((shelf.look("a", end), shelf.look("a", 8 + neg_ttl)), (remembered.into(), "-".into()));
    }
}

#[test]
fn the_old_value_serves_through_an_outage_until_resurrect_ttl_ends() {
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(Some(10), 0, 20);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    for second in 10..30 {
        assert_eq!(shelf.look("a", second), "~1!", "expired: a new one is asked for");
        assert_eq!(shelf.fails("a", down(), &ttl_policy, second), (false, true));
        assert_eq!(shelf.look("a", second), "~1", "not at once again");
    }
    assert_eq!(shelf.cache.resurrected(), vec!["a"]);
    assert_eq!(shelf.fails("a", down(), &ttl_policy, 30), (true, false));
    assert_eq!(shelf.look("a", 30), "-");
}

#[test]
fn what_is_gone_at_its_source_is_asked_for_ever_less_often_and_stops_serving_where_told() {
    let mut shelf = Shelf::new(2);
    let (gone, long) = (|| Error::new(Kind::NotFound, "gone"), ttl_policy(Some(10), 0, 1_000_000));
    shelf.brings("a", "1", None, &long, 0);
    let mut asked = 0;
    for second in 10..1000 {
        if shelf.look("a", second) == "~1!" {
            asked += 1;
            shelf.fails("a", gone(), &long, second);
        }
    }
    assert!((10..30).contains(&asked), "{asked}");
    let strict = ttl_policy(Some(10), 0, 0);
    shelf.brings("a", "1", None, &strict, 0);
    assert_eq!(shelf.fails("a", gone(), &strict, 10), (true, false));
    assert_eq!(shelf.look("a", 10), "-");
}

#[test]
fn a_value_that_is_never_fresh_serves_only_where_no_new_one_can_be_had() {
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(Some(0), 0, 100);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    assert_eq!(shelf.look("a", 0), "-");
    assert_eq!(shelf.fails("a", down(), &ttl_policy, 1), (false, true));
    assert_eq!(shelf.look("a", 1), "~1");
}

#[test]
fn renewals_are_put_off_while_their_vault_is_away() {
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(Some(10), 0, 1000);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    assert_eq!(shelf.due(9), vec![("a", Due::Renew)]);
    let (until, now) = (shelf.at(60), shelf.at(20));
    shelf.cache.put_off(&"a", down(), until);
    assert_eq!(shelf.due(59), vec![]);
    assert_eq!(shelf.look("a", 59), "~1");
    assert_eq!(shelf.cache.resurrected(), vec!["a"]);
    shelf.cache.renew_at(&"a", now);
    assert_eq!(shelf.due(20), vec![("a", Due::Renew)]);
}

#[test]
fn the_least_recently_used_leaves_first_and_the_bytes_go_with_it() {
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(None, 0, 0);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    let one = shelf.cache.bytes();
    shelf.brings("b", "1", None, &ttl_policy, 0);
    assert_eq!(shelf.cache.bytes(), 2 * one);
    assert_eq!(shelf.look("a", 0), "1");
    assert!(shelf.brings("c", "1", None, &ttl_policy, 0));
    assert_eq!((shelf.look("b", 0), shelf.look("a", 0)), ("-".into(), "1".into()));
    assert_eq!(shelf.cache.bytes(), 2 * one);
    assert_eq!(shelf.cache.clear().len(), 2);
    assert_eq!((shelf.cache.bytes(), shelf.cache.next()), (0, None));
}

#[test]
fn the_expiry_queue_does_not_outgrow_the_cache() {
    let mut shelf = Shelf::new(2);
    for second in 0..10_000 {
        shelf.brings("a", "1", None, &ttl_policy(Some(1_000_000), 0, 0), second);
    }
    assert!(shelf.cache.expiry_queue.len() < 100);
    assert_eq!(shelf.due(900_000), vec![("a", Due::Renew)]);
}

proptest! {
    /// However fetches and failures follow each other: a look-up never serves a value past ttl + resurrect_ttl, and
    /// never fails while a value may still serve.
    #[test]
    fn time_arithmetic(
        ttl in 1u64..50, neg_ttl in 0u64..50, resurrect in 0u64..50,
        steps in proptest::collection::vec((1u64..20, any::<bool>()), 1..60),
    ) {
        let mut shelf = Shelf::new(1);
        let ttl_policy = ttl_policy(Some(ttl), neg_ttl, resurrect);
        let (mut now, mut stored): (u64, Option<u64>) = (0, None);
        for (step, healthy) in steps {
            now += step;
            let seen = shelf.look("a", now);
            let age = stored.map(|stored| now - stored);
            prop_assert_eq!(seen == "1", age.is_some_and(|age| age < ttl));
            prop_assert_eq!(seen.starts_with('~'), age.is_some_and(|age| (ttl..ttl + resurrect).contains(&age)));
            if healthy {
                shelf.brings("a", "1", None, &ttl_policy, now);
                stored = Some(now);
            } else {
                let serves = stored.is_some_and(|stored| now < stored + ttl + resurrect);
                prop_assert_eq!(shelf.fails("a", down(), &ttl_policy, now).1, serves);
                if !serves {
                    stored = None;
                }
            }
        }
    }

    /// Every value that is in use is asked for again between its renewal and its end, and nothing is forgotten.
    #[test]
    fn nothing_in_use_is_forgotten(ttl in 10u64..100, steps in proptest::collection::vec(1u64..5, 1..200)) {
        let mut shelf = Shelf::new(1);
        let ttl_policy = ttl_policy(Some(ttl), 0, 0);
        shelf.brings("a", "1", None, &ttl_policy, 0);
        let (mut now, mut renewed) = (0, 0);
        for step in steps {
            let next = shelf.cache.next().unwrap();
            now = (now + step).min((next - shelf.start).as_secs() + 1);
            if !shelf.due(now).is_empty() {
                prop_assert!(now - renewed >= ttl * 84 / 100 && now - renewed <= ttl + 1);
                shelf.brings("a", "2", None, &ttl_policy, now);
                renewed = now;
            }
            prop_assert!(shelf.look("a", now) != "-");
        }
    }

    /// No duration is too long for the clock, and no lease for its bounds.
    #[test]
    fn no_overflow(ttl in any::<u64>(), neg_ttl in any::<u64>(), resurrect in any::<u64>(), lease in any::<u64>()) {
        let mut shelf = Shelf::new(1);
        let ttl_policy = TtlPolicy { max_ttl: Some(Duration::from_secs(neg_ttl)), ..ttl_policy(Some(ttl), neg_ttl, resurrect) };
        shelf.brings("a", "1", Some(lease), &ttl_policy, 0);
        shelf.fails("a", down(), &ttl_policy, 0);
        let _ = shelf.look("a", 0);
    }
}

#[test]
fn an_older_value_never_takes_a_newer_ones_place() {
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(Some(100), 0, 0);
    assert!(!shelf.brings("a", "new", None, &ttl_policy, 10));
    assert!(!shelf.brings("a", "old", None, &ttl_policy, 9));
    assert_eq!(shelf.look("a", 11), "new");
    assert!(shelf.brings("a", "newer", None, &ttl_policy, 11));
}

#[test]
fn a_renewal_that_left_nothing_is_tried_again() {
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(Some(10), 0, 100);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    assert_eq!(shelf.due(9), vec![("a", Due::Renew)]);
    let (again, far) = (shelf.at(10), shelf.at(50));
    shelf.cache.renewal_ended(&"a", again);
    assert_eq!(shelf.due(10), vec![("a", Due::Renew)]);
    shelf.brings("a", "2", None, &ttl_policy, 10);
    shelf.cache.renewal_ended(&"a", far);
    assert_eq!(shelf.due(19), vec![("a", Due::Renew)], "the new value's own time");
    // A renewal that was put off or moved is not under way.
    shelf.cache.put_off(&"a", down(), far);
    shelf.cache.renewal_ended(&"a", again);
    assert_eq!(shelf.due(49), vec![]);
}

#[test]
fn a_document_that_its_vault_wants_left_alone_is_and_says_so() {
    let throttled = || Error::new(Kind::Throttled, "slow down").with_retry_after(Some(30 * SECOND));
    let mut shelf = Shelf::new(2);
    let ttl_policy = ttl_policy(Some(10), 0, 1000);
    shelf.brings("a", "1", None, &ttl_policy, 0);
    assert_eq!(shelf.due(9), vec![("a", Due::Renew)]);
    assert_eq!(shelf.fails("a", throttled(), &ttl_policy, 10), (false, true));
    assert_eq!(shelf.due(39), vec![]);
    let left_alone = |shelf: &Shelf, second| {
        shelf.cache.peek(&"a").unwrap().left_alone(shelf.at(second)).map(|error| error.to_string())
    };
    assert!(left_alone(&shelf, 39).unwrap().contains("slow down; no requests for this secret for 30 s"));
    assert_eq!(left_alone(&shelf, 40), None);
    assert_eq!(shelf.due(40), vec![("a", Due::Renew)]);
    // The same for a document without a value, whose failures are otherwise not remembered.
    assert_eq!(shelf.fails("b", throttled(), &ttl_policy, 0), (false, false));
    assert_eq!((shelf.look("b", 29), shelf.look("b", 30)), ("!".into(), "-".into()));
}

#[test]
fn evictions_are_counted_and_told_once_where_a_value_was_lost() {
    let (mut shelf, ttl_policy) = (Shelf::new(2), ttl_policy(Some(60), 60, 0));
    for key in ["a", "b", "c"] {
        shelf.fails(key, down(), &ttl_policy, 0);
    }
    assert_eq!((shelf.cache.evictions(), shelf.cache.is_crowded()), (1, false), "anybody can cause failures");
    for key in ["d", "e"] {
        shelf.brings(key, "1", None, &ttl_policy, 1);
    }
    shelf.brings("e", "2", None, &ttl_policy, 2);
    assert_eq!((shelf.cache.evictions(), shelf.cache.is_crowded()), (3, false), "a new value is no eviction");
    shelf.brings("f", "1", None, &ttl_policy, 3);
    assert_eq!((shelf.cache.evictions(), shelf.cache.is_crowded()), (4, true));
    assert!(shelf.cache.tell_crowded());
    shelf.brings("g", "1", None, &ttl_policy, 4);
    assert_eq!((shelf.cache.tell_crowded(), shelf.cache.evictions()), (false, 5));
}
