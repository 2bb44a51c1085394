//! A cache of resolved references, by their text.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use crate::config::Config;
use crate::error::Result;
use crate::resolver::resolved_reference::ResolvedReference;
use crate::sync::{Rank, Ranked};

/// How many references are kept, and how long one that is kept may be. Several references may name one document.
const PER_DOCUMENT: usize = 4;
const FEWEST: usize = 1024;
const LONGEST_KEPT: usize = 1024;

/// The references of one resolver, by their text.
pub struct References {
    known: Ranked<LruCache<Box<[u8]>, Arc<ResolvedReference>>>,
    /// Whether the operator wrote the references: then they may name kong-vault's own credentials.
    trusted: bool,
}

impl References {
    /// For a cache of that many documents.
    pub fn new(cache_size: usize) -> Self {
        let size = NonZeroUsize::new(cache_size.saturating_mul(PER_DOCUMENT).max(FEWEST));
        let known = LruCache::new(size.unwrap_or(NonZeroUsize::MIN));
        Self { known: Ranked::new(Rank::References, known), trusted: false }
    }

    pub fn trust(&mut self) {
        self.trusted = true;
    }

    /// Resolves a reference; one that is kept is not parsed again.
    pub fn resolve(&self, reference: &[u8], config: &Config) -> Result<Arc<ResolvedReference>> {
        // The lock is held throughout: a change of entities clears the references, and none resolved before it may be
        // added after it.
        let mut known = self.known.lock();
        if let Some(resolved) = known.get(reference) {
            return Ok(Arc::clone(resolved));
        }
        let resolved = Arc::new(ResolvedReference::resolve(reference, config)?);
        if !self.trusted {
            resolved.key.may_be_read(config)?;
        }
        if reference.len() <= LONGEST_KEPT {
            known.put(reference.into(), Arc::clone(&resolved));
        }
        Ok(resolved)
    }

    pub fn clear(&self) {
        self.known.lock().clear();
    }

    /// Runs `change`, and clears the references unless it returns `None`: nothing has changed. No reference is resolved
    /// meanwhile: whatever must be done before the next one is belongs into `change` as well, with locks that come
    /// after this one.
    pub fn change<T>(&self, change: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut known = self.known.lock();
        let changed = change();
        if changed.is_some() {
            known.clear();
        }
        changed
    }

    /// The size of the references, in bytes.
    pub fn bytes(&self) -> usize {
        let slot = std::mem::size_of::<ResolvedReference>() + 8 * std::mem::size_of::<usize>();
        self.known.lock().iter().map(|(reference, _)| reference.len() + slot).sum()
    }
}
