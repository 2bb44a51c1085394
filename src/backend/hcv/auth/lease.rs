//! How long a token is good for, and when to renew it: pure arithmetic. Times and random numbers are passed in.

use std::fmt;
use std::time::{Duration, Instant};

/// The part of a lease after which it is renewed: about two thirds, spread so that workers don't renew all at once.
const RENEWAL: (f64, f64) = (0.62, 0.70);

/// How long before its end a token is no longer used, as a part of the lease: requests take time, and clocks differ.
const MARGIN: f64 = 0.05;
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// The pause after a failed renewal, as a part of the lease.
const PAUSE: f64 = 0.05;
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The pause before a token is looked up again whose end the vault could not say.
pub const UNKNOWN: Duration = Duration::from_secs(5);
/// The same for a token in its last second: it must be renewed now, if at all.
pub const ENDING: Duration = PAUSES.0;

/// What a vault says about a token that it issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTerms {
    /// `None`: the token has no end.
    pub lease: Option<Duration>,
    pub renewable: bool,
    /// How many requests it allows, if that is limited.
    pub uses: Option<u32>,
}

impl fmt::Display for TokenTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lease {
            Some(lease) => write!(f, "for {} s", lease.as_secs())?,
            None => f.write_str("without an end")?,
        }
        f.write_str(if self.renewable { ", renewable" } else { ", not renewable" })
    }
}

/// When one token is renewed, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    terms: TokenTerms,
    ends: Option<Instant>,
    due: Option<Instant>,
}

/// What may be done with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// Send it.
    Good,
    /// Send it, and renew it.
    Due,
    /// Don't use it any more.
    Over,
}

impl Life {
    /// `asked` is when the request for it was sent.
    pub fn new(terms: TokenTerms, asked: Instant, chance: f64) -> Self {
        let mut life = Self { terms, ends: None, due: None };
        life.count_from(terms.lease, asked, chance);
        life
    }

    fn count_from(&mut self, lease: Option<Duration>, asked: Instant, chance: f64) {
        let part = RENEWAL.0 + (RENEWAL.1 - RENEWAL.0) * chance.clamp(0.0, 1.0);
        self.due = lease.and_then(|lease| asked.checked_add(lease.mul_f64(part)));
        let margin = |lease: Duration| lease.mul_f64(MARGIN).min(LONGEST_MARGIN);
        self.ends = lease.and_then(|lease| asked.checked_add(lease - margin(lease)));
    }

    /// When it is no longer used; `None`: never.
    pub fn ends(&self) -> Option<Instant> {
        self.ends
    }

    pub fn state(&self, now: Instant) -> TokenState {
        if self.terms.uses == Some(0) || self.ends.is_some_and(|end| now >= end) {
            TokenState::Over
        } else if self.terms.uses == Some(1) || self.due.is_some_and(|due| now >= due) {
            TokenState::Due
        } else {
            TokenState::Good
        }
    }

    /// Counts a request that is sent with the token.
    pub fn spend(&mut self) {
        if let Some(uses) = &mut self.terms.uses {
            *uses = uses.saturating_sub(1);
        }
    }

    /// Whether the next step is a renewal rather than a login. A renewal costs a use, so a token with limited uses is
    /// not renewed.
    pub fn is_renewable(&self) -> bool {
        self.terms.renewable && self.terms.uses.is_none()
    }

    /// Notes that the vault renewed the token. A lease shorter than the first one means that the token reaches its
    /// longest life: the next step is a login.
    pub fn renewed(&mut self, terms: TokenTerms, asked: Instant, chance: f64) {
        let shorter = match (self.terms.lease, terms.lease) {
            (Some(granted), Some(lease)) => lease.saturating_add(Duration::from_secs(1)) <= granted,
            _ => false,
        };
        // The end of some tokens becomes known only by a renewal.
        self.terms.lease = self.terms.lease.or(terms.lease);
        self.terms.renewable = terms.renewable && terms.lease.is_some() && !shorter;
        // A token with an end keeps one: here less than a second of it is left.
        let lease = terms.lease.or(self.terms.lease.map(|_| Duration::ZERO));
        self.count_from(lease, asked, chance);
        if lease.is_none() {
            // It still has an end that is not known.
            self.due_in(UNKNOWN, asked, chance);
        }
    }

    /// Schedules the next attempt after a failed renewal.
    pub fn put_off(&mut self, now: Instant, chance: f64) {
        let pause = self.terms.lease.map_or(UNKNOWN, |lease| lease.mul_f64(PAUSE).clamp(PAUSES.0, PAUSES.1));
        self.due_in(pause, now, chance);
    }

