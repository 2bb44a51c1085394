//! Checks the keys of a kong.conf and the environment variables: kong-vault's own, and all others that are references.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::finding::{FoundReference, look_alike};
use super::rule::Rule;
use super::stand_in::stand_in;
use super::table::{Mistakes, Notes, Place, Row};
use crate::conf_file::surprise::{option, surprises};
use crate::conf_file::{self, Line};
use kong_vault::backend::registry::ALL;
use kong_vault::config::{
    Config, ConfigSource, IndirectValues, KONGS_FILE, Others, VERIFICATION, Verification, dropped, is_kongs_own,
    options_of, unverified_in_words,
};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Result};
use kong_vault::options::in_keys;
use kong_vault::options::own::OWN;
use kong_vault::options::value::Value;
use kong_vault::redact;
use kong_vault::reference::is_reference;
use kong_vault::resolver::indirect;
use kong_vault::secret::Secret;

pub const DECLARED: &str = "vault_declarative_config";
const TIMEOUT: &str = "vault_fetch_timeout";
const REFERENCES: &str = "vault_references";
/// How many names of `vaults` are checked one by one.
const NAMES: usize = 1000;

/// The valid keys of a kong.conf and of the environment. References are checked against what they configure.
#[derive(Default)]
pub struct Settings {
    file: String,
    conf: BTreeMap<String, String>,
    environment: Environment,
    /// What is set to a reference, from both: keys by names.
    referring: BTreeMap<String, String>,
    /// The strategies that they name and kong-vault does not provide.
    pub others: Others,
    /// Whether they let a vault leave certificates unverified.
    pub verification: Verification,
    /// Whether texts of plugins may hold references.
    pub everywhere: bool,
    /// The declarative files that they name: kong-vault's, and Kong's own.
    pub declared: BTreeMap<&'static str, (Place, String)>,
}

/// The findings about keys.
#[derive(Default)]
pub struct Keys {
    pub rows: Vec<Row>,
    pub references: Vec<FoundReference>,
    pub settings: Settings,
    mistakes: Mistakes,
    notes: Notes,
}

/// One key as it was set.
struct Setting {
    place: Place,
    key: String,
    /// As the user wrote it.
    name: String,
    value: Secret,
}

impl Setting {
    fn is_reference(&self) -> bool {
        is_reference(self.value.as_bytes())
    }

    fn found(&self, reference: &str) -> FoundReference {
        FoundReference {
            place: self.place.clone(),
            what: self.name.clone(),
            reference: reference.to_owned(),
            of_operator: true,
        }
    }
}

#[derive(Clone, Copy)]
enum Origin<'a> {
    File(&'a str),
    Environment,
}

/// Checks a kong.conf, given by name and text, and the environment. `timeout` overrides their fetch timeout.
pub fn judge(file: Option<(&str, &str)>, environment: &Environment, timeout: Option<&str>) -> Keys {
    let mut keys = Keys::default();
    let mut settings = Vec::new();
    if let Some((name, text)) = file {
        keys.settings.file = name.to_owned();
        settings = of_file(name, text, &mut keys.mistakes);
    }
    let of_variables = of_environment(environment);
    keys.settings.verification = verification(settings.iter().chain(&of_variables));
    let references = settings.iter().chain(&of_variables).rfind(|setting| setting.key == REFERENCES);
    keys.settings.everywhere =
        references.is_some_and(|setting| setting.value.as_str().is_some_and(|it| it.trim() == "everywhere"));
    let of_conf = keys.take(Origin::File(file.map_or("", |(name, _)| name)), &settings, true);
    let conf = of_conf.iter().map(|it| (it.key.clone(), it.value.as_str().unwrap_or_default().to_owned()));
    keys.settings.conf = conf.collect();
    let settings = of_variables;
    let right = keys.take(Origin::Environment, &settings, false);
    let good: HashSet<_> = right.iter().map(|good| good.name.as_str()).collect();
    let wrong = settings.iter().filter(|it| conf_file::is_ours(&it.key) && !good.contains(it.name.as_str()));
    let mut gone: Vec<_> = wrong.map(|it| it.name.as_str()).collect();
    if let Some(timeout) = timeout {
        gone.push("KONG_VAULT_FETCH_TIMEOUT");
        keys.settings.conf.insert(TIMEOUT.to_owned(), timeout.to_owned());
    }
    keys.settings.environment = environment.without(&gone);
    keys.complete(&[of_conf, right].concat());
    let mistakes = std::mem::take(&mut keys.mistakes);
    keys.rows.extend(mistakes.finish());
    keys.rows.extend(std::mem::take(&mut keys.notes).finish());
    keys
}

