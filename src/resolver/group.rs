//! Fetches documents of one group together: if a fetch brings another version than the cached documents of its group have,
//! it brings those along. `document_cache/groups.rs` then replaces all of them at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Fetched, FetchedGroup, SecretId};
use crate::cache::Dated;
use crate::error::{Error, Kind, Result};
use crate::resolver::document_cache::Batch;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::state::Resolver;
use crate::resolver::upstream::{Done, Instances};
use crate::runtime::notifier::Event;

/// How often further documents of the group are brought along that were cached meanwhile.
const ATTEMPTS: u32 = 4;

/// After this time the engine caches a batch that the worker has not taken. No request keeps the worker busy so long.
const LEFT: Duration = Duration::from_secs(2);

impl Resolver {
    /// Adds the cached documents that must be replaced along with a fetched one.
    pub(super) async fn with_group(
        self: &Arc<Self>,
        instances: &Instances,
        key: &Arc<DocumentKey>,
        mut done: Done,
    ) -> Done {
        let Ok(Fetched { group: Some(group), .. }) = &done.fetched else { return done };
        let mut group = *group;
        if group.has_siblings && !self.documents().knows_group(key, group) {
            // A request that reads one document of a new group is likely to read another one next.
            let began = Instant::now();
            match self.fetch_group(instances, key, &[]).await {
                Ok(FetchedGroup { first, siblings, .. }) => {
                    group = first.group.unwrap_or(group);
                    let key_of = |name: &str| key.sibling(name, self.config()).ok().map(Arc::new);
                    done.others = siblings.into_iter().filter_map(|(name, it)| Some((key_of(&name)?, it))).collect();
                    (done.fetched, done.began) = (Ok(first), began);
                }
                Err(error) => {
                    done.fetched = Err(error);
                    return done;
                }
            }
        }
        for _ in 0..ATTEMPTS {
            let brought: Vec<_> = done.others.iter().map(|(key, _)| Arc::clone(key)).collect();
            let mut outdated = self.documents().outdated(key, group);
            outdated.retain(|key| !brought.contains(key));
            if outdated.is_empty() {
                return done;
            }
            let others: Vec<_> = brought.into_iter().chain(outdated).collect();
            let began = Instant::now();
            let (first, found) = match self.fetch_group(instances, key, &others).await {
                Ok(FetchedGroup { first, others, .. }) => (first, others),
                Err(error) => {
                    done.fetched = Err(error);
                    return done;
                }
            };
            // Documents that could not be brought stay as they are: their own fetches say why.
            let is_all = found.len() == others.len();
            group = first.group.unwrap_or(group);
            done.others = found.into_iter().filter_map(|(at, it)| Some((Arc::clone(others.get(at)?), it))).collect();
            (done.fetched, done.began) = (Ok(first), began);
            if !is_all {
                return done;
            }
        }
        done
    }

    async fn fetch_group(
        &self,
        instances: &Instances,
        key: &DocumentKey,
        others: &[Arc<DocumentKey>],
    ) -> Result<FetchedGroup> {
        let instance = instances.known(&key.instance).ok_or_else(|| key.ended_early())?;
        let others: Vec<SecretId> = others.iter().map(|other| other.secret_id.clone()).collect();
        let limit = self.config().fetch_timeout;
        let fetching = instance.backend().fetch_group(&key.secret_id, &others);
        tokio::time::timeout(limit, fetching).await.unwrap_or_else(|_| {
            let text = format!("{} did not answer within {} s", key.label(), limit.as_secs_f64());
            Err(Error::new(Kind::Timeout, text))
        })
    }

    /// Leaves documents for the worker, which caches them at once. Without a listener, they are cached now.
    pub(super) fn keep_together(self: &Arc<Self>, key: &Arc<DocumentKey>, value: Dated, others: Batch) {
        let batch = std::iter::once((Arc::clone(key), value)).chain(others).collect();
        self.documents().leave(batch);
        if !self.notifier().notify(Event::Replaced) {
            self.keep_batches();
            return;
        }
        let resolver = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(LEFT).await;
            if let Some(resolver) = resolver.upgrade() {
                resolver.keep_batches();
            }
        });
    }

    /// Caches the batches that the engine left.
    pub fn keep_batches(&self) {
        while let Some(batch) = self.documents().keep_batch(self.config()) {
            for (key, kept) in batch {
                self.note_kept(&key, &kept);
            }
        }
    }
}
