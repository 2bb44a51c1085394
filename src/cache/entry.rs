//! How long a document serves: pure arithmetic. Instants, and random numbers in 0..1, are passed in.

mod change;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::document::Document;
use crate::error::Error;

/// The part of `ttl` after which a value is renewed. It is late, as each renewal is a call to the vault, but leaves
/// time for a fetch. It is a range, so that documents of one start are not renewed all at once.
const RENEWAL: (f64, f64) = (0.85, 0.97);

/// The pause before a vault that failed is asked again for a document whose old value still serves. Each failure
/// doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a renewal may be under way before it is taken for lost and started anew.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(60);

/// The time options that hold for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlPolicy {
    /// How long a value is fresh; `None`: until it is flushed or evicted.
    pub ttl: Option<Duration>,
    /// How long a failure is remembered.
    pub neg_ttl: Duration,
    /// How long after `ttl` the old value may serve while no new one can be fetched.
    pub resurrect_ttl: Duration,
    /// The bounds of a lease that the vault itself names.
    pub min_ttl: Duration,
    pub max_ttl: Option<Duration>,
}

impl TtlPolicy {
    /// How long a value is fresh; `lease` is its vault's, if there is one.
    fn freshness(&self, lease: Option<Duration>) -> Option<Duration> {
        let lease = lease.map(|lease| self.max_ttl.map_or(lease, |most| lease.min(most)).max(self.min_ttl));
        match (self.ttl, lease) {
            (Some(ttl), Some(lease)) => Some(ttl.min(lease)),
            (ttl, lease) => ttl.or(lease),
        }
    }

    /// How long a failure is remembered: for `neg_ttl`, or for as long as the vault asked that the document not be
    /// requested.
    pub fn remembers(&self, error: &Error) -> Duration {
        self.neg_ttl.max(error.holds_document().unwrap_or_default())
    }

    /// For how long a value still serves, fresh or not; `None`: for ever.
    pub fn serves_for(&self, value: &Dated, now: Instant) -> Option<Duration> {
        let whole = self.freshness(value.document.lease())?.checked_add(self.resurrect_ttl)?;
        Some(whole.saturating_sub(now.saturating_duration_since(value.at)))
    }
}

/// A document, and when it was fetched.
#[derive(Debug, Clone)]
pub struct Dated {
    pub document: Arc<Document>,
    /// When the fetch began. The vault's answer is from then or later, and all times count from here.
    pub at: Instant,
}

/// What a look-up found.
#[derive(Debug, Clone)]
pub enum CacheLookup {
    Fresh(Arc<Document>),
    /// The value is no longer fresh, but serves until there is a new one. `due`: a new one should be fetched, as no
    /// renewal is under way and the pause after the last failure is over.
    Stale {
        document: Arc<Document>,
        due: bool,
    },
    /// A failure that is still remembered.
    Failure(Error),
    /// Nothing that may be served: fetch it.
    Nothing,
}

impl CacheLookup {
    /// The value that may be served, fresh or not.
    pub fn document(self) -> Option<Arc<Document>> {
        match self {
            CacheLookup::Fresh(document) | CacheLookup::Stale { document, .. } => Some(document),
            CacheLookup::Failure(_) | CacheLookup::Nothing => None,
        }
    }
}

/// What is to be done about an entry when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The value is in use: ask for a new one.
    Renew,
    /// Nothing of it serves any longer, or nobody uses it any more.
    Drop,
}

/// What the cache keeps of one document: a value, the memory of a failure, or both.
#[derive(Debug)]
pub struct Entry {
    value: Option<Dated>,
    /// The end of `ttl`; `None`: never.
    fresh_until: Option<Instant>,
    /// The end of `resurrect_ttl`, or of the memory of a failure; `None`: never.
    serves_until: Option<Instant>,
    /// When a new value is asked for in the background; `None`: never.
    renew_at: Option<Instant>,
    /// From when on the value may be renewed along with others; `None`: never.
    renew_from: Option<Instant>,
    /// Whether a renewal is under way.
    renewing: bool,
    failure: Option<Error>,
    /// Until when the document is not requested, as its vault asked.
    left_alone_until: Option<Instant>,
    /// Failures in a row that were about this document.
    failures: u32,
    used_at: Instant,
    /// Set where the value was fetched under earlier options of its vault: when it ceased to be fresh.
    inherited: Option<Instant>,
    /// Set when the options change: the value serves until their first outcome, but no longer than this.
    held_until: Option<Instant>,
}

