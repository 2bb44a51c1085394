//! Where configuration comes from, weakest first: an option's default; kong.conf's keys (`configure`) and the captured
//! environment, which wins over them as in Kong; for a vault entity, its own config instead of those two; and, where an
//! option allows it, a reference's query.

mod entities;
pub mod entity;
mod source;
mod written;
mod wrong;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{ALL, Descriptor};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result, quote};
use crate::options::OWN;
use crate::reference::Reference;
use crate::settings::{Sealed, Settings};
pub use source::Source;
use written::Written;
pub use written::options_of;

/// Backends that Kong documents and that are not here yet: no vault entity may take their names.
const LATER: [&str; 4] = ["gcp", "azure", "conjur", "fs"];

/// What else Kong's own configuration holds: in one that it shares with us, those keys are nobody's mistake.
const KONGS_OWN: [&str; 5] = ["vault_gcp_", "vault_azure_", "vault_conjur_", "vault_fs_", "vault_rotation_interval"];

/// One vault that references can name: a backend by its own name, or an entity by its prefix.
#[derive(Debug)]
pub struct Vault {
    pub name: String,
    pub backend: &'static Descriptor,
    /// The options without a reference's; or what is wrong with them.
    settings: Result<Arc<Sealed>>,
}

/// kong-vault's own options and all vaults.
#[derive(Debug)]
pub struct Config {
    pub cache_size: usize,
    pub fetch_timeout: Duration,
    pub breaker_interval: Duration,
    pub idle_ttl: Duration,
    strict_compatibility: bool,
    /// By name; an entity that can't be one has what is wrong with it in its place.
    vaults: HashMap<String, Result<Vault>>,
    /// The first thing that is wrong anywhere.
    flaw: Option<Error>,
}

impl Config {
    /// `conf`: what `configure` was given, values as text. An error here is one of kong-vault's own options; what is wrong
    /// with the options of one vault is that vault's error, and `check`'s.
    pub fn load(conf: &BTreeMap<String, String>, environment: &Environment) -> Result<Config> {
        Self::load_with(conf, Source::Configure, environment, ALL)
    }

