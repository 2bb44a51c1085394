//! A circuit breaker for one vault: pure state over instants that the caller hands in.
//!
//! Closed: everybody may ask. Open, after failures in a row that say something about the vault as a whole: nobody may,
//! and every interval one background fetch probes. The first answer closes it, whatever it says about its secret.

use std::time::{Duration, Instant};

use crate::error::{Error, Kind};

/// Failed fetches in a row after which it opens: one document may be at fault by itself, three in a row hardly are.
const THRESHOLD: u32 = 3;

/// The longest that a vault may keep us away by its own word (`Retry-After`).
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Whether one vault may be asked.
#[derive(Debug)]
pub struct Breaker {
    interval: Duration,
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    reason: Error,
    since: Instant,
    /// When it may be probed.
    until: Instant,
    probing: bool,
}

/// For metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    /// The name used in `stats()`.
    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
        }
    }
}

/// What an outcome did to the breaker.
#[derive(Debug, PartialEq)]
pub enum Change {
    None,
    /// It has just opened: the vault went bad.
    Opened,
    /// It stays open; probe again at that time.
    StaysOpen,
    /// It has just closed, after that long: the vault came back.
    Closed(Duration),
}

impl Breaker {
    pub fn new(interval: Duration) -> Self {
        Self { interval, failures: 0, open: None }
    }

    pub fn state(&self, now: Instant) -> State {
        match &self.open {
            None => State::Closed,
            Some(open) if open.probing || now >= open.until => State::HalfOpen,
            Some(_) => State::Open,
        }
    }

    /// Why nobody may ask now, for somebody who would wait for the answer.
    pub fn refusal(&self) -> Option<Error> {
        self.open.as_ref().map(|open| open.reason.clone())
    }

    /// When a probe may go; `None` while it is closed.
    pub fn probe_at(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until)
    }

    /// Takes the one permit to probe.
    pub fn probe(&mut self, now: Instant) -> bool {
        match &mut self.open {
            None => true,
            // A probe whose outcome never came back must not keep the breaker open for ever.
            Some(open) if now >= open.until => {
                open.probing = true;
                open.until = now + self.interval;
                true
            }
            Some(_) => false,
        }
    }

    /// Gives the permit to probe back, to be taken again at that time. Returns why nobody may ask until then.
    pub fn put_off(&mut self, until: Instant) -> Option<Error> {
        let open = self.open.as_mut()?;
        open.probing = false;
        open.until = until;
        Some(open.reason.clone())
    }

    /// The vault answered.
    pub fn succeeded(&mut self, now: Instant) -> Change {
        self.failures = 0;
        match self.open.take() {
            None => Change::None,
            Some(open) => Change::Closed(now.saturating_duration_since(open.since)),
        }
    }

    /// A fetch failed in a way that says something about the vault.
    pub fn failed(&mut self, error: &Error, now: Instant) -> Change {
        self.failures = self.failures.saturating_add(1);
        let wait = error.retry_after().map(|wait| wait.min(LONGEST_WAIT));
        let until = now + wait.unwrap_or_default().max(self.interval);
        match &mut self.open {
            // Fetches that began before it opened end late: they move nothing but a wait that the vault asks for.
            Some(open) if !open.probing => {
                if wait.is_some() {
                    open.until = open.until.max(until);
                }
                Change::None
            }
            Some(open) => {
                open.probing = false;
                open.until = until;
                open.reason = refusal(error, self.interval);
                Change::StaysOpen
            }
            None if self.failures >= THRESHOLD || wait.is_some() => {
                self.open = Some(Open { reason: refusal(error, self.interval), since: now, until, probing: false });
                Change::Opened
            }
            None => Change::None,
        }
    }
}

/// What those hear who may not ask.
fn refusal(error: &Error, interval: Duration) -> Error {
    let how = match error.kind() {
        Kind::Throttled => "is left alone, as it asked for",
        _ => "is left alone after failures in a row",
    };
    let text = format!("{error}; the vault {how}, and is tried again every {} s", interval.as_secs_f64());
    Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn down() -> Error {
        Error::new(Kind::Unavailable, "hcv vault (x) at y:1: connection refused")
    }

    #[test]
    fn opens_after_failures_in_a_row_and_probes_once_an_interval() {
        let (mut breaker, t) = (Breaker::new(5 * SECOND), Instant::now());
        assert_eq!(breaker.failed(&down(), t), Change::None);
        assert_eq!(breaker.succeeded(t), Change::None);
        assert_eq!(breaker.failed(&down(), t), Change::None);
        assert_eq!(breaker.failed(&down(), t), Change::None);
        assert_eq!(breaker.failed(&down(), t), Change::Opened);
        assert!(breaker.refusal().unwrap().to_string().contains("connection refused; the vault is left alone"));
        assert!(!breaker.probe(t + 4 * SECOND));
        assert!(breaker.probe(t + 5 * SECOND));
        assert!(!breaker.probe(t + 5 * SECOND), "one probe at a time");
        assert_eq!(breaker.state(t + 5 * SECOND), State::HalfOpen);
        assert_eq!(breaker.failed(&down(), t + 6 * SECOND), Change::StaysOpen);
        assert_eq!(breaker.state(t + 6 * SECOND), State::Open);
        assert!(!breaker.probe(t + 10 * SECOND));
        assert!(breaker.probe(t + 11 * SECOND));
        assert_eq!(breaker.succeeded(t + 12 * SECOND), Change::Closed(12 * SECOND));
        assert!(breaker.refusal().is_none());
    }

    #[test]
    fn a_wait_that_the_vault_asks_for_opens_at_once_and_is_kept() {
        let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
        let slow = Error::new(Kind::Throttled, "slow down").with_retry_after(Some(30 * SECOND));
        assert_eq!(breaker.failed(&slow, t), Change::Opened);
        assert!(!breaker.probe(t + 29 * SECOND));
        assert!(breaker.probe(t + 30 * SECOND));
        let endless = Error::new(Kind::Throttled, "slow down").with_retry_after(Some(Duration::MAX));
        assert_eq!(breaker.failed(&endless, t), Change::StaysOpen);
        assert_eq!(breaker.probe_at(), Some(t + LONGEST_WAIT));
    }

    #[test]
    fn a_probe_that_is_lost_is_followed_by_another() {
        let (mut breaker, t) = (Breaker::new(SECOND), Instant::now());
        for _ in 0..THRESHOLD {
            breaker.failed(&down(), t);
        }
        assert!(breaker.probe(t + SECOND));
        assert!(breaker.probe(t + 2 * SECOND));
    }

    proptest! {
        /// However outcomes follow each other, an open breaker lets at most one probe through an interval, and one
        /// success closes it.
        #[test]
        fn at_most_one_probe_an_interval(steps in proptest::collection::vec((0u64..3000, 0u8..3), 1..100)) {
            let (mut breaker, start) = (Breaker::new(5 * SECOND), Instant::now());
            let (mut now, mut last): (u64, Option<u64>) = (0, None);
            for (step, what) in steps {
                now += step;
                let at = start + Duration::from_millis(now);
                let was_open = breaker.refusal().is_some();
                match what {
                    0 => {
                        breaker.failed(&down(), at);
                    }
                    1 if was_open && breaker.probe(at) => {
                        prop_assert!(last.is_none_or(|last| now >= last + 5000), "{last:?} {now}");
                        last = Some(now);
                    }
                    1 => {}
                    _ => {
                        breaker.succeeded(at);
                        prop_assert!(breaker.refusal().is_none());
                        last = None;
                    }
                }
            }
        }
    }
}
