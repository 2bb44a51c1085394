//! Fetches documents of one group together: if a fetch brings another version than the cached documents of its group have,
//! it brings those along. `document_cache/groups.rs` then replaces all of them at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Fetched, FetchedGroup, SecretId};
use crate::cache::Dated;
use crate::error::{Error, Kind, Result};
use crate::resolver::document_cache::Batch;
use crate::resolver::instance::Instance;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::state::Resolver;
use crate::resolver::upstream::Done;
use crate::runtime::notifier::Event;

/// How often further documents of the group are brought along that were cached meanwhile.
const ATTEMPTS: u32 = 4;

/// After this time the engine caches a batch that the worker has not taken. No request keeps the worker busy so long.
const LEFT: Duration = Duration::from_secs(2);

impl Resolver {
    /// Adds the cached documents that must be replaced along with a fetched one, in the time that the fetch has left.
    pub(super) async fn with_group(self: &Arc<Self>, key: &Arc<DocumentKey>, mut done: Done) -> Done {
        let Ok(Fetched { group: Some(group), .. }) = &done.fetched else { return done };
        let (mut group, Some(vault)) = (*group, done.asked.clone()) else { return done };
        let end = Instant::now() + self.config().fetch_timeout.saturating_sub(done.took);
        if group.has_siblings && !self.documents().knows_group(key, group) {
            // A request that reads one document of a new group is likely to read another one next.
            let began = Instant::now();
            match self.fetch_group(&vault, end, key, &[]).await {
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
            let (first, found) = match self.fetch_group(&vault, end, key, &others).await {
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
        vault: &Instance,
        end: Instant,
        key: &DocumentKey,
        others: &[Arc<DocumentKey>],
    ) -> Result<FetchedGroup> {
        let others: Vec<SecretId> = others.iter().map(|other| other.secret_id.clone()).collect();
        let fetching = vault.backend().fetch_group(&key.secret_id, &others);
        tokio::time::timeout_at(end.into(), fetching).await.unwrap_or_else(|_| {
            let limit = self.config().fetch_timeout.as_secs_f64();
            Err(Error::new(Kind::Timeout, format!("{} did not answer within {limit} s", key.label())))
        })
    }

    /// Leaves documents for the worker, which caches them at once. Without a listener, they are cached now.
    pub(super) fn keep_together(self: &Arc<Self>, key: &Arc<DocumentKey>, value: Dated, others: Batch) {
        let batch = std::iter::once((Arc::clone(key), value)).chain(others).collect();
        let number = self.documents().leave(batch);
        if !self.notifier().notify(Event::Replaced) {
            self.keep_batches();
            return;
        }
        let resolver = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(LEFT).await;
            if let Some(resolver) = resolver.upgrade() {
                // A newer one has its own time: a request may be between two look-ups.
                resolver.keep_batches_until(number);
            }
        });
    }

    /// Caches the batches that the engine left.
    pub fn keep_batches(&self) {
        self.keep_batches_until(u64::MAX);
    }

    fn keep_batches_until(&self, last: u64) {
        while let Some(batch) = self.documents().keep_batch(last, self.config()) {
            for (key, kept) in batch {
                self.note_kept(&key, &kept);
            }
        }
    }
}

#[cfg(test)]
mod tests;
