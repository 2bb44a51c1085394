//! Which environment variables hold kong-vault's own credentials. References can't read these through the `env` vault,
//! unless the operator allows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::assignment::Assignment;
use super::entity::EntityResult;
use crate::backend::env;
use crate::backend::{Descriptor, registry::CREDENTIALS};
use crate::options::variable;
use crate::sync::{Rank, Ranked};

/// How the name of the variable ends that has a secret's previous version.
const PREVIOUS: &str = "_PREVIOUS";

/// The option of the `env` vault that says how the names of variables begin.
pub(super) const PREFIX: &str = "prefix";

/// The longest part of a variable's name, in bytes, and the most prefixes, that are looked at in a reference.
pub(super) const LONGEST: usize = 4096;
pub(super) const PREFIXES: usize = 8;

/// Variables that hold credentials, as options refer to them; and those that the operator allows references to read.
pub struct CredentialVariables {
    pub(super) allowed: BTreeSet<String>,
    /// Named by kong.conf, the environment and the declarative file.
    pub(super) fixed: BTreeSet<String>,
    /// Named by entities that change.
    live: Ranked<BTreeSet<String>>,
    /// The `env` vaults that the configuration's own references may name, each with its prefixes as they were written,
    /// even where the vault is invalid.
    pub(super) prefixes: BTreeMap<String, BTreeSet<String>>,
}

impl fmt::Debug for CredentialVariables {
    /// Shows only a number: a secret may have been given as a name by mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} allowed variables]", self.allowed.len())
    }
}

impl CredentialVariables {
    pub fn new(allowed: &[String]) -> Self {
        Self {
            allowed: allowed.iter().cloned().collect(),
            fixed: BTreeSet::new(),
            live: Ranked::new(Rank::Configuration, BTreeSet::new()),
            prefixes: BTreeMap::new(),
        }
    }

    /// Notes the prefixes that are set for the `env` vault itself.
    pub(super) fn note_prefixes<'a>(&mut self, written: impl Iterator<Item = &'a Assignment<'a>>) {
        let written = written.filter(|entry| entry.option == PREFIX).filter_map(|entry| entry.value.as_deref());
        // White space around a value may not be meant, so the prefix counts with and without it.
        let mut prefixes: BTreeSet<_> = written.flat_map(|value| [value, value.trim()]).map(str::to_owned).collect();
        if prefixes.is_empty() {
            prefixes.insert(String::new());
        }
        self.prefixes.insert(env::DESCRIPTOR.name.to_owned(), prefixes);
    }

    /// The same for an entity of the declarative file. A broken one may have been meant as an `env` vault.
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

    /// Replaces the variables that entities name. Returns whether they are others than before.
    pub(super) fn replace_live(&self, names: BTreeSet<String>) -> bool {
        let mut live = self.live.lock();
        let changed = *live != names;
        *live = names;
        changed
    }

    pub(super) fn is_one(&self, name: &str) -> bool {
        let current = name.strip_suffix(PREVIOUS).unwrap_or(name);
        let is_known = |name| CREDENTIALS.iter().any(|names| names.contains(&name));
        is_known(name) || is_known(current) || self.is_configured(name)
    }

    /// Whether a variable sets an option, or an option that is a credential refers to it.
    pub(super) fn is_configured(&self, name: &str) -> bool {
        // All variables that set options begin like this, also those of backends that only Kong has.
        if name.starts_with(&variable("vault_")) {
            return true;
        }
        let live = self.live.lock();
        let current = name.strip_suffix(PREVIOUS).unwrap_or(name);
        [name, current].into_iter().any(|name| self.fixed.contains(name) || live.contains(name))
    }
}

pub(super) fn is_env(backend: &Descriptor) -> bool {
    backend.name == env::DESCRIPTOR.name
}
