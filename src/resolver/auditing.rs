//! What the resolver has the audit log note.

use std::sync::Arc;

use crate::admin::{CheckSubject, EntityChange, Who};
use crate::audit::{Change, Check, Fetch, Health, SHOWN};
use crate::backend::registry::ALL;
use crate::node::Node;
use crate::redact;
use crate::reference;
use crate::resolver::document_cache::ValueChange;
use crate::resolver::fetch_report::FetchReport;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::singleflight::Purpose;
use crate::resolver::state::Resolver;
use crate::runtime::notifier::Event;

impl Resolver {
    /// Notes what became of a fetch.
    pub(super) fn audit_fetch(&self, report: &FetchReport<'_>) {
        self.audit().note(|| {
            let key = report.key;
            let event = match (report.outcome, report.change) {
                (Err(_), _) => "failed",
                (Ok(_), ValueChange::First) => "fetched",
                (Ok(_), ValueChange::Same) => "renewed",
                (Ok(_), ValueChange::Changed) => "changed",
            };
            let error = report.outcome.err();
            Fetch {
                event,
                vault: &key.instance.vault,
                backend: key.descriptor.name,
                secret: Fetch::secret(&key.secret_id.resource),
                version: key.secret_id.version,
                purpose: match report.purpose {
                    _ if report.came_along => "group",
                    Purpose::Miss => "miss",
                    Purpose::Newer(_) => "renewal",
                    Purpose::Probe(_) => "probe",
                },
                seconds: (report.took.as_secs_f64() * 1e6).round() / 1e6,
                reason: error.map(|error| error.kind().name()),
                error: error.map(|error| error.text()),
            }
        });
    }

    /// Notes that a vault is down, or up again.
    pub(super) fn audit_health(&self, key: &DocumentKey, up: bool, text: &str) {
        self.audit().note(|| Health {
            event: if up { "vault_up" } else { "vault_down" },
            vault: &key.instance.vault,
            backend: key.descriptor.name,
            text,
        });
    }

    /// Notes a change of an entity.
    pub fn audit_change(&self, who: &Who, change: &EntityChange) {
        let EntityChange { action, prefix, before, after } = change;
        self.audit().changed(&Change {
            event: "admin",
            who,
            action,
            entity: prefix,
            before: before.as_ref(),
            after: after.as_ref(),
            cut: false,
        });
    }

    /// Notes that somebody has a vault checked.
    pub(super) fn audit_check(&self, who: &Who, subject: &CheckSubject, reference: Option<&str>) {
        if !self.audit().is_on() {
            return;
        }
        let tested = match subject {
            CheckSubject::Vault(_) => None,
            CheckSubject::Entity(tested) => Some(tested),
        };
        let entity = tested.map(|tested| tested.shown(ALL));
        self.audit().checked(&Check {
            event: "admin_check",
            who,
            vault: &redact::vault(subject.vault().as_bytes(), SHOWN),
            reference: reference.map(|text| reference::quote(text.as_bytes())).as_deref(),
            credentials_of: tested.and_then(|tested| tested.credentials_of.as_deref()),
            entity: entity.as_ref(),
            cut: false,
        });
    }

    /// Has problems of the audit log told in nginx's log, once on the node.
    pub(crate) fn tell_of_audit(&self) {
        let notifier = Arc::downgrade(self.notifier());
        self.audit().tell_by(Arc::new(move |up, text| {
            if let (Some(notifier), Some(node)) = (notifier.upgrade(), Node::of_this_process()) {
                let vault = node.name([&b"vault_audit_log"[..]]);
                notifier.notify(Event::Health { vault, up, text });
            }
        }));
    }
}