    /// `load` with keys from elsewhere, or with other backends.
    pub fn load_with(
        conf: &BTreeMap<String, String>,
        written_in: Source<'_>,
        environment: &Environment,
        backends: &[&'static Descriptor],
    ) -> Result<Config> {
        let keys: Vec<(String, Option<&str>, Source<'_>)> = conf
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.as_str()), written_in))
            .chain(environment.iter().filter_map(|(name, value)| {
                let key = name.strip_prefix("KONG_")?.to_ascii_lowercase();
                let ours = key == "vaults" || key.starts_with("vault_");
                (ours && !is_service_link(&key)).then_some((key, value.as_str(), Source::Environment(name)))
            }))
            .collect();
        let mut own = written::defaults(OWN);
        let mut flaw = None;
        let mut of_backends: BTreeMap<&str, Vec<Written<'_>>> = BTreeMap::new();
        let mut vaults_set_by = String::new();
        for (key, value, source) in &keys {
            let entry = |option| Written { option, value: value.map(Cow::Borrowed), source: *source };
            if let Some(opt) = OWN.iter().find(|opt| opt.is_called(key)) {
                written::put(&mut own, opt, "", &entry(key))?;
                if opt.name == "vaults" {
                    vaults_set_by = source.name(key);
                }
            } else if let Some((backend, option)) = of_backend(key, backends) {
                of_backends.entry(backend).or_default().push(entry(option));
            } else if !KONGS_OWN.iter().any(|known| key.starts_with(known)) {
                flaw.get_or_insert_with(|| wrong::unknown_key(&entry(key), backends));
            }
        }
        let mut config = Config {
            cache_size: own.integer("vault_cache_size").and_then(|size| size.try_into().ok()).unwrap_or(1),
            fetch_timeout: own.seconds("vault_fetch_timeout").unwrap_or_default(),
            breaker_interval: own.seconds("vault_breaker_interval").unwrap_or_default(),
            idle_ttl: own.seconds("vault_idle_ttl").unwrap_or_default(),
            strict_compatibility: own.boolean("vault_strict_compatibility"),
            vaults: HashMap::new(),
            flaw,
        };
        let enabled = enabled(own.list("vaults"), &vaults_set_by, backends)?;
        for backend in backends {
            let settings = written::settings(backend, of_backends.get(backend.name).map_or(&[], Vec::as_slice));
            config.add(backend.name, backend, settings, &enabled);
        }
        if let Some(path) = own.text("vault_declarative_config") {
            config.add_entities(path, &enabled, backends)?;
        }
        Ok(config)
    }

    fn add_entities(&mut self, path: &str, enabled: &[&str], backends: &[&'static Descriptor]) -> Result<()> {
        let file = entities::read(path, backends)?;
        for entity in &file.entities {
            let source = Source::Entity { prefix: &entity.prefix, file: path };
            let written = entity.config.iter();
            let written: Vec<_> =
                written.map(|(option, value)| Written { option, value: Some(Cow::Borrowed(value)), source }).collect();
            self.add(&entity.prefix, entity.backend, written::settings(entity.backend, &written), enabled);
        }
        for (prefix, error) in file.broken {
            self.flaw.get_or_insert_with(|| error.clone());
            if let Some(prefix) = prefix {
                self.vaults.insert(prefix, Err(error));
            }
        }
        Ok(())
    }

    /// What is wrong with the options of a vault that is off is still wrong; but the vault is not there.
    fn add(&mut self, name: &str, backend: &'static Descriptor, settings: Result<Settings>, enabled: &[&str]) {
        if let Err(error) = &settings {
            self.flaw.get_or_insert_with(|| error.clone());
        }
        if enabled.contains(&backend.name) {
            let settings = settings.map(|settings| Arc::new(settings.seal()));
            self.vaults.insert(name.to_owned(), Ok(Vault { name: name.to_owned(), backend, settings }));
        }
    }

    /// The first thing that is wrong, in whichever vault.
    pub fn check(&self) -> Result<()> {
        self.flaw.clone().map_or(Ok(()), Err)
    }

    /// The vault that a reference names.
    pub fn vault(&self, name: &[u8]) -> Result<&Vault> {
        let vault = std::str::from_utf8(name).ok().and_then(|name| self.vaults.get(name));
        vault
            .ok_or_else(|| Error::new(Kind::UnknownVault, format!("could not find vault ({})", quote(name, 64))))?
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The effective options of a reference.
    pub fn settings(&self, vault: &Vault, reference: &Reference) -> Result<Arc<Sealed>> {
        let base = vault.settings.as_ref().map_err(Clone::clone)?;
        let settings = if reference.options.is_empty() {
            Arc::clone(base)
        } else {
            Arc::new(self.overridden(vault, base, reference)?.seal())
        };
        match options_of(vault.backend).find(|opt| opt.required && settings.get(opt.name).is_none()) {
            Some(opt) => Err(wrong::missing(vault, opt)),
            None => Ok(settings),
        }
    }

    fn overridden(&self, vault: &Vault, base: &Settings, reference: &Reference) -> Result<Settings> {
        let (mut settings, backend) = (base.clone(), vault.backend);
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &reference.options {
            let name = String::from_utf8_lossy(name);
            // A bare name switches on.
            let value = value.as_deref().unwrap_or(b"true");
            let value = std::str::from_utf8(value).ok().map(Cow::Borrowed);
            let entry = Written { option: &name, value, source: Source::Reference };
            let opt = written::find(backend, &name).ok_or_else(|| wrong::unknown_option(backend, &entry))?;
            if !opt.overridable && !self.strict_compatibility {
                return Err(wrong::not_overridable(vault, opt));
            }
            if seen.contains(&opt.name) {
                return Err(wrong::twice(backend, opt, &entry, &entry));
            }
            seen.push(opt.name);
            written::put(&mut settings, opt, backend.name, &entry)?;
        }
        Ok(settings)
    }
}

/// Splits `vault_<backend>_<option>`.
fn of_backend<'a>(key: &'a str, backends: &[&'static Descriptor]) -> Option<(&'static str, &'a str)> {
    let rest = key.strip_prefix("vault_")?;
    backends.iter().find_map(|backend| Some((backend.name, rest.strip_prefix(backend.name)?.strip_prefix('_')?)))
}

/// Kubernetes gives every container variables about every service of its namespace; one may be called `kong-vault`.
fn is_service_link(key: &str) -> bool {
    let Some(rest) = key.strip_prefix("vault_") else { return false };
    let numbered = || rest.strip_prefix("port_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    rest == "service_host"
        || rest == "service_port"
        || rest.starts_with("service_port_")
        || rest == "port"
        || numbered()
}

/// The names of the backends that are on.
fn enabled(wanted: &[String], set_by: &str, backends: &[&'static Descriptor]) -> Result<Vec<&'static str>> {
    let mut enabled = Vec::new();
    for name in wanted {
        match (name.as_str(), backends.iter().find(|backend| backend.name == name)) {
            ("off", _) if wanted.len() == 1 => {}
            ("bundled", _) => enabled.extend(wrong::names(backends)),
            (_, Some(backend)) => enabled.push(backend.name),
            (name, None) => return Err(wrong::unknown_vault(name, set_by, backends)),
        }
    }
    if wanted.is_empty() { Err(wrong::no_vaults(backends)) } else { Ok(enabled) }
}
