//! Counters for `stats()`, which has those of one Lua VM, and for Prometheus, which gets those of the node. They contain no
//! secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::audit::AuditLevels;
use crate::backend::registry::ALL;
use crate::error::Kind;
use crate::node::figures::{BUCKETS as BUCKET_COUNT, Figures, Totals};
use crate::resolver::breaker::BreakerState;
use crate::spans;

/// Upper bounds of the fetch latencies' buckets, in seconds.
const BOUNDS: [f64; BUCKET_COUNT - 1] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// How many kinds of failures there are.
pub const KINDS: usize = Kind::ALL.len();

/// A counter's place among those of the node, its name, and what it counts.
pub const COUNTED: [(&str, &str); 17] = [
    ("front_hits", "Look-ups that the Lua table answered"),
    ("cache_hits", "Look-ups that a worker's cache answered"),
    ("stale_hits", "Look-ups served with a value past its ttl"),
    ("negative_hits", "Look-ups served with a remembered failure"),
    ("misses", "Look-ups that needed a fetch"),
    ("adopted", "Outcomes received from other workers"),
    ("refused", "Fetches refused as the vault's breaker is open"),
    ("refreshes", "Values renewed ahead of time"),
    ("probes", "Fetches to learn whether a vault is back"),
    ("resurrected", "Failed fetches that left an old value serving"),
    ("fetches", "Fetches from vaults"),
    ("batches", "Requests that fetched many secrets at once"),
    ("evictions", "Documents that left a full cache for others"),
    ("spans_sent", "Spans that the collector took"),
    ("spans_dropped", "Spans that no collector took"),
    ("audit_lines", "Lines of the audit log that were written"),
    ("audit_dropped", "Lines of the audit log that were dropped"),
];

const FRONT_HITS: usize = 0;
const EVICTIONS: usize = 12;

/// A counter of this VM, which also counts for the node.
#[derive(Clone)]
pub struct Counter(Arc<Counting>);

struct Counting {
    own: AtomicU64,
    figures: Arc<Figures>,
    index: usize,
}

impl Counter {
    fn new(figures: &Arc<Figures>, index: usize) -> Self {
        Self(Arc::new(Counting { own: AtomicU64::new(0), figures: Arc::clone(figures), index }))
    }

    pub fn inc(&self) {
        self.inc_by(1);
    }

    pub fn inc_by(&self, by: u64) {
        self.0.own.fetch_add(by, Ordering::Relaxed);
        self.0.figures.count(self.0.index, by);
    }

    /// What this VM counted.
    pub fn get(&self) -> u64 {
        self.0.own.load(Ordering::Relaxed)
    }

    /// Counts up to a number that is kept elsewhere.
    fn reach(&self, whole: u64) {
        let before = self.0.own.fetch_max(whole, Ordering::Relaxed);
        self.0.figures.count(self.0.index, whole.saturating_sub(before));
    }
}

/// How long fetches took.
pub struct Latency {
    counts: [AtomicU64; BUCKET_COUNT],
    nanoseconds: AtomicU64,
}

impl Latency {
    /// The count of each bucket with its upper bound in seconds; the last one has none.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        bounds().zip(&self.counts).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect()
    }

    /// The sum of all, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}

/// The upper bounds of all buckets, in seconds.
pub fn bounds() -> impl Iterator<Item = f64> {
    BOUNDS.into_iter().chain([f64::INFINITY])
}

/// The figures that are read when `stats()` is called.
#[derive(Debug, Default)]
pub struct Levels {
    pub entries: usize,
    pub bytes: usize,
    pub under_way: usize,
    /// Until the next value is renewed or dropped.
    pub next_event: Option<Duration>,
    /// Each vault that was asked, and its breaker.
    pub breakers: Vec<(String, BreakerState)>,
    /// Documents that were evicted from a full cache.
    pub evictions: u64,
    pub audit: AuditLevels,
}

/// The counters of one resolver.
pub struct Metrics {
    figures: Arc<Figures>,
    /// Look-ups that the Lua table answered, which counts them itself.
    front_hits: Counter,
    /// Look-ups that the cache answered with a fresh value. Those that L1 answers are not counted here.
    pub hits: Counter,
    /// Look-ups that the cache answered with a value whose time was over.
    pub stale_hits: Counter,
    /// Look-ups that the cache answered with a remembered failure.
    pub negative_hits: Counter,
    /// Look-ups that had to wait for, or to start, a fetch.
    pub misses: Counter,
    /// Outcomes received from other workers.
    pub adopted: Counter,
    /// Fetches that a breaker refused.
    pub refused: Counter,
    /// Renewals ahead of time.
    pub refreshes: Counter,
    /// Fetches to learn whether a vault is back.
    pub probes: Counter,
    /// Fetches that failed but left an old value to serve.
    pub resurrected: Counter,
    /// Fetches begun, from vaults. Each document counts, also where one request brings many.
    pub fetches: Counter,
    /// Requests that asked a vault for many documents.
    pub batches: Counter,
    evictions: Counter,
    /// What the export of spans counts itself.
    pub spans: spans::Counters,
    /// Spans and lines of the audit log, as they are counted for the node.
    noted: [Counter; 4],
    pub latency: Latency,
    failures: BTreeMap<&'static str, [AtomicU64; KINDS]>,
}

