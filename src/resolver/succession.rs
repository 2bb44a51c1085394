//! Keeps cached values in use when the options of their vault change, until there are new ones.
//!
//! Options that say how long a secret serves leave documents, connections and logins as they are: the documents' times
//! are computed anew. Where options say where the vault is or which client asks it, the old value serves on as stale
//! until the first outcome under the new ones, which is fetched at once; after a failure it serves on as after any
//! failed renewal. It is never given to other workers, and what a fetch under the old options brings later is only for
//! those who waited for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::backend::registry::ALL;
use crate::cache::Heir;
use crate::config::{Config, Fate};
use crate::error::{Error, Kind};
use crate::node::{Name, Node};
use crate::reference::{self, Reference};
use crate::resolver::document_cache::DocumentCache;
use crate::resolver::heir::heir_of;
use crate::resolver::resolved_reference::{DocumentKey, secret_name};
use crate::runtime::notifier::{Event, Notifier};
use crate::sync::{Rank, Ranked};

/// What a resolver remembers of options that changed.
pub struct Succession {
    /// Documents whose vault has unusable options now, by the secret's name.
    orphans: Ranked<HashMap<String, Vec<Arc<DocumentKey>>>>,
    /// The names of vaults that were reported as unusable with their current options.
    told: Ranked<HashSet<Arc<str>>>,
    notifier: Arc<Notifier>,
}

/// What the moving of documents leaves to be done.
pub struct Moved {
    /// When the next document is due.
    pub next: Option<Instant>,
    /// Documents whose vault is asked on the spot.
    pub asked_at_once: Vec<Arc<DocumentKey>>,
    /// Vaults whose options can't be used, and why.
    flaws: HashMap<Arc<str>, Error>,
}

impl Succession {
    pub fn new(notifier: Arc<Notifier>) -> Self {
        let (orphans, told) = (HashMap::new(), HashSet::new());
        Self { orphans: Ranked::new(Rank::Orphans, orphans), told: Ranked::new(Rank::Told, told), notifier }
    }

    /// Moves the documents of changed vaults to their new keys. Takes two locks, of the orphans and of the documents;
    /// the caller holds that of the references, so that a look-up finds a document under its old key or under its new
    /// one.
    pub fn move_documents(
        &self,
        changed: &BTreeMap<String, Fate>,
        config: &Config,
        documents: &DocumentCache,
    ) -> Moved {
        let (mut flaws, mut asked_at_once) = (HashMap::new(), Vec::new());
        let mut orphans = self.orphans.lock();
        let before: Vec<_> = orphans.values_mut().flat_map(|list| take(list, changed)).collect();
        let before: HashSet<_> = before.iter().map(Arc::as_ptr).collect();
        orphans.retain(|_, list| !list.is_empty());
        let next = documents.inherit(Instant::now(), |key| {
            changed.get(&*key.instance.vault)?;
            let heir = match heir_of(key, config) {
                // The options of its vault can be used again.
                None if before.contains(&Arc::as_ptr(key)) => {
                    Heir::Key { key: Arc::clone(key), ttl_policy: key.ttl_policy, same_place: true }
                }
                heir => heir?,
            };
            match &heir {
                Heir::Key { key, .. } if key.descriptor.immediate => asked_at_once.push(Arc::clone(key)),
                Heir::Flawed { flaw, .. } => {
                    orphans.entry(key.secret_id.resource.clone()).or_default().push(Arc::clone(key));
                    flaws.entry(Arc::clone(&key.instance.vault)).or_insert_with(|| flaw.clone());
                }
                _ => {}
            }
            Some(heir)
        });
        Moved { next, asked_at_once, flaws }
    }

    /// The cached document that a reference asks for, where its vault has options that can't be used.
    pub fn find_orphan(&self, reference: &[u8]) -> Option<(Arc<DocumentKey>, Reference)> {
        let orphans = self.orphans.lock();
        if orphans.is_empty() {
            return None;
        }
        let reference = reference::parse(reference).ok()?;
        // What the name is depends on the backend, which is not known any more.
        let key = ALL.iter().find_map(|backend| {
            let name = secret_name(backend, &reference);
            let named = orphans.get(std::str::from_utf8(&name).ok()?)?;
            named.iter().find(|key| key.is_asked_by(&reference)).cloned()
        })?;
        Some((key, reference))
    }

    /// Tells the log of vaults that are gone, if it was told of them before, and of those whose options can't be used.
    pub fn tell_of_change(&self, changed: &BTreeMap<String, Fate>, config: &Config, moved: &Moved) {
        let gone = |vault: &str| {
            let found = changed.get(vault).and(config.vault(vault.as_bytes()).err());
            found.is_some_and(|error| error.kind() == Kind::UnknownVault)
        };
        let told: Vec<_> = self.told.lock().iter().cloned().collect();
        for vault in told.into_iter().filter(|vault| gone(vault)) {
            if self.told.lock().remove(&vault) {
                self.tell(&vault, true, format!("the vault entity {vault} is deleted"));
            }
        }
        for (vault, flaw) in &moved.flaws {
            self.told.lock().insert(Arc::clone(vault));
            let text = format!("the vault entity {vault} is not valid any more, its cached values stay in use: {flaw}");
            self.tell(vault, false, text);
        }
    }

    /// Tells the log of the first failure under changed options.
    pub fn tell_of_failure(&self, key: &DocumentKey, error: &Error) {
        let vault = &key.instance.vault;
        if self.told.lock().insert(Arc::clone(vault)) {
            let what = "failed with its changed options, its cached values stay in use";
            self.tell(vault, false, format!("{} {what}: {error}", key.label()));
        }
    }

    /// Tells the log of the first success after such a failure.
    pub fn tell_of_success(&self, key: &DocumentKey) {
        let vault = &key.instance.vault;
        let was_told = {
            let mut told = self.told.lock();
            !told.is_empty() && told.remove(vault)
        };
        if was_told {
            self.tell(vault, true, format!("{} answers with its changed options", key.label()));
        }
    }

    fn tell(&self, vault: &str, up: bool, text: String) {
        self.notifier.notify(Event::Health { vault: name_of_change(vault), up, text });
    }
}

/// Takes out the documents of vaults that changed.
fn take(list: &mut Vec<Arc<DocumentKey>>, changed: &BTreeMap<String, Fate>) -> Vec<Arc<DocumentKey>> {
    list.extract_if(.., |key| changed.contains_key(&*key.instance.vault)).collect()
}

/// The key of these notices in the node's cache, apart from the vault's health.
fn name_of_change(vault: &str) -> Name {
    let name = |node: &Node| node.name([&b"change"[..], vault.as_bytes()]);
    Node::of_this_process().map(name).unwrap_or_default()
}
