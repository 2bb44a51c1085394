//! How long a document serves: pure arithmetic over instants that the caller hands in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::document::Document;
use crate::error::Error;

/// How long to wait, at the least, before a vault that failed is asked again for a document of which an old value still
/// serves. Without it every request of an outage would be a fetch.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The time options that hold for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a value is fresh; `None`: until it is flushed or evicted.
    pub ttl: Option<Duration>,
    /// How long a failure is remembered.
    pub neg_ttl: Duration,
    /// How long after `ttl` the old value may serve while no new one can be had.
    pub resurrect_ttl: Duration,
}

/// What a look-up found.
#[derive(Debug, Clone)]
pub enum Found {
    /// A value that may be served; `until` says how long that stays so (`None`: without end).
    Value { document: Arc<Document>, until: Option<Instant> },
    /// A failure that is still remembered.
    Failure(Error),
    /// Nothing that may be served: fetch it.
    Nothing,
}

/// What the cache keeps of one document.
#[derive(Debug)]
pub struct Entry {
    document: Option<Arc<Document>>,
    /// The end of the document's `resurrect_ttl`; `None`: never.
    usable_until: Option<Instant>,
    failure: Option<Error>,
    /// Until when this entry answers without a fetch; `None`: always.
    answers_until: Option<Instant>,
}

impl Entry {
    /// A value that was just fetched. A vault's own `lease` shortens `ttl`, or stands in for it.
    pub fn fetched(document: Arc<Document>, lease: Option<Duration>, terms: Terms, now: Instant) -> Self {
        let ttl = match (terms.ttl, lease) {
            (Some(ttl), Some(lease)) => Some(ttl.min(lease)),
            (ttl, lease) => ttl.or(lease),
        };
        let fresh_until = ttl.and_then(|ttl| now.checked_add(ttl));
        Self {
            document: Some(document),
            usable_until: fresh_until.and_then(|fresh| fresh.checked_add(terms.resurrect_ttl)),
            failure: None,
            answers_until: fresh_until,
        }
    }

    /// What is left after a fetch failed: the old value while it may be resurrected, or the memory of the failure.
    /// `None`: nothing worth keeping.
    pub fn failed(before: Option<Entry>, error: Error, terms: Terms, now: Instant) -> Option<Self> {
        let pause = match before.as_ref().and_then(|entry| entry.usable_document(now)) {
            Some(_) => terms.neg_ttl.max(RETRY_PAUSE),
            None if terms.neg_ttl.is_zero() => return None,
            None => terms.neg_ttl,
        };
        let retry_at = now.checked_add(pause);
        match before {
            Some(entry) if entry.usable_document(now).is_some() => {
                let answers_until = match (retry_at, entry.usable_until) {
                    (Some(retry), Some(end)) => Some(retry.min(end)),
                    (retry, end) => retry.or(end),
                };
                Some(Self { failure: Some(error), answers_until, ..entry })
            }
            _ => Some(Self { document: None, usable_until: None, failure: Some(error), answers_until: retry_at }),
        }
    }

    pub fn look(&self, now: Instant) -> Found {
        if self.answers_until.is_some_and(|until| now >= until) {
            return Found::Nothing;
        }
        match (&self.document, &self.failure) {
            (Some(document), _) => Found::Value { document: Arc::clone(document), until: self.answers_until },
            (None, Some(failure)) => Found::Failure(failure.clone()),
            (None, None) => Found::Nothing,
        }
    }

    /// When this entry stops answering, if that is still to come.
    pub fn expires_after(&self, now: Instant) -> Option<Instant> {
        self.answers_until.filter(|until| *until > now)
    }

    pub fn bytes(&self) -> usize {
        self.document.as_ref().map_or(0, |document| document.bytes())
    }

    /// The old value, if it may still serve.
    pub fn usable_document(&self, now: Instant) -> Option<&Arc<Document>> {
        self.document.as_ref().filter(|_| self.usable_until.is_none_or(|until| now < until))
    }

    /// The old value, where it may serve although its time is over and a new one could not be had.
    pub fn resurrected(&self, now: Instant) -> Option<Arc<Document>> {
        self.failure.as_ref().and_then(|_| self.usable_document(now)).cloned()
    }
}
