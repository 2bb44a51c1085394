//! What a resolver's state looks like now, for those who watch it.

use std::time::Instant;

use crate::resolver::Resolver;
use crate::resolver::metrics::Levels;
use crate::resolver::resolved_reference::ResolvedReference;
use crate::sync::lock;

impl Resolver {
    /// What the references kept weigh, in bytes.
    fn reference_bytes(&self) -> usize {
        let slot = std::mem::size_of::<ResolvedReference>() + 8 * std::mem::size_of::<usize>();
        lock(&self.resolved_references).iter().map(|(reference, _)| reference.len() + slot).sum()
    }

    /// What the log is to be told of the cache, once.
    pub fn crowded_notice(&self) -> Option<String> {
        let size = self.config().cache_size;
        lock(&self.cache).tell_crowded().then(|| {
            format!(
                "vault_cache_size ({size}) is less than the secrets in use: some are fetched again each time, set it higher"
            )
        })
    }

    /// What can be read off now.
    pub fn levels(&self, front_hits: u64) -> Levels {
        let now = Instant::now();
        let breakers = self.instances.all().into_iter();
        let mut breakers: Vec<_> =
            breakers.map(|(key, vault)| (key.vault.to_string(), vault.breaker().state(now))).collect();
        // Of several of one name the last one is seen: the worst.
        breakers.sort_by_key(|(_, state)| state.severity());
        let reference_bytes = self.reference_bytes();
        let cache = lock(&self.cache);
        Levels {
            entries: cache.len(),
            bytes: cache.bytes() + reference_bytes,
            under_way: lock(&self.calls).under_way(),
            next_event: cache.next().map(|next| next.saturating_duration_since(now)),
            breakers,
            front_hits,
            evictions: cache.evictions(),
        }
    }
}
