//! References to values as a worker's init phase and the command line have them: configured from outside, blocking,
//! without a thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use kong_vault::config::Config;
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind};
use kong_vault::resolver::Resolver;
use kong_vault::secret::Secret;

/// A process's environment and what is read under it.
#[derive(Clone)]
pub struct Process {
    environment: BTreeMap<String, String>,
    /// What no error may hold.
    secrets: Vec<&'static str>,
}

impl Process {
    pub fn new(environment: &[(&str, &str)], secrets: &[&'static str]) -> Self {
        let process = Self { environment: BTreeMap::new(), secrets: secrets.to_vec() };
        process.with(environment)
    }

    /// The same with more variables, or with other values.
    pub fn with(&self, more: &[(&str, &str)]) -> Self {
        let mut process = self.clone();
        process.environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        process
    }

    pub fn without(&self, names: &[&str]) -> Self {
        let mut process = self.clone();
        process.environment.retain(|name, _| !names.contains(&name.as_str()));
        process
    }

    async fn get(&self, reference: &str) -> Result<Arc<Secret>, Error> {
        let (environment, reference) = (self.environment.clone(), reference.as_bytes().to_vec());
        let task = tokio::task::spawn_blocking(move || {
            let environment = Environment::from_variables(environment);
            let config = Config::load(&BTreeMap::new(), &environment).expect("a configuration");
            let resolver = Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(0))));
            resolver.fetch_blocking(&[reference]).remove(0)
        });
        task.await.expect("no panic")
    }

    pub async fn bytes(&self, reference: &str) -> Vec<u8> {
        let secret = self.get(reference).await.unwrap_or_else(|error| panic!("{reference}: {error}"));
        secret.as_bytes().to_vec()
    }

    pub async fn reads(&self, reference: &str) -> String {
        String::from_utf8(self.bytes(reference).await).expect("text")
    }

    /// Why there is no value: one line, of a kind, without any secret.
    pub async fn fails(&self, reference: &str, kind: Kind, part: &str) -> String {
        let error = self.get(reference).await.err().unwrap_or_else(|| panic!("{reference} has a value"));
        let text = error.to_string();
        assert!(error.kind() == kind && text.contains(part), "{reference}: {part:?} is not in {error:?}");
        assert!(!text.contains('\n') && !self.secrets.iter().any(|secret| text.contains(secret)), "{text}");
        text
    }
}
