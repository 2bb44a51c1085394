//! What becomes of values when the options of their vault change, see `succession`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{CacheLookup, Heir};
use crate::config::{Fate, Next};
use crate::error::{Error, Kind, Result};
use crate::node::{Name, Node};
use crate::reference::{self, Reference};
use crate::resolver::resolved_reference::{DocumentKey, ResolvedReference};
use crate::resolver::{Resolver, Value};
use crate::runtime::notifier::Event;
use crate::sync::lock;

/// Between two of the fetches that a change makes necessary: one vault may have thousands of secrets.
const PAUSE: Duration = Duration::from_millis(1);

impl Resolver {
    /// Puts entities in the place of those that there are. Returns whether anything changed.
    pub(crate) fn change(self: &Arc<Self>, next: Next) -> bool {
        let now = Instant::now();
        let (changed, flaws, asked_at_once, next) = {
            // Held all the time: no reference may be read under the new options before the cache has followed.
            let mut resolved_references = lock(&self.resolved_references);
            let changed = self.config().replace_entities(next);
            if changed.is_empty() {
                return false;
            }
            resolved_references.clear();
            let (mut flaws, mut asked_at_once) = (HashMap::new(), Vec::new());
            let mut orphans = lock(&self.succession.orphans);
            let before: Vec<_> = orphans.values_mut().flat_map(|list| take(list, &changed)).collect();
            let before: HashSet<_> = before.iter().map(Arc::as_ptr).collect();
            orphans.retain(|_, list| !list.is_empty());
            let mut cache = lock(&self.cache);
            cache.inherit(now, PAUSE, fastrand::f64, |key| {
                changed.get(&*key.instance.vault)?;
                let heir = match self.heir_of(key) {
                    // Its options can be used again.
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
            (changed, flaws, asked_at_once, cache.next())
        };
        for key in asked_at_once {
            // A failure is kept, and told.
            let _ = self.fetch_immediate(&key);
        }
        for shutdown in self.instances.forget(|vault| changed.get(&*vault.vault) == Some(&Fate::Place)) {
            // Where there is no engine, nobody has logged in.
            if let Ok(engine) = self.engine() {
                engine.spawn(shutdown);
            }
        }
        self.bump();
        self.schedule.expect(next);
        self.tell_of_ends(&changed);
        for (vault, flaw) in flaws {
            self.tell_of_flaw(&vault, &flaw);
        }
        true
    }

    /// What a reference means, and what is known of it. Where the options of its vault change between the two, what is
    /// known has moved.
    pub(crate) fn resolve_and_look(&self, reference: &[u8]) -> Result<(Arc<ResolvedReference>, CacheLookup)> {
        let mut resolved = self.resolve(reference)?;
        loop {
            let found = self.look(&resolved.key);
            if !matches!(found, CacheLookup::Nothing) {
                return Ok((resolved, found));
            }
            let again = self.resolve(reference)?;
            if again.key == resolved.key {
                return Ok((again, found));
            }
            resolved = again;
        }
    }

    /// Whether there is a value to serve, also one of before.
    pub fn is_known(&self, reference: &[u8]) -> bool {
        let key = match self.resolve(reference) {
            Ok(resolved) => Some(Arc::clone(&resolved.key)),
            Err(_) => self.find_orphan(reference).map(|(key, _)| key),
        };
        key.is_some_and(|key| matches!(self.peek(&key), CacheLookup::Fresh(_) | CacheLookup::Stale { .. }))
    }

    /// Who is asked now for what was asked of `key`; `None` where that is itself.
    fn heir_of(&self, key: &Arc<DocumentKey>) -> Option<Heir<Arc<DocumentKey>>> {
        match key.under(self.config()) {
            Ok(new) if new == **key => None,
            Ok(new) => {
                let (ttl_policy, same_place) = (new.ttl_policy, new.is_same_document(key));
                Some(Heir::Key { key: Arc::new(new), ttl_policy, same_place })
            }
            Err(error) if error.kind() == Kind::UnknownVault => Some(Heir::None),
            Err(flaw) => Some(Heir::Flawed { flaw, ttl_policy: key.ttl_policy }),
        }
    }

    /// Under which key an outcome is to be kept that was asked for under this one; `None` where the options are others
    /// by now.
    pub(crate) fn kept_under(&self, key: &Arc<DocumentKey>) -> Option<Arc<DocumentKey>> {
        match self.heir_of(key) {
            None => Some(Arc::clone(key)),
            Some(Heir::Key { key, same_place: true, .. }) => Some(key),
            Some(_) => None,
        }
    }

    /// The value of before, where the reference's vault has options that can't be used; else why there is none.
    pub(crate) fn orphan(&self, reference: &[u8], error: Error) -> Result<Value> {
        let Some((key, reference)) = self.find_orphan(reference) else { return Err(error) };
        let decodes = key.decodes_for(&reference);
        match self.look(&key) {
            CacheLookup::Fresh(document) | CacheLookup::Stale { document, .. } => {
                let secret = document.pick(reference.key.as_deref(), decodes)?;
                self.metrics.stale_hits.inc();
                Ok(Value { secret, lasting: self.schedule.runs(), lease: document.lease() })
            }
            CacheLookup::Failure(_) | CacheLookup::Nothing => Err(error),
        }
    }

    fn find_orphan(&self, reference: &[u8]) -> Option<(Arc<DocumentKey>, Reference)> {
        let orphans = lock(&self.succession.orphans);
        if orphans.is_empty() {
            return None;
        }
        let reference = reference::parse(reference).ok()?;
        let resource = std::str::from_utf8(&reference.resource).ok()?;
        let key = orphans.get(resource)?.iter().find(|key| key.is_asked_by(&reference))?;
        Some((Arc::clone(key), reference))
    }

    fn tell_of_flaw(&self, vault: &Arc<str>, flaw: &Error) {
        lock(&self.succession.told).insert(Arc::clone(vault));
        let text = format!("the vault entity {vault} is not valid any more, its cached values stay in use: {flaw}");
        self.notifier.notify(Event::Health { vault: name_of_change(vault), up: false, text });
    }

    /// Tells the log of the first failure under changed options.
    pub(crate) fn tell_of_failure(&self, key: &DocumentKey, error: &Error) {
        let vault = &key.instance.vault;
        if lock(&self.succession.told).insert(Arc::clone(vault)) {
            let what = "failed with its changed options, its cached values stay in use";
            let text = format!("{} {what}: {error}", key.label());
            self.notifier.notify(Event::Health { vault: name_of_change(vault), up: false, text });
        }
    }

    /// Tells the log of the first success after such a failure.
    pub(crate) fn tell_of_success(&self, key: &DocumentKey) {
        let vault = &key.instance.vault;
        if lock(&self.succession.told).remove(vault) {
            let text = format!("{} answers with its changed options", key.label());
            self.notifier.notify(Event::Health { vault: name_of_change(vault), up: true, text });
        }
    }

    /// The same for vaults that are gone.
    fn tell_of_ends(&self, changed: &BTreeMap<String, Fate>) {
        let gone = |vault: &str| {
            let found = changed.get(vault).and(self.config().vault(vault.as_bytes()).err());
            found.is_some_and(|error| error.kind() == Kind::UnknownVault)
        };
        let ended: Vec<_> = lock(&self.succession.told).extract_if(|vault| gone(vault)).collect();
        for vault in ended {
            let text = format!("the vault entity {vault} is deleted");
            self.notifier.notify(Event::Health { vault: name_of_change(&vault), up: true, text });
        }
    }
}

/// Takes out the documents of vaults that changed.
fn take(list: &mut Vec<Arc<DocumentKey>>, changed: &BTreeMap<String, Fate>) -> Vec<Arc<DocumentKey>> {
    list.extract_if(.., |key| changed.contains_key(&*key.instance.vault)).collect()
}

/// What these lines are told apart by from a vault's health.
fn name_of_change(vault: &str) -> Name {
    let name = |node: &Node| node.name([&b"change"[..], vault.as_bytes()]);
    Node::of_this_process().map(name).unwrap_or_default()
}