/// Returns what a file sets. If a key is set twice, the last one counts.
fn of_file(name: &str, text: &str, mistakes: &mut Mistakes) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut is_conf = None;
    for line in conf_file::lines(text.as_bytes()) {
        let line = match line {
            Line::Key(line) => line,
            Line::Skipped { number, key, why } => {
                is_conf = Some(is_conf == Some(true) || key.is_some());
                let what = key.unwrap_or_else(|| "line".to_owned());
                mistakes.push(Place::new(name, number).found(Rule::ConfLine, what, why));
                continue;
            }
            Line::Fatal { number, why } => {
                mistakes.push(Place::new(name, number).found(Rule::ConfSection, "line", why));
                continue;
            }
        };
        is_conf = Some(true);
        let place = Place::new(name, line.number);
        // A key of Kong's own is checked only where it swallows one of kong-vault's, or where a comment cuts its
        // reference off.
        if conf_file::is_ours(&line.key) || line.swallows || (line.is_cut && line.value.contains("{vault:")) {
            if !conf_file::is_text(&line.value) {
                mistakes.push(place.found(Rule::InvalidUtf8, &line.key, "is no UTF-8 text"));
                continue;
            }
            surprises(&line).for_each(|why| mistakes.push(place.found(Rule::ConfValue, &line.key, why)));
        }
        let setting = Setting { place, key: line.key.clone(), name: line.key.clone(), value: Secret::new(line.value) };
        match known.get(&line.key) {
            None => {
                known.insert(line.key, settings.len());
                settings.push(setting);
            }
            Some(index) => {
                let why =
                    format!("this key is set twice: this line is used, line {} is not", settings[*index].place.line);
                mistakes.push(setting.place.found(Rule::DuplicateKey, &setting.name, why));
                settings[*index] = setting;
            }
        }
    }
    if is_conf == Some(false) {
        mistakes.push(Place::new(name, 1).found(Rule::NoKongConf, "file", conf_file::NO_CONF));
    }
    settings
}

fn of_environment(environment: &Environment) -> Vec<Setting> {
    let variables = environment.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix("KONG_")?.to_ascii_lowercase();
        Some(Setting { place: Place::ENVIRONMENT, key, name: name.to_owned(), value: value.clone() })
    });
    variables.collect()
}

