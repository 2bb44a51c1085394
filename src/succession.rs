//! What is known of a vault whose options change: nothing is lost before something new is there.
//!
//! Options that say how long a secret serves leave documents, connections and logins as they are: documents are dated anew.
//! Where options say where the vault is or which client asks, the value of before serves on as stale until the first
//! outcome under the new ones, which is fetched at once; after a failure as after any failed renewal. It is never handed to
//! other workers, and whatever a fetch under the old options brings later is for those alone who waited for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cache::{Found, Heir};
use crate::config::{Fate, Next};
use crate::error::{Error, Kind, Result};
use crate::node::{Name, Node};
use crate::plan::{Origin, Plan};
use crate::reference::{self, Reference};
use crate::resolver::{Resolver, Value, lock};
use crate::wake::Event;

/// Between two of the fetches that a change makes necessary: one vault may have thousands of secrets.
const PAUSE: Duration = Duration::from_millis(1);

/// What a resolver remembers of options that changed.
#[derive(Default)]
pub struct Succession {
    /// Documents whose vault has options by now that can't be used, by the secret's name.
    orphans: Mutex<HashMap<String, Vec<Arc<Origin>>>>,
    /// Vaults of which the log was told that they can't be used as they are now, by name.
    told: Mutex<HashSet<Arc<str>>>,
}

impl Resolver {
    /// Puts entities in the place of those that there are. Returns whether anything changed.
    pub(crate) fn change(self: &Arc<Self>, next: Next) -> bool {
        let now = Instant::now();
        let (changed, flaws, asked_at_once, next) = {
            // Held all the time: no plan of the new options may be made before the cache has followed.
            let mut plans = lock(&self.plans);
            let changed = self.config().replace_entities(next);
            if changed.is_empty() {
                return false;
            }
            plans.clear();
            let (mut flaws, mut asked_at_once) = (HashMap::new(), Vec::new());
            let mut orphans = lock(&self.succession.orphans);
            let before: Vec<_> = orphans.values_mut().flat_map(|list| take(list, &changed)).collect();
            let before: HashSet<_> = before.iter().map(Arc::as_ptr).collect();
            orphans.retain(|_, list| !list.is_empty());
            let mut cache = lock(&self.cache);
            cache.inherit(now, PAUSE, fastrand::f64, |origin| {
                changed.get(&*origin.instance.vault)?;
                let heir = match self.heir_of(origin) {
                    // Its options can be used again.
                    None if before.contains(&Arc::as_ptr(origin)) => {
                        Heir::Key { key: Arc::clone(origin), terms: origin.terms, same_place: true }
                    }
                    heir => heir?,
                };
                match &heir {
                    Heir::Key { key, .. } if key.descriptor.immediate => asked_at_once.push(Arc::clone(key)),
                    Heir::Flawed { flaw, .. } => {
                        orphans.entry(origin.ask.resource.clone()).or_default().push(Arc::clone(origin));
                        flaws.entry(Arc::clone(&origin.instance.vault)).or_insert_with(|| flaw.clone());
                    }
                    _ => {}
                }
                Some(heir)
            });
            (changed, flaws, asked_at_once, cache.next())
        };
        for origin in asked_at_once {
            // A failure is kept, and told.
            let _ = self.fetch_immediate(&origin);
        }
        for farewell in self.instances.forget(|vault| changed.get(&*vault.vault) == Some(&Fate::Place)) {
            // Where there is no engine, nobody has logged in.
            if let Ok(engine) = self.engine() {
                engine.spawn(farewell);
            }
        }
        self.bump();
        self.rotation.expect(next);
        self.tell_of_ends(&changed);
        for (vault, flaw) in flaws {
            self.tell_of_flaw(&vault, &flaw);
        }
        true
    }

    /// What a reference means, and what is known of it. Where the options of its vault change between the two, what is
    /// known has moved.
    pub(crate) fn plan_and_look(&self, reference: &[u8]) -> Result<(Arc<Plan>, Found)> {
        let mut plan = self.plan(reference)?;
        loop {
            let found = self.look(&plan.origin);
            if !matches!(found, Found::Nothing) {
                return Ok((plan, found));
            }
            let again = self.plan(reference)?;
            if again.origin == plan.origin {
                return Ok((again, found));
            }
            plan = again;
        }
    }