impl Metrics {
    pub fn new(figures: Arc<Figures>) -> Self {
        let counter = |index| Counter::new(&figures, index);
        Self {
            front_hits: counter(FRONT_HITS),
            hits: counter(1),
            stale_hits: counter(2),
            negative_hits: counter(3),
            misses: counter(4),
            adopted: counter(5),
            refused: counter(6),
            refreshes: counter(7),
            probes: counter(8),
            resurrected: counter(9),
            fetches: counter(10),
            batches: counter(11),
            evictions: counter(EVICTIONS),
            spans: spans::Counters::default(),
            noted: std::array::from_fn(|at| counter(EVICTIONS + 1 + at)),
            latency: Latency { counts: Default::default(), nanoseconds: AtomicU64::new(0) },
            failures: ALL.iter().map(|backend| (backend.name, Default::default())).collect(),
            figures,
        }
    }

    /// A fetch that ended after `took`.
    pub fn fetched(&self, took: Duration) {
        let bucket = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.latency.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.latency.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.figures.took(bucket, nanoseconds);
    }

    /// A fetch that failed.
    pub fn failed(&self, backend: &'static str, kind: Kind) {
        let kind = usize::from(kind.code());
        if let Some(counts) = self.failures.get(backend) {
            counts[kind].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(number) = ALL.iter().position(|known| known.name == backend) {
            self.figures.failed(number * KINDS + kind);
        }
    }

    /// Notes how many look-ups the Lua table answered since the VM began.
    pub fn note_front_hits(&self, hits: u64) {
        self.front_hits.reach(hits);
    }

    /// Notes how many documents were evicted since the VM began.
    pub fn note_evictions(&self, evictions: u64) {
        self.evictions.reach(evictions);
    }

    /// Notes how many spans and lines of the audit log there were since the VM began.
    pub fn note_exports(&self, audit: &AuditLevels) {
        let counts = [self.spans.sent.get(), self.spans.dropped.get(), audit.written, audit.dropped];
        for (noted, count) in self.noted.iter().zip(counts) {
            noted.reach(count);
        }
    }

    /// Failed fetches by backend and reason; what never happened is left out.
    pub fn failures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let counts = self.failures.iter().flat_map(|(backend, counts)| {
            counts.iter().zip(Kind::ALL).map(|(count, kind)| (*backend, kind.name(), count.load(Ordering::Relaxed)))
        });
        counts.filter(|(_, _, count)| *count > 0).collect()
    }
}

/// The node's failed fetches by backend and reason; what never happened is left out.
pub fn failures_of_node(totals: &Totals) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let all = ALL.iter().flat_map(|backend| Kind::ALL.map(|kind| (backend.name, kind.name())));
    all.zip(&totals.reasons)
        .map(|((backend, reason), count)| (backend, reason, *count))
        .filter(|(_, _, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::figures::NodeFigures;

    #[test]
    fn what_a_vm_counts_counts_for_the_node() {
        let node = NodeFigures::of_this_process();
        let metrics = [(); 2].map(|()| Metrics::new(Arc::new(Figures::new(node.clone()))));
        for metrics in &metrics {
            metrics.fetched(Duration::from_millis(3));
            metrics.fetched(Duration::from_secs(60));
            metrics.failed("hcv", Kind::Denied);
            metrics.misses.inc();
            for hits in [7, 7, 9] {
                metrics.note_front_hits(hits);
            }
        }
        assert_eq!(metrics[0].failures(), [("hcv", "denied", 1)]);
        assert_eq!(metrics[0].latency.buckets().iter().map(|(_, count)| count).sum::<u64>(), 2);
        let totals = metrics[1].figures.totals();
        assert_eq!((totals.counters[FRONT_HITS], totals.counters[4]), (18, 2));
        assert_eq!((totals.buckets[2], totals.buckets[12]), (2, 2));
        assert_eq!(failures_of_node(&totals).collect::<Vec<_>>(), [("hcv", "denied", 2)]);
    }

    #[test]
    fn all_reasons_of_all_backends_have_a_place() {
        assert!(ALL.len() * KINDS <= crate::node::figures::REASONS);
        assert_eq!(KINDS, crate::node::figures::ReferenceRow::default().failures().len());
    }
}
