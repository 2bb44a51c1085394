//! Which variables of the environment hold credentials of ours: references don't read them through the `env` vault, unless
//! the operator says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::merge::Assignment;
use super::{Config, EntityResult, IndirectValues};
use crate::backend::env::{self, Variable};
use crate::backend::{Descriptor, SecretId, registry::CREDENTIALS};
use crate::error::{Error, Kind, Result};
use crate::options::settings::Settings;
use crate::options::variable;
use crate::reference;

/// What the `env` vault appends for a secret's version before.
const PREVIOUS: &str = "_PREVIOUS";

/// The option of that vault which says what stands before the names of variables.
const PREFIX: &str = "prefix";

/// The longest part of a variable's name, in bytes, and the most prefixes, that are looked at in a reference.
const LONGEST: usize = 4096;
const PREFIXES: usize = 8;

/// Variables whose values are credentials because options refer to them, and those that the operator lets be read.
#[derive(Default)]
pub struct Credentials {
    allowed: BTreeSet<String>,
    /// Named by kong.conf, the environment and the declarative file.
    fixed: BTreeSet<String>,
    /// Named by entities that change.
    live: Mutex<BTreeSet<String>>,
    /// The vaults of the environment that the configuration's own references may name, and what each puts before the names
    /// of variables: as it was written, even where the vault can't be used.
    prefixes: BTreeMap<String, BTreeSet<String>>,
}

impl fmt::Debug for Credentials {
    /// What the operator gave for a name may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} allowed variables]", self.allowed.len())
    }
}

impl Credentials {
    pub fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.iter().cloned().collect(), ..Self::default() }
    }

    /// Notes what is written down for the `env` vault itself.
    pub(super) fn note_prefixes<'a>(&mut self, written: impl Iterator<Item = &'a Assignment<'a>>) {
        let written = written.filter(|entry| entry.option == PREFIX).filter_map(|entry| entry.value.as_deref());
        // Kong's users may have white space around it, which is not meant.
        let mut prefixes: BTreeSet<_> = written.flat_map(|value| [value, value.trim()]).map(str::to_owned).collect();
        if prefixes.is_empty() {
            prefixes.insert(String::new());
        }
        self.prefixes.insert(env::DESCRIPTOR.name.to_owned(), prefixes);
    }

    /// The same for an entity of the declarative file; one that is broken may have been meant for one of the environment.
    pub(super) fn note_entity(&mut self, listed: &EntityResult) {
        let (name, prefix) = match listed {
            Ok(entity) if is_env(entity.backend) => (Some(&entity.prefix), entity.config.get(PREFIX)),
            Ok(_) => return,
            Err(broken) => (broken.prefix.as_ref(), broken.variables_begin.as_ref()),
        };
        if let Some(name) = name {
            self.prefixes.entry(name.clone()).or_default().insert(prefix.cloned().unwrap_or_default());
        }
    }

    fn is_one(&self, name: &str) -> bool {
        // All options that can be set by a variable are set by one of these, those of other backends as well.
        if name.starts_with(&variable("vault_")) {
            return true;
        }
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let current = name.strip_suffix(PREVIOUS).unwrap_or(name);
        [name, current].into_iter().any(|name| {
            CREDENTIALS.iter().any(|names| names.contains(&name)) || self.fixed.contains(name) || live.contains(name)
        })
    }
}

impl Config {
    /// Whether a reference may read what it names. Whoever writes one need not be allowed to see our credentials.
    pub fn admits_reading(
        &self,
        vault: &str,
        backend: &Descriptor,
        settings: &Settings,
        secret_id: &SecretId,
    ) -> Result<()> {
        let prefix = settings.text(PREFIX).unwrap_or_default();
        let variable = if is_env(backend) { env::variable(prefix, secret_id) } else { None };
        match variable {
            Some(Variable { name, shown })
                if self.credentials.is_one(&name) && !self.credentials.allowed.contains(&name) =>
            {
                let text = format!(
                    "env vault ({vault}) does not let references read {shown}, a credential of kong-vault's own: use \
                     another variable, or add {shown} to vault_allow_env_credentials"
                );
                Err(Error::new(Kind::Config, text))
            }
            _ => Ok(()),
        }
    }

    /// Notes which variables the configuration's own credentials are read from.
    pub(super) fn note_credentials(&mut self, indirect: &IndirectValues) {
        self.credentials.fixed = self.variables(indirect);
    }

    /// The same for entities that change. Returns whether there are others than before.
    pub fn note_live_credentials(&self, indirect: &IndirectValues) -> bool {
        let names = self.variables(indirect);
        let mut live = self.credentials.live.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *live != names;
        *live = names;
        changed
    }

    fn variables(&self, indirect: &IndirectValues) -> BTreeSet<String> {
        indirect.credentials().iter().flat_map(|text| self.variables_of(text)).collect()
    }

    /// The variables that a reference may mean, also where something is wrong with it, or with the vault that it names.
    fn variables_of(&self, text: &str) -> Vec<String> {
        let without_version = || text.split_once('#').map(|(text, _)| format!("{text}}}"));
        let parsed = reference::parse(text.as_bytes());
        let parsed = parsed.ok().or_else(|| reference::parse(without_version()?.as_bytes()).ok());
        let Some(parsed) = parsed else { return Vec::new() };
        // No variable has such a name, and what an entity says is kept as long as the entity is.
        if parsed.resource.len() > LONGEST {
            return Vec::new();
        }
        let Ok(resource) = String::from_utf8(parsed.resource) else { return Vec::new() };
        let name = String::from_utf8_lossy(&parsed.name);
        let of_query = parsed
            .options
            .iter()
            .filter(|(name, _)| name == PREFIX.as_bytes())
            .filter_map(|(_, value)| String::from_utf8(value.clone().unwrap_or_default()).ok())
            .filter(|prefix| prefix.len() <= LONGEST)
            .take(PREFIXES);
        let mut prefixes: BTreeSet<String> = of_query.collect();
        if prefixes.is_empty() {
            prefixes = self.credentials.prefixes.get(&*name).cloned().unwrap_or_default();
            // What is in force, where it was a reference itself.
            let vault = self.vault(&parsed.name).ok().filter(|vault| is_env(vault.backend));
            let in_force = vault.and_then(|vault| Some(vault.settings.as_ref().ok()?.text(PREFIX)?.to_owned()));
            prefixes.extend(in_force);
        } else if !self.credentials.prefixes.contains_key(&*name) {
            return Vec::new();
        }
        // Of another version there is no variable; then it is the mistake.
        let version = parsed.version.filter(|version| *version == 2);
        let secret_id = SecretId { resource, version };
        prefixes.iter().filter_map(|prefix| env::variable(prefix, &secret_id)).map(|variable| variable.name).collect()
    }
}

fn is_env(backend: &Descriptor) -> bool {
    backend.name == env::DESCRIPTOR.name
}
