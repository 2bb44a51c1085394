//! A circuit breaker for one vault: pure state over instants that the caller hands in.
//!
//! Closed: everybody may ask. Open: nobody may, and every interval one background fetch probes. The first answer closes
//! it, whatever it says about its secret.
//!
//! It opens after failures in a row that say something about the vault as a whole. Those of one document alone don't,
//! where the vault has answered for another: the document is left alone by itself (see `cache::entry`). Nor does a wait
//! that one document's answer asks for (status 429), until several documents fail in a row; one that the vault asks for
//! as a whole (status 503, a login) opens it at once.

use std::time::{Duration, Instant};

use crate::error::{Error, Kind};

/// Failed fetches in a row after which it opens: one fetch may fail by itself, three in a row hardly do.
const THRESHOLD: u32 = 3;

/// Whether one vault may be asked.
#[derive(Debug)]
pub struct Breaker {
    interval: Duration,
    failures: Failures,
    /// When the vault answered last, and for which documents (by number): the two latest that differ.
    answered_at: Option<Instant>,
    answered: [Option<u64>; 2],
    closed_at: Option<Instant>,
    open: Option<Open>,
}

/// Failures in a row.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// The document of the first failure, and whether a later one was of another document.
    document: Option<u64>,
    several: bool,
    /// The end of the longest wait that they asked for.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    error: Error,
    since: Instant,
    failed_at: Instant,
    /// When it may be probed.
    until: Instant,
    /// How long it is left alone, where that is longer than the interval.
    wait: Option<Duration>,
    probing: bool,
}

/// For metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    /// The number used in metrics: the more, the worse.
    pub fn severity(self) -> i64 {
        match self {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        }
    }

    /// The name used in `stats()`.
    pub fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
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

/// A fetch that has ended: of which document (by number), when it began, and when it ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub document: u64,
    pub began: Instant,
    pub at: Instant,
}

impl Breaker {
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            failures: Failures::default(),
            answered_at: None,
            answered: [None; 2],
            closed_at: None,
            open: None,
        }
    }

    pub fn state(&self, now: Instant) -> BreakerState {
        match &self.open {
            None => BreakerState::Closed,
            Some(open) if open.probing || now >= open.until => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }

    /// The error for those who ask while it is open.
    pub fn refusal(&self) -> Option<Error> {
        self.open.as_ref().map(|open| open.refusal(self.interval))
    }

    /// When a probe may go; `None` while it is closed.
    pub fn probe_at(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until)
    }

    /// Whether the vault has come back after that time.
    pub fn is_back_since(&self, time: Instant) -> bool {
        self.open.is_none() && self.closed_at.is_some_and(|at| at > time)
    }

    /// Takes the one permit to probe.
    pub fn probe(&mut self, now: Instant) -> bool {
        match &mut self.open {
            None => true,
            // A probe whose outcome never came back must not keep the breaker open for ever.
            Some(open) if now >= open.until => {
                open.probing = true;
                open.until = now + self.interval;
                open.wait = None;
                true
            }
            Some(_) => false,
        }
    }

    /// Gives the permit to probe back, to be taken again after that time. Returns why nobody may ask until then.
    pub fn put_off(&mut self, now: Instant, again: Duration) -> Option<Error> {
        let open = self.open.as_mut()?;
        open.probing = false;
        open.until = now + again;
        open.wait = Some(again).filter(|again| *again > self.interval);
        Some(open.refusal(self.interval))
    }

    /// The vault answered.
    pub fn succeeded(&mut self, document: u64, now: Instant) -> Change {
        self.failures = Failures::default();
        self.answered_at = self.answered_at.max(Some(now));
        if self.answered[0] != Some(document) {
            self.answered = [Some(document), self.answered[0]];
        }
        match self.open.take() {
            None => Change::None,
            Some(open) => {
                self.closed_at = Some(now);
                Change::Closed(now.saturating_duration_since(open.since))
            }
        }
    }

    /// The vault answered another worker, whose fetch is `ended`: that closes the breaker where the fetch began after
    /// what was last known of the vault.
    pub fn answered_another(&mut self, ended: Ended) -> Change {
        match &self.open {
            Some(open) if ended.began > open.failed_at => self.succeeded(ended.document, ended.at),
            _ => Change::None,
        }
    }

    /// A fetch failed in a way that says something about the vault.
    pub fn failed(&mut self, error: &Error, ended: Ended) -> Change {
        let now = ended.at;
        // The vault has answered since this fetch began: the fetch hung on an old connection, or only its document
        // fails.
        if self.open.is_none() && self.answered_at.is_some_and(|at| at > ended.began) {
            return Change::None;
        }
        let wait = error.wait();
        let until = wait.map(|wait| now + wait);
        self.failures.add(ended.document, until);
        let opens = self.opens(error, ended.document);
        match &mut self.open {
            // Fetches that began before it opened end late: they can only lengthen the wait.
            Some(open) if !open.probing => {
                if until.is_some_and(|until| until > open.until) {
                    open.leave_alone(error, wait, now, self.interval);
                }
                Change::None
            }
            Some(open) => {
                open.probing = false;
                open.failed_at = now;
                open.leave_alone(error, wait, now, self.interval);
                Change::StaysOpen
            }
            None if opens => {
                let longest = self.failures.until.map(|until| until.saturating_duration_since(now));
                let (error, since) = (error.clone(), now);
                let mut open = Open { error, since, failed_at: now, until: now, wait: None, probing: false };
                open.leave_alone(&open.error.clone(), longest, now, self.interval);
                self.open = Some(open);
                Change::Opened
            }
            None => Change::None,
        }
    }

    fn opens(&self, error: &Error, document: u64) -> bool {
        let others_are_well = self.answered.iter().flatten().any(|known| *known != document);
        // A failure that asks for a wait for one document, or comes while others are answered, counts only where
        // several documents fail.
        let of_one_document = error.holds_document().is_some() || others_are_well;
        let asked_to = error.wait().is_some() && error.holds_document().is_none();
        asked_to || self.failures.count >= THRESHOLD && (self.failures.several || !of_one_document)
    }
}

impl Failures {
    fn add(&mut self, document: u64, until: Option<Instant>) {
        self.count = self.count.saturating_add(1);
        self.several |= *self.document.get_or_insert(document) != document;
        self.until = self.until.max(until);
    }
}

impl Open {
    fn leave_alone(&mut self, error: &Error, wait: Option<Duration>, now: Instant, interval: Duration) {
        self.error = error.clone();
        self.wait = wait.filter(|wait| *wait > interval);
        self.until = now + self.wait.unwrap_or(interval);
    }

    /// The error for those who may not ask.
    fn refusal(&self, interval: Duration) -> Error {
        let error = &self.error;
        let text = match (self.wait, error.kind()) {
            (Some(wait), _) => {
                format!("{error}; circuit breaker open for {} s, as the vault asked", wait.as_secs_f64().ceil())
            }
            (None, kind) => {
                let why = match kind {
                    Kind::Throttled => "as it asked for",
                    _ => "after failures in a row",
                };
                let interval = interval.as_secs_f64();
                format!("{error}; circuit breaker open {why}, with a probe every {interval} s")
            }
        };
        Error::new(error.kind(), text)
    }
}

#[cfg(test)]
mod tests;
