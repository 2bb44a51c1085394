//! Keeps outcomes in the cache, and acts on what they say of the vault.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::Fetched;
use crate::cache::Dated;
use crate::cache::document::Document;
use crate::error::Error;
use crate::node::SealedOutcome;
use crate::resolver::document_cache::{Kept, ValueChange};
use crate::resolver::fetch_report::FetchReport;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::singleflight::{Outcome, Purpose};
use crate::resolver::state::Resolver;
use crate::resolver::upstream::Done;
use crate::runtime::notifier::Event;

impl Resolver {
    /// Keeps a value, unless a newer one is there.
    pub(super) fn keep_value(&self, key: &Arc<DocumentKey>, value: Dated) -> Kept {
        let kept = self.documents().keep_value(key, value, self.config());
        self.note_kept(key, &kept);
        kept
    }

    /// Does what follows the keeping of a value.
    pub(super) fn note_kept(&self, key: &DocumentKey, kept: &Kept) {
        if kept.considered {
            self.succession().tell_of_success(key);
        }
        if kept.crowded {
            self.notifier().notify(Event::CacheCrowded);
        }
    }

    /// Keeps the failure of a fetch that began at `began` and ended at `at`. Returns what is served: a value that still
    /// serves, or the failure.
    pub(super) fn keep_failure(&self, key: &Arc<DocumentKey>, error: Error, began: Instant, at: Instant) -> Outcome {
        let kept = self.documents().keep_failure(key, error.clone(), began, at, self.config());
        if kept.was_inherited {
            self.succession().tell_of_failure(key, &error);
        }
        if kept.kept && error.is_outage() {
            self.renew_if_back(key, began);
        }
        if kept.kept && kept.outcome.is_ok() {
            self.metrics().resurrected.inc();
        }
        kept.outcome
    }

    /// Keeps the outcome of a fetch, reports it and a vault that failed or came back, and returns what is served.
    pub(super) fn keep(
        self: &Arc<Self>,
        key: &Arc<DocumentKey>,
        purpose: Purpose,
        done: Done,
    ) -> (Outcome, SealedOutcome) {
        let at = Instant::now();
        let (began, took) = (done.began, done.took);
        let report = |key: &Arc<DocumentKey>, outcome: Result<&Document, &Error>, change, came_along: bool| {
            let trace = done.trace.as_ref().filter(|_| !came_along);
            self.report(&FetchReport { key, purpose, began, took, outcome, change, came_along, trace });
        };
        let kept = match done.fetched {
            Ok(fetched) => {
                let value = dated(fetched, began);
                if key.by_field {
                    value.document.read_fields();
                }
                let change = self.documents().change_by(key, &value.document);
                let served = if value.document.group().is_some() {
                    let others = done.others.into_iter().map(|(key, fetched)| (key, dated(fetched, began)));
                    let others: Vec<_> = others.collect();
                    for (other, value) in &others {
                        report(other, Ok(&value.document), self.documents().change_by(other, &value.document), true);
                    }
                    self.keep_together(key, value.clone(), others);
                    Arc::clone(&value.document)
                } else {
                    self.keep_value(key, value.clone()).document
                };
                report(key, Ok(&value.document), change, false);
                (Ok(served), SealedOutcome::Value(value))
            }
            Err(error) => {
                let sealed_outcome = SealedOutcome::Failure { error: error.clone(), began, at, old: None };
                let served = self.keep_failure(key, error.clone(), began, at);
                report(key, Err(&error), ValueChange::Same, false);
                (served, sealed_outcome)
            }
        };
        self.on_breaker_change(key, done.change);
        if matches!(kept.1, SealedOutcome::Value(_)) {
            self.note_answer(key);
        }
        if let Some(notice) = done.notice {
            let vault = key.notices_name();
            self.notifier().notify(Event::Health { vault, up: notice.is_over, text: notice.text });
        }
        kept
    }
}

/// What a fetch brought, with the time at which it began.
fn dated(fetched: Fetched, began: Instant) -> Dated {
    let Fetched { document, lease, ends, group } = fetched;
    Dated { document: Arc::new(Document::leased(document, lease).that_ends(ends).of_group(group)), at: began }
}
