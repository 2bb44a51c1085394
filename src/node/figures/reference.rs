//! What is known of one document: its name to show, when it was fetched, until when it serves, and what ends.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::table::{self, Row};
use super::text::Text;
use super::worker::{Places, REASONS_OF_ONE};

/// The longest name that is shown, in words of eight bytes.
const NAME: usize = 26;
const VAULT: usize = 10;

/// A row. Times are milliseconds since 1970; 0 is none.
#[repr(C)]
#[derive(Default)]
pub struct ReferenceRow {
    tag: AtomicU64,
    /// The workers that have the document in their caches.
    holders: Places,
    name: Text<NAME>,
    vault: Text<VAULT>,
    last_success: AtomicU64,
    last_failure: AtomicU64,
    successes: AtomicU64,
    failures: [AtomicU64; REASONS_OF_ONE],
    fetched_at: AtomicU64,
    fresh_until: AtomicU64,
    next_renewal: AtomicU64,
    lease_end: AtomicU64,
    expires: AtomicU64,
    /// What ends then, as a number of the caller's.
    expires_what: AtomicU64,
}

/// The times of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReferenceTimes {
    pub fetched_at: Option<u64>,
    pub fresh_until: Option<u64>,
    pub next_renewal: Option<u64>,
    pub lease_end: Option<u64>,
}

impl Row for ReferenceRow {
    fn tag(&self) -> &AtomicU64 {
        &self.tag
    }
}

fn time(at: &AtomicU64) -> Option<u64> {
    Some(at.load(Ordering::Relaxed)).filter(|at| *at != 0)
}

impl ReferenceRow {
    pub(super) fn hold(&self, place: usize) {
        self.holders.set(place);
    }

    pub(super) fn release(&self, place: usize) {
        self.holders.unset(place);
    }

    pub(super) fn is_held_by(&self, place: usize) -> bool {
        self.holders.has(place)
    }

    pub(super) fn is_held(&self, live: &Places) -> bool {
        self.holders.meets(live)
    }

    pub(super) fn is_described(&self) -> bool {
        self.name.is_there() && self.vault.is_there()
    }

    pub(super) fn describe(&self, (name, vault): &(String, String)) {
        self.name.put(name);
        self.vault.put(vault);
    }

    /// Its name to show, and its vault's name.
    pub fn description(&self) -> Option<(String, String)> {
        Some((self.name.get()?, self.vault.get()?))
    }

    pub fn succeeded(&self, at: u64) {
        self.last_success.fetch_max(at, Ordering::Relaxed);
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    pub fn failed(&self, at: u64, reason: usize) {
        self.last_failure.fetch_max(at, Ordering::Relaxed);
        if let Some(count) = self.failures.get(reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes the times of a value, unless a newer one is known.
    pub fn note_times(&self, times: ReferenceTimes) {
        let fetched = times.fetched_at.unwrap_or(0);
        if self.fetched_at.fetch_max(fetched, Ordering::Relaxed) > fetched {
            return;
        }
        for (place, at) in [
            (&self.fresh_until, times.fresh_until),
            (&self.next_renewal, times.next_renewal),
            (&self.lease_end, times.lease_end),
        ] {
            place.store(at.unwrap_or(0), Ordering::Relaxed);
        }
    }

    pub fn times(&self) -> ReferenceTimes {
        ReferenceTimes {
            fetched_at: time(&self.fetched_at),
            fresh_until: time(&self.fresh_until),
            next_renewal: time(&self.next_renewal),
            lease_end: time(&self.lease_end),
        }
    }

    /// Notes when something in the value ends, and what.
    pub fn note_end(&self, end: Option<(u64, u64)>) {
        let (expires, what) = end.unwrap_or((0, 0));
        self.expires_what.store(what, Ordering::Relaxed);
        self.expires.store(expires, Ordering::Relaxed);
    }

    pub fn end(&self) -> Option<(u64, u64)> {
        Some((time(&self.expires)?, self.expires_what.load(Ordering::Relaxed)))
    }

    pub fn last_success(&self) -> Option<u64> {
        time(&self.last_success)
    }

    pub fn last_failure(&self) -> Option<u64> {
        time(&self.last_failure)
    }

    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Failed fetches, by reason.
    pub fn failures(&self) -> [u64; REASONS_OF_ONE] {
        std::array::from_fn(|reason| self.failures[reason].load(Ordering::Relaxed))
    }

    /// Whether its last fetch failed, and not before that time.
    pub(super) fn fails_since(&self, since: u64) -> bool {
        let failed = self.last_failure.load(Ordering::Relaxed);
        failed >= since.max(1) && failed > self.last_success.load(Ordering::Relaxed)
    }

    /// When something last became of it.
    fn touched_at(&self) -> u64 {
        self.last_success.load(Ordering::Relaxed).max(self.last_failure.load(Ordering::Relaxed))
    }

    fn clear(&self) {
        self.holders.clear();
        self.name.clear();
        self.vault.clear();
        let times = [&self.last_success, &self.last_failure, &self.successes, &self.fetched_at, &self.fresh_until];
        let others = [&self.next_renewal, &self.lease_end, &self.expires, &self.expires_what];
        for number in times.into_iter().chain(others).chain(&self.failures) {
            number.store(0, Ordering::Relaxed);
        }
    }
}

/// Frees the oldest rows that no living worker holds. Returns whether there were any.
pub fn free_unheld(rows: &[ReferenceRow], used: &AtomicUsize, most: usize, live: &Places) -> bool {
    let mut unheld: Vec<_> = rows.iter().filter(|row| table::name(*row).is_some() && !row.is_held(live)).collect();
    unheld.sort_by_key(|row| row.touched_at());
    let mut freed = false;
    // Several at once, as the search is long.
    for row in unheld.into_iter().take(1 + most / 16) {
        if table::free(row, |row| row.is_held(live), ReferenceRow::clear) {
            used.fetch_sub(1, Ordering::Relaxed);
            freed = true;
        }
    }
    freed
}
