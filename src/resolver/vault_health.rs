//! Acts on a vault that fails or comes back: the log and the other workers are told, and its values renewed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::resolver::breaker::{Change, Ended};
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::state::Resolver;
use crate::runtime::notifier::Event;

/// How late the outcome of a probe may be.
const STILL_BAD_GRACE: Duration = Duration::from_secs(5);

/// Over which time the renewals after an outage are spread.
const RETURN_SPREAD: Duration = Duration::from_millis(200);

/// When a value is renewed whose vault is back.
fn soon() -> Instant {
    Instant::now() + RETURN_SPREAD.mul_f64(fastrand::f64())
}

impl Resolver {
    /// Does what the change of a vault's breaker makes necessary.
    pub(super) fn on_breaker_change(self: &Arc<Self>, key: &Arc<DocumentKey>, change: Change) {
        if change != Change::None {
            self.account_for_breaker(key);
        }
        match change {
            Change::None => {}
            Change::Opened | Change::StaysOpen => {
                self.schedule().want_probe(key, || self.instances().probe_at(&key.instance));
                if change == Change::Opened
                    && let Some(reason) = self.instances().refusal(&key.instance)
                {
                    let text = reason.to_string();
                    self.audit_health(key, false, &text);
                    self.notifier().notify(Event::Health { vault: key.vault_name(), up: false, text });
                }
                self.still_bad(key);
            }
            Change::Closed(after) => {
                let text = format!("{} answers again, after {:.1} s", key.label(), after.as_secs_f64());
                self.audit_health(key, true, &text);
                self.notifier().notify(Event::Health { vault: key.vault_name(), up: true, text });
                self.vault_is_back(&key.instance);
            }
        }
    }

    /// Tells the other workers for how long they need not report a vault that failed: past the second probe from now.
    /// Where nobody probes it any more, that time ends, and the next outage is reported.
    fn still_bad(&self, key: &DocumentKey) {
        let Some(probe_at) = self.instances().probe_at(&key.instance) else { return };
        let until_probe = probe_at.saturating_duration_since(Instant::now());
        let lasts = until_probe * 2 + self.config().fetch_timeout + STILL_BAD_GRACE;
        self.notifier().notify(Event::StillBad { vault: key.vault_name(), lasts });
    }

    /// Reports, once in this VM, that a vault answers: the VM that reported its outage may be gone.
    pub(super) fn note_answer(&self, key: &DocumentKey) {
        let Some(vault) = self.instances().known(&key.instance).filter(|vault| !vault.answered()) else { return };
        let text = format!("{} answers again", key.label());
        if self.notifier().notify(Event::Answers { vault: key.vault_name(), notice: key.notices_name(), text }) {
            vault.has_answered();
        }
    }

    /// Notes that the vault answered another worker's fetch, which began at that time.
    pub(super) fn note_answer_elsewhere(self: &Arc<Self>, key: &Arc<DocumentKey>, began: Instant) {
        let Some(vault) = self.instances().known(&key.instance) else { return };
        let ended = Ended { document: key.number(), began, at: Instant::now() };
        let change = vault.answered_another(ended);
        self.on_breaker_change(key, change);
    }

    /// Has all values renewed that could not be while their vault was away.
    fn vault_is_back(&self, vault: &InstanceKey) {
        self.schedule().forget_probe(vault);
        self.documents().renew_all_of(vault, soon);
    }

    /// Has a value renewed soon whose renewal was put off, or failed, where its vault has come back since that time.
    /// Whoever puts a renewal off calls this afterwards, as `vault_is_back` may have run before.
    pub(super) fn renew_if_back(&self, key: &Arc<DocumentKey>, since: Instant) {
        if self.instances().known(&key.instance).is_some_and(|vault| vault.is_back_since(since)) {
            self.documents().renew_one(key, soon());
        }
    }
}
