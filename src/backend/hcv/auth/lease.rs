//! How long a token is good for, and when the next one is seen to: pure arithmetic over instants and chances that are
//! handed in.

use std::fmt;
use std::time::{Duration, Instant};

/// The part of a lease after which it is renewed: two thirds, spread so that workers don't come all at once.
const RENEWAL: (f64, f64) = (0.62, 0.70);

/// What is left off a lease's end, for the way to the vault and its clock.
const MARGIN: f64 = 0.05;
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// The pause after a renewal that failed, as a part of the lease.
const PAUSE: f64 = 0.05;
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The pause before a token is looked up again of which the vault could not say how long it lives.
pub const UNKNOWN: Duration = Duration::from_secs(5);
/// The same for one whose last second has begun: if it can be renewed, then now.
pub const ENDING: Duration = PAUSES.0;

/// What a vault says of a token that it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTerms {
    /// None: the token has no end.
    pub lease: Option<Duration>,
    pub renewable: bool,
    /// How many requests it is good for, where there is a limit.
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

/// The life of one token.
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
    /// Send it, and see to its renewal.
    Due,
    /// It is over.
    Over,
}

impl Life {
    /// `asked`: when the request left that brought it.
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

    pub fn state(&self, now: Instant) -> TokenState {
        if self.terms.uses == Some(0) || self.ends.is_some_and(|end| now >= end) {
            TokenState::Over
        } else if self.terms.uses == Some(1) || self.due.is_some_and(|due| now >= due) {
            TokenState::Due
        } else {
            TokenState::Good
        }
    }

    /// Counts a request that is sent with it.
    pub fn spend(&mut self) {
        if let Some(uses) = &mut self.terms.uses {
            *uses = uses.saturating_sub(1);
        }
    }

    /// Whether its next step is a renewal, and not a login: a renewal is a use.
    pub fn is_renewable(&self) -> bool {
        self.terms.renewable && self.terms.uses.is_none()
    }

    /// The vault renewed it, for that long. What is shorter than at the start says that its last hour has come: the next
    /// step is a login.
    pub fn renewed(&mut self, terms: TokenTerms, asked: Instant, chance: f64) {
        let shorter = match (self.terms.lease, terms.lease) {
            (Some(granted), Some(lease)) => lease.saturating_add(Duration::from_secs(1)) <= granted,
            _ => false,
        };
        // Of some tokens only a renewal says that they have an end.
        self.terms.lease = self.terms.lease.or(terms.lease);
        self.terms.renewable = terms.renewable && terms.lease.is_some() && !shorter;
        // A token with an end has none taken away: less than a second of it is left.
        let lease = terms.lease.or(self.terms.lease.map(|_| Duration::ZERO));
        self.count_from(lease, asked, chance);
        if lease.is_none() {
            // It had an end that was not known, and still has.
            self.due_in(UNKNOWN, asked, chance);
        }
    }

    /// The renewal failed: when it is tried again.
    pub fn put_off(&mut self, now: Instant, chance: f64) {
        let pause = self.terms.lease.map_or(UNKNOWN, |lease| lease.mul_f64(PAUSE).clamp(PAUSES.0, PAUSES.1));
        self.due_in(pause, now, chance);
    }

    /// When it is seen to next, whatever its lease says.
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
