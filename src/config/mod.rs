//! Where configuration comes from, weakest first: an option's default; kong.conf's keys (`configure`) and the captured
//! environment, which wins over them as in Kong; for a vault entity, its own config instead of those two; and, where an
//! option allows it, a reference's query.
//!
//! It uses the backends' option tables and the grammar of references. It must never fetch: indirect values are resolved
//! above it.

mod admission;
mod assignment;
mod credentials;
pub mod declarative;
mod enabled;
pub mod entity;
mod error;
mod incomplete;
mod indirect;
mod keys;
mod merge;
mod metrics;
mod others;
mod registry;
mod requirements;
mod source;
mod vault;
mod verification;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Descriptor, env, registry::ALL};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::options::Opt;
use crate::options::own::OWN;
use crate::options::settings::{FinalSettings, Settings};
use crate::options::value::Value;
use crate::reference::{Reference, is_reference};
use crate::secret::Secret;
use crate::spans::Collector;
use assignment::Assignment;
pub use assignment::options_of;
use credentials::CredentialVariables;
pub use declarative::LIMIT as LARGEST_FILE;
use declarative::Reading;
use enabled::enabled;
use entity::Broken;
pub use entity::EntityResult;
pub use error::{accepted, did_you_mean, unverified_in_words};
pub use incomplete::Incomplete;
pub use indirect::IndirectValues;
pub use keys::{KONGS_FILE, dropped, is_kongs_own, is_own};
use keys::{LAZY, is_service_link, of_backend};
use metrics::MAX as METRICS_MAX;
pub use metrics::MetricsReferences;
pub use others::Others;
use registry::Vaults;
pub use registry::{Fate, ListedVault, PreparedEntities};
pub use source::ConfigSource;
pub use vault::Vault;
pub use verification::{OPTION as VERIFICATION, Verification};

/// kong-vault's own options and all vaults.
#[derive(Debug)]
pub struct Config {
    pub cache_size: usize,
    pub fetch_timeout: Duration,
    pub breaker_interval: Duration,
    pub idle_ttl: Duration,
    /// How the metrics name references, and how many documents are known by name.
    pub metrics_references: MetricsReferences,
    pub metrics_references_max: usize,
    /// The directory of entities that may change.
    pub data_dir: Option<String>,
    /// The token of the Admin API; an error where it is empty, or a reference without a value: then all requests are
    /// refused.
    pub admin_token: Result<Option<Secret>>,
    /// The tokens of the Admin API that have names, as the option lists them.
    pub admin_tokens: Option<Secret>,
    /// Where the audit log goes, and which look-ups it has.
    pub audit_log: String,
    pub audit_reads: String,
    strict_compatibility: bool,
    /// Who gets spans of fetches.
    pub collector: Option<Collector>,
    /// Whether Kong's plugins get their secrets with their first request.
    pub lazy: bool,
    verification: Verification,
    credentials: CredentialVariables,
    vaults: Vaults,
    others: Others,
    /// The first error, except those about missing options (`incomplete`).
    flaw: Option<Error>,
    incomplete: Vec<Incomplete>,
}

impl Config {
    /// `conf`: the keys of `configure`, with their values as text. Returns only errors about kong-vault's own options.
    /// An error about the options of a vault is that vault's, and `check` returns it.
    pub fn load(conf: &BTreeMap<String, String>, environment: &Environment) -> Result<Config> {
        Self::load_with(conf, ConfigSource::Configure, environment, ALL, &IndirectValues::default())
    }

