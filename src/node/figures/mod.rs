//! What the workers of one nginx count and know together: memory that is mapped when the library is loaded, before nginx
//! forks, so that all workers write to it, and each of them can show the whole. A worker's end or a reload loses nothing of it.
//!
//! There is no lock in it: a worker may be killed or stopped at any place. It holds names, times and numbers, never a value.
//! Where nothing was mapped before the fork, a process has figures of its own.

mod memory;
mod reference;
mod table;
mod text;
mod vault;
mod worker;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use memory::{Mapping, Memory};
pub use reference::{ReferenceRow, ReferenceTimes};
pub use vault::{VaultBreaker, VaultRow};
pub use worker::{BUCKETS, COUNTERS, Gauges, REASONS, Totals};

/// The figures of a node.
pub struct NodeFigures(Mapping);

impl NodeFigures {
    /// Maps the memory for this process and those that it forks; a later call changes nothing.
    pub fn share() {
        Self::shared().get_or_init(|| Self::new().map(Arc::new));
    }

    /// Those of the node, or else new ones; `None` where the system has no memory for them.
    pub fn of_this_process() -> Option<Arc<Self>> {
        match Self::shared().get() {
            Some(shared) => shared.clone(),
            None => Self::new().map(Arc::new),
        }
    }

    fn shared() -> &'static OnceLock<Option<Arc<Self>>> {
        static SHARED: OnceLock<Option<Arc<NodeFigures>>> = OnceLock::new();
        &SHARED
    }

    fn new() -> Option<Self> {
        Mapping::new().map(Self)
    }

    fn memory(&self) -> &Memory {
        self.0.memory()
    }
}

/// The figures as one resolver writes them. It has a place of its own among the workers, once it has entered a worker; before,
/// it shares one with whoever else has none.
pub struct Figures {
    node: Option<Arc<NodeFigures>>,
    place: AtomicUsize,
    /// When its gauges were last set, in milliseconds since 1970.
    gauges_at: AtomicU64,
}

impl Figures {
    pub fn new(node: Option<Arc<NodeFigures>>) -> Self {
        Self { node, place: AtomicUsize::new(worker::SHARED), gauges_at: AtomicU64::new(0) }
    }

    fn memory(&self) -> Option<&Memory> {
        self.node.as_deref().map(NodeFigures::memory)
    }

    fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    /// Takes a place for this process. What the process that it was forked from has stays with that one.
    pub fn enter(&self) {
        let Some(memory) = self.memory() else { return };
        if let Some(place) = worker::take(&memory.workers, self.place()) {
            // Who had the place before may have ended without a word.
            for row in &memory.references {
                row.release(place);
            }
            for row in &memory.vaults {
                row.set_breaker(place, VaultBreaker::Closed);
            }
            self.place.store(place, Ordering::Relaxed);
        }
    }

    pub fn count(&self, counter: usize, by: u64) {
        if let Some(memory) = self.memory() {
            memory.workers[self.place()].count(counter, by);
        }
    }

    /// Notes how long a fetch took: the bucket that it falls into, and the time.
    pub fn took(&self, bucket: usize, nanoseconds: u64) {
        if let Some(memory) = self.memory() {
            memory.workers[self.place()].took(bucket, nanoseconds);
        }
    }

    /// Counts a failed fetch by its reason.
    pub fn failed(&self, reason: usize) {
        if let Some(memory) = self.memory() {
            memory.workers[self.place()].failed(reason);
        }
    }

    /// Whether this resolver's gauges are older than a second at `now`, in milliseconds since 1970; who is told so sets them.
    pub fn are_gauges_due(&self, now: u64) -> bool {
        let before = self.gauges_at.load(Ordering::Relaxed);
        let is_due = now.abs_diff(before) >= 1000;
        if is_due {
            self.gauges_at.store(now, Ordering::Relaxed);
        }
        is_due
    }

    pub fn set_gauges(&self, gauges: Gauges) {
        if let Some(memory) = self.memory() {
            memory.workers[self.place()].set_gauges(gauges);
        }
    }

    /// Sets one of the gauges: how many documents are being fetched.
    pub fn set_under_way(&self, count: u64) {
        if let Some(memory) = self.memory() {
            memory.workers[self.place()].set_under_way(count);
        }
    }

    /// The sums over all workers, those that have ended included.
    pub fn totals(&self) -> Totals {
        self.memory().map_or_else(Totals::default, |memory| worker::totals(&memory.workers))
    }

