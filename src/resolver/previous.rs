//! What a reload leaves of the configuration before. The new workers know nothing yet, but the shared dictionary still has
//! what was fetched under the options of before, by names that are made of those. So the process that loads configurations
//! keeps of each vault by what its options go into such names. These are digests under the node's key, which tell nothing.
//!
//! What is taken so is inherited as by a vault entity that changes, see `succession`: stale, until the first outcome.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::Instant;

use crate::config::Config;
use crate::node::{Name, Node};
use crate::resolver::resolved_reference::{DocumentKey, VaultIdentity};
use crate::sync::{Rank, Ranked, lock};

/// How many documents of a VM may be taken so: each takes some bytes.
const MOST: usize = 100_000;

/// Where vaults were before, whose options changed, and when that was noticed.
pub struct Previous {
    places: BTreeMap<String, (VaultIdentity, Instant)>,
    /// Documents that were looked for, by number: whatever the first outcome is, it is one.
    tried: Ranked<HashSet<u64>>,
}

struct KnownPlaces {
    now: VaultIdentity,
    before: Option<(VaultIdentity, Instant)>,
}

impl Default for Previous {
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

impl Previous {
    fn new(places: BTreeMap<String, (VaultIdentity, Instant)>) -> Self {
        Self { places, tried: Ranked::new(Rank::Previous, HashSet::new()) }
    }

    /// By which name the node may have a document under the options of before, and when those changed; `None` where they
    /// were no others.
    pub fn name_of(&self, key: &DocumentKey, node: &Node) -> Option<(Name, Instant)> {
        let (place, changed_at) = self.places.get(&*key.instance.vault)?;
        Some((key.name_at(place, node)?, *changed_at))
    }

    /// Whether a document was not looked for before; it is looked for from now on.
    pub fn try_once(&self, key: &DocumentKey) -> bool {
        let mut tried = self.tried.lock();
        tried.len() < MOST && tried.insert(key.number())
    }

    /// Notes where the vaults of a configuration are that stay, and tells where they were before. Kept are those of the last
    /// two configurations that differ: http and stream load one each.
    pub fn note(config: &Config) -> Self {
        static KNOWN: Mutex<BTreeMap<String, KnownPlaces>> = Mutex::new(BTreeMap::new());
        let Some(node) = Node::of_this_process() else { return Self::default() };
        let at = Instant::now();
        let mut known = lock(&KNOWN);
        let mut noted = BTreeMap::new();
        for (name, backend, settings) in config.fixed_vaults() {
            let now = VaultIdentity::new(backend, settings, node);
            let before = match known.remove(name) {
                Some(known) if known.now == now => known.before,
                Some(known) => Some((known.now, at)),
                None => None,
            };
            noted.insert(name.to_owned(), KnownPlaces { now, before });
        }
        *known = noted;
        let places = known.iter().filter_map(|(name, vault)| Some((name.clone(), vault.before.clone()?)));
        Self::new(places.collect())
    }
}