    /// `load` with keys from another source, other backends, or known indirect values.
    pub fn load_with(
        conf: &BTreeMap<String, String>,
        written_in: ConfigSource<'_>,
        environment: &Environment,
        backends: &[&'static Descriptor],
        indirect: &IndirectValues,
    ) -> Result<Config> {
        let keys: Vec<(String, Option<&str>, ConfigSource<'_>)> = conf
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.as_str()), written_in))
            .chain(environment.iter().filter_map(|(name, value)| {
                let key = name.strip_prefix("KONG_")?.to_ascii_lowercase();
                let ours = is_own(&key) || key.starts_with("vault_");
                (ours && !is_service_link(&key)).then_some((key, value.as_str(), ConfigSource::Environment(name)))
            }))
            .collect();
        // Before anything can fail. Kong hands over the values of its references; the references are in the
        // environment.
        for (key, value, _) in &keys {
            note_assignment(key, value.unwrap_or_default(), backends, indirect);
        }
        // Kong reads the environment itself, but for options that it may not have.
        let is_read = |(key, _, source): &&(String, Option<&str>, ConfigSource<'_>)| {
            !matches!((written_in, source), (ConfigSource::Kong, ConfigSource::Environment(_))) || keys::is_newer(key)
        };
        let mut own = merge::defaults(OWN);
        let (mut flaw, mut tokens_flaw) = (None, None);
        let mut of_backends: BTreeMap<&str, Vec<Assignment<'_>>> = BTreeMap::new();
        let (mut vaults_set_by, mut kongs_file) = (None, None);
        let mut unknown: Vec<Assignment<'_>> = Vec::new();
        for (key, value, source) in keys.iter().filter(is_read) {
            let entry = |option| Assignment { option, value: value.map(Cow::Borrowed), source: *source };
            if let Some(opt) = OWN.iter().find(|opt| opt.is_called(key)) {
                match merge::put(&mut own, opt, "", &entry(key), indirect) {
                    // All requests are refused, even where another source overrides this token: which one is meant is
                    // not known. The vaults remain usable.
                    Err(error) if opt.guards => {
                        tokens_flaw.get_or_insert_with(|| error.clone());
                        flaw.get_or_insert(error);
                    }
                    // The caller resolves the reference, and loads the configuration again.
                    Err(error) if value.is_some_and(|value| is_reference(value.as_bytes())) => {
                        if opt.name == VERIFICATION {
                            own.set(opt.name, Value::Boolean(true));
                        }
                        flaw.get_or_insert(error);
                    }
                    put => put?,
                }
                if opt.name == "vaults" {
                    vaults_set_by = Some(*source);
                }
            } else if let Some((backend, option)) = of_backend(key, backends) {
                of_backends.entry(backend).or_default().push(entry(option));
            } else if key == KONGS_FILE && matches!(source, ConfigSource::File(_)) {
                kongs_file = value.map(str::trim).filter(|path| !path.is_empty());
            } else if !is_kongs_own(key) {
                unknown.push(entry(key));
            }
        }
        let (enabled, others) =
            enabled(own.list("vaults"), vaults_set_by.unwrap_or(ConfigSource::Configure), backends)?;
        if let Some(entry) = unknown.iter().find(|entry| !others.have_key(entry.option)) {
            flaw.get_or_insert_with(|| error::unknown_key(entry, backends));
        }
        let collector = collector(&own).unwrap_or_else(|error| {
            flaw.get_or_insert(error);
            None
        });
        let verification = Verification::new(own.boolean(VERIFICATION));
        let mut config = Config {
            cache_size: own.integer("vault_cache_size").and_then(|size| size.try_into().ok()).unwrap_or(1),
            fetch_timeout: own.seconds("vault_fetch_timeout").unwrap_or_default(),
            breaker_interval: own.seconds("vault_breaker_interval").unwrap_or_default(),
            idle_ttl: own.seconds("vault_idle_ttl").unwrap_or_default(),
            metrics_references: MetricsReferences::new(own.text("vault_metrics_references")),
            metrics_references_max: own.integer(METRICS_MAX).and_then(|most| most.try_into().ok()).unwrap_or(1),
            data_dir: own.text("vault_data_dir").map(str::to_owned),
            admin_token: tokens_flaw.map_or_else(|| Ok(own.secret("vault_admin_token").cloned()), Err),
            admin_tokens: own.secret("vault_admin_tokens").cloned(),
            audit_log: own.text("vault_audit_log").unwrap_or_default().to_owned(),
            audit_reads: own.text("vault_audit_reads").unwrap_or_default().to_owned(),
            strict_compatibility: own.boolean("vault_strict_compatibility"),
            collector,
            lazy: own.boolean(LAZY),
            verification,
            credentials: CredentialVariables::new(own.list("vault_allow_env_credentials")),
            vaults: Vaults::new(enabled, verification),
            others,
            flaw,
            incomplete: Vec::new(),
        };
        config.credentials.note_prefixes(of_backends.get(env::DESCRIPTOR.name).into_iter().flatten());
        for backend in backends {
            let written = of_backends.get(backend.name).map_or(&[][..], Vec::as_slice);
            let settings = merge::settings(backend, written, indirect, verification);
            let incomplete = settings.as_ref().map_or_else(|_| Vec::new(), |it| Incomplete::find_all(backend, it));
            let added = config.vaults.add(backend.name, backend, settings);
            if incomplete.is_empty() {
                config.note(added);
            }
            config.incomplete.extend(incomplete);
        }
        if let Some(path) = own.text("vault_declarative_config") {
            config.add_entities("vault_declarative_config", path, backends, indirect)?;
        }
        if let Some(path) = kongs_file.filter(|path| Some(*path) != own.text("vault_declarative_config")) {
            let added = config.add_entities(KONGS_FILE, path, backends, indirect);
            config.note(added);
        }
        config.note_credentials(indirect);
        Ok(config)
    }

    /// Adds the entities of a file that `key` names. Where two files have the same entity, that of the first file
    /// counts.
    fn add_entities(
        &mut self,
        key: &str,
        path: &str,
        backends: &[&'static Descriptor],
        indirect: &IndirectValues,
    ) -> Result<()> {
        let file = declarative::load(Reading { key, path, backends, others: &self.others }, self.fetch_timeout)?;
        let known: BTreeSet<_> = self.vaults.names_of_fixed().map(str::to_owned).collect();
        for entity in file.entities.iter().cloned().map(Ok).chain(file.broken.iter().cloned().map(Err)) {
            indirect.note_entity(&entity);
            self.credentials.note_entity(&entity);
        }
        for entity in file.entities.iter().filter(|entity| !known.contains(&entity.prefix)) {
            let settings = self.vaults.of_entity(entity, path, indirect);
            let added = self.vaults.add(&entity.prefix, entity.backend, settings);
            self.note(added);
        }
        for Broken { prefix, error, .. } in file.broken {
            // An entity that is left to Kong is no mistake.
            if error.kind() != Kind::UnknownVault {
                self.note(Err(error.clone()));
            }
            if let Some(prefix) = prefix.filter(|prefix| !known.contains(prefix)) {
                self.vaults.add_broken(prefix, error);
            }
        }
        Ok(())
    }

    fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.flaw.get_or_insert(error);
        }
    }

    /// Returns the first error, in whichever vault.
    pub fn check(&self) -> Result<()> {
        self.check_apart().and(self.incomplete.first().map_or(Ok(()), |incomplete| Err(incomplete.error.clone())))
    }

    /// `check` for options that are checked apart from others, so that missing ones don't count.
    pub fn check_apart(&self) -> Result<()> {
        self.flaw.clone().map_or(Ok(()), Err)
    }

    /// The options of backends that are missing although others need them.
    pub fn incomplete(&self) -> &[Incomplete] {
        &self.incomplete
    }

    /// Whether vaults may leave certificates unverified.
    pub fn verification(&self) -> Verification {
        self.verification
    }

    /// The strategies that Kong has, and kong-vault does not provide.
    pub fn others(&self) -> &Others {
        &self.others
    }

    /// The vault that a reference names.
    pub fn vault(&self, name: &[u8]) -> Result<Arc<Vault>> {
        self.vaults.find(name)
    }

    /// The vaults that don't change, and whose options are valid: backends, and entities of the declarative file.
    pub fn fixed_vaults(&self) -> impl Iterator<Item = (&str, &'static Descriptor, &FinalSettings)> {
        self.vaults.fixed()
    }

    /// All vaults that references can name, in the order of their names.
    pub fn listed_vaults(&self) -> Vec<ListedVault> {
        self.vaults.listed()
    }

    /// Whether a name is taken by a backend or by an entity of the declarative file.
    pub fn is_fixed(&self, name: &str) -> bool {
        self.vaults.is_fixed(name)
    }

    /// Reads entities that are to replace all those that may change. `place`: where they stand, for error texts.
    pub fn read_entities(
        &self,
        entities: Vec<EntityResult>,
        place: &str,
        indirect: &IndirectValues,
    ) -> PreparedEntities {
        self.vaults.prepare(entities, place, indirect)
    }

    /// Puts these entities in use. Returns the vaults that were added, removed or changed.
    pub fn replace_entities(&self, next: PreparedEntities) -> BTreeMap<String, Fate> {
        self.vaults.replace(next)
    }

    /// Returns the name by which references reach a backend with just these options, which Kong handed to a strategy.
    pub fn vault_of_strategy(
        &self,
        backend: &'static Descriptor,
        options: &BTreeMap<String, String>,
        trusted: bool,
    ) -> Result<String> {
        self.vaults.of_strategy(backend, options, trusted, self.strict_compatibility)
    }

    /// The effective options of a reference.
    pub fn settings(&self, vault: &Vault, reference: &Reference) -> Result<Arc<FinalSettings>> {
        let base = vault.settings.as_ref().map_err(Clone::clone)?;
        let settings = if reference.options.is_empty() {
            Arc::clone(base)
        } else {
            Arc::new(self.overridden(vault, base, reference)?.seal())
        };
        match options_of(vault.backend).find(|opt| opt.required && settings.get(opt.name).is_none()) {
            Some(opt) => Err(error::missing(vault, opt)),
            None if reference.options.is_empty() => Ok(settings),
            None => match requirements::of_settings(vault.backend, &settings).first() {
                Some(unmet) => Err(error::unmet(vault.backend, &vault.name, unmet)),
                None => Ok(settings),
            },
        }
    }

    fn overridden(&self, vault: &Vault, base: &Settings, reference: &Reference) -> Result<Settings> {
        let (mut settings, backend) = (base.clone(), vault.backend);
        let mut seen: Vec<&Opt> = Vec::new();
        for (name, value) in &reference.options {
            let name = String::from_utf8_lossy(name);
            // An option without a value is switched on.
            let value = value.as_deref().unwrap_or(b"true");
            let value = std::str::from_utf8(value).ok().map(Cow::Borrowed);
            let entry = Assignment { option: &name, value, source: ConfigSource::Reference };
            let follows_secret = || seen.iter().any(|opt| opt.may_hold_secret());
            let opt = assignment::find(backend, &name)
                .ok_or_else(|| error::unknown_option(backend, &entry, follows_secret()))?;
            if opt.operators || (!opt.overridable && !self.strict_compatibility) {
                return Err(error::not_overridable(vault, opt));
            }
            if seen.iter().any(|earlier| earlier.name == opt.name) {
                return Err(error::twice(backend, opt, &entry, &entry));
            }
            seen.push(opt);
            merge::put(&mut settings, opt, backend.name, &entry, &IndirectValues::default())?;
            if self.verification.forbids(opt, settings.get(opt.name)) {
                return Err(error::unverified(opt, backend.name, &entry));
            }
        }
        Ok(settings)
    }
}

/// The collector of spans, if one is set.
fn collector(own: &Settings) -> Result<Option<Collector>> {
    let Some(endpoint) = own.text("vault_otlp_endpoint") else { return Ok(None) };
    let service = own.text("vault_otlp_service_name").unwrap_or_default();
    Collector::new(endpoint, own.secret("vault_otlp_headers"), service).map(Some)
}

/// Notes the value of a key of kong.conf, if it is a reference that may stand for a credential.
pub fn note_assignment(key: &str, value: &str, backends: &[&'static Descriptor], indirect: &IndirectValues) {
    let own = OWN.iter().find(|opt| opt.is_called(key));
    let of_backend = || {
        let (name, option) = of_backend(key, backends)?;
        assignment::find(backends.iter().find(|backend| backend.name == name)?, option)
    };
    indirect.note_assignment(own.or_else(of_backend), value);
}