    /// How many documents found no place in the table.
    pub fn dropped(&self) -> u64 {
        self.memory().map_or(0, |memory| memory.dropped.load(Ordering::Relaxed))
    }

    /// The row of a document, which this resolver has in its cache. A new one is made where there is none, as long as there are
    /// fewer than `most`; `describe` has its name to show and its vault's.
    pub fn reference(&self, name: u64, most: usize, describe: impl Fn() -> (String, String)) -> Option<&ReferenceRow> {
        let memory = self.memory()?;
        let place = self.place();
        let row = table::find(&memory.references, name, |row| row.hold(place)).or_else(|| {
            make_room(memory, most).then(|| table::find_or_claim(&memory.references, name, |row| row.hold(place)))?.map(
                |(row, is_new)| {
                    if is_new {
                        memory.used.fetch_add(1, Ordering::Relaxed);
                    }
                    row
                },
            )
        });
        match row {
            None => drop(memory.dropped.fetch_add(1, Ordering::Relaxed)),
            Some(row) if !row.is_described() => row.describe(&describe()),
            Some(_) => {}
        }
        row
    }

    /// The names of the documents that this resolver was last known to have.
    pub fn held(&self) -> Vec<u64> {
        let Some(memory) = self.memory() else { return Vec::new() };
        // Workers that have ended since may have left rows.
        memory.is_full.store(false, Ordering::Relaxed);
        let place = self.place();
        memory.references.iter().filter(|row| row.is_held_by(place)).filter_map(table::name).collect()
    }

    /// Notes that this resolver does not have a document any more.
    pub fn release(&self, name: u64) {
        if let Some(row) = self.memory().and_then(|memory| table::find(&memory.references, name, |_| ())) {
            row.release(self.place());
        }
        if let Some(memory) = self.memory() {
            memory.is_full.store(false, Ordering::Relaxed);
        }
    }

    /// All documents that a living worker has, and those that could not be fetched since `failed_since`.
    pub fn references(&self, failed_since: u64) -> Vec<&ReferenceRow> {
        let Some(memory) = self.memory() else { return Vec::new() };
        let live = worker::live(&memory.workers);
        let rows = memory.references.iter().filter(|row| table::name(*row).is_some());
        rows.filter(|row| row.is_held(&live) || row.fails_since(failed_since)).collect()
    }

    /// The row of a vault; `describe` has its name and its backend's.
    pub fn vault(&self, name: u64, describe: impl Fn() -> (String, String)) -> Option<&VaultRow> {
        let memory = self.memory()?;
        let (row, _) = table::find_or_claim(&memory.vaults, name, |_| ())?;
        if !row.is_described() {
            row.describe(&describe());
        }
        Some(row)
    }

    /// The row of a vault that was asked before.
    pub fn known_vault(&self, name: u64) -> Option<&VaultRow> {
        table::find(&self.memory()?.vaults, name, |_| ())
    }

    pub fn vaults(&self) -> impl Iterator<Item = &VaultRow> {
        let rows = self.memory().map(|memory| memory.vaults.iter()).into_iter().flatten();
        rows.filter(|row| table::name(*row).is_some() && row.is_described())
    }

    /// Notes the state of a vault's breaker in this worker.
    pub fn set_breaker(&self, row: &VaultRow, breaker: VaultBreaker) {
        row.set_breaker(self.place(), breaker);
    }

    /// The worst state of a vault's breaker in any living worker.
    pub fn breaker(&self, row: &VaultRow, now: u64) -> VaultBreaker {
        let Some(memory) = self.memory() else { return VaultBreaker::Closed };
        row.breaker(&worker::live(&memory.workers), now)
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        let place = self.place();
        if let Some(memory) = self.memory() {
            worker::leave(&memory.workers, place);
        }
    }
}

/// Whether one more document may have a row. Where all are in use it looks for those that no living worker holds, which asks the
/// system about each worker: a search that found none is not repeated for each fetch.
fn make_room(memory: &Memory, most: usize) -> bool {
    if memory.used.load(Ordering::Relaxed) < most {
        return true;
    }
    if memory.is_full.swap(true, Ordering::Relaxed) {
        return false;
    }
    let freed = reference::free_unheld(&memory.references, &memory.used, most, &worker::live(&memory.workers));
    memory.is_full.store(!freed, Ordering::Relaxed);
    freed
}

#[cfg(test)]
mod tests;
