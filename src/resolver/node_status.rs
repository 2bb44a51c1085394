//! The state of a node's vaults and documents, as any of its workers can show it: for the Admin API, and for Prometheus.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use crate::error::Kind;
use crate::node::figures::{Totals, VaultBreaker};
use crate::resolver::account::{WallClock, vault_number};
use crate::resolver::breaker::BreakerState;
use crate::resolver::ends::What;
use crate::resolver::metrics::KINDS;
use crate::resolver::state::Resolver;

/// What a node counts and knows. Times are milliseconds since 1970.
pub struct NodeStatus {
    pub now: u64,
    pub totals: Totals,
    pub vaults: Vec<VaultStatus>,
    pub references: Vec<ReferenceStatus>,
    /// How often a document found no room among `vault_metrics_references_max` others.
    pub dropped: u64,
}

/// One vault.
pub struct VaultStatus {
    pub name: String,
    pub backend: Option<String>,
    pub kind: &'static str,
    /// `None` where it was never asked.
    pub breaker: Option<BreakerState>,
    pub last_success: Option<u64>,
    pub last_failure: Option<u64>,
    /// Of its options, where they are flawed, so that it can't be used; otherwise of the last failure.
    pub reason: Option<&'static str>,
    pub error: Option<String>,
    pub is_flawed: bool,
    pub successes: u64,
    pub failures: [u64; KINDS],
    pub token_end: Option<u64>,
}

/// One document.
pub struct ReferenceStatus {
    pub reference: String,
    pub vault: String,
    pub state: ReferenceState,
    pub last_success: Option<u64>,
    pub last_failure: Option<u64>,
    pub fetched_at: Option<u64>,
    pub next_renewal: Option<u64>,
    pub lease_end: Option<u64>,
    pub expires: Option<(u64, What)>,
    pub successes: u64,
    pub failures: [u64; KINDS],
}

/// The state of a document: the more, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReferenceState {
    Fresh,
    /// Its time is over, and no fetch has failed since it was fetched.
    Stale,
    /// The last fetch failed.
    Failing,
    /// Its vault is not asked, as it fails.
    Open,
}

impl ReferenceState {
    pub const ALL: [ReferenceState; 4] = [Self::Fresh, Self::Stale, Self::Failing, Self::Open];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failing => "failing",
            Self::Open => "open",
        }
    }
}

impl Resolver {
    /// The state of the node.
    pub fn node_status(&self) -> NodeStatus {
        self.account_for_cache();
        let now = WallClock::now().millis();
        let vaults = self.vaults_status(now);
        let references = self.references_status(now, &vaults);
        NodeStatus { now, totals: self.figures().totals(), vaults, references, dropped: self.figures().dropped() }
    }

    fn vaults_status(&self, now: u64) -> Vec<VaultStatus> {
        let live = if self.follow().followed().is_some() { "entity" } else { "kong" };
        let listed = self.config().listed_vaults().into_iter().map(|vault| {
            let kind = match &vault {
                vault if vault.is_live => live,
                vault if vault.backend == Some(&*vault.name) => "built-in",
                _ => "declarative",
            };
            let row = vault_number(&vault.name).and_then(|number| self.figures().known_vault(number));
            let mut status = VaultStatus {
                backend: vault.backend.map(str::to_owned),
                name: vault.name,
                kind,
                breaker: row.map(|row| match self.figures().breaker(row, now) {
                    VaultBreaker::Closed => BreakerState::Closed,
                    VaultBreaker::Open(_) => BreakerState::Open,
                    VaultBreaker::HalfOpen => BreakerState::HalfOpen,
                }),
                last_success: row.and_then(|row| row.last_success()),
                last_failure: row.and_then(|row| row.last_failure()),
                reason: None,
                error: None,
                is_flawed: vault.flaw.is_some(),
                successes: row.map_or(0, |row| row.successes()),
                failures: row.map_or([0; KINDS], |row| row.failures()),
                token_end: row.and_then(|row| row.token_end()),
            };
            if let Some(flaw) = vault.flaw {
                (status.reason, status.error) = (Some(flaw.kind().name()), Some(flaw.text().to_owned()));
            } else if let Some((reason, error)) = row.and_then(|row| row.last_error()) {
                (status.reason, status.error) = (Kind::ALL.get(reason).map(|kind| kind.name()), error);
            }
            status
        });
        listed.collect()
    }

