//! The vaults that references can name: the backends, the entities of the declarative file, those that may change while
//! requests are served, and those that Kong hands its strategies.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use super::assignment::{Assignment, options_of};
use super::entity::{Broken, Entity, EntityResult};
use super::indirect::IndirectValues;
use super::merge;
use super::source::ConfigSource;
use super::vault::Vault;
use super::verification::Verification;
use super::{error, requirements};
use crate::backend::Descriptor;
use crate::error::{Error, Kind, Result};
use crate::options::settings::{FinalSettings, Settings, hash_once};
use crate::options::value::Value;
use crate::redact;
use crate::sync::{Rank, Ranked};

/// How many configurations of Kong's strategies are known at a time: references can make new ones.
const STRATEGIES: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The `ttl` of a value that is fetched anew each time: 0 would mean for ever.
const AT_ONCE: Duration = Duration::from_nanos(1);

type ByName = HashMap<String, Result<Arc<Vault>>>;

/// Entities that are read and checked, and are to replace all those that may change.
pub struct PreparedEntities(ByName);

impl PreparedEntities {
    /// The vault that a list of one entity makes; `None` where its backend is disabled.
    pub fn into_only(self) -> Option<Result<Arc<Vault>>> {
        self.0.into_values().next()
    }
}

/// What became of a vault when entities were replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Only how long its secrets serve, or how they are decoded, is different.
    Terms,
    /// It is new or gone, or has another server or other credentials.
    Place,
}

/// A vault in a list.
pub struct ListedVault {
    pub name: String,
    /// `None` where its entity is broken.
    pub backend: Option<&'static str>,
    /// Whether it is an entity that may change.
    pub is_live: bool,
    /// What is wrong with its options.
    pub flaw: Option<Error>,
}

impl ListedVault {
    fn new(name: &str, vault: &Result<Arc<Vault>>, is_live: bool) -> Self {
        let (backend, flaw) = match vault {
            Ok(vault) => (Some(vault.backend.name), vault.settings.as_ref().err().cloned()),
            Err(error) => (None, Some(error.clone())),
        };
        Self { name: name.to_owned(), backend, is_live, flaw }
    }
}

/// All vaults by name. An entity that is broken has its error instead.
#[derive(Debug)]
pub struct Vaults {
    enabled: Vec<&'static str>,
    verification: Verification,
    /// What the operator alone sets, by backend: it holds for entities as well.
    operators: HashMap<&'static str, Vec<(&'static str, Option<Value>)>>,
    fixed: ByName,
    live: Ranked<ByName>,
    strategies: Ranked<LruCache<String, Arc<Vault>>>,
}

impl Vaults {
    pub fn new(enabled: Vec<&'static str>, verification: Verification) -> Self {
        let strategies = Ranked::new(Rank::Configuration, LruCache::new(STRATEGIES));
        let live = Ranked::new(Rank::Configuration, ByName::new());
        Self { enabled, verification, operators: HashMap::new(), fixed: HashMap::new(), live, strategies }
    }

    /// Adds a vault that does not change. A disabled one is not added, but an error in its options is reported.
    pub fn add(&mut self, name: &str, backend: &'static Descriptor, settings: Result<Settings>) -> Result<()> {
        let vault = vault(name, backend, settings);
        if let Some(settings) = vault.settings.as_ref().ok().filter(|_| name == backend.name) {
            let own = backend.options.iter().filter(|opt| opt.operators);
            let own = own.map(|opt| (opt.name, settings.get(opt.name).cloned()));
            self.operators.insert(backend.name, own.collect());
        }
        let flaw = vault.settings.as_ref().map(|_| ()).map_err(Clone::clone);
        if self.enabled.contains(&backend.name) {
            self.fixed.insert(name.to_owned(), Ok(Arc::new(vault)));
        }
        flaw
    }

    /// Adds a broken entity: references to it get this error.
    pub fn add_broken(&mut self, name: String, error: Error) {
        self.fixed.insert(name, Err(error));
    }

    pub fn find(&self, name: &[u8]) -> Result<Arc<Vault>> {
        let found = std::str::from_utf8(name).ok().and_then(|name| {
            let fixed = self.fixed.get(name).cloned();
            let live = || self.live.lock().get(name).cloned();
            fixed.or_else(live).or_else(|| self.strategies.lock().get(name).cloned().map(Ok))
        });
        found.unwrap_or_else(|| {
            Err(Error::new(Kind::UnknownVault, format!("could not find vault ({})", redact::vault(name, 64))))
        })
    }

