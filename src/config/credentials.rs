//! Which variables of the environment hold credentials of ours: references don't read them through the `env` vault, unless
//! the operator says so.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::{Config, Referred};
use crate::backend::env::{self, Variable};
use crate::backend::{Ask, CREDENTIALS, Descriptor};
use crate::error::{Error, Kind, Result};
use crate::options::variable;
use crate::reference;
use crate::settings::Settings;

/// What the `env` vault appends for a secret's version before.
const PREVIOUS: &str = "_PREVIOUS";

/// Variables whose values are credentials because options refer to them, and those that the operator lets be read.
#[derive(Default)]
pub struct Credentials {
    allowed: BTreeSet<String>,
    /// Named by kong.conf, the environment and the declarative file.
    fixed: BTreeSet<String>,
    /// Named by entities that change.
    live: Mutex<BTreeSet<String>>,
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
    pub fn admits_reading(&self, vault: &str, backend: &Descriptor, settings: &Settings, ask: &Ask) -> Result<()> {
        let prefix = settings.text("prefix").unwrap_or_default();
        let variable = if is_env(backend) { env::variable(prefix, ask) } else { None };
        match variable {
            Some(Variable { name, shown })
                if self.credentials.is_one(&name) && !self.credentials.allowed.contains(&name) =>
            {
                let text = format!(
                    "env vault ({vault}) doesn't show {shown} to references, as it holds a credential of kong-vault's own: \
                     give the value to another variable, or let the operator name {shown} in vault_allow_env_credentials"
                );
                Err(Error::new(Kind::Config, text))
            }
            _ => Ok(()),
        }
    }

    /// Notes which variables the configuration's own credentials are read from.
    pub(super) fn note_credentials(&mut self, referred: &Referred) {
        self.credentials.fixed = self.variables(referred);
    }

    /// The same for entities that change. Returns whether there are others than before.
    pub fn note_live_credentials(&self, referred: &Referred) -> bool {
        let names = self.variables(referred);
        let mut live = self.credentials.live.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *live != names;
        *live = names;
        changed
    }

    fn variables(&self, referred: &Referred) -> BTreeSet<String> {
        let name = |text: &String| {
            let reference = reference::parse(text.as_bytes()).ok()?;
            let vault = self.vault(&reference.name).ok()?;
            let settings = self.settings(&vault, &reference).ok()?;
            let ask = Ask { resource: String::from_utf8(reference.resource).ok()?, version: reference.version };
            let prefix = settings.text("prefix").unwrap_or_default();
            is_env(vault.backend).then(|| env::variable(prefix, &ask)).flatten().map(|variable| variable.name)
        };
        referred.credentials().iter().filter_map(name).collect()
    }
}

fn is_env(backend: &Descriptor) -> bool {
    backend.name == env::DESCRIPTOR.name
}
