//! Looks references up in the cache, and joins or creates the call that fetches a missing document.
//!
//! A look-up never blocks and never does input or output: fetches run on the engine, or in `blocking`.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::cache::CacheLookup;
use crate::cache::document::Document;
use crate::error::{Error, Result};
use crate::resolver::resolved_reference::{DocumentKey, ResolvedReference};
use crate::resolver::singleflight::{JoinOutcome, Joiner, Outcome, Purpose};
use crate::resolver::state::Resolver;
use crate::resolver::upstream::Done;
use crate::secret::Secret;

/// The result of a look-up.
#[derive(Debug)]
pub enum Lookup {
    Value(Value),
    /// A fetch is needed, or under way.
    Miss(Arc<ResolvedReference>),
}

/// A value to serve.
#[derive(Debug)]
pub struct Value {
    pub secret: Arc<Secret>,
    /// Whether the generation will move when the value is not to be served any more.
    pub lasting: bool,
    /// How long the vault itself says that it is good for.
    pub lease: Option<Duration>,
}

impl Resolver {
    /// Resolves a reference; one that is kept is not parsed again.
    pub fn resolve(&self, reference: &[u8]) -> Result<Arc<ResolvedReference>> {
        self.references().resolve(reference, self.config())
    }

    /// Looks a reference up in the cache. A vault that needs neither network nor file is asked on the spot. Where the
    /// refresher runs, it renews values whose time is over, and they serve meanwhile.
    pub fn lookup(self: &Arc<Self>, reference: &[u8]) -> Result<Lookup> {
        let (resolved, found) = match self.resolve_and_look(reference) {
            Ok(found) => found,
            Err(error) => return self.orphan(reference, error).map(Lookup::Value),
        };
        let runs = self.schedule().runs();
        match found {
            CacheLookup::Fresh(document) => {
                self.metrics().hits.inc();
                pick(&resolved, &document, runs).map(Lookup::Value)
            }
            CacheLookup::Stale { document, due } => {
                self.metrics().stale_hits.inc();
                if due && !runs {
                    self.start()?;
                    self.renew(&resolved.key);
                }
                pick(&resolved, &document, runs).map(Lookup::Value)
            }
            CacheLookup::Failure(error) => {
                self.metrics().negative_hits.inc();
                Err(resolved.explain(error))
            }
            CacheLookup::Nothing => self.miss(resolved),
        }
    }

    /// `lookup` for a caller that may wait: a stale value is a miss, unless it is not due to be renewed yet.
    pub fn lookup_waiting(self: &Arc<Self>, reference: &[u8]) -> Result<Lookup> {
        let (resolved, found) = match self.resolve_and_look(reference) {
            Ok(found) => found,
            Err(error) => return self.orphan(reference, error).map(Lookup::Value),
        };
        match found {
            CacheLookup::Fresh(document) | CacheLookup::Stale { document, due: false } => {
                self.metrics().hits.inc();
                pick(&resolved, &document, false).map(Lookup::Value)
            }
            CacheLookup::Failure(error) => {
                self.metrics().negative_hits.inc();
                Err(resolved.explain(error))
            }
            CacheLookup::Stale { .. } | CacheLookup::Nothing => self.miss(resolved),
        }
    }

    /// Resolves a reference and looks its document up; both again where the options of its vault have changed in
    /// between, as that moves the document.
    fn resolve_and_look(&self, reference: &[u8]) -> Result<(Arc<ResolvedReference>, CacheLookup)> {
        let mut resolved = self.resolve(reference)?;
        loop {
            let found = self.documents().look(&resolved.key);
            if !matches!(found, CacheLookup::Nothing) {
                return Ok((resolved, found));
            }
            let again = self.resolve(reference)?;
            if again.key == resolved.key {
                return Ok((again, found));
            }
            resolved = again;
        }
    }

    /// The value from before the options of the reference's vault became unusable; else the error.
    fn orphan(&self, reference: &[u8], error: Error) -> Result<Value> {
        let Some((key, reference)) = self.succession().find_orphan(reference) else { return Err(error) };
        let decodes = key.decodes_for(&reference);
        match self.documents().look(&key) {
            CacheLookup::Fresh(document) | CacheLookup::Stale { document, .. } => {
                let secret = document.pick(key.field_of(&reference), decodes)?;
                self.metrics().stale_hits.inc();
                Ok(Value { secret, lasting: self.schedule().runs(), lease: document.lease() })
            }
            CacheLookup::Failure(_) | CacheLookup::Nothing => Err(error),
        }
    }

    /// Whether there is a value to serve, also where the options of its vault have become unusable.
    pub fn is_known(&self, reference: &[u8]) -> bool {
        let key = match self.resolve(reference) {
            Ok(resolved) => Some(Arc::clone(&resolved.key)),
            Err(_) => self.succession().find_orphan(reference).map(|(key, _)| key),
        };
        key.is_some_and(|key| matches!(self.documents().peek(&key), CacheLookup::Fresh(_) | CacheLookup::Stale { .. }))
    }