    /// Whether there is a value to serve, also one of before.
    pub fn is_known(&self, reference: &[u8]) -> bool {
        let origin = match self.plan(reference) {
            Ok(plan) => Some(Arc::clone(&plan.origin)),
            Err(_) => self.find_orphan(reference).map(|(origin, _)| origin),
        };
        origin.is_some_and(|origin| matches!(self.peek(&origin), Found::Fresh(_) | Found::Stale { .. }))
    }

    /// Who is asked now for what was asked of `origin`; `None` where that is itself.
    fn heir_of(&self, origin: &Arc<Origin>) -> Option<Heir<Arc<Origin>>> {
        match origin.under(self.config()) {
            Ok(new) if new == **origin => None,
            Ok(new) => {
                let (terms, same_place) = (new.terms, new.is_same_document(origin));
                Some(Heir::Key { key: Arc::new(new), terms, same_place })
            }
            Err(error) if error.kind() == Kind::UnknownVault => Some(Heir::None),
            Err(flaw) => Some(Heir::Flawed { flaw, terms: origin.terms }),
        }
    }

    /// Under which origin an outcome is to be kept that was asked for under this one; `None` where the options are others
    /// by now.
    pub(crate) fn keeper(&self, origin: &Arc<Origin>) -> Option<Arc<Origin>> {
        match self.heir_of(origin) {
            None => Some(Arc::clone(origin)),
            Some(Heir::Key { key, same_place: true, .. }) => Some(key),
            Some(_) => None,
        }
    }

    /// The value of before, where the reference's vault has options that can't be used; else why there is none.
    pub(crate) fn orphan(&self, reference: &[u8], error: Error) -> Result<Value> {
        let Some((origin, reference)) = self.find_orphan(reference) else { return Err(error) };
        let decodes = origin.decodes_for(&reference);
        match self.look(&origin) {
            Found::Fresh(document) | Found::Stale { document, .. } => {
                let secret = document.pick(reference.key.as_deref(), decodes)?;
                self.metrics.stale_hits.inc();
                Ok(Value { secret, lasting: self.rotation.runs(), lease: document.lease() })
            }
            Found::Failure(_) | Found::Nothing => Err(error),
        }
    }

    fn find_orphan(&self, reference: &[u8]) -> Option<(Arc<Origin>, Reference)> {
        let orphans = lock(&self.succession.orphans);
        if orphans.is_empty() {
            return None;
        }
        let reference = reference::parse(reference).ok()?;
        let resource = std::str::from_utf8(&reference.resource).ok()?;
        let origin = orphans.get(resource)?.iter().find(|origin| origin.is_asked_by(&reference))?;
        Some((Arc::clone(origin), reference))
    }

    fn tell_of_flaw(&self, vault: &Arc<str>, flaw: &Error) {
        lock(&self.succession.told).insert(Arc::clone(vault));
        let text = format!("the vault entity {vault} is not valid any more, its cached values stay in use: {flaw}");
        self.bell.ring(Event::Health { vault: name_of_change(vault), up: false, text });
    }

    /// Tells the log of the first failure under changed options.
    pub(crate) fn tell_of_failure(&self, origin: &Origin, error: &Error) {
        let vault = &origin.instance.vault;
        if lock(&self.succession.told).insert(Arc::clone(vault)) {
            let what = "failed with its changed options, its cached values stay in use";
            let text = format!("{} {what}: {error}", origin.label());
            self.bell.ring(Event::Health { vault: name_of_change(vault), up: false, text });
        }
    }

    /// Tells the log of the first success after such a failure.
    pub(crate) fn tell_of_success(&self, origin: &Origin) {
        let vault = &origin.instance.vault;
        if lock(&self.succession.told).remove(vault) {
            let text = format!("{} answers with its changed options", origin.label());
            self.bell.ring(Event::Health { vault: name_of_change(vault), up: true, text });
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
            self.bell.ring(Event::Health { vault: name_of_change(&vault), up: true, text });
        }
    }
}

/// Takes out the documents of vaults that changed.
fn take(list: &mut Vec<Arc<Origin>>, changed: &BTreeMap<String, Fate>) -> Vec<Arc<Origin>> {
    list.extract_if(.., |origin| changed.contains_key(&*origin.instance.vault)).collect()
}

/// What these lines are told apart by from a vault's health.
fn name_of_change(vault: &str) -> Name {
    let name = |node: &Node| node.name([&b"change"[..], vault.as_bytes()]);
    Node::of_this_process().map(name).unwrap_or_default()
}
