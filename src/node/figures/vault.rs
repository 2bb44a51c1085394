//! What is known of one vault: the breakers of all workers, its last outcomes, and the last error in words.

use std::sync::atomic::{AtomicU64, Ordering};

use super::table::Row;
use super::text::Text;
use super::worker::{Places, REASONS_OF_ONE};

/// The longest texts, in words of eight bytes.
const NAME: usize = 10;
const BACKEND: usize = 4;
const ERROR: usize = 64;

/// A row. Times are milliseconds since 1970; 0 is none.
#[repr(C)]
#[derive(Default)]
pub struct VaultRow {
    tag: AtomicU64,
    name: Text<NAME>,
    backend: Text<BACKEND>,
    /// The workers whose breakers are open, and when one of them may next be tried.
    open: Places,
    open_until: AtomicU64,
    last_success: AtomicU64,
    last_failure: AtomicU64,
    /// One more than the number of the last failure's reason.
    last_reason: AtomicU64,
    error: Text<ERROR>,
    successes: AtomicU64,
    failures: [AtomicU64; REASONS_OF_ONE],
    token_ends: AtomicU64,
}

/// The state of a vault's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultBreaker {
    Closed,
    /// Open until that time.
    Open(u64),
    HalfOpen,
}

impl Row for VaultRow {
    fn tag(&self) -> &AtomicU64 {
        &self.tag
    }
}

fn time(at: &AtomicU64) -> Option<u64> {
    Some(at.load(Ordering::Relaxed)).filter(|at| *at != 0)
}

impl VaultRow {
    pub(super) fn is_described(&self) -> bool {
        self.name.is_there() && self.backend.is_there()
    }

    pub(super) fn describe(&self, (name, backend): &(String, String)) {
        self.name.put(name);
        self.backend.put(backend);
    }

    /// Its name and its backend's.
    pub fn description(&self) -> Option<(String, String)> {
        Some((self.name.get()?, self.backend.get()?))
    }

    pub(super) fn set_breaker(&self, place: usize, breaker: VaultBreaker) {
        match breaker {
            VaultBreaker::Closed => self.open.unset(place),
            VaultBreaker::HalfOpen => self.open.set(place),
            VaultBreaker::Open(until) => {
                self.open_until.store(until, Ordering::Relaxed);
                self.open.set(place);
            }
        }
    }

    /// The worst of the breakers at that time.
    pub(super) fn breaker(&self, live: &Places, now: u64) -> VaultBreaker {
        let until = self.open_until.load(Ordering::Relaxed);
        match self.open.meets(live) {
            false => VaultBreaker::Closed,
            true if until > now => VaultBreaker::Open(until),
            true => VaultBreaker::HalfOpen,
        }
    }

    pub fn succeeded(&self, at: u64) {
        self.last_success.fetch_max(at, Ordering::Relaxed);
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    pub fn failed(&self, at: u64, reason: usize, error: &str) {
        self.last_failure.fetch_max(at, Ordering::Relaxed);
        self.last_reason.store(reason as u64 + 1, Ordering::Relaxed);
        self.error.put(error);
        if let Some(count) = self.failures.get(reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn note_token_end(&self, at: Option<u64>) {
        self.token_ends.store(at.unwrap_or(0), Ordering::Relaxed);
    }

    pub fn token_end(&self) -> Option<u64> {
        time(&self.token_ends)
    }

    pub fn last_success(&self) -> Option<u64> {
        time(&self.last_success)
    }

    pub fn last_failure(&self) -> Option<u64> {
        time(&self.last_failure)
    }

    /// Why the last failed fetch failed: the reason's number, and the sentence.
    pub fn last_error(&self) -> Option<(usize, Option<String>)> {
        let reason = usize::try_from(time(&self.last_reason)?).ok()?;
        Some((reason - 1, self.error.get()))
    }

    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Failed fetches, by reason.
    pub fn failures(&self) -> [u64; REASONS_OF_ONE] {
        std::array::from_fn(|reason| self.failures[reason].load(Ordering::Relaxed))
    }
}
