//! What is kept of an outcome, and what it says of its vault.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::Fetched;
use crate::cache::document::Document;
use crate::cache::{CacheLookup, Dated, Entry};
use crate::error::Error;
use crate::node::SealedOutcome;
use crate::resolver::Resolver;
use crate::resolver::breaker::Change;
use crate::resolver::loaded::Loaded;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::shared_cache::{name_of_notices, vault_name};
use crate::resolver::singleflight::Outcome;
use crate::resolver::upstream::Done;
use crate::runtime::notifier::Event;
use crate::sync::lock;

/// What became of a value that was to be kept.
pub(crate) struct Kept {
    /// The value, or a newer one that was there already.
    pub document: Arc<Document>,
    /// When its fetch began.
    pub at: Instant,
    pub fresh: bool,
}

impl Resolver {
    /// Before which time no fetch may have begun whose outcome is kept: a flush is to bring new values, and where nothing
    /// else renews a value, so is a reload.
    pub(crate) fn floor(&self, key: &DocumentKey) -> Option<Instant> {
        let loaded = self.loaded.as_ref().filter(|_| key.ttl_policy.ttl.is_none()).map(Loaded::at);
        loaded.max(*lock(&self.flushed_at))
    }

    /// Keeps a value, unless a newer one is there.
    pub(crate) fn keep_value(&self, key: &Arc<DocumentKey>, value: Dated) -> Kept {
        let now = Instant::now();
        let mut kept = Kept { document: Arc::clone(&value.document), at: value.at, fresh: false };
        let (changed, next, crowded) = {
            let mut cache = lock(&self.cache);
            // Looked at under the lock: a flush sets it before it takes that to clear the cache.
            if self.floor(key).is_some_and(|floor| value.at <= floor) {
                return kept;
            }
            let Some(key) = self.kept_under(key) else { return kept };
            let changed = cache.fetched(Arc::clone(&key), value, &key.ttl_policy, now, fastrand::f64());
            if let Some(entry) = cache.peek(&key) {
                kept.fresh = matches!(entry.look(now), CacheLookup::Fresh(_));
                if let Some(value) = entry.value() {
                    (kept.document, kept.at) = (Arc::clone(&value.document), value.at);
                }
            }
            (changed, cache.next(), cache.is_crowded())
        };
        self.tell_of_success(key);
        if crowded {
            self.notifier.notify(Event::CacheCrowded);
        }
        if changed {
            self.bump();
        }
        self.schedule.expect(next);
        kept
    }

    /// Notes a failure of a fetch that began and ended then. Returns what is to be served: the old value, if it may stand
    /// in.
    pub(crate) fn keep_failure(&self, key: &Arc<DocumentKey>, error: Error, began: Instant, at: Instant) -> Outcome {
        let (lost, old, next, was_inherited) = {
            let mut cache = lock(&self.cache);
            let Some(key) = self.kept_under(key) else { return Err(error) };
            let known = cache.peek(&key);
            // It may have been fetched since.
            if let Some(entry) = known.filter(|entry| entry.value().is_some_and(|value| value.at > began))
                && let CacheLookup::Fresh(document) = entry.look(at)
            {
                return Ok(document);
            }
            let was_inherited = known.is_some_and(Entry::is_inherited);
            let (lost, old) = cache.failed(Arc::clone(&key), error.clone(), &key.ttl_policy, at, fastrand::f64());
            (lost, old, cache.next(), was_inherited)
        };
        if was_inherited {
            self.tell_of_failure(key, &error);
        }
        if lost {
            self.bump();
        }
        self.schedule.expect(next);
        if error.is_outage() {
            self.renew_if_back(key, began);
        }
        if old.is_some() {
            self.metrics.resurrected.inc();
        }
        old.ok_or(error)
    }

    /// Keeps what a fetch brought, tells the log of a vault that went bad or came back, and says what is to be served.
    pub(crate) fn keep(self: &Arc<Self>, key: &Arc<DocumentKey>, done: Done) -> (Outcome, SealedOutcome) {
        let at = Instant::now();
        self.metrics.fetched(done.took);
        let kept = match done.fetched {
            Ok(Fetched { document, lease }) => {
                let document = Arc::new(Document::leased(document, lease));
                if key.by_field {
                    document.read_fields();
                }
                let value = Dated { document, at: done.began };
                let kept = self.keep_value(key, value.clone());
                (Ok(kept.document), SealedOutcome::Value(value))
            }
            Err(error) => {
                self.metrics.failed(key.descriptor.name, error.kind());
                let sealed_outcome = SealedOutcome::Failure { error: error.clone(), began: done.began, at, old: None };
                (self.keep_failure(key, error, done.began, at), sealed_outcome)
            }
        };
        self.on_breaker_change(key, done.change);
        if matches!(kept.1, SealedOutcome::Value(_)) {
            self.note_answer(key);
        }
        if let Some(notice) = done.notice {
            let vault = name_of_notices(key);
            self.notifier.notify(Event::Health { vault, up: notice.is_over, text: notice.text });
        }
        kept
    }

    pub(crate) fn on_breaker_change(self: &Arc<Self>, key: &Arc<DocumentKey>, change: Change) {
        match change {
            Change::None => {}
            Change::Opened | Change::StaysOpen => {
                self.schedule.want_probe(key, || self.probe_at(key));
                if change == Change::Opened
                    && let Some(reason) = self.instances.known(&key.instance).and_then(|it| it.breaker().refusal())
                {
                    self.notifier.notify(Event::Health { vault: vault_name(key), up: false, text: reason.to_string() });
                }
                self.still_bad(key);
            }
            Change::Closed(after) => {
                let text = format!("{} answers again, after {:.1} s", key.label(), after.as_secs_f64());
                self.notifier.notify(Event::Health { vault: vault_name(key), up: true, text });
                self.vault_is_back(&key.instance);
            }
        }
    }
}