    pub(super) fn miss(self: &Arc<Self>, resolved: Arc<ResolvedReference>) -> Result<Lookup> {
        self.metrics().misses.inc();
        if !resolved.key.descriptor.immediate {
            return Ok(Lookup::Miss(resolved));
        }
        let document = self.fetch_immediate(&resolved.key).map_err(|error| resolved.explain(error))?;
        pick(&resolved, &document, false).map(Lookup::Value)
    }

    /// Fetches a document on the spot, from a vault that needs neither network nor file.
    pub(super) fn fetch_immediate(self: &Arc<Self>, key: &Arc<DocumentKey>) -> Outcome {
        self.metrics().fetches.inc();
        let (start, instance) = (Instant::now(), self.instances().get(key)?);
        let polled = pin!(instance.backend().fetch(&key.secret_id)).poll(&mut Context::from_waker(Waker::noop()));
        let fetched = match polled {
            Poll::Ready(fetched) => fetched,
            Poll::Pending => Err(key.ended_early()),
        };
        self.keep(key, Purpose::Miss, Done::of(fetched, Vec::new(), start, start.elapsed())).0
    }

    /// Notes that a caller that looks up a list has come to its end, or waits.
    pub fn end_list(&self) {
        self.instances().end_list();
    }

    /// Whether the vault of a reference brings many documents with one request, as far as is known.
    pub fn fetches_in_batches(&self, reference: &[u8]) -> bool {
        self.resolve(reference).is_ok_and(|resolved| self.instances().fetches_in_batches(&resolved.key))
    }

    /// Joins the call that brings a document, or creates one. Who creates it must start it, by `take_shared` and
    /// `start_fetch`; who waits has to collect its outcome.
    pub fn join_or_create(
        self: &Arc<Self>,
        key: &Arc<DocumentKey>,
        purpose: Purpose,
        joiner: Joiner,
    ) -> Result<JoinOutcome> {
        self.start()?;
        if joiner.queues {
            self.instances().begin_list();
        }
        self.calls().join_or_create(key, purpose, self.documents().floor(key), joiner)
    }

    /// The outcome of a call, for one waiter; `None` where it is still under way. The ticket is used up either way.
    pub fn collect(&self, ticket: u64, reference: &[u8]) -> Result<Option<Value>> {
        let Some(outcome) = self.calls().collect(ticket) else { return Ok(None) };
        let resolved = self.resolve(reference);
        // The fetch's error is returned even where the reference can't be resolved any more.
        let document = outcome.map_err(|error| match &resolved {
            Ok(resolved) => resolved.explain(error),
            Err(_) => error,
        })?;
        let resolved = resolved?;
        if document.group().is_some() {
            self.keep_batches();
        }
        // Only what is known now will be known to be over: a newer one may have come since the completion.
        let known = self.documents().look(&resolved.key).document();
        // The next look-up finds cached documents of the group: this one must be of their version.
        let document = known.clone().filter(|known| known.group().is_some()).unwrap_or(document);
        let kept = known.is_some_and(|known| known.is_same(&document));
        pick(&resolved, &document, kept && self.schedule().runs()).map(Some)
    }

    /// Whether a call or a job is not to be waited for any more.
    pub fn is_completed(&self, ticket: u64) -> bool {
        self.follow().has_ended(ticket) && self.calls().is_completed(ticket)
    }

    /// The value, if it is fresh and its fetch began after that time.
    pub fn newer(&self, resolved: &ResolvedReference, since: Instant) -> Option<Result<Value>> {
        let value = self.documents().fresh(&resolved.key).filter(|value| value.at > since)?;
        Some(pick(resolved, &value.document, self.schedule().runs()))
    }

    /// Asks for a new value in the background.
    pub fn renew(self: &Arc<Self>, key: &Arc<DocumentKey>) {
        if key.descriptor.immediate {
            // A failure is counted, and the old value serves on.
            let _ = self.fetch_immediate(key);
            return;
        }
        // A value fetched under other options counts as missing.
        let purpose = self.documents().own(key).map_or(Purpose::Miss, |value| Purpose::Newer(value.at));
        self.fetch_in_background(key, purpose);
    }

    /// Forgets all values; connections, logins and breakers stay. With `refetch`, what was known is fetched again in
    /// the background.
    pub fn flush(self: &Arc<Self>, refetch: bool) {
        let now = Instant::now();
        let known = self.documents().flush(now);
        self.references().clear();
        self.bump();
        for key in known.into_iter().filter(|key| refetch && !key.descriptor.immediate) {
            self.fetch_in_background(&key, Purpose::Newer(now));
        }
    }
}

/// The value that a reference names in its document.
pub fn pick(resolved: &ResolvedReference, document: &Document, lasting: bool) -> Result<Value> {
    let secret = document.pick(resolved.field.as_deref(), resolved.base64_decode)?;
    Ok(Value { secret, lasting, lease: document.lease() })
}
