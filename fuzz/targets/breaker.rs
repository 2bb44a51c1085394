//! The circuit breaker against a simple model of it: what failed in a row, and when it may be probed.
#![no_main]

use std::time::{Duration, Instant};

use kong_vault::error::{Error, Kind};
use kong_vault::resolver::breaker::{Breaker, BreakerState, Change, Ended};
use kong_vault_fuzz::{Bytes, bounded};
use libfuzzer_sys::fuzz_target;

/// The longest that a vault may ask to be left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Failures in a row that open it.
const THRESHOLD: usize = 3;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || breaker(Bytes(data)));
});

#[derive(Default)]
struct Model {
    /// The documents of the failures in a row that say something about the vault.
    failed: Vec<u64>,
    answered_at: Option<Instant>,
    /// While it is open: since when; when it failed last; whether a probe is under way.
    open: Option<(Instant, Instant, bool)>,
    closed_at: Option<Instant>,
    /// The documents that the vault answered for.
    answered: Vec<u64>,
}

impl Model {
    fn answers(&mut self, document: u64, now: Instant) -> Change {
        self.failed.clear();
        self.answered_at = Some(now);
        self.answered.push(document);
        match self.open.take() {
            None => Change::None,
            Some((since, ..)) => {
                self.closed_at = Some(now);
                Change::Closed(now - since)
            }
        }
    }

    fn fails(&mut self, error: &Error, ended: Ended, change: &Change) {
        if let Some((_, failed_at, probing)) = &mut self.open {
            // The probe that is under way is the one whose outcome counts.
            assert_eq!(*change, if *probing { Change::StaysOpen } else { Change::None });
            if std::mem::take(probing) {
                *failed_at = ended.at;
            }
            return;
        }
        if self.answered_at.is_some_and(|at| at > ended.began) {
            assert_eq!(*change, Change::None, "the vault has answered since");
            return;
        }
        self.failed.push(ended.document);
        let asks_for_all = error.wait().is_some() && error.holds_document().is_none();
        let in_a_row = self.failed.len() >= THRESHOLD;
        let of_several = self.failed.iter().any(|other| *other != self.failed[0]);
        let knows_others = self.answered.iter().any(|other| *other != ended.document);
        let of_one = error.holds_document().is_some() || knows_others;
        match change {
            Change::Opened => assert!(asks_for_all || in_a_row && (of_several || !of_one)),
            Change::None => assert!(!(asks_for_all || (in_a_row && of_several)), "it should be open"),
            other => panic!("{other:?} while it is closed"),
        }
        if *change == Change::Opened {
            self.open = Some((ended.at, ended.at, false));
        }
    }
}

fn breaker(mut bytes: Bytes<'_>) {
    let start = Instant::now();
    let interval = Duration::from_secs(u64::from(bytes.byte() % 60) + 1);
    let (mut breaker, mut model, mut now) = (Breaker::new(interval), Model::default(), start);
    let longest = interval.max(LONGEST_WAIT);
    while !bytes.is_empty() {
        // No two things are at the same time.
        now += Duration::from_millis(1);
        let document = u64::from(bytes.byte() % 4);
        match bytes.byte() % 8 {
            0 => now += Duration::from_millis(u64::from(bytes.byte()) * 100),
            1 => now += Duration::from_secs(u64::from(bytes.byte())),
            2 => assert_eq!(breaker.succeeded(document, now), model.answers(document, now)),
            3 | 4 => {
                let kind = *bytes.one_of(&[Kind::Unavailable, Kind::Timeout, Kind::Tls, Kind::Throttled]);
                let wait = match bytes.byte() % 4 {
                    0 => Some(Duration::from_secs(u64::from(bytes.byte()))),
                    1 => Some(Duration::MAX),
                    _ => None,
                };
                let mut error = Error::new(kind, "away").with_retry_after(wait);
                if bytes.byte() & 1 == 1 {
                    error = error.of_login();
                }
                let began = now.checked_sub(Duration::from_millis(u64::from(bytes.byte()) * 100)).unwrap_or(start);
                let ended = Ended { document, began: began.max(start), at: now };
                let change = breaker.failed(&error, ended);
                model.fails(&error, ended, &change);
            }
            5 => {
                let began = now.checked_sub(Duration::from_millis(u64::from(bytes.byte()) * 100)).unwrap_or(start);
                let change = breaker.answered_another(Ended { document, began, at: now });
                match model.open {
                    Some((_, failed_at, _)) if began > failed_at => {
                        assert_eq!(change, model.answers(document, now));
                    }
                    _ => assert_eq!(change, Change::None, "it was so before it failed"),
                }
            }
            6 => {
                let may = breaker.probe_at().is_none_or(|at| now >= at);
                assert_eq!(breaker.probe(now), may);
                if let Some((.., probing)) = model.open.as_mut().filter(|_| may) {
                    *probing = true;
                    assert!(!breaker.probe(now), "one at a time");
                }
            }
            _ => {
                let again = Duration::from_millis(u64::from(bytes.byte()) * 1000);
                assert_eq!(breaker.put_off(now, again).is_some(), model.open.is_some());
                if let Some((.., probing)) = &mut model.open {
                    *probing = false;
                    assert_eq!(breaker.probe_at(), Some(now + again));
                }
            }
        }
        // It is open when the model is, and then only for so long.
        assert_eq!(breaker.refusal().is_some(), model.open.is_some());
        assert_eq!(breaker.state(now) == BreakerState::Closed, model.open.is_none());
        let probe_at = breaker.probe_at();
        assert_eq!(probe_at.is_some(), model.open.is_some());
        assert!(probe_at.is_none_or(|at| at <= now + longest), "put off for ever");
        let back = model.closed_at.filter(|_| model.open.is_none());
        for ago in [Duration::from_millis(2), Duration::ZERO, interval] {
            let time = now.checked_sub(ago).unwrap_or(start);
            assert_eq!(breaker.is_back_since(time), back.is_some_and(|at| at > time));
        }
    }
    // Whatever was: there is a probe, and what answers closes it.
    now += longest;
    assert!(breaker.probe(now) && breaker.refusal().is_none() == model.open.is_none());
    breaker.succeeded(1, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
}