impl Entry {
    /// A value that a vault brought.
    pub fn fetched(value: Dated, ttl_policy: &TtlPolicy, used_at: Instant, chance: f64) -> Self {
        let ttl = ttl_policy.freshness(value.document.lease());
        let fresh_until = ttl.and_then(|ttl| value.at.checked_add(ttl));
        let lead = RENEWAL.0 + (RENEWAL.1 - RENEWAL.0) * chance.clamp(0.0, 1.0);
        // A value that is never fresh is fetched whenever it is asked for, never ahead.
        let after = |part| ttl.filter(|ttl| !ttl.is_zero()).and_then(|ttl| value.at.checked_add(ttl.mul_f64(part)));
        Self {
            fresh_until,
            serves_until: fresh_until.and_then(|fresh| fresh.checked_add(ttl_policy.resurrect_ttl)),
            renew_at: after(lead),
            renew_from: after(RENEWAL.0),
            renewing: false,
            value: Some(value),
            failure: None,
            left_alone_until: None,
            failures: 0,
            used_at,
            inherited: None,
            held_until: None,
        }
    }

    /// The entry after a failed fetch: the old value while it serves, or the memory of the failure. `None`: neither.
    /// The fetch failed `at` that time. If another worker reported it, `now` is later, and the old value may have ended
    /// since.
    pub fn failed(
        before: Option<Entry>,
        error: Error,
        ttl_policy: &TtlPolicy,
        at: Instant,
        now: Instant,
        chance: f64,
    ) -> Option<Self> {
        // A failure is an outcome as well: the value is no longer held for the first one.
        let before = before.map(|entry| Self { held_until: None, ..entry });
        let hold = error.holds_document();
        let left_alone_until = hold.and_then(|hold| at.checked_add(hold));
        match before {
            Some(entry) if entry.serves(now) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << entry.failures.min(16)).min(LONGEST_PAUSE);
                let pause = pause
                    .mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
                    .max(ttl_policy.neg_ttl)
                    .max(hold.unwrap_or_default());
                // The breaker decides how often a vault is tried that can't be reached.
                let failures = if error.is_outage() { 0 } else { entry.failures.saturating_add(1) };
                let (failure, renew_at) = (Some(error.held()), at.checked_add(pause));
                Some(Self { failure, failures, renew_at, renewing: false, left_alone_until, ..entry })
            }
            _ => {
                let memory = ttl_policy.remembers(&error);
                (!memory.is_zero()).then(|| Self {
                    value: None,
                    fresh_until: None,
                    serves_until: at.checked_add(memory),
                    renew_at: None,
                    renew_from: None,
                    renewing: false,
                    failure: Some(error.held()),
                    left_alone_until,
                    failures: 1,
                    used_at: now,
                    inherited: None,
                    held_until: None,
                })
            }
        }
    }

    pub fn look(&self, now: Instant) -> CacheLookup {
        let ended = |end: Option<Instant>| end.is_some_and(|end| now >= end);
        if ended(self.end()) {
            return CacheLookup::Nothing;
        }
        match (&self.value, &self.failure) {
            (Some(value), _) if self.inherited.is_none() && !ended(self.fresh_until) => {
                CacheLookup::Fresh(Arc::clone(&value.document))
            }
            (Some(value), failure) => {
                let due = self.renew_at.is_none_or(|at| now >= at);
                if failure.is_none() && self.is_never_fresh() && self.held_until.is_none() {
                    return CacheLookup::Nothing;
                }
                CacheLookup::Stale { document: Arc::clone(&value.document), due }
            }
            (None, Some(failure)) => CacheLookup::Failure(failure.clone()),
            (None, None) => CacheLookup::Nothing,
        }
    }

    /// Notes that the entry was used.
    pub fn touch(&mut self, now: Instant) {
        self.used_at = now;
    }

    pub fn used_at(&self) -> Instant {
        self.used_at
    }

    /// When something is to be done about this entry.
    pub fn next(&self) -> Option<Instant> {
        match (self.renew_at, self.end()) {
            (Some(renew), Some(end)) => Some(renew.min(end)),
            (renew, end) => renew.or(end),
        }
    }

    /// What is to be done now, if anything. From then on, a renewal counts as under way.
    pub fn due(&mut self, now: Instant, idle: Duration) -> Option<Due> {
        if self.end().is_some_and(|end| now >= end) {
            return Some(Due::Drop);
        }
        if self.renew_at.is_none_or(|at| now < at) {
            return None;
        }
        if now.saturating_duration_since(self.used_at) >= idle {
            return Some(Due::Drop);
        }
        self.renew_at = now.checked_add(RENEWAL_PATIENCE);
        self.renewing = true;
        Some(Due::Renew)
    }

    /// Whether the value may be renewed along with others, though its own time has not come. From then on, its renewal
    /// counts as under way.
    pub fn renew_along(&mut self, now: Instant, idle: Duration) -> bool {
        let is_early = self.renew_from.is_some_and(|from| now >= from) && self.renew_at.is_some_and(|at| now < at);
        let is_plain =
            !self.renewing && self.failure.is_none() && self.inherited.is_none() && self.held_until.is_none();
        let renews = is_early && is_plain && now.saturating_duration_since(self.used_at) < idle;
        if renews {
            self.renew_at = now.checked_add(RENEWAL_PATIENCE);
            self.renewing = true;
        }
        renews
    }

    /// Sets the time of the next renewal; the document may be requested again.
    pub fn renew_at(&mut self, at: Instant) {
        self.renew_at = Some(at);
        self.renewing = false;
        self.left_alone_until = None;
    }

    pub fn is_renewing(&self) -> bool {
        self.renewing
    }

    /// Notes that no renewal is under way any more. Where the last one left nothing, neither a value nor a failure, the
    /// next is at `again`.
    pub fn renewal_ended(&mut self, again: Instant) {
        if std::mem::take(&mut self.renewing) {
            self.renew_at = Some(again);
        }
    }

    /// Puts the renewal off while its vault can't be reached: the old value serves meanwhile.
    pub fn put_off(&mut self, reason: Error, until: Instant) {
        self.failure = Some(reason);
        self.renew_at = Some(until);
        self.held_until = None;
        self.renewing = false;
    }

    /// The reason why the document is not requested now, if its vault asked for that.
    pub fn left_alone(&self, now: Instant) -> Option<&Error> {
        self.failure.as_ref().filter(|_| self.left_alone_until.is_some_and(|until| now < until))
    }

    /// Whether an old value serves because no new one could be fetched.
    pub fn is_resurrected(&self) -> bool {
        self.value.is_some() && self.failure.is_some()
    }

    /// The value, whether it may serve or not.
    pub fn value(&self) -> Option<&Dated> {
        self.value.as_ref()
    }

    /// The end of `ttl`, and when it is renewed; `None`: never.
    pub fn times(&self) -> (Option<Instant>, Option<Instant>) {
        (self.fresh_until, self.renew_at)
    }

    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.document.bytes())
    }

    fn serves(&self, now: Instant) -> bool {
        self.value.is_some() && self.end().is_none_or(|end| now < end)
    }

    /// When it serves no more; `None`: never.
    fn end(&self) -> Option<Instant> {
        self.serves_until.map(|end| self.held_until.map_or(end, |held| held.max(end)))
    }

    fn is_never_fresh(&self) -> bool {
        self.value.as_ref().is_some_and(|value| self.fresh_until == Some(value.at))
    }
}
