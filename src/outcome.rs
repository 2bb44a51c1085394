//! What is kept of an outcome, and what it says of its vault.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::Fetched;
use crate::breaker::Change;
use crate::cache::{Brought, Entry, Found};
use crate::document::Document;
use crate::error::Error;
use crate::exchange::{name_of_news, vault_name};
use crate::fetch::Done;
use crate::flight::Outcome;
use crate::node::Parcel;
use crate::plan::Origin;
use crate::resolver::{Resolver, lock};
use crate::vm::Loaded;
use crate::wake::Event;

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
    pub(crate) fn floor(&self, origin: &Origin) -> Option<Instant> {
        let loaded = self.loaded.as_ref().filter(|_| origin.terms.ttl.is_none()).map(Loaded::at);
        loaded.max(*lock(&self.flushed_at))
    }

    /// Keeps a value, unless a newer one is there.
    pub(crate) fn keep_value(&self, origin: &Arc<Origin>, value: Brought) -> Kept {
        let now = Instant::now();
        let mut kept = Kept { document: Arc::clone(&value.document), at: value.at, fresh: false };
        let (changed, next, crowded) = {
            let mut cache = lock(&self.cache);
            // Looked at under the lock: a flush sets it before it takes that to clear the cache.
            if self.floor(origin).is_some_and(|floor| value.at <= floor) {
                return kept;
            }
            let Some(origin) = self.keeper(origin) else { return kept };
            let changed = cache.fetched(Arc::clone(&origin), value, &origin.terms, now, fastrand::f64());
            if let Some(entry) = cache.peek(&origin) {
                kept.fresh = matches!(entry.look(now), Found::Fresh(_));
                if let Some(value) = entry.value() {
                    (kept.document, kept.at) = (Arc::clone(&value.document), value.at);
                }
            }
            (changed, cache.next(), cache.is_crowded())
        };
        self.tell_of_success(origin);
        if crowded {
            self.bell.ring(Event::Notice);
        }
        if changed {
            self.bump();
        }
        self.rotation.expect(next);
        kept
    }

    /// Notes a failure of a fetch that began and ended then. Returns what is to be served: the old value, if it may stand
    /// in.
    pub(crate) fn keep_failure(&self, origin: &Arc<Origin>, error: Error, began: Instant, at: Instant) -> Outcome {
        let (lost, old, next, was_inherited) = {
            let mut cache = lock(&self.cache);
            let Some(origin) = self.keeper(origin) else { return Err(error) };
            let known = cache.peek(&origin);
            // It may have been fetched since.
            if let Some(entry) = known.filter(|entry| entry.value().is_some_and(|value| value.at > began))
                && let Found::Fresh(document) = entry.look(at)
            {
                return Ok(document);
            }
            let was_inherited = known.is_some_and(Entry::is_inherited);
            let (lost, old) = cache.failed(Arc::clone(&origin), error.clone(), &origin.terms, at, fastrand::f64());
            (lost, old, cache.next(), was_inherited)
        };
        if was_inherited {
            self.tell_of_failure(origin, &error);
        }
        if lost {
            self.bump();
        }
        self.rotation.expect(next);
        if error.is_outage() {
            self.rotation.unless_back(self, origin, began);
        }
        if old.is_some() {
            self.metrics.resurrected.inc();
        }
        old.ok_or(error)
    }

    /// Keeps what a fetch brought, tells the log of a vault that went bad or came back, and says what is to be served.
    pub(crate) fn keep(self: &Arc<Self>, origin: &Arc<Origin>, done: Done) -> (Outcome, Parcel) {
        let at = Instant::now();
        self.metrics.fetched(done.took);
        let kept = match done.fetched {
            Ok(Fetched { document, lease }) => {
                let document = Arc::new(Document::leased(document, lease));
                if origin.by_field {
                    document.read_fields();
                }
                let value = Brought { document, at: done.began };
                let kept = self.keep_value(origin, value.clone());
                (Ok(kept.document), Parcel::Value(value))
            }
            Err(error) => {
                self.metrics.failed(origin.descriptor.name, error.kind());
                let parcel = Parcel::Failure { error: error.clone(), began: done.began, at };
                (self.keep_failure(origin, error, done.began, at), parcel)
            }
        };
        self.heed(origin, done.change);
        if matches!(kept.1, Parcel::Value(_)) {
            self.note_answer(origin);
        }
        if let Some(news) = done.news {
            let vault = name_of_news(origin);
            self.bell.ring(Event::Health { vault, up: news.is_over, text: news.text });
        }
        kept
    }

    pub(crate) fn heed(self: &Arc<Self>, origin: &Arc<Origin>, change: Change) {
        match change {
            Change::None => {}
            Change::Opened | Change::StaysOpen => {
                self.rotation.want_probe(origin, || self.probe_at(origin));
                if change == Change::Opened
                    && let Some(reason) = self.instances.known(&origin.instance).and_then(|it| it.breaker().refusal())
                {
                    self.bell.ring(Event::Health { vault: vault_name(origin), up: false, text: reason.to_string() });
                }
                self.still_bad(origin);
            }
            Change::Closed(after) => {
                let text = format!("{} answers again, after {:.1} s", origin.label(), after.as_secs_f64());
                self.bell.ring(Event::Health { vault: vault_name(origin), up: true, text });
                self.rotation.came_back(self, &origin.instance);
            }
        }
    }
}
