//! What references mean: those that were read are kept as understood.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use crate::config::Config;
use crate::error::Result;
use crate::resolver::resolved_reference::ResolvedReference;
use crate::sync::{Rank, Ranked};

/// How many references are kept as understood, and up to which length. A document may be read by several fields.
const PER_DOCUMENT: usize = 4;
const FEWEST: usize = 1024;
const LONGEST_KEPT: usize = 1024;

/// The references of one resolver, by their text.
pub struct References {
    known: Ranked<LruCache<Box<[u8]>, Arc<ResolvedReference>>>,
    /// Whether the operator writes the references, who may name credentials of ours.
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

    /// What a reference means; known ones are not read anew.
    pub fn resolve(&self, reference: &[u8], config: &Config) -> Result<Arc<ResolvedReference>> {
        // Held all the time: who changes entities clears it afterwards, and no reference from before may come in later.
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

    /// Changes what references mean; `None` from `change` says that nothing is different. No reference is read meanwhile:
    /// whatever follows the change has to be done in `change` as well, with locks that come after this one.
    pub fn change<T>(&self, change: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut known = self.known.lock();
        let changed = change();
        if changed.is_some() {
            known.clear();
        }
        changed
    }

    /// What they weigh, in bytes.
    pub fn bytes(&self) -> usize {
        let slot = std::mem::size_of::<ResolvedReference>() + 8 * std::mem::size_of::<usize>();
        self.known.lock().iter().map(|(reference, _)| reference.len() + slot).sum()
    }
}
