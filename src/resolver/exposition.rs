//! A node's figures in Prometheus's text format. Of references, and by which name, as `vault_metrics_references` says.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use ring::digest::{SHA256, digest};

use crate::config::MetricsReferences;
use crate::error::Kind;
use crate::resolver::metrics::{COUNTED, KINDS, bounds, failures_of_node};
use crate::resolver::node_status::{NodeStatus, ReferenceState, ReferenceStatus, VaultStatus};

/// How many characters of a name's digest stand for it.
const SHOWN: usize = 16;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Numbers = Family<Labels, Gauge>;
type Times = Family<Labels, Gauge<f64, AtomicU64>>;

/// The text's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// The older one, which Kong's plugin has. It can be appended to.
    Classic,
}

/// How long fetches took, as a histogram of its own: the library's can't be set.
#[derive(Debug)]
struct Latency {
    seconds: f64,
    buckets: Vec<(f64, u64)>,
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<[(&str, &str); 0]>(self.seconds, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl NodeStatus {
    /// All of it.
    pub fn render(&self, references: MetricsReferences, format: Format) -> String {
        let mut registry = Registry::with_prefix("kong_vault");
        self.counted(&mut registry);
        self.of_vaults(&mut registry);
        match references {
            MetricsReferences::Off => {}
            MetricsReferences::Hashed => self.of_references(&mut registry, hashed),
            MetricsReferences::Named => self.of_references(&mut registry, str::to_owned),
        }
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) if format == Format::OpenMetrics => text,
            Ok(()) => classic(&text),
            // Writing to a string cannot fail.
            Err(_) => String::new(),
        }
    }

    fn counted(&self, registry: &mut Registry) {
        let totals = &self.totals;
        for ((name, help), count) in COUNTED.iter().zip(totals.counters) {
            registry.register(*name, *help, counter(count));
        }
        let failures = Counters::default();
        for (backend, reason, count) in failures_of_node(totals) {
            let labels = vec![("backend", backend.to_owned()), ("reason", reason.to_owned())];
            failures.get_or_create(&labels).inc_by(count);
        }
        registry.register("failures", "Failed fetches by reason", failures);
        let latency = Latency {
            seconds: std::time::Duration::from_nanos(totals.nanoseconds).as_secs_f64(),
            buckets: bounds().zip(totals.buckets).collect(),
        };
        registry.register("fetch_duration_seconds", "How long fetches took", latency);
        for (name, help, number) in [
            ("entries", "Documents in the caches of all workers", totals.gauges.entries),
            ("bytes", "Bytes of the caches of all workers", totals.gauges.bytes),
            ("fetches_under_way", "Documents being fetched", totals.gauges.under_way),
            ("workers", "Workers that live", totals.workers as u64),
        ] {
            registry.register(name, help, gauge(number));
        }
        registry.register(
            "references_dropped",
            "Documents without a place in the table of names",
            counter(self.dropped),
        );
    }

    fn of_vaults(&self, registry: &mut Registry) {
        let (breakers, successes, failures) = (Numbers::default(), Counters::default(), Counters::default());
        let (success, failure, token, ends) = (Times::default(), Times::default(), Times::default(), Times::default());
        let states = Numbers::default();
        for vault in &self.vaults {
            let Some(breaker) = vault.breaker else { continue };
            let labels = labels_of(vault);
            breakers.get_or_create(&labels).set(breaker.severity());
            successes.get_or_create(&labels).inc_by(vault.successes);
            count(&failures, &labels, &vault.failures);
            set(&success, &labels, vault.last_success);
            set(&failure, &labels, vault.last_failure);
            set(&token, &labels, vault.token_end);
            let own = || self.references.iter().filter(|reference| reference.vault == vault.name);
            for state in ReferenceState::ALL {
                let number = own().filter(|reference| reference.state == state).count();
                let labels = [labels.clone(), vec![("state", state.name().to_owned())]].concat();
                states.get_or_create(&labels).set(i64::try_from(number).unwrap_or(i64::MAX));
            }
            let mut expiring: Vec<_> = own().filter_map(|reference| reference.expires).collect();
            expiring.sort_unstable();
            expiring.dedup_by_key(|(_, what)| *what);
            for (end, what) in expiring.iter().rev() {
                set(&ends, &[labels.clone(), vec![("what", what.name().to_owned())]].concat(), Some(*end));
            }
        }
        registry.register("breaker", "0 closed, 1 half open, 2 open: the worst of all workers", breakers);
        registry.register("vault_successes", "Documents that a vault brought", successes);
        registry.register("vault_failures", "Failed fetches from a vault by reason", failures);
        registry.register("vault_last_success_timestamp_seconds", "When a vault last brought a document", success);
        registry.register("vault_last_failure_timestamp_seconds", "When a fetch from a vault last failed", failure);
        registry.register("vault_token_expires_timestamp_seconds", "When the token of a vault's login ends", token);
        registry.register("vault_expires_timestamp_seconds", "When the first secret of a vault ends", ends);
        registry.register("references", "Documents of a vault by state", states);
    }

