//! The workers' places, and what is counted in each. A count stays when its worker ends: the next one in that place counts on.

#![expect(clippy::disallowed_methods, reason = "/proc is the kernel's, and never hangs")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many workers have a place; further ones share the first. It is one bit each of `Places`.
pub const PLACES: usize = 256;

/// The place of whoever has none of its own.
pub const SHARED: usize = 0;

/// What is counted: the numbers' meaning is the caller's.
pub const COUNTERS: usize = 24;
pub const BUCKETS: usize = 13;
/// Reasons of failures: of all vaults together, and of one.
pub const REASONS: usize = 16 * REASONS_OF_ONE;
pub const REASONS_OF_ONE: usize = 12;

/// Bits of a process's start in `owner`; its pid stands above them.
const START: u32 = 42;

/// One worker's figures.
#[repr(C, align(64))]
pub struct WorkerRow {
    /// Whose place it is: a pid and when that process began. 0: nobody's.
    owner: AtomicU64,
    counters: [AtomicU64; COUNTERS],
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
    reasons: [AtomicU64; REASONS],
    entries: AtomicU64,
    bytes: AtomicU64,
    under_way: AtomicU64,
}

/// What rises and falls in one worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    pub entries: u64,
    pub bytes: u64,
    pub under_way: u64,
}

/// The sums over all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    pub counters: [u64; COUNTERS],
    pub buckets: [u64; BUCKETS],
    pub nanoseconds: u64,
    pub reasons: Vec<u64>,
    /// Of living workers.
    pub gauges: Gauges,
    /// How many processes live that have a place.
    pub workers: usize,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            counters: [0; COUNTERS],
            buckets: [0; BUCKETS],
            nanoseconds: 0,
            reasons: vec![0; REASONS],
            gauges: Gauges::default(),
            workers: 0,
        }
    }
}

impl WorkerRow {
    pub fn count(&self, counter: usize, by: u64) {
        if let Some(counter) = self.counters.get(counter) {
            counter.fetch_add(by, Ordering::Relaxed);
        }
    }

    pub fn took(&self, bucket: usize, nanoseconds: u64) {
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
            self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    pub fn failed(&self, reason: usize) {
        if let Some(count) = self.reasons.get(reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn set_gauges(&self, gauges: Gauges) {
        self.entries.store(gauges.entries, Ordering::Relaxed);
        self.bytes.store(gauges.bytes, Ordering::Relaxed);
        self.set_under_way(gauges.under_way);
    }

    pub fn set_under_way(&self, count: u64) {
        self.under_way.store(count, Ordering::Relaxed);
    }
}

/// A set of workers' places, which processes share.
#[repr(C)]
#[derive(Default)]
pub struct Places([AtomicU64; PLACES / 64]);

impl Places {
    pub fn set(&self, place: usize) {
        self.0[place / 64].fetch_or(1 << (place % 64), Ordering::SeqCst);
    }

    pub fn unset(&self, place: usize) {
        // Most are not set, and a load costs less.
        if self.has(place) {
            self.0[place / 64].fetch_and(!(1 << (place % 64)), Ordering::SeqCst);
        }
    }

    pub fn has(&self, place: usize) -> bool {
        self.0[place / 64].load(Ordering::SeqCst) & 1 << (place % 64) != 0
    }

    /// Whether both have a place.
    pub fn meets(&self, other: &Places) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.into_iter().any(|(one, other)| one.load(Ordering::SeqCst) & other.load(Ordering::Relaxed) != 0)
    }

    pub fn clear(&self) {
        for word in &self.0 {
            word.store(0, Ordering::SeqCst);
        }
    }
}

/// Takes a place for this process, that of a process that has ended at need. `None` where it has `mine` already, or where all are
/// taken.
pub fn take(rows: &[WorkerRow], mine: usize) -> Option<usize> {
    let me = owner(std::process::id());
    if mine != SHARED && rows[mine].owner.load(Ordering::Relaxed) == me {
        return None;
    }
    for (place, row) in rows.iter().enumerate().skip(1) {
        let known = row.owner.load(Ordering::Relaxed);
        if is_alive(known) {
            continue;
        }
        if row.owner.compare_exchange(known, me, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            row.set_gauges(Gauges::default());
            return Some(place);
        }
    }
    None
}

/// Gives a place up, if it is this process's.
pub fn leave(rows: &[WorkerRow], place: usize) {
    let row = &rows[place];
    if place != SHARED && row.owner.load(Ordering::Relaxed) >> START == u64::from(std::process::id()) {
        row.set_gauges(Gauges::default());
        row.owner.store(0, Ordering::SeqCst);
    }
}

/// The places of the living, and the one that is shared.
pub fn live(rows: &[WorkerRow]) -> Places {
    let live = Places::default();
    live.set(SHARED);
    for (place, row) in rows.iter().enumerate() {
        if is_alive(row.owner.load(Ordering::Relaxed)) {
            live.set(place);
        }
    }
    live
}

pub fn totals(rows: &[WorkerRow]) -> Totals {
    let (mut totals, mut processes) = (Totals::default(), BTreeSet::new());
    for (place, row) in rows.iter().enumerate() {
        let add = |sums: &mut [u64], numbers: &[AtomicU64]| {
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum = sum.wrapping_add(number.load(Ordering::Relaxed));
            }
        };
        add(&mut totals.counters, &row.counters);
        add(&mut totals.buckets, &row.buckets);
        add(&mut totals.reasons, &row.reasons);
        totals.nanoseconds = totals.nanoseconds.wrapping_add(row.nanoseconds.load(Ordering::Relaxed));
        let owner = row.owner.load(Ordering::Relaxed);
        if place != SHARED && !is_alive(owner) {
            continue;
        }
        if place != SHARED {
            processes.insert(owner);
        }
        totals.gauges.entries += row.entries.load(Ordering::Relaxed);
        totals.gauges.bytes += row.bytes.load(Ordering::Relaxed);
        totals.gauges.under_way += row.under_way.load(Ordering::Relaxed);
    }
    totals.workers = processes.len();
    totals
}

/// A process as `owner` has it.
fn owner(pid: u32) -> u64 {
    u64::from(pid) << START | start_of(pid).unwrap_or(0)
}

fn is_alive(owner: u64) -> bool {
    let pid = u32::try_from(owner >> START).unwrap_or(0);
    // A further process may have got the pid since.
    pid != 0 && start_of(pid).is_some_and(|start| start == owner & ((1 << START) - 1))
}

/// When a process began, in ticks since the machine did; `None` where it has ended.
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have spaces and parentheses in it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    // After the state come 18 more fields.
    let start: u64 = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(start & ((1 << START) - 1))
}
