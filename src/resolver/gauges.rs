//! A resolver's current figures, and the notice about its cache.

use std::time::Instant;

use crate::resolver::metrics::Levels;
use crate::resolver::state::Resolver;

impl Resolver {
    /// The notice that the cache is too small, once.
    pub fn crowded_notice(&self) -> Option<String> {
        let size = self.config().cache_size;
        self.documents().tell_crowded().then(|| {
            format!(
                "vault_cache_size ({size}) is less than the secrets in use: some are fetched again each time, set it higher"
            )
        })
    }

    /// The current figures. `front_hits`: how many look-ups the Lua table answered.
    pub fn levels(&self, front_hits: u64) -> Levels {
        let now = Instant::now();
        let documents = self.documents().levels();
        self.metrics().note_front_hits(front_hits);
        self.metrics().note_evictions(documents.evictions);
        Levels {
            entries: documents.entries,
            bytes: documents.bytes + self.references().bytes(),
            under_way: self.calls().under_way(),
            next_event: documents.next.map(|next| next.saturating_duration_since(now)),
            breakers: self.instances().breakers(now),
            evictions: documents.evictions,
            audit: self.audit().levels(),
        }
    }
}