    fn of_references(&self, registry: &mut Registry, name: fn(&str) -> String) {
        let (states, successes, failures) = (Numbers::default(), Counters::default(), Counters::default());
        let [success, failure, fetched, renewal, lease, ends] = std::array::from_fn(|_| Times::default());
        for reference in &self.references {
            let labels = vec![("reference", name(&reference.reference)), ("vault", reference.vault.clone())];
            states.get_or_create(&labels).set(state_number(reference));
            successes.get_or_create(&labels).inc_by(reference.successes);
            count(&failures, &labels, &reference.failures);
            for (family, at) in [
                (&success, reference.last_success),
                (&failure, reference.last_failure),
                (&fetched, reference.fetched_at),
                (&renewal, reference.next_renewal),
                (&lease, reference.lease_end),
            ] {
                set(family, &labels, at);
            }
            if let Some((end, what)) = reference.expires {
                set(&ends, &[labels, vec![("what", what.name().to_owned())]].concat(), Some(end));
            }
        }
        registry.register("reference_state", "0 fresh, 1 stale, 2 failing, 3 its vault's breaker is open", states);
        registry.register("reference_successes", "How often a document was fetched", successes);
        registry.register("reference_failures", "Failed fetches of a document by reason", failures);
        for (name, help, family) in [
            ("reference_last_success_timestamp_seconds", "When a document was last fetched", success),
            ("reference_last_failure_timestamp_seconds", "When a fetch of a document last failed", failure),
            ("reference_fetched_timestamp_seconds", "When the value in use was fetched", fetched),
            ("reference_next_renewal_timestamp_seconds", "When a document is renewed next", renewal),
            ("reference_lease_end_timestamp_seconds", "When the vault's lease of a value ends", lease),
            ("reference_expires_timestamp_seconds", "When a certificate, token or secret ends", ends),
        ] {
            registry.register(name, help, family);
        }
    }
}

fn labels_of(vault: &VaultStatus) -> Labels {
    vec![("vault", vault.name.clone())]
}

fn state_number(reference: &ReferenceStatus) -> i64 {
    ReferenceState::ALL.iter().position(|state| *state == reference.state).map_or(0, |at| at as i64)
}

/// What stands for a reference's name: `printf %s NAME | sha256sum` begins with it.
fn hashed(reference: &str) -> String {
    let digest = digest(&SHA256, reference.as_bytes());
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).take(SHOWN).collect()
}

fn counter(count: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(count);
    counter
}

fn gauge(number: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
    gauge
}

fn count(family: &Counters, labels: &Labels, failures: &[u64; KINDS]) {
    for (count, kind) in failures.iter().zip(Kind::ALL).filter(|(count, _)| **count > 0) {
        let labels = [labels.clone(), vec![("reason", kind.name().to_owned())]].concat();
        family.get_or_create(&labels).inc_by(*count);
    }
}

/// Sets a time, in seconds, if it is known.
fn set(family: &Times, labels: &Labels, millis: Option<u64>) {
    if let Some(millis) = millis {
        family.get_or_create(labels).set(millis as f64 / 1000.0);
    }
}