    fn references_status(&self, now: u64, vaults: &[VaultStatus]) -> Vec<ReferenceStatus> {
        let is_open = |vault: &VaultStatus| vault.breaker.is_some_and(|breaker| breaker != BreakerState::Closed);
        let listed: HashMap<_, _> = vaults.iter().map(|vault| (vault.name.as_str(), is_open(vault))).collect();
        let mut known: BTreeMap<String, ReferenceStatus> = BTreeMap::new();
        let idle = u64::try_from(self.config().idle_ttl.as_millis()).unwrap_or(u64::MAX);
        for row in self.figures().references(now.saturating_sub(idle)) {
            let Some((reference, vault)) = row.description() else { continue };
            // Nobody can use what a vault brought that is gone since.
            let Some(&is_open) = listed.get(vault.as_str()) else { continue };
            let (times, last_success, last_failure) = (row.times(), row.last_success(), row.last_failure());
            let state = match times.fresh_until {
                _ if is_open => ReferenceState::Open,
                _ if last_failure > last_success => ReferenceState::Failing,
                Some(until) if now >= until => ReferenceState::Stale,
                _ => ReferenceState::Fresh,
            };
            let next = ReferenceStatus {
                vault,
                state,
                last_success,
                last_failure,
                fetched_at: times.fetched_at,
                next_renewal: times.next_renewal,
                lease_end: times.lease_end,
                expires: row.end().and_then(|(end, what)| Some((end, What::from_number(what)?))),
                successes: row.successes(),
                failures: row.failures(),
                reference: reference.clone(),
            };
            // Vaults that were changed leave documents of the same reference for a while.
            match known.remove(&reference) {
                Some(other) => drop(known.insert(reference, other.and(next))),
                None => drop(known.insert(reference, next)),
            }
        }
        known.into_values().collect()
    }
}

impl ReferenceStatus {
    /// Both together: the later one, and the counts of both.
    fn and(self, other: Self) -> Self {
        let (mut later, earlier) = if self.fetched_at >= other.fetched_at { (self, other) } else { (other, self) };
        later.successes += earlier.successes;
        for (sum, count) in later.failures.iter_mut().zip(earlier.failures) {
            *sum += count;
        }
        later
    }

    fn to_json(&self, now: u64) -> Value {
        json!({
            "reference": self.reference,
            "vault": self.vault,
            "state": self.state.name(),
            "last_success": self.last_success.map(seconds),
            "last_failure": self.last_failure.map(seconds),
            "age": self.fetched_at.map(|at| seconds(now.saturating_sub(at))),
            "next_renewal": self.next_renewal.map(seconds),
            "lease_end": self.lease_end.map(seconds),
            "expires": self.expires.map(|(end, _)| seconds(end)),
            "expires_what": self.expires.map(|(_, what)| what.name()),
            "successes": self.successes,
            "failures": failures(&self.failures),
        })
    }
}

impl VaultStatus {
    pub fn state(&self) -> &'static str {
        self.breaker.map_or("unused", BreakerState::name)
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "backend": self.backend,
            "kind": self.kind,
            "state": self.state(),
            "last_success": self.last_success.map(seconds),
            "last_failure": self.last_failure.map(seconds),
            "reason": self.reason,
            "error": self.error,
            "flawed": self.is_flawed,
            "successes": self.successes,
            "failures": failures(&self.failures),
            "token_expires": self.token_end.map(seconds),
        })
    }
}

impl NodeStatus {
    /// For the Admin API. Times are seconds since 1970.
    pub fn to_json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "workers": self.totals.workers,
            "now": seconds(self.now),
            "vaults": self.vaults.iter().map(VaultStatus::to_json).collect::<Vec<_>>(),
            "references": self.references.iter().map(|it| it.to_json(self.now)).collect::<Vec<_>>(),
            "references_dropped": self.dropped,
        })
    }
}

/// Seconds of milliseconds.
pub fn seconds(millis: u64) -> u64 {
    millis / 1000
}

/// Failures by reason; what never happened is left out.
fn failures(counts: &[u64; KINDS]) -> Value {
    let counted = counts.iter().zip(Kind::ALL).filter(|(count, _)| **count > 0);
    Value::Object(counted.map(|(count, kind)| (kind.name().to_owned(), json!(count))).collect::<Map<_, _>>())
}