impl Keys {
    /// Reports what is wrong with each setting. Returns kong-vault's settings that are valid, alone and together.
    /// `shown`: whether valid settings get rows as well.
    fn take<'a>(&mut self, origin: Origin<'_>, settings: &'a [Setting], shown: bool) -> Vec<&'a Setting> {
        // `together`: the valid settings of known options. Each further one is checked together with all of them.
        let (mut right, mut together): (Vec<&Setting>, Vec<&Setting>) = (Vec::new(), Vec::new());
        for vaults in settings.iter().filter(|it| it.key == "vaults" && !it.is_reference()) {
            if let Ok(config) = loaded(origin, &[vaults], &IndirectValues::default()) {
                self.settings.others.extend(config.others());
            }
        }
        for setting in settings {
            let text = setting.value.as_str().unwrap_or_default().trim();
            if let Some(key) =
                [DECLARED, KONGS_FILE].into_iter().find(|key| *key == setting.key && !setting.is_reference())
            {
                if text.is_empty() {
                    self.settings.declared.remove(key);
                } else {
                    self.settings.declared.insert(key, (setting.place.clone(), text.to_owned()));
                }
                right.extend(Some(setting).filter(|_| key == DECLARED));
                continue;
            }
            if !conf_file::is_ours(&setting.key) {
                self.take_other(setting, text);
                continue;
            }
            let is_known = option(&setting.key).is_some();
            if !is_known && self.mistakes.is_full() {
                self.mistakes.push(setting.place.found(Rule::UnknownOption, &setting.name, "unknown option"));
                continue;
            }
            let is_others = !is_known && self.settings.others.have_key(&setting.key);
            let (alone, wanted) = match is_known || !(is_others || is_kongs_own(&setting.key)) {
                true => load(origin, &[setting]),
                false => (Ok(()), false),
            };
            if setting.is_reference() && wanted {
                self.settings.referring.insert(setting.name.clone(), setting.key.clone());
                self.references.push(setting.found(text));
                right.push(setting);
                together.push(setting);
                continue;
            }
            let verification = self.settings.verification;
            let flaws = match alone {
                Ok(()) if option(&setting.key).is_some_and(|opt| verification.forbids_text(opt, text)) => {
                    let why = option(&setting.key).map(unverified_in_words).unwrap_or_default();
                    self.mistakes.push(setting.place.found(Rule::UnverifiedCertificates, &setting.name, why));
                    continue;
                }
                // What `tls_certificate_verify` forbids is reported where that is set.
                Ok(()) if !is_known || is_verification(&setting.key) => Vec::new(),
                Ok(()) => load(origin, &[&together[..], &[setting]].concat()).0.err().into_iter().collect(),
                Err(error) if setting.key == "vaults" => names(origin, setting).unwrap_or_else(|| vec![error]),
                Err(error) => vec![error],
            };
            if !flaws.is_empty() {
                let accepted = option(&setting.key).filter(|opt| opt.parse(text).is_none());
                let why = |flaw: &Error| accepted.map_or(flaw.to_string(), |opt| format!("must be {}", opt.accepts()));
                let rule = if is_known { Rule::InvalidOption } else { Rule::UnknownOption };
                let row = |flaw| setting.place.found(rule, &setting.name, why(flaw));
                flaws.iter().for_each(|flaw| self.mistakes.push(row(flaw)));
                continue;
            }
            right.push(setting);
            together.extend(Some(setting).filter(|_| is_known && !is_verification(&setting.key)));
            let dropped = Some(&setting.key).filter(|_| matches!(origin, Origin::File(_))).and_then(|key| dropped(key));
            let odd = look_alike(text).map(|why| (Rule::LookAlike, why));
            match odd.or(dropped.map(|why| (Rule::DroppedOption, why))) {
                Some((rule, why)) => self.mistakes.push(setting.place.found(rule, &setting.name, why)),
                None if is_others => {
                    let why = "is an option of a strategy that kong-vault does not provide: left to Kong";
                    self.notes.push(setting.place.found(Rule::LeftToKong, &setting.name, why));
                }
                None if setting.key == "vaults" && self.settings.others.named().next().is_some() => {
                    self.note_others(origin, setting);
                }
                None if shown => self.rows.push(setting.place.good(&setting.name)),
                None => {}
            }
        }
        right
    }

    /// Reports options that are missing although others of these settings need them. If a key is set twice, the last
    /// setting counts.
    fn complete(&mut self, settings: &[&Setting]) {
        let Ok(config) = self.settings.plain() else { return };
        for incomplete in config.incomplete() {
            let sets = |setting: &Setting, name: &str| {
                let backend = in_keys(incomplete.backend.name);
                let option = setting.key.strip_prefix("vault_").and_then(|key| key.strip_prefix(backend.as_str()));
                let option = option.and_then(|option| option.strip_prefix('_'));
                options_of(incomplete.backend).any(|opt| opt.name == name && option.is_some_and(|it| opt.is_called(it)))
            };
            if let Some(setting) = settings.iter().rev().find(|it| sets(it, incomplete.cause())) {
                self.rows.retain(|row| row.place != setting.place || row.what != setting.name);
                let why = incomplete.error.to_string();
                self.mistakes.push(setting.place.found(Rule::MissingOption, &setting.name, why));
            }
        }
    }

    fn note_others(&mut self, origin: Origin<'_>, vaults: &Setting) {
        let Ok(config) = loaded(origin, &[vaults], &IndirectValues::default()) else { return };
        for name in config.others().named() {
            let why =
                format!("{} is a strategy that kong-vault does not provide: left to Kong", redact::word(name, 64));
            self.notes.push(vaults.place.found(Rule::LeftToKong, &vaults.name, why));
        }
    }

    /// A key of Kong's own may be a reference, or a list of them.
    fn take_other(&mut self, setting: &Setting, text: &str) {
        let items: Vec<_> = text.split(',').map(str::trim).collect();
        if items.iter().all(|item| is_reference(item.as_bytes())) {
            self.references.extend(items.iter().map(|item| setting.found(item)));
        } else if is_reference(text.as_bytes()) {
            self.references.push(setting.found(text));
        } else if let Some(why) = look_alike(text) {
            self.mistakes.push(setting.place.found(Rule::LookAlike, &setting.name, why));
        }
    }
}

