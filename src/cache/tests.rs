use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);

fn terms(ttl: Option<u64>, neg_ttl: u64, resurrect_ttl: u64) -> Terms {
    Terms {
        ttl: ttl.map(Duration::from_secs),
        neg_ttl: Duration::from_secs(neg_ttl),
        resurrect_ttl: Duration::from_secs(resurrect_ttl),
    }
}

fn document(text: &str) -> Arc<Document> {
    Arc::new(Document::new(Secret::new(text)))
}

fn down() -> Error {
    Error::new(Kind::Unavailable, "down")
}

fn cache(size: usize) -> Cache<&'static str> {
    Cache::new(NonZeroUsize::new(size).unwrap(), |key| key.len())
}

/// `value`, `!` for a remembered failure, `-` for nothing.
fn look(cache: &mut Cache<&'static str>, key: &'static str, now: Instant) -> String {
    match cache.look(&key, now) {
        Found::Value { document, .. } => document.pick(None, false).unwrap().as_str().unwrap().to_owned(),
        Found::Failure(_) => "!".into(),
        Found::Nothing => "-".into(),
    }
}

#[test]
fn a_value_is_fresh_for_ttl_and_without_one_for_ever() {
    let (mut cache, t) = (cache(2), Instant::now());
    let kept = cache.fetched("a", document("1"), None, terms(Some(10), 0, 0), t);
    assert_eq!(kept, Kept { replaced: false, until: Some(t + 10 * SECOND) });
    let kept = cache.fetched("b", document("2"), None, terms(None, 0, 0), t);
    assert_eq!(kept, Kept { replaced: false, until: None });
    assert_eq!(cache.next_expiry(t), Some(t + 10 * SECOND));
    assert_eq!(look(&mut cache, "a", t + 9 * SECOND), "1");
    assert_eq!(look(&mut cache, "a", t + 10 * SECOND), "-");
    assert_eq!(look(&mut cache, "b", t + 1_000_000 * SECOND), "2");
    assert_eq!(cache.next_expiry(t + 10 * SECOND), None);
}

#[test]
fn a_stale_value_is_there_until_resurrect_ttl_for_whoever_asks_for_it() {
    let (mut cache, t) = (cache(2), Instant::now());
    let _ = cache.fetched("a", document("1"), None, terms(Some(10), 0, 5), t);
    let mut stale = |seconds: u32| cache.stale(&"a", t + seconds * SECOND).is_some();
    assert_eq!((stale(9), stale(14), stale(15)), (true, true, false));
    assert!(cache.stale(&"b", t).is_none());
}

#[test]
fn a_lease_shortens_ttl_or_stands_in_for_it() {
    let (mut cache, t) = (cache(3), Instant::now());
    let _ = cache.fetched("a", document("1"), Some(5 * SECOND), terms(Some(10), 0, 0), t);
    let _ = cache.fetched("b", document("1"), Some(5 * SECOND), terms(None, 0, 0), t);
    let _ = cache.fetched("c", document("1"), Some(5 * SECOND), terms(Some(2), 0, 0), t);
    assert_eq!(
        (look(&mut cache, "a", t + 5 * SECOND), look(&mut cache, "b", t + 5 * SECOND)),
        ("-".into(), "-".into())
    );
    assert_eq!(look(&mut cache, "c", t + 2 * SECOND), "-");
}

#[test]
fn a_failure_is_remembered_for_neg_ttl() {
    let (mut cache, t) = (cache(2), Instant::now());
    assert_eq!(cache.failed("a", down(), terms(None, 3, 0), t).1.map(|_| ()), None);
    assert_eq!(look(&mut cache, "a", t + 2 * SECOND), "!");
    assert_eq!(look(&mut cache, "a", t + 3 * SECOND), "-");
    let _ = cache.failed("b", down(), terms(None, 0, 0), t);
    assert_eq!(look(&mut cache, "b", t), "-");
    assert_eq!(cache.len(), 1);
}

#[test]
fn the_old_value_serves_through_an_outage_until_resurrect_ttl_ends() {
    let (mut cache, t) = (cache(2), Instant::now());
    let terms = terms(Some(10), 0, 20);
    let _ = cache.fetched("a", document("1"), None, terms, t);
    let mut now = t + 10 * SECOND;
    while now < t + 30 * SECOND {
        assert_eq!(look(&mut cache, "a", now), "-", "expired: a fetch is tried");
        assert!(cache.failed("a", down(), terms, now).1.is_some());
        assert_eq!(look(&mut cache, "a", now), "1", "no second fetch at once");
        now += SECOND;
    }
    assert!(cache.failed("a", down(), terms, now).1.is_none());
    assert_eq!(look(&mut cache, "a", now), "-");
}

#[test]
fn the_least_recently_used_leaves_first_and_the_bytes_go_with_it() {
    let (mut cache, t) = (cache(2), Instant::now());
    let _ = cache.fetched("a", document("1"), None, terms(None, 0, 0), t);
    let one = cache.bytes();
    let _ = cache.fetched("b", document("1"), None, terms(None, 0, 0), t);
    assert_eq!(cache.bytes(), 2 * one);
    assert_eq!(look(&mut cache, "a", t), "1");
    assert!(cache.fetched("c", document("1"), None, terms(None, 0, 0), t).replaced);
    assert_eq!(look(&mut cache, "b", t), "-");
    assert_eq!(look(&mut cache, "a", t), "1");
    assert_eq!(cache.bytes(), 2 * one);
    assert_eq!(cache.clear().len(), 2);
    assert_eq!(cache.bytes(), 0);
}

proptest! {
    /// However fetches and failures follow each other: a look-up never serves a value past ttl + resurrect_ttl, and
    /// never fails while a value may still be resurrected and the fetch has just been tried.
    #[test]
    fn time_arithmetic(
        ttl in 1u64..50, neg_ttl in 0u64..50, resurrect in 0u64..50,
        steps in proptest::collection::vec((1u64..20, any::<bool>()), 1..60),
    ) {
        let (mut cache, start) = (cache(1), Instant::now());
        let terms = terms(Some(ttl), neg_ttl, resurrect);
        let (mut now, mut stored): (u64, Option<u64>) = (0, None);
        for (step, healthy) in steps {
            now += step;
            let at = start + Duration::from_secs(now);
            let seen = look(&mut cache, "a", at);
            if seen == "1" {
                prop_assert!(stored.is_some_and(|stored| now < stored + ttl + resurrect));
            }
            if stored.is_some_and(|stored| now < stored + ttl) {
                prop_assert_eq!(&seen, "1");
            }
            if seen == "-" {
                if healthy {
                    let _ = cache.fetched("a", document("1"), None, terms, at);
                    stored = Some(now);
                } else {
                    let usable = stored.is_some_and(|stored| now < stored + ttl + resurrect);
                    prop_assert_eq!(cache.failed("a", down(), terms, at).1.is_some(), usable);
                }
            }
        }
    }

    /// No duration is too long for the clock.
    #[test]
    fn no_overflow(ttl in any::<u64>(), neg_ttl in any::<u64>(), resurrect in any::<u64>()) {
        let (mut cache, now) = (cache(1), Instant::now());
        let terms = terms(Some(ttl), neg_ttl, resurrect);
        let _ = cache.fetched("a", document("1"), None, terms, now);
        let _ = cache.failed("a", down(), terms, now);
        let _ = look(&mut cache, "a", now);
    }
}
