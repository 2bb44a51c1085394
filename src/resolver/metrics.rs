//! Counters and gauges for `stats()` and for Prometheus. They contain no secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use crate::audit::AuditLevels;
use crate::error::Kind;
use crate::resolver::breaker::BreakerState;
use crate::spans;

/// Upper bounds of the fetch latencies' buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// How long fetches took. The `Histogram` of prometheus_client can't be read, which `stats()` has to do.
#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Latency {
    fn observe(&self, took: Duration) {
        let bucket = BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BUCKETS.len());
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The count of each bucket with its upper bound in seconds; the last one has none.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
        bounds.zip(&self.0.counts).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect()
    }

    /// The sum of all, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.0.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let buckets = self.buckets();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<[(&str, &str); 0]>(self.seconds(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    backend: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VaultLabel {
    vault: String,
}

/// The figures that are read when metrics are asked for.
#[derive(Debug, Default)]
pub struct Levels {
    pub entries: usize,
    pub bytes: usize,
    pub under_way: usize,
    /// Until the next value is renewed or dropped.
    pub next_event: Option<Duration>,
    /// Each vault that was asked, and its breaker.
    pub breakers: Vec<(String, BreakerState)>,
    /// Look-ups that L1 answered.
    pub front_hits: u64,
    /// Documents that were evicted from a full cache.
    pub evictions: u64,
    pub audit: AuditLevels,
}

/// The counters of one resolver.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
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
    pub spans: spans::Counters,
    pub latency: Latency,
    failures: Family<Failure, Counter>,
    front_hits: Counter,
    evictions: Counter,
    audit_lines: Counter,
    audit_dropped: Counter,
    entries: Gauge,
    bytes: Gauge,
    under_way: Gauge,
    breakers: Family<VaultLabel, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("kong_vault"),
            hits: Counter::default(),
            stale_hits: Counter::default(),
            negative_hits: Counter::default(),
            misses: Counter::default(),
            adopted: Counter::default(),
            refused: Counter::default(),
            refreshes: Counter::default(),
            probes: Counter::default(),
            resurrected: Counter::default(),
            fetches: Counter::default(),
            batches: Counter::default(),
            spans: spans::Counters::default(),
            latency: Latency::default(),
            failures: Family::default(),
            front_hits: Counter::default(),
            evictions: Counter::default(),
            audit_lines: Counter::default(),
            audit_dropped: Counter::default(),
            entries: Gauge::default(),
            bytes: Gauge::default(),
            under_way: Gauge::default(),
            breakers: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("front_hits", "Look-ups that the Lua table answered", self.front_hits.clone());
        registry.register("cache_hits", "Look-ups that the worker's cache answered", self.hits.clone());
        registry.register("stale_hits", "Look-ups served with a value past its ttl", self.stale_hits.clone());
        registry.register("negative_hits", "Look-ups served with a remembered failure", self.negative_hits.clone());
        registry.register("misses", "Look-ups that needed a fetch", self.misses.clone());
        registry.register("adopted", "Outcomes received from other workers", self.adopted.clone());
        registry.register("refused", "Fetches refused as the vault's breaker is open", self.refused.clone());
        registry.register("refreshes", "Values renewed ahead of time", self.refreshes.clone());
        registry.register("probes", "Fetches to learn whether a vault is back", self.probes.clone());
        registry.register("resurrected", "Failed fetches that left an old value serving", self.resurrected.clone());
        registry.register("fetches", "Fetches from vaults", self.fetches.clone());
        registry.register("batches", "Requests that fetched many secrets at once", self.batches.clone());
        registry.register("spans_sent", "Spans that the collector took", self.spans.sent.clone());
        registry.register("spans_dropped", "Spans that no collector took", self.spans.dropped.clone());
        registry.register("failures", "Failed fetches by reason", self.failures.clone());
        registry.register("fetch_duration_seconds", "How long fetches took", self.latency.clone());
        registry.register("evictions", "Documents that left a full cache for others", self.evictions.clone());
        registry.register("audit_lines", "Lines of the audit log that were written", self.audit_lines.clone());
        registry.register("audit_dropped", "Lines of the audit log that were dropped", self.audit_dropped.clone());
        registry.register("entries", "Documents in the worker's cache", self.entries.clone());
        registry.register("bytes", "Bytes of the worker's cache", self.bytes.clone());
        registry.register("fetches_under_way", "Documents being fetched", self.under_way.clone());
        registry.register("breaker", "0 closed, 1 half open, 2 open", self.breakers.clone());
    }

    /// A fetch that ended after `took`.
    pub fn fetched(&self, took: Duration) {
        self.latency.observe(took);
    }

    /// A fetch that failed.
    pub fn failed(&self, backend: &'static str, kind: Kind) {
        self.failures.get_or_create(&Failure { backend, reason: kind.name() }).inc();
    }

    /// Failed fetches by backend and reason; what never happened is left out.
    pub fn failures(&self, backends: &[&'static str]) -> Vec<(&'static str, &'static str, u64)> {
        let all = backends.iter().flat_map(|backend| Kind::ALL.map(|kind| (*backend, kind.name())));
        all.filter_map(|(backend, reason)| {
            let count = self.failures.get(&Failure { backend, reason })?.get();
            Some((backend, reason, count))
        })
        .collect()
    }

    /// All of it in Prometheus's text format.
    pub fn render(&self, levels: &Levels) -> String {
        self.front_hits.inner().store(levels.front_hits, Ordering::Relaxed);
        self.evictions.inner().store(levels.evictions, Ordering::Relaxed);
        self.audit_lines.inner().store(levels.audit.written, Ordering::Relaxed);
        self.audit_dropped.inner().store(levels.audit.dropped, Ordering::Relaxed);
        self.entries.set(levels.entries as i64);
        self.bytes.set(levels.bytes as i64);
        self.under_way.set(levels.under_way as i64);
        // Those of vaults that are gone must not stay.
        self.breakers.clear();
        for (vault, state) in &levels.breakers {
            // References with options of their own make several of one vault: the worst is shown.
            let breaker = self.breakers.get_or_create(&VaultLabel { vault: vault.clone() });
            breaker.set(breaker.get().max(state.severity()));
        }
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        let metrics = Metrics::default();
        metrics.fetched(Duration::from_millis(3));
        metrics.fetched(Duration::from_secs(60));
        metrics.failed("hcv", Kind::Denied);
        let levels =
            Levels { breakers: vec![("mine".to_owned(), BreakerState::Open)], front_hits: 7, ..Levels::default() };
        let text = metrics.render(&levels);
        for line in [
            "kong_vault_front_hits_total 7",
            "kong_vault_fetch_duration_seconds_bucket{le=\"0.0025\"} 0",
            "kong_vault_fetch_duration_seconds_bucket{le=\"0.005\"} 1",
            "kong_vault_fetch_duration_seconds_bucket{le=\"+Inf\"} 2",
            "kong_vault_fetch_duration_seconds_count 2",
            "kong_vault_failures_total{backend=\"hcv\",reason=\"denied\"} 1",
            "kong_vault_breaker{vault=\"mine\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(metrics.failures(&["hcv", "aws"]), [("hcv", "denied", 1)]);
        let other = [("other".to_owned(), BreakerState::Open), ("other".to_owned(), BreakerState::Closed)];
        let text = metrics.render(&Levels { breakers: other.to_vec(), ..Levels::default() });
        assert!(!text.contains("mine"), "a vault that is gone is still in\n{text}");
        assert!(text.contains("kong_vault_breaker{vault=\"other\"} 2"), "{text}");
    }
}