fn is_verification(key: &str) -> bool {
    option(key).is_some_and(|opt| opt.name == VERIFICATION)
}

/// What `tls_certificate_verify` says. Of `settings`, the last one counts.
fn verification<'a>(settings: impl Iterator<Item = &'a Setting>) -> Verification {
    let set = settings.filter(|setting| is_verification(&setting.key)).last();
    // A reference may have either value: only its vault knows.
    let value = set.and_then(|setting| option(&setting.key)?.parse(setting.value.as_str()?.trim()));
    Verification::new(value == Some(Value::Boolean(true)))
}

/// Loads only these settings. Returns what is wrong with them, and whether a reference among them is accepted there.
fn load(origin: Origin<'_>, settings: &[&Setting]) -> (Result<()>, bool) {
    let indirect = IndirectValues::default();
    let outcome = loaded(origin, settings, &indirect).and_then(|config| config.check_apart());
    (outcome, !indirect.wanted().is_empty())
}

fn loaded(origin: Origin<'_>, settings: &[&Setting], indirect: &IndirectValues) -> Result<Config> {
    let plain = settings.iter().filter(|it| settings.len() == 1 || (!it.is_reference() && it.key != DECLARED));
    match origin {
        Origin::File(name) => {
            let text = |it: &&Setting| (it.key.clone(), it.value.as_str().unwrap_or_default().to_owned());
            let conf = plain.map(text).collect();
            Config::load_with(&conf, ConfigSource::File(name), &Environment::default(), ALL, indirect)
        }
        Origin::Environment => {
            let environment = Environment::from_variables(plain.map(|it| (it.name.as_str(), it.value.as_bytes())));
            Config::load_with(&BTreeMap::new(), ConfigSource::Configure, &environment, ALL, indirect)
        }
    }
}

/// Returns what is wrong with the names in `vaults`, once for each name; `None` where no name is wrong by itself.
fn names(origin: Origin<'_>, vaults: &Setting) -> Option<Vec<Error>> {
    let opt = OWN.iter().find(|opt| opt.name == "vaults")?;
    let Some(Value::List(names)) = opt.parse(vaults.value.as_str()?) else { return None };
    let alone = |name: &String| {
        let (place, key, written) = (vaults.place.clone(), vaults.key.clone(), vaults.name.clone());
        // After a backend of kong-vault's: a strategy of others alone would be an error.
        let value = Secret::new(format!("{},{name}", ALL.first().map_or("", |backend| backend.name)));
        let one = Setting { place, key, name: written, value };
        load(origin, &[&one]).0.err()
    };
    let mut seen = HashSet::new();
    let once = names.iter().filter(|name| seen.insert(name.as_str())).take(NAMES);
    Some(once.filter_map(alone).collect()).filter(|flaws: &Vec<_>| !flaws.is_empty())
}

impl Settings {
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Loads the configuration without fetching: with stand-ins for indirect values, and without the entities of a file.
    pub fn plain(&self) -> Result<Config> {
        let mut conf = self.conf.clone();
        conf.retain(|key, _| key != DECLARED && !self.referring.contains_key(key));
        let of_backends = self.referring.values().filter(|key| !OWN.iter().any(|opt| opt.is_called(key)));
        let stand_in = |key: &String| Some((key.clone(), option(key).and_then(stand_in)?.to_owned()));
        conf.extend(of_backends.filter_map(stand_in));
        let mut gone: Vec<_> = self.referring.keys().map(String::as_str).collect();
        gone.push("KONG_VAULT_DECLARATIVE_CONFIG");
        Config::load_with(
            &conf,
            ConfigSource::File(&self.file),
            &self.environment.without(&gone),
            ALL,
            &IndirectValues::default(),
        )
    }

    /// Loads the configuration and fetches indirect values; without the declarative file where that can't be loaded.
    pub fn resolved(&self) -> Result<Config> {
        indirect::load(&self.conf, ConfigSource::File(&self.file), &self.environment).or_else(|_| {
            let mut conf = self.conf.clone();
            conf.remove(DECLARED);
            let environment = self.environment.without(&["KONG_VAULT_DECLARATIVE_CONFIG"]);
            indirect::load(&conf, ConfigSource::File(&self.file), &environment)
        })
    }
}
