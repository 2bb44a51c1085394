//! What the workers of a node tell each other of documents and vaults, for those who look at the node from outside: names,
//! times, counts. See `node::figures`.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::node::Node;
use crate::node::figures::{Gauges, ReferenceRow, ReferenceTimes, VaultBreaker, VaultRow};
use crate::resolver::breaker::BreakerState;
use crate::resolver::document_cache::{Terms, ValueChange};
use crate::resolver::ends;
use crate::resolver::fetch_report::FetchReport;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::state::Resolver;

/// The wall's time, in milliseconds since 1970, for instants.
pub struct WallClock {
    now: Instant,
    wall: u64,
}

impl WallClock {
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now: Instant::now(), wall: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    pub fn millis(&self) -> u64 {
        self.wall
    }

    fn at(&self, at: Instant) -> u64 {
        let millis = |apart: std::time::Duration| u64::try_from(apart.as_millis()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.now) {
            Some(ahead) => self.wall.saturating_add(millis(ahead)),
            None => self.wall.saturating_sub(millis(self.now - at)),
        }
    }
}

/// The number by which a row is found.
fn number(name: &[u8; 16]) -> u64 {
    name.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The number of the row of a vault.
pub fn vault_number(vault: &str) -> Option<u64> {
    Some(number(&Node::of_this_process()?.name([&b"figures"[..], vault.as_bytes()])))
}

impl Resolver {
    /// Notes the outcome of a fetch.
    pub(super) fn account_for(&self, report: &FetchReport<'_>) {
        let clock = WallClock::now();
        let (key, at) = (report.key, clock.millis());
        if let Some(row) = self.reference_row(key) {
            match report.outcome {
                Ok(document) => {
                    row.succeeded(at);
                    // What is in the same bytes ends at the same time; the vault may have put its own end off.
                    let is_known = report.change == ValueChange::Same && row.times().fetched_at.is_some();
                    if !is_known || document.ends().is_some() {
                        row.note_end(ends::of(document).map(|(end, what)| (end.saturating_mul(1000), what as u64)));
                    }
                }
                Err(error) => row.failed(at, usize::from(error.kind().code())),
            }
            if let Some(terms) = self.documents().terms(key) {
                row.note_times(times(&terms, &clock));
            }
        }
        if let Some(row) = self.vault_row(key) {
            if let Some(vault) = self.instances().known(&key.instance) {
                row.note_token_end(vault.backend().login_ends().map(|end| clock.at(end)));
            }
            match report.outcome {
                Ok(_) => row.succeeded(at),
                Err(error) => row.failed(at, usize::from(error.kind().code()), error.text()),
            }
        }
        // They are sums over the whole cache, so not for each of many fetches.
        if self.figures().are_gauges_due(at) {
            self.account_for_levels();
        }
    }

    /// Notes the state of a vault's breaker in this worker: the worst, where references with options of their own make several
    /// of one vault.
    pub(super) fn account_for_breaker(&self, key: &DocumentKey) {
        let Some(row) = self.vault_row(key) else { return };
        let clock = WallClock::now();
        let breakers = self.instances().breakers(clock.now);
        let shown = breakers.iter().rev().find(|(vault, _)| shown(vault) == key.shown_vault());
        let probe_at = self.instances().probe_at(&key.instance);
        self.figures().set_breaker(
            row,
            match (shown, probe_at) {
                (None | Some((_, BreakerState::Closed)), _) => VaultBreaker::Closed,
                (Some((_, BreakerState::HalfOpen)), _) => VaultBreaker::HalfOpen,
                (Some((_, BreakerState::Open)), until) => {
                    VaultBreaker::Open(until.map_or(u64::MAX, |until| clock.at(until)))
                }
            },
        );
    }

    /// Notes which documents are in the cache, and their times: some came from other workers, some have left.
    pub(super) fn account_for_cache(&self) {
        let Some(node) = Node::of_this_process() else { return };
        let clock = WallClock::now();
        // Before the cache is looked at: what comes into it meanwhile stays.
        let held = self.figures().held();
        let known: BTreeMap<_, _> =
            self.documents().all_terms().into_iter().map(|it| (number(it.0.name(node)).max(2), it)).collect();
        for name in held.into_iter().filter(|name| !known.contains_key(name)) {
            self.figures().release(name);
        }
        for (key, terms) in known.values() {
            let Some(row) = self.reference_row(key) else { continue };
            let value = terms.value.as_ref();
            if row.times().fetched_at.is_none()
                && row.end().is_none()
                && let Some(value) = value
            {
                row.note_end(ends::of(&value.document).map(|(end, what)| (end.saturating_mul(1000), what as u64)));
            }
            row.note_times(times(terms, &clock));
        }
        // Tokens are renewed without a fetch.
        for (vault, end) in self.instances().login_ends() {
            if let Some(row) = vault_number(shown(&vault)).and_then(|number| self.figures().known_vault(number)) {
                row.note_token_end(end.map(|end| clock.at(end)));
            }
        }
        let open: Vec<_> = self.instances().breakers(clock.now);
        for row in self.figures().vaults() {
            let name = row.description().map(|(name, _)| name).unwrap_or_default();
            let is_bad =
                |(vault, state): &(String, BreakerState)| shown(vault) == name && *state != BreakerState::Closed;
            if !open.iter().any(is_bad) {
                self.figures().set_breaker(row, VaultBreaker::Closed);
            }
        }
        self.account_for_levels();
    }

    /// Notes how many documents are being fetched.
    pub(super) fn account_for_calls(&self) {
        self.calls().tell_under_way(|count| self.figures().set_under_way(count as u64));
    }

    fn account_for_levels(&self) {
        let documents = self.documents().levels();
        self.metrics().note_evictions(documents.evictions);
        self.metrics().note_exports(&self.audit().levels());
        self.figures().set_gauges(Gauges {
            entries: documents.entries as u64,
            bytes: (documents.bytes + self.references().bytes()) as u64,
            under_way: self.calls().under_way() as u64,
        });
    }

    fn reference_row(&self, key: &DocumentKey) -> Option<&ReferenceRow> {
        let name = number(key.name(Node::of_this_process()?));
        let describe = || (key.shown_reference(), key.shown_vault().to_owned());
        self.figures().reference(name, self.config().metrics_references_max, describe)
    }

    fn vault_row(&self, key: &DocumentKey) -> Option<&VaultRow> {
        let vault = key.shown_vault();
        self.figures().vault(vault_number(vault)?, || (vault.to_owned(), key.descriptor.name.to_owned()))
    }
}

/// A vault's name as `DocumentKey::shown_vault` has it.
fn shown(vault: &str) -> &str {
    vault.split_once('@').map_or(vault, |(name, _)| name)
}

fn times(terms: &Terms, clock: &WallClock) -> ReferenceTimes {
    let at = |at: Instant| clock.at(at);
    let value = terms.value.as_ref();
    ReferenceTimes {
        fetched_at: value.map(|value| at(value.at)),
        fresh_until: terms.fresh_until.map(at),
        next_renewal: terms.renew_at.map(at),
        lease_end: value.and_then(|value| value.at.checked_add(value.document.lease()?)).map(at),
    }
}
