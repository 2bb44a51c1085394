//! What a reload leaves of the previous configuration. The caches of new workers are empty, but the shared dictionary
//! still has what was fetched under the previous options, by names that are made of them. So the process that loads
//! configurations keeps those parts of each vault's options that its documents' names are made of, as digests under the
//! node's key, which do not reveal the options.
//!
//! A value that is taken so is inherited as after a change of a vault entity, see `succession`: it is stale until the
//! first outcome.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::Instant;

use crate::config::Config;
use crate::node::{Name, Node};
use crate::resolver::resolved_reference::{DocumentKey, VaultIdentity};
use crate::sync::{Rank, Ranked, lock};

/// How many documents a VM may look for so: each takes some memory.
const MOST: usize = 100_000;

/// The previous identities of vaults whose options changed, and when that was noticed.
pub struct Previous {
    places: BTreeMap<String, (VaultIdentity, Instant)>,
    /// Documents that were looked for, by number: each is looked for once.
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

    /// The name under which the node's cache may have a document from before the options of its vault changed, and when
    /// they did; `None` where they did not, or where the name can't be made.
    pub fn name_of(&self, key: &DocumentKey, node: &Node) -> Option<(Name, Instant)> {
        let (place, changed_at) = self.places.get(&*key.instance.vault)?;
        Some((key.name_at(place, node)?, *changed_at))
    }

    /// Notes that a document is looked for. Returns false where it was before, or where too many were.
    pub fn try_once(&self, key: &DocumentKey) -> bool {
        let mut tried = self.tried.lock();
        tried.len() < MOST && tried.insert(key.number())
    }

    /// Notes the identities of a configuration's vaults that stay, and returns the previous ones. A load that changes
    /// nothing keeps those: http and stream load one configuration each.
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
