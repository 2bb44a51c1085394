//! Where configuration comes from: kong.conf keys, captured environment, declarative entities, a reference's query.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backend::Descriptor;
use crate::environment::Environment;
use crate::error::Result;
use crate::reference::Reference;
use crate::settings::Settings;

/// One vault that references can name: a backend by its own name, or an entity by its prefix.
pub struct Vault {
    pub name: String,
    pub backend: &'static Descriptor,
}

/// kong-vault's own options and all vaults.
pub struct Config {
    pub cache_size: usize,
    pub fetch_timeout: Duration,
}

impl Config {
    /// `conf`: what `configure` was given (keys of kong.conf), values as text; the environment wins over it, as in Kong.
    pub fn load(_conf: &BTreeMap<String, String>, _environment: &Environment) -> Result<Config> {
        todo!("helper C")
    }

    /// The vault that a reference names: `could not find vault (NAME)` where there is none or it is switched off.
    pub fn vault(&self, _name: &[u8]) -> Result<&Vault> {
        todo!("helper C")
    }

    /// The effective options of a reference.
    pub fn settings(&self, _vault: &Vault, _reference: &Reference) -> Result<Settings> {
        todo!("helper C")
    }
}
