use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn down() -> Error {
    Error::new(Kind::Unavailable, "hcv vault (x) at y:1: connection refused")
}

fn throttled(seconds: u64) -> Error {
    Error::new(Kind::Throttled, "slow down").with_retry_after(Some(Duration::from_secs(seconds)))
}

/// A fetch that took no time.
fn at(document: u64, at: Instant) -> Ended {
    Ended { document, began: at, at }
}

#[test]
fn opens_after_failures_in_a_row_and_probes_once_an_interval() {
    let (mut breaker, t) = (Breaker::new(5 * SECOND), Instant::now());
    assert_eq!(breaker.failed(&down(), at(1, t)), Change::None);
    assert_eq!(breaker.succeeded(1, t), Change::None);
    let t = t + SECOND;
    assert_eq!(breaker.failed(&down(), at(1, t)), Change::None);
    assert_eq!(breaker.failed(&down(), at(1, t)), Change::None);
    assert_eq!(breaker.failed(&down(), at(1, t)), Change::Opened);
    assert!(breaker.refusal().unwrap().to_string().contains("connection refused; circuit breaker open"));
    assert!(!breaker.probe(t + 4 * SECOND));
    assert!(breaker.probe(t + 5 * SECOND));
    assert!(!breaker.probe(t + 5 * SECOND), "one probe at a time");
    assert_eq!(breaker.state(t + 5 * SECOND), BreakerState::HalfOpen);
    assert_eq!(breaker.failed(&down(), at(1, t + 6 * SECOND)), Change::StaysOpen);
    assert_eq!(breaker.state(t + 6 * SECOND), BreakerState::Open);
    assert!(!breaker.probe(t + 10 * SECOND));
    assert!(breaker.probe(t + 11 * SECOND));
    assert_eq!(breaker.succeeded(1, t + 12 * SECOND), Change::Closed(12 * SECOND));
    assert!(breaker.refusal().is_none());
}

#[test]
fn a_wait_that_the_vault_asks_for_opens_at_once_and_is_kept_and_told() {
    let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
    let slow = |seconds| down().with_retry_after(Some(Duration::from_secs(seconds)));
    assert_eq!(breaker.failed(&slow(30), at(1, t)), Change::Opened);
    assert!(!breaker.probe(t + 29 * SECOND));
    let text = breaker.refusal().unwrap().to_string();
    assert!(text.ends_with("circuit breaker open for 30 s, as the vault asked"), "{text}");
    assert!(breaker.probe(t + 30 * SECOND));
    let t = t + 30 * SECOND;
    assert_eq!(breaker.failed(&slow(u64::MAX), at(1, t)), Change::StaysOpen);
    assert_eq!(breaker.probe_at(), Some(t + 300 * SECOND));
    assert!(breaker.refusal().unwrap().to_string().contains("for 300 s"));
    // A wait below the interval doesn't shorten the interval.
    assert!(breaker.probe(t + 300 * SECOND));
    let t = t + 300 * SECOND;
    assert_eq!(breaker.failed(&slow(0), at(1, t)), Change::StaysOpen);
    assert!(breaker.refusal().unwrap().to_string().ends_with("with a probe every 1 s"));
    // Put off by another worker's probe: the text names the actual wait.
    assert!(breaker.put_off(t, 90 * SECOND).unwrap().to_string().contains("for 90 s"));
    // A fetch that began before it opened, whose answer asks for a longer wait.
    assert_eq!(breaker.failed(&slow(200), at(2, t)), Change::None);
    assert_eq!(breaker.probe_at(), Some(t + 200 * SECOND));
    assert!(breaker.refusal().unwrap().to_string().contains("for 200 s"));
    let mut login = Breaker::new(SECOND);
    assert_eq!(login.failed(&throttled(30).of_login(), at(1, t)), Change::Opened);
}

