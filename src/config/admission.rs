//! Which environment variables references may read, and which of them hold credentials.

use std::collections::BTreeSet;

use super::credentials::{LONGEST, PREFIX, PREFIXES, is_env};
use super::{Config, IndirectValues};
use crate::backend::env::{self, Variable};
use crate::backend::{Descriptor, SecretId};
use crate::error::{Error, Kind, Result};
use crate::options::settings::Settings;
use crate::reference;

impl Config {
    /// Whether a reference may read what it names. People who write references are not trusted with kong-vault's
    /// credentials.
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

    /// Whether a variable is there for kong-vault alone: it sets an option, or a credential's option refers to it.
    pub fn is_own_variable(&self, name: &str) -> bool {
        self.credentials.is_configured(name)
    }

    /// Notes which variables hold the credentials of a configuration that does not change.
    pub(super) fn note_credentials(&mut self, indirect: &IndirectValues) {
        self.credentials.fixed = self.variables(indirect);
    }

    /// The same for entities that may change. Returns whether the variables are others than before.
    pub fn note_live_credentials(&self, indirect: &IndirectValues) -> bool {
        self.credentials.replace_live(self.variables(indirect))
    }

    fn variables(&self, indirect: &IndirectValues) -> BTreeSet<String> {
        indirect.credentials().iter().flat_map(|text| self.variables_of(text)).collect()
    }

    /// Returns the variables that a reference may mean, even where it is invalid or its vault is.
    fn variables_of(&self, text: &str) -> Vec<String> {
        let without_version = || text.split_once('#').map(|(text, _)| format!("{text}}}"));
        let parsed = reference::parse(text.as_bytes());
        let parsed = parsed.ok().or_else(|| reference::parse(without_version()?.as_bytes()).ok());
        let Some(parsed) = parsed else { return Vec::new() };
        // No variable has so long a name, and these names stay in memory as long as the entity.
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
            // The prefix in use, as it may come from a reference.
            let vault = self.vault(&parsed.name).ok().filter(|vault| is_env(vault.backend));
            let in_force = vault.and_then(|vault| Some(vault.settings.as_ref().ok()?.text(PREFIX)?.to_owned()));
            prefixes.extend(in_force);
        } else if !self.credentials.prefixes.contains_key(&*name) {
            return Vec::new();
        }
        // Only version 2 has a variable. Any other version is taken for a mistake, and the reference counts as one
        // without it.
        let version = parsed.version.filter(|version| *version == 2);
        let secret_id = SecretId { resource, version };
        prefixes.iter().filter_map(|prefix| env::variable(prefix, &secret_id)).map(|variable| variable.name).collect()
    }
}
