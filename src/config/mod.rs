//! Where configuration comes from, weakest first: an option's default; kong.conf's keys (`configure`) and the captured
//! environment, which wins over them as in Kong; for a vault entity, its own config instead of those two; and, where an
//! option allows it, a reference's query.

mod entities;
mod source;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{ALL, Descriptor};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result, quote};
use crate::options::{COMMON, OWN, Opt};
use crate::reference::Reference;
use crate::settings::{Sealed, Settings, Value};
use source::Source;

/// Backends that Kong documents and that are not here yet: their options, in a configuration that Kong shares, are
/// nobody's mistake. So is Kong's rotation interval.
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
    vaults: HashMap<String, Vault>,
    /// The first thing that is wrong anywhere.
    flaw: Option<Error>,
}

/// A value that was written down somewhere.
struct Written<'a> {
    option: &'a str,
    value: Cow<'a, str>,
    source: Source<'a>,
}

impl Config {
    /// `conf`: what `configure` was given, values as text. An error here is one of kong-vault's own options; what is wrong
    /// with the options of one vault is that vault's error, and `check`'s.
    pub fn load(conf: &BTreeMap<String, String>, environment: &Environment) -> Result<Config> {
        Self::load_with(conf, environment, ALL)
    }

    /// `load` with other backends, for tests.
    pub fn load_with(
        conf: &BTreeMap<String, String>,
        environment: &Environment,
        backends: &[&'static Descriptor],
    ) -> Result<Config> {
        let mut flaw = None;
        let mut own = Settings::default();
        let mut written: BTreeMap<&str, Vec<Written<'_>>> = BTreeMap::new();
        fill_defaults(&mut own, OWN);
        let configured = conf.iter().map(|(key, value)| (key.clone(), value.as_str(), Source::Configure));
        let variables = environment.iter().filter(|(name, _)| name.starts_with("KONG_VAULT"));
        let variables = variables.filter_map(|(name, value)| {
            let key = name.strip_prefix("KONG_")?.to_lowercase();
            Some((key, value, Source::Environment(name)))
        });
        let keys: Vec<_> = configured.chain(variables).collect();
        for (key, value, source) in &keys {
            if let Some(opt) = OWN.iter().find(|opt| opt.is_called(key)) {
                own.set(opt.name, read(opt, value, "", source, key)?);
            } else if let Some((backend, option)) = of_backend(key, backends) {
                let value = Cow::Borrowed(*value);
                written.entry(backend).or_default().push(Written { option, value, source: source.clone() });
            } else if !KONGS_OWN.iter().any(|known| key.starts_with(known)) {
                flaw.get_or_insert(unknown_key(key, source, backends));
            }
        }
        let enabled = enabled(own.list("vaults"), backends)?;
        let mut config = Config {
            cache_size: own.integer("vault_cache_size").and_then(|size| size.try_into().ok()).unwrap_or(1),
            fetch_timeout: own.seconds("vault_fetch_timeout").unwrap_or_default(),
            breaker_interval: own.seconds("vault_breaker_interval").unwrap_or_default(),
            idle_ttl: own.seconds("vault_idle_ttl").unwrap_or_default(),
            strict_compatibility: own.boolean("vault_strict_compatibility"),
            vaults: HashMap::new(),
            flaw,
        };
        for backend in &enabled {
            config.add(backend.name, backend, written.get(backend.name).map_or(&[], Vec::as_slice));
        }
        if let Some(path) = own.text("vault_declarative_config") {
            for entity in entities::read(path, backends)? {
                // An entity of a backend that is off is not there, as that backend's own name is not.
                if !enabled.iter().any(|backend| backend.name == entity.backend.name) {
                    continue;
                }
                let source = Source::Entity(&entity.prefix);
                let options = entity.config.iter().map(|(option, value)| Written {
                    option,
                    value: Cow::Borrowed(value),
                    source: source.clone(),
                });
                config.add(&entity.prefix, entity.backend, &options.collect::<Vec<_>>());
            }
        }
        Ok(config)
    }

    fn add(&mut self, name: &str, backend: &'static Descriptor, written: &[Written<'_>]) {
        let settings = base(backend, written).map(|settings| Arc::new(settings.seal()));
        if let (None, Err(error)) = (&self.flaw, &settings) {
            self.flaw = Some(error.clone());
        }
        self.vaults.insert(name.to_owned(), Vault { name: name.to_owned(), backend, settings });
    }

    /// The first thing that is wrong, in whichever vault.
    pub fn check(&self) -> Result<()> {
        self.flaw.clone().map_or(Ok(()), Err)
    }

    /// The vault that a reference names.
    pub fn vault(&self, name: &[u8]) -> Result<&Vault> {
        std::str::from_utf8(name)
            .ok()
            .and_then(|name| self.vaults.get(name))
            .ok_or_else(|| Error::new(Kind::UnknownVault, format!("could not find vault ({})", quote(name, 64))))
    }

    /// The effective options of a reference.
    pub fn settings(&self, vault: &Vault, reference: &Reference) -> Result<Arc<Sealed>> {
        let base = vault.settings.as_ref().map_err(Clone::clone)?;
        let settings = if reference.options.is_empty() {
            Arc::clone(base)
        } else {
            Arc::new(self.overridden(vault, base, reference)?.seal())
        };
        let mut missing = options_of(vault.backend).filter(|opt| opt.required && settings.get(opt.name).is_none());
        if let Some(opt) = missing.next() {
            let (backend, name) = (vault.backend.name, opt.name);
            let upper = format!("KONG_VAULT_{}_{}", backend.to_uppercase(), name.to_uppercase());
            let text = format!(
                "option {name} of {backend} vault ({}) is missing: set configure key vault_{backend}_{name}, environment variable {upper}, or config.{name} of a vault entity",
                vault.name
            );
            return Err(Error::new(Kind::Config, text));
        }
        Ok(settings)
    }

