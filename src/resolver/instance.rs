//! One vault, as this process reaches it: its connections, its breaker and the slots for its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::backend::{Backend, Changes, Fetched};
use crate::error::{Error, Result};
use crate::resolver::batches::{BatchContext, Batches};
use crate::resolver::breaker::{Breaker, BreakerState, Change, Ended};
use crate::resolver::resolved_reference::DocumentKey;
use crate::sync::{Rank, Ranked};

/// How many requests one worker may have under way to one vault; the rest wait, within their deadlines.
pub const AT_ONCE: usize = 160;

/// Attempts of a fetch that somebody waits for, and the pauses between them: chosen at random below a bound that
/// doubles (full jitter).
pub const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// One vault, as this process reaches it.
pub struct Instance {
    backend: Arc<dyn Backend>,
    breaker: Ranked<Breaker>,
    slots: Semaphore,
    /// `None` where each document takes a request of its own.
    batches: Option<Arc<Batches>>,
    /// Whether it has answered.
    answered: AtomicBool,
    /// Whether somebody handles the changes that it reports.
    listened_to: AtomicBool,
}

/// The time limits of fetches and probes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For one fetch and everything it does.
    pub timeout: Duration,
    /// Between the probes of a vault that failed.
    pub breaker_interval: Duration,
}

/// How a document is fetched.
#[derive(Debug, Clone, Copy)]
pub struct Attempts {
    /// How often it is tried at the most.
    pub most: u32,
    /// Whether the first attempt may wait a moment for other documents, to be made with one request for all.
    pub gathers: bool,
}

/// Why a vault may not be asked now, and when it is probed.
pub struct Away {
    pub reason: Error,
    pub probe_at: Instant,
}

impl Instance {
    /// `batch`: how many documents the backend fetches with one request.
    pub fn new(backend: Arc<dyn Backend>, batch: usize, limits: &Limits, context: BatchContext) -> Self {
        let breaker = Ranked::new(Rank::Breaker, Breaker::new(limits.breaker_interval));
        let batches = Batches::new(&backend, batch, limits.timeout, context);
        let (answered, listened_to) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { backend, breaker, slots: Semaphore::new(AT_ONCE), batches, answered, listened_to }
    }

    /// Looks again whether documents that wait for others are to be fetched.
    pub fn look_at_batches(&self) {
        if let Some(batches) = &self.batches {
            batches.look_again();
        }
    }

    /// Whether it has answered, as far as `has_answered` was told.
    pub fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn has_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// The changes that the vault reports, for the first caller.
    pub fn take_changes(&self) -> Option<Changes> {
        if self.listened_to.swap(true, Ordering::Relaxed) { None } else { self.backend.changes() }
    }

    /// The backend itself: for a vault that needs neither network nor file, and for what is fetched beside.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// See `Breaker`, whose methods the next ones are.
    pub fn refusal(&self) -> Option<Error> {
        self.breaker.lock().refusal()
    }

    pub fn probe_at(&self) -> Option<Instant> {
        self.breaker.lock().probe_at()
    }

    pub fn is_back_since(&self, time: Instant) -> bool {
        self.breaker.lock().is_back_since(time)
    }

    pub fn state(&self, now: Instant) -> BreakerState {
        self.breaker.lock().state(now)
    }

    pub fn succeeded(&self, document: u64, now: Instant) -> Change {
        self.breaker.lock().succeeded(document, now)
    }

    pub fn failed(&self, error: &Error, ended: Ended) -> Change {
        self.breaker.lock().failed(error, ended)
    }

    pub fn answered_another(&self, ended: Ended) -> Change {
        self.breaker.lock().answered_another(ended)
    }

    pub fn put_off(&self, now: Instant, again: Duration) -> Option<Error> {
        self.breaker.lock().put_off(now, again)
    }

    /// `None` where it may be asked.
    pub fn away(&self) -> Option<Away> {
        let breaker = self.breaker.lock();
        Some(Away { reason: breaker.refusal()?, probe_at: breaker.probe_at()? })
    }

    /// Takes the one permit to probe a vault that is away. Returns whether it was there, and when the next one is.
    pub fn take_probe(&self, now: Instant) -> (bool, Option<Instant>) {
        let mut breaker = self.breaker.lock();
        (breaker.refusal().is_some() && breaker.probe(now), breaker.probe_at())
    }

    /// Fetches a document. Returns the outcome of the last attempt, and when that began.
    pub async fn attempt(
        &self,
        key: &Arc<DocumentKey>,
        how: Attempts,
        deadline: Instant,
    ) -> (Result<Fetched>, Instant) {
        let mut by_batch = match &self.batches {
            Some(batches) if how.gathers => batches.fetch(key).await,
            _ => None,
        };
        let mut slot = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (fetched, began) = match by_batch.take() {
                Some(outcome) => outcome,
                None => {
                    if slot.is_none() {
                        // The semaphore is never closed.
                        slot = self.slots.acquire().await.ok();
                    }
                    let began = Instant::now();
                    (self.backend.fetch(&key.secret_id).await, began)
                }
            };
            let error = match fetched {
                Err(error) if error.is_retryable() && attempts < how.most => error,
                fetched => return (fetched, began),
            };
            let pause = match error.retry_after() {
                Some(wait) => wait,
                None => (FIRST_PAUSE * 2u32.pow(attempts)).mul_f64(fastrand::f64()),
            };
            // A wait that outlasts the deadline would only hide the reason.
            if outlasts(pause, deadline, Instant::now()) || self.refusal().is_some() {
                return (Err(error), began);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// A vault may ask for a wait of any length.
fn outlasts(pause: Duration, deadline: Instant, now: Instant) -> bool {
    now.checked_add(pause).is_none_or(|end| end >= deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_any_length_is_compared_with_the_deadline() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(5);
        assert!(!outlasts(Duration::from_secs(4), deadline, now));
        assert!(outlasts(Duration::from_secs(5), deadline, now));
        assert!(outlasts(Duration::from_secs(u64::MAX), deadline, now));
    }
}