    /// Sets the time of the next step, whatever the lease.
    pub fn due_in(&mut self, pause: Duration, now: Instant, chance: f64) {
        self.due = now.checked_add(pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn terms(lease: u32) -> TokenTerms {
        TokenTerms { lease: Some(lease * SECOND), renewable: true, uses: None }
    }

    #[test]
    fn it_is_renewed_at_two_thirds_and_over_a_little_before_its_end() {
        let t = Instant::now();
        let (early, late) = (Life::new(terms(60), t, 0.0), Life::new(terms(60), t, 1.0));
        assert_eq!(early.state(t + 37 * SECOND), TokenState::Good);
        assert_eq!(early.state(t + 38 * SECOND), TokenState::Due);
        assert_eq!(late.state(t + 41 * SECOND), TokenState::Good);
        assert_eq!(late.state(t + 42 * SECOND), TokenState::Due);
        assert_eq!(late.state(t + 56 * SECOND), TokenState::Due);
        assert_eq!(late.state(t + 57 * SECOND), TokenState::Over);
    }

    #[test]
    fn a_token_without_an_end_stays_good() {
        let t = Instant::now();
        let life = Life::new(TokenTerms { lease: None, renewable: false, uses: None }, t, 0.5);
        assert_eq!(life.state(t + 1_000_000 * SECOND), TokenState::Good);
    }

    #[test]
    fn a_renewal_that_gives_less_is_the_last() {
        let t = Instant::now();
        let mut life = Life::new(terms(60), t, 0.5);
        life.renewed(terms(60), t + 40 * SECOND, 0.5);
        assert!(life.is_renewable());
        assert_eq!(life.state(t + 60 * SECOND), TokenState::Good);
        life.renewed(terms(30), t + 80 * SECOND, 0.5);
        assert!(!life.is_renewable());
        assert_eq!(life.state(t + 100 * SECOND), TokenState::Due);
        assert_eq!(life.state(t + 109 * SECOND), TokenState::Over);
        life.put_off(t + 100 * SECOND, 1.0);
        assert_eq!(life.state(t + 102 * SECOND), TokenState::Good);
        assert_eq!(life.state(t + 103 * SECOND), TokenState::Due);
    }

    #[test]
    fn a_renewal_of_any_length_is_compared_with_the_first_lease() {
        let t = Instant::now();
        let mut life = Life::new(terms(60), t, 0.5);
        life.renewed(TokenTerms { lease: Some(Duration::from_secs(u64::MAX)), ..terms(60) }, t, 0.5);
        assert!(life.is_renewable() && life.state(t + 1_000_000 * SECOND) == TokenState::Good);
    }

    #[test]
    fn a_renewal_that_gives_nothing_makes_no_token_endless() {
        let t = Instant::now();
        let mut life = Life::new(terms(60), t, 0.5);
        life.renewed(TokenTerms { lease: None, ..terms(60) }, t + 40 * SECOND, 0.5);
        assert_eq!(life.state(t + 40 * SECOND), TokenState::Over);
        let mut unknown = Life::new(TokenTerms { lease: None, ..terms(60) }, t, 1.0);
        unknown.renewed(TokenTerms { lease: None, ..terms(60) }, t, 1.0);
        assert!(!unknown.is_renewable() && unknown.state(t + UNKNOWN) == TokenState::Due);
    }

    #[test]
    fn an_end_that_a_renewal_has_told_of_is_not_forgotten_by_the_next() {
        let t = Instant::now();
        let none = TokenTerms { lease: None, ..terms(60) };
        for first in [1, 60, 3600] {
            let mut life = Life::new(none, t, 0.5);
            life.due_in(ENDING, t, 0.5);
            life.renewed(terms(first), t, 0.5);
            assert!(life.is_renewable() && life.state(t) == TokenState::Good);
            life.renewed(none, t, 0.5);
            assert!(!life.is_renewable());
            assert_eq!(life.state(t + 1_000_000 * SECOND), TokenState::Over, "{first}");
            life.put_off(t, 0.5);
            assert_eq!(life.state(t), TokenState::Over, "{first}");
        }
    }

    #[test]
    fn uses_are_counted_and_the_last_one_is_not_waited_for() {
        let t = Instant::now();
        let mut life = Life::new(TokenTerms { uses: Some(3), ..terms(60) }, t, 0.5);
        assert!(!life.is_renewable(), "a renewal would be a use");
        life.spend();
        assert_eq!(life.state(t), TokenState::Good);
        life.spend();
        assert_eq!(life.state(t), TokenState::Due);
        life.spend();
        assert_eq!(life.state(t), TokenState::Over);
        life.spend();
        assert_eq!(life.state(t), TokenState::Over);
    }
}