    fn overridden(&self, vault: &Vault, base: &Settings, reference: &Reference) -> Result<Settings> {
        let mut settings = base.clone();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &reference.options {
            let (shown, backend) = (quote(name, 64), vault.backend);
            let text = std::str::from_utf8(name).unwrap_or_default();
            let opt = find(backend, text).ok_or_else(|| unknown_option(backend, &shown, &Source::Reference))?;
            if !opt.overridable && !self.strict_compatibility {
                let may: Vec<_> = options_of(backend).filter(|opt| opt.overridable).map(|opt| opt.name).collect();
                let text = format!(
                    "option {shown} of {} vault ({}) may not be set by a reference: only its operator says where the vault is and who we are; a reference may set {}",
                    backend.name,
                    vault.name,
                    may.join(", ")
                );
                return Err(Error::new(Kind::Config, text));
            }
            if seen.contains(&opt.name) {
                let text = format!("option {shown} of the {} vault is set twice by the reference", backend.name);
                return Err(Error::new(Kind::Config, text));
            }
            seen.push(opt.name);
            // A bare name switches on.
            let value = String::from_utf8_lossy(value.as_deref().unwrap_or(b"true"));
            settings.set(opt.name, read(opt, &value, backend.name, &Source::Reference, opt.name)?);
        }
        Ok(settings)
    }
}

/// All options of a backend: its own and those that all have.
pub fn options_of(backend: &Descriptor) -> impl Iterator<Item = &'static Opt> + use<> {
    backend.options.iter().chain(COMMON)
}

fn find(backend: &Descriptor, name: &str) -> Option<&'static Opt> {
    options_of(backend).find(|opt| opt.is_called(name))
}

fn base(backend: &'static Descriptor, written: &[Written<'_>]) -> Result<Settings> {
    let mut settings = Settings::default();
    fill_defaults(&mut settings, options_of(backend));
    for Written { option, value, source } in written {
        let opt = find(backend, option).ok_or_else(|| unknown_option(backend, option, source))?;
        let key = format!("vault_{}_{option}", backend.name);
        settings.set(opt.name, read(opt, value, backend.name, source, &key)?);
    }
    Ok(settings)
}

fn fill_defaults<'a>(settings: &mut Settings, options: impl IntoIterator<Item = &'a Opt>) {
    for opt in options {
        if let Some(value) = opt.default.and_then(|text| opt.read(text)) {
            settings.set(opt.name, value);
        }
    }
}

fn read(opt: &Opt, text: &str, backend: &str, source: &Source<'_>, key: &str) -> Result<Value> {
    opt.read(text).ok_or_else(|| {
        let of = if backend.is_empty() { String::new() } else { format!(" of the {backend} vault") };
        let shown = if opt.sensitive { String::new() } else { format!(" \"{}\"", quote(text.as_bytes(), 64)) };
        let text =
            format!("value{shown} of option {}{of}, set by {}, is not {}", opt.name, source.name(key), opt.accepts());
        Error::new(Kind::Config, text)
    })
}

/// Splits `vault_<backend>_<option>`.
fn of_backend<'a>(key: &'a str, backends: &[&'static Descriptor]) -> Option<(&'static str, &'a str)> {
    let rest = key.strip_prefix("vault_")?;
    backends.iter().find_map(|backend| Some((backend.name, rest.strip_prefix(backend.name)?.strip_prefix('_')?)))
}

fn enabled(wanted: &[String], backends: &[&'static Descriptor]) -> Result<Vec<&'static Descriptor>> {
    let mut enabled: Vec<&'static Descriptor> = Vec::new();
    for name in wanted {
        match (name.as_str(), backends.iter().find(|backend| backend.name == name)) {
            ("off", _) if wanted.len() == 1 => {}
            ("bundled", _) => enabled.extend(backends),
            (_, Some(backend)) => enabled.push(backend),
            (name, None) => {
                let names: Vec<_> = backends.iter().map(|backend| backend.name).collect();
                let text = format!(
                    "\"{}\" in option vaults is neither a vault nor `bundled`, nor `off` alone: the vaults are {}",
                    quote(name.as_bytes(), 64),
                    names.join(", ")
                );
                return Err(Error::new(Kind::Config, text));
            }
        }
    }
    Ok(enabled)
}

fn unknown_option(backend: &Descriptor, option: &str, source: &Source<'_>) -> Error {
    let names: Vec<_> = options_of(backend).map(|opt| opt.name).collect();
    let key = format!("vault_{}_{option}", backend.name);
    let option = quote(option.as_bytes(), 64);
    let text = format!(
        "unknown option {option} of the {} vault, set by {}{}: accepted are {}",
        backend.name,
        source.name(&key),
        did_you_mean(&option, &names),
        names.join(", ")
    );
    Error::new(Kind::Config, text)
}

fn unknown_key(key: &str, source: &Source<'_>, backends: &[&'static Descriptor]) -> Error {
    let own: Vec<_> = OWN.iter().map(|opt| opt.name).collect();
    let vaults: Vec<_> = backends.iter().map(|backend| format!("vault_{}_…", backend.name)).collect();
    let key = quote(key.as_bytes(), 64);
    let text = format!(
        "unknown option {key}, set by {}{}: accepted are {}, {}",
        source.name(&key),
        did_you_mean(&key, &own),
        own.join(", "),
        vaults.join(", ")
    );
    Error::new(Kind::Config, text)
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 2 => format!(" (did you mean {known}?)"),
        _ => String::new(),
    }
}