#[test]
fn one_document_that_has_to_wait_leaves_the_others_alone_and_several_open() {
    let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
    for _ in 0..10 {
        assert_eq!(breaker.failed(&throttled(300), at(1, t)), Change::None);
    }
    assert_eq!(breaker.failed(&throttled(60), at(2, t)), Change::Opened);
    assert_eq!(breaker.probe_at(), Some(t + 300 * SECOND));
    assert!(breaker.refusal().unwrap().to_string().contains("for 300 s"));
}

#[test]
fn one_document_that_fails_leaves_those_alone_that_the_vault_answers_for() {
    let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
    breaker.succeeded(1, t);
    breaker.succeeded(2, t);
    breaker.succeeded(1, t);
    for second in 1..10 {
        assert_eq!(breaker.failed(&down(), at(1, t + second * SECOND)), Change::None);
    }
    assert_eq!(breaker.failed(&down(), at(2, t + 10 * SECOND)), Change::Opened);
}

#[test]
fn what_failed_before_the_vault_answered_opens_nothing() {
    let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
    breaker.succeeded(1, t + SECOND);
    for document in 0..10 {
        let hung = Ended { document, began: t, at: t + 5 * SECOND };
        assert_eq!(breaker.failed(&down(), hung), Change::None);
    }
    assert!(!breaker.is_back_since(t), "it was never away");
}

#[test]
fn an_answer_that_another_worker_had_closes_it_where_it_is_newer_than_the_failure() {
    let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
    for document in 0..3 {
        breaker.failed(&down(), at(document, t + SECOND));
    }
    assert_eq!(breaker.answered_another(Ended { document: 1, began: t, at: t + 2 * SECOND }), Change::None);
    assert!(breaker.refusal().is_some());
    let newer = Ended { document: 1, began: t + 2 * SECOND, at: t + 3 * SECOND };
    assert_eq!(breaker.answered_another(newer), Change::Closed(2 * SECOND));
    assert!(breaker.is_back_since(t + 2 * SECOND) && !breaker.is_back_since(t + 3 * SECOND));
}

#[test]
fn a_probe_that_is_lost_is_followed_by_another() {
    let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
    for _ in 0..THRESHOLD {
        breaker.failed(&down(), at(1, t));
    }
    assert!(breaker.probe(t + SECOND));
    assert!(breaker.probe(t + 2 * SECOND));
}

proptest! {
    /// In any order of outcomes, an open breaker lets at most one probe through in an interval, and one success closes
    /// it.
    #[test]
    fn at_most_one_probe_an_interval(steps in proptest::collection::vec((0u64..3000, 0u8..3, 0u64..3), 1..100)) {
        let (mut breaker, start) = (Breaker::new(5 * SECOND), Instant::now());
        let (mut now, mut last): (u64, Option<u64>) = (0, None);
        for (step, what, document) in steps {
            now += step;
            let moment = start + Duration::from_millis(now);
            let was_open = breaker.refusal().is_some();
            match what {
                0 => {
                    breaker.failed(&down(), at(document, moment));
                }
                1 if was_open && breaker.probe(moment) => {
                    prop_assert!(last.is_none_or(|last| now >= last + 5000), "{last:?} {now}");
                    last = Some(now);
                }
                1 => {}
                _ => {
                    breaker.succeeded(document, moment);
                    prop_assert!(breaker.refusal().is_none());
                    last = None;
                }
            }
        }
    }

    /// While the waits of one document alone are answered with 429, every other document may be asked.
    #[test]
    fn waits_of_one_document_never_open(waits in proptest::collection::vec((0u64..400, 0u64..400), 1..50)) {
        let (mut breaker, mut now) = (Breaker::new(5 * SECOND), Instant::now());
        for (pause, wait) in waits {
            now += Duration::from_secs(pause);
            prop_assert_eq!(breaker.failed(&throttled(wait), at(7, now)), Change::None);
            prop_assert!(breaker.refusal().is_none());
        }
    }
}