    /// The vaults that don't change, and whose options are valid.
    pub fn fixed(&self) -> impl Iterator<Item = (&str, &'static Descriptor, &FinalSettings)> {
        self.fixed.iter().filter_map(|(name, vault)| {
            let vault = vault.as_ref().ok()?;
            Some((name.as_str(), vault.backend, &**vault.settings.as_ref().ok()?))
        })
    }

    /// All vaults but those of Kong's strategies, in the order of their names. An entity that may change, but has the name of one
    /// that doesn't, can't be named.
    pub fn listed(&self) -> Vec<ListedVault> {
        let live = self.live.lock();
        let live = live.iter().filter(|(name, _)| !self.is_fixed(name)).map(|it| (it, true));
        let all = self.fixed.iter().map(|it| (it, false)).chain(live);
        let mut listed: Vec<_> = all.map(|((name, vault), live)| ListedVault::new(name, vault, live)).collect();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        listed
    }

    /// Whether a name is taken by a vault that does not change.
    pub fn is_fixed(&self, name: &str) -> bool {
        self.fixed.contains_key(name)
    }

    /// The names of the vaults that don't change.
    pub fn names_of_fixed(&self) -> impl Iterator<Item = &str> {
        self.fixed.keys().map(String::as_str)
    }

    /// Reads entities, and changes nothing yet. `place`: where they stand, for error texts.
    pub fn prepare(&self, entities: Vec<EntityResult>, place: &str, indirect: &IndirectValues) -> PreparedEntities {
        let mut next = ByName::new();
        for listed in entities {
            // Even if it is broken or its backend is disabled, as that may change at any time.
            indirect.note_entity(&listed);
            match listed {
                Ok(entity) if !self.enabled.contains(&entity.backend.name) => {}
                Ok(entity) => {
                    let settings = self.of_entity(&entity, place, indirect);
                    let vault = Arc::new(vault(&entity.prefix, entity.backend, settings));
                    next.insert(entity.prefix, Ok(vault));
                }
                Err(Broken { prefix: Some(prefix), error, .. }) => drop(next.insert(prefix, Err(error))),
                Err(Broken { prefix: None, .. }) => {}
            }
        }
        PreparedEntities(next)
    }

    /// Replaces all entities that may change. Returns the vaults that were added, removed or changed.
    pub fn replace(&self, PreparedEntities(next): PreparedEntities) -> BTreeMap<String, Fate> {
        let mut live = self.live.lock();
        let mut changed = BTreeMap::new();
        for (name, old) in live.iter() {
            let fate = match (old, next.get(name)) {
                (Ok(old), Some(Ok(new))) if old.is_same(new) => None,
                (Ok(old), Some(Ok(new))) if old.is_at_same_place(new) => Some(Fate::Terms),
                (Err(old), Some(Err(new))) if old == new => None,
                _ => Some(Fate::Place),
            };
            changed.extend(fate.map(|fate| (name.clone(), fate)));
        }
        let added = next.keys().filter(|name| !live.contains_key(*name));
        changed.extend(added.map(|name| (name.clone(), Fate::Place)));
        *live = next;
        changed
    }

    /// The settings of an entity; `place` is where it stands, for error texts.
    pub fn of_entity(&self, entity: &Entity, place: &str, indirect: &IndirectValues) -> Result<Settings> {
        let source = ConfigSource::Entity { prefix: &entity.prefix, file: place };
        // Without the operator's proxy, say, credentials would go another way.
        if let Some(Ok(own)) = self.fixed.get(entity.backend.name)
            && let Err(flaw) = &own.settings
            && entity.backend.options.iter().any(|opt| opt.operators)
        {
            return Err(flaw.clone());
        }
        let mut settings = settings_of(entity.backend, &entity.config, source, indirect, self.verification)?;
        self.set_operators(entity.backend, &mut settings);
        self.confine(entity.backend, source, &settings)?;
        Ok(settings)
    }

