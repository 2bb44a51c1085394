//! What a reload leaves of the configuration before. The new workers know nothing yet, but the shared dictionary still has
//! what was fetched under the options of before, by names that are made of those. So the process that loads configurations
//! keeps of each vault by what its options go into such names. These are digests under the node's key, which tell nothing.
//!
//! What is taken so is inherited as by a vault entity that changes, see `succession`: stale, until the first outcome.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::cache::Entry;
use crate::config::Config;
use crate::node::{Name, Node, SealedOutcome, hex};
use crate::resolved_reference::VaultIdentity;
use crate::resolver::{Resolver, lock};
use crate::singleflight::{Purpose, Unstarted};

/// How many documents of a VM may be taken so: each takes some bytes.
const MOST: usize = 100_000;

/// Where vaults were before, whose options changed, and when that was noticed.
#[derive(Debug, Default)]
pub struct Previous {
    places: BTreeMap<String, (VaultIdentity, Instant)>,
    /// Documents that were looked for, by number: whatever the first outcome is, it is one.
    tried: Mutex<HashSet<u64>>,
}

struct Known {
    now: VaultIdentity,
    before: Option<(VaultIdentity, Instant)>,
}

impl Previous {
    /// Notes where the vaults of a configuration are that stay, and tells where they were before. Kept are those of the last
    /// two configurations that differ: http and stream load one each.
    pub fn note(config: &Config) -> Self {
        static KNOWN: Mutex<BTreeMap<String, Known>> = Mutex::new(BTreeMap::new());
        let Some(node) = Node::of_this_process() else { return Self::default() };
        let at = Instant::now();
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut noted = BTreeMap::new();
        for (name, backend, settings) in config.fixed_vaults() {
            let now = VaultIdentity::new(backend, settings, node);
            let before = match known.remove(name) {
                Some(known) if known.now == now => known.before,
                Some(known) => Some((known.now, at)),
                None => None,
            };
            noted.insert(name.to_owned(), Known { now, before });
        }
        *known = noted;
        let places = known.iter().filter_map(|(name, vault)| Some((name.clone(), vault.before.clone()?)));
        Self { places: places.collect(), tried: Mutex::default() }
    }
}

impl Resolver {
    /// By which name the dictionary may have the document of a created call under the options of before; `None` where
    /// those were no others, or where it was asked before.
    pub fn previous_name(&self, ticket: u64) -> Option<String> {
        let (node, Unstarted { key, purpose, .. }) = (Node::of_this_process()?, lock(&self.calls).unstarted(ticket)?);
        if purpose != Purpose::Miss {
            return None;
        }
        let (place, _) = self.previous.places.get(&*key.instance.vault)?;
        // Whatever lay under the name of now is an outcome already, where it is of use.
        if lock(&self.cache).peek(&key).is_some() {
            return None;
        }
        let name = key.name_at(place, node)?;
        let mut tried = lock(&self.previous.tried);
        let is_new = tried.len() < MOST && tried.insert(key.number());
        is_new.then(|| hex(&name))
    }

    /// Keeps what lay under that name, to serve until the created call is completed. Returns whether it is of use.
    pub fn inherit_previous(&self, ticket: u64, sealed: &[u8]) -> bool {
        self.inherit(ticket, sealed).is_some()
    }

    fn inherit(&self, ticket: u64, sealed: &[u8]) -> Option<()> {
        let (node, now) = (Node::of_this_process()?, Instant::now());
        let Unstarted { key, .. } = lock(&self.calls).unstarted(ticket)?;
        let (place, changed_at) = self.previous.places.get(&*key.instance.vault)?;
        let name: Name = key.name_at(place, node)?;
        let Some(SealedOutcome::Value(value)) = node.open(&name, sealed) else { return None };
        let (evicted, next) = {
            let mut cache = lock(&self.cache);
            // Looked at under the lock, as in `keep_value`.
            if lock(&self.flushed_at).is_some_and(|floor| value.at <= floor) || cache.peek(&key).is_some() {
                return None;
            }
            let entry = Entry::of_before(value, &key.ttl_policy, *changed_at, now, fastrand::f64())?;
            (cache.put(key, entry), cache.next())
        };
        if evicted {
            self.bump();
        }
        self.schedule.expect(next);
        Some(())
    }
}