/// The same in the older format: what counts has its whole name in the lines about it, and there is no end.
fn classic(text: &str) -> String {
    let mut lines = text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")).peekable();
    let mut classic = String::with_capacity(text.len());
    while let Some(line) = lines.next() {
        let about = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
        match (about, lines.peek()) {
            (Some((name, help)), Some(next)) if *next == format!("# TYPE {name} counter") => {
                classic.push_str(&format!("# HELP {name}_total {help}\n# TYPE {name}_total counter\n"));
                lines.next();
            }
            _ => {
                classic.push_str(line);
                classic.push('\n');
            }
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::figures::Totals;
    use crate::resolver::breaker::BreakerState;
    use crate::resolver::ends::What;

    fn status() -> NodeStatus {
        let mut totals = Totals { workers: 2, nanoseconds: 63_003_000_000, ..Totals::default() };
        (totals.counters[0], totals.buckets[2], totals.buckets[12]) = (7, 1, 1);
        let mut failures = [0; KINDS];
        failures[usize::from(Kind::Denied.code())] = 3;
        let vault = VaultStatus {
            name: "mine".to_owned(),
            backend: Some("hcv".to_owned()),
            kind: "declarative",
            breaker: Some(BreakerState::Open),
            last_success: Some(1_500),
            last_failure: None,
            reason: None,
            is_flawed: false,
            error: None,
            successes: 4,
            failures,
            token_end: None,
        };
        let reference = ReferenceStatus {
            reference: "{vault://mine/a\"b}".to_owned(),
            vault: "mine".to_owned(),
            state: ReferenceState::Stale,
            last_success: Some(2_000),
            last_failure: None,
            fetched_at: Some(2_000),
            next_renewal: None,
            lease_end: None,
            expires: Some((9_000_000, What::Certificate)),
            successes: 1,
            failures,
        };
        NodeStatus { now: 5_000, totals, vaults: vec![vault], references: vec![reference], dropped: 1 }
    }

    fn assert_has(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_nodes_figures_are_rendered() {
        let text = status().render(MetricsReferences::Named, Format::OpenMetrics);
        assert_has(
            &text,
            &[
                "kong_vault_front_hits_total 7",
                "kong_vault_fetch_duration_seconds_bucket{le=\"0.0025\"} 0",
                "kong_vault_fetch_duration_seconds_bucket{le=\"0.005\"} 1",
                "kong_vault_fetch_duration_seconds_bucket{le=\"+Inf\"} 2",
                "kong_vault_fetch_duration_seconds_count 2",
                "kong_vault_workers 2",
                "kong_vault_breaker{vault=\"mine\"} 2",
                "kong_vault_vault_failures_total{vault=\"mine\",reason=\"denied\"} 3",
                "kong_vault_vault_last_success_timestamp_seconds{vault=\"mine\"} 1.5",
                "kong_vault_references{vault=\"mine\",state=\"stale\"} 1",
                "kong_vault_reference_state{reference=\"{vault://mine/a\\\"b}\",vault=\"mine\"} 1",
                "kong_vault_reference_expires_timestamp_seconds{reference=\"{vault://mine/a\\\"b}\",vault=\"mine\",what=\"certificate\"} 9000.0",
                "# TYPE kong_vault_front_hits counter",
                "# EOF",
            ],
        );
    }

    #[test]
    fn references_are_named_as_the_operator_wants() {
        let none = status().render(MetricsReferences::Off, Format::OpenMetrics);
        assert!(!none.contains("kong_vault_reference_"), "{none}");
        let hashed = status().render(MetricsReferences::Hashed, Format::OpenMetrics);
        assert!(!hashed.contains("mine/a"), "{hashed}");
        // printf %s '{vault://mine/a"b}' | sha256sum
        assert_has(&hashed, &["kong_vault_reference_state{reference=\"2a9019e0ec0889ac\",vault=\"mine\"} 1"]);
    }

    #[test]
    fn the_older_format_has_whole_names() {
        let text = status().render(MetricsReferences::Off, Format::Classic);
        assert_has(
            &text,
            &[
                "# HELP kong_vault_front_hits_total Look-ups that the Lua table answered.",
                "# TYPE kong_vault_front_hits_total counter",
                "kong_vault_front_hits_total 7",
                "# TYPE kong_vault_fetch_duration_seconds histogram",
            ],
        );
        assert!(!text.contains("# EOF") && text.ends_with('\n'), "{text}");
    }
}
