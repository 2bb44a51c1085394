//! Configurations from pairs, and what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use kong_vault::config::{Config, ConfigSource};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::settings::FinalSettings;
use kong_vault::reference;
use kong_vault::resolver::Resolver;
use kong_vault::resolver::indirect;
use tempfile::TempDir;

pub type Pairs<'a> = &'a [(&'a str, &'a str)];

pub fn load(conf: Pairs<'_>, environment: Pairs<'_>) -> Result<Config> {
    Config::load(&map(conf), &Environment::from_variables(environment.iter().copied()))
}

pub fn map(conf: Pairs<'_>) -> BTreeMap<String, String> {
    conf.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn settings(config: &Config, text: &str) -> Result<Arc<FinalSettings>> {
    let reference = reference::parse(text.as_bytes()).expect(text);
    config.settings(&*config.vault(&reference.name)?, &reference)
}

/// Why a reference has no settings; whatever the reason, it shows no secret.
pub fn refused(config: &Config, text: &str) -> String {
    shown(settings(config, text).expect_err(text))
}

/// Why a configuration is not whole.
pub fn flaw(conf: Pairs<'_>, environment: Pairs<'_>) -> String {
    shown(load(conf, environment).and_then(|config| config.check()).expect_err("a flaw"))
}

pub fn shown(error: Error) -> String {
    assert_ne!(error.kind(), Kind::Internal);
    let text = error.to_string();
    assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
    text
}

#[track_caller]
pub fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// A declarative file, and the key that names it.
pub struct File {
    _directory: TempDir,
    pub path: String,
}

impl File {
    pub fn new(name: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let path = path.to_str().expect("a path in UTF-8").to_owned();
        Self { _directory: directory, path }
    }

    pub fn load(&self, environment: Pairs<'_>) -> Result<Config> {
        load(&[("vault_declarative_config", &self.path)], environment)
    }
}

/// A resolver that these variables configure.
pub fn resolver(environment: &[(&str, &str)]) -> Arc<Resolver> {
    let environment = Environment::from_variables(environment.iter().copied());
    let config = indirect::load(&BTreeMap::new(), ConfigSource::Configure, &environment).unwrap();
    Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(1))))
}