    /// Refuses an entity that would have the operator's credentials sent where the operator sends none.
    fn confine(&self, backend: &Descriptor, source: ConfigSource<'_>, settings: &Settings) -> Result<()> {
        let own = self.fixed.get(backend.name).and_then(|vault| vault.as_ref().ok());
        let own = own.and_then(|vault| vault.settings.as_ref().ok());
        for opt in backend.options {
            let (Some(rule), Some(value)) = (opt.confined, settings.text(opt.name)) else { continue };
            let operators = own.and_then(|own| own.text(opt.name));
            if operators != Some(value) && !(rule.allows)(value) {
                return Err(error::confined(opt, backend.name, &source, rule.means));
            }
        }
        Ok(())
    }

    fn set_operators(&self, backend: &Descriptor, settings: &mut Settings) {
        for (name, value) in self.operators.get(backend.name).into_iter().flatten() {
            match value {
                Some(value) => settings.set(name, value.clone()),
                None => settings.unset(name),
            }
        }
    }

    fn has_one_at(&self, backend: &'static Descriptor, settings: &Settings) -> bool {
        let is_it = |vault: &Result<Arc<Vault>>| {
            let vault = vault.as_ref().ok().filter(|vault| vault.backend.name == backend.name);
            let known = vault.and_then(|vault| vault.settings.as_ref().ok());
            known.is_some_and(|known| is_same_place(backend, known, settings))
        };
        self.fixed.values().any(is_it) || self.live.lock().values().any(is_it)
    }

    /// Returns the name by which references reach a backend with just these options, which Kong handed to a strategy.
    /// Kong keeps values and renews them itself: each of its calls is to fetch. Kong adds a reference's options to
    /// these, so unless `trusted`, those that no reference may set must be as in a known vault. `strict`: references may
    /// set all but what is the operator's alone.
    pub fn of_strategy(
        &self,
        backend: &'static Descriptor,
        options: &BTreeMap<String, String>,
        trusted: bool,
        strict: bool,
    ) -> Result<String> {
        let indirect = IndirectValues::default();
        let mut settings = settings_of(backend, options, ConfigSource::Kong, &indirect, self.verification)?;
        if !trusted {
            self.set_operators(backend, &mut settings);
            if !strict && !self.has_one_at(backend, &settings) {
                return Err(error::not_named(backend));
            }
        }
        settings.set("ttl", Value::Seconds(AT_ONCE));
        for name in ["neg_ttl", "resurrect_ttl"] {
            settings.set(name, Value::Seconds(Duration::ZERO));
        }
        settings.unset("base64_decode");
        let vault = Arc::new(vault(backend.name, backend, Ok(settings)));
        let hash = vault.settings.as_ref().map(|sealed| hash_once(&sealed.instance_key)).unwrap_or_default();
        let mut known = self.strategies.lock();
        let mut number = 0u64;
        loop {
            // No prefix of an entity has an `@`.
            let name = format!("{}@{hash:016x}-{number}", backend.name);
            match known.get(&name) {
                Some(other) if !other.is_same(&vault) => number += 1,
                Some(_) => return Ok(name),
                None => {
                    known.put(name.clone(), vault);
                    return Ok(name);
                }
            }
        }
    }
}

/// Whether two vaults only differ in options that a reference may set, and in credentials. Kong may have renewed a
/// credential; and anybody else's, sent to the operator's own vault, reveals nothing. But a credential that also leads
/// to a server, such as `proxy`, must be the same.
fn is_same_place(backend: &'static Descriptor, one: &Settings, other: &Settings) -> bool {
    let fixed = options_of(backend).filter(|opt| !opt.overridable && (!opt.sensitive || opt.leads));
    fixed.map(|opt| opt.name).all(|name| one.get(name) == other.get(name))
}

fn settings_of(
    backend: &'static Descriptor,
    options: &BTreeMap<String, String>,
    source: ConfigSource<'_>,
    indirect: &IndirectValues,
    verification: Verification,
) -> Result<Settings> {
    let written = options.iter();
    let written: Vec<_> =
        written.map(|(option, value)| Assignment { option, value: Some(Cow::Borrowed(value)), source }).collect();
    merge::settings(backend, &written, indirect, verification)
}

fn vault(name: &str, backend: &'static Descriptor, settings: Result<Settings>) -> Vault {
    let settings = settings.and_then(|settings| match requirements::of_settings(backend, &settings).first() {
        Some(unmet) => Err(error::unmet(backend, name, unmet)),
        None => Ok(Arc::new(settings.seal())),
    });
    Vault { name: name.to_owned(), backend, settings }
}
