//! What becomes of an entry when the options of its vault change.

use std::time::{Duration, Instant};

use super::{Dated, Entry, RENEWAL_PATIENCE, TtlPolicy};
use crate::error::Error;

/// How long a value is held at the most until the first outcome under new options: far longer than a fetch takes.
const HOLD: Duration = Duration::from_secs(60);

impl Entry {
    /// The entry under new options, to be renewed at `renew_at` if it isn't fresh. With `same_place`, only the times
    /// changed. Otherwise the value comes from another place and is stale, as if its `ttl` ended now. Either way, a
    /// value that serves now does so until the first outcome under the new options. `None`: the value does not serve.
    pub fn under(
        self,
        ttl_policy: &TtlPolicy,
        same_place: bool,
        now: Instant,
        renew_at: Instant,
        chance: f64,
    ) -> Option<Self> {
        if !self.serves(now) {
            return None;
        }
        let over_now = || self.fresh_until.map_or(now, |end| end.min(now));
        let inherited = self.inherited.or_else(|| (!same_place).then(over_now));
        let mut new = Self::fetched(self.value?, ttl_policy, self.used_at, chance);
        new.inherited = inherited;
        if let Some(end) = inherited {
            let end = new.fresh_until.map_or(end, |fresh| fresh.min(end));
            new.fresh_until = Some(end);
            new.serves_until = end.checked_add(ttl_policy.resurrect_ttl);
        }
        if inherited.is_some() || new.fresh_until.is_some_and(|end| now >= end) {
            new.renew_at = Some(renew_at);
            new.held_until = now.checked_add(HOLD);
        }
        Some(new)
    }

    /// The entry for a value of another place that was in use until `over`, when the options changed. Its renewal is
    /// under way. `None`: it does not serve any more.
    pub fn of_before(value: Dated, ttl_policy: &TtlPolicy, over: Instant, now: Instant, chance: f64) -> Option<Self> {
        let mut new = Self::fetched(value, ttl_policy, now, chance);
        let end = new.fresh_until.map_or(over, |fresh| fresh.min(over));
        new.inherited = Some(end);
        new.fresh_until = Some(end);
        new.serves_until = end.checked_add(ttl_policy.resurrect_ttl);
        new.held_until = over.checked_add(HOLD);
        new.renew_at = now.checked_add(RENEWAL_PATIENCE);
        new.renewing = true;
        new.serves(now).then_some(new)
    }

    /// The entry where the new options can't be used: its value serves as after a failed renewal, and no renewal is
    /// tried. `None`: the value does not serve.
    pub fn without_options(self, flaw: Error, ttl_policy: &TtlPolicy, now: Instant) -> Option<Self> {
        if !self.serves(now) {
            return None;
        }
        let end = self.fresh_until.map_or(now, |end| end.min(now));
        let serves_until = end.checked_add(ttl_policy.resurrect_ttl);
        let failure = Some(flaw);
        let kept = Self { fresh_until: Some(end), serves_until, renew_at: None, failure, held_until: None, ..self };
        kept.serves(now).then_some(kept)
    }

    /// Whether its value was fetched under earlier options of its vault.
    pub fn is_inherited(&self) -> bool {
        self.inherited.is_some()
    }

    /// Whether its value serves until the first outcome under new options.
    pub fn is_held(&self) -> bool {
        self.held_until.is_some()
    }
}

#[cfg(test)]
mod tests;
