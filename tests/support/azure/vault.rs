//! An `azure` vault as a worker has it, from what an operator sets: it keeps what it knows from fetch to fetch.

use std::sync::Arc;
use std::time::Duration;

use kong_vault::backend::{self, Backend, Fetched, SecretId, Setup};
use kong_vault::config::options_of;
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::settings::Settings;

use super::Azure;
use super::key_vault::{Stored, stored};

/// Options are taken from the variables that set them, as the configuration does.
pub fn build(name: &str, variables: &[(String, String)]) -> Result<Arc<dyn Backend>> {
    let descriptor = backend::registry::find(name).expect("the backend");
    let environment = Environment::from_variables(variables.iter().cloned());
    let mut settings = Settings::default();
    for option in options_of(descriptor) {
        let text = environment.text(&option.variable(name)).or(option.default);
        if let Some(text) = text {
            settings.set(option.name, option.parse(text).unwrap_or_else(|| panic!("{} = {text}", option.name)));
        }
    }
    let timeout = Duration::from_secs(5);
    let setup = Setup { vault: "mine", settings: &settings, environment: &environment, timeout, lasts: true };
    (descriptor.build)(&setup)
}

impl Azure {
    /// What an operator sets, with other values, and without those that are empty.
    pub fn with(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut all = self.environment();
        all.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        let more = more.iter().filter(|(_, value)| !value.is_empty());
        all.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all
    }

    pub fn vault(&self, more: &[(&str, &str)]) -> Arc<dyn Backend> {
        build("azure", &self.with(more)).expect("a vault")
    }

    pub fn certificates(&self, more: &[(&str, &str)]) -> Arc<dyn Backend> {
        build("azure-certs", &self.with(more)).expect("a vault")
    }

    /// What an operator sets where a machine's own identity is the gateway's.
    pub fn machine<'a>(&self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let none = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"];
        none.iter().map(|name| (*name, "")).chain(more.iter().copied()).collect()
    }
}

/// Reads `name`, or `name#version`.
pub async fn fetch(vault: &Arc<dyn Backend>, reference: &str) -> Result<Fetched> {
    let (resource, version) = match reference.split_once('#') {
        Some((resource, version)) => (resource, Some(version.parse().expect("a number"))),
        None => (reference, None),
    };
    vault.fetch(&SecretId { resource: resource.to_owned(), version }).await
}

pub async fn reads(vault: &Arc<dyn Backend>, reference: &str) -> String {
    let fetched = fetch(vault, reference).await.unwrap_or_else(|error| panic!("{reference}: {error}"));
    fetched.document.as_str().expect("text").to_owned()
}

/// The failure of a read: of a kind, with all these parts, and without any secret.
pub async fn fails(vault: &Arc<dyn Backend>, reference: &str, kind: Kind, parts: &[&str]) -> Error {
    let error = fetch(vault, reference).await.expect_err(reference);
    harmless(&error, kind, parts);
    error
}

/// Keeps a self-signed certificate with its key, as a certificate of Key Vault.
pub fn stored_site(azure: &Azure, name: &str) {
    let pair = super::rsa(azure.directory.path(), name);
    let pem = format!("{}{}", std::fs::read_to_string(&pair.key).expect("the key"), pair.pem());
    let site = Stored { pem: Some(pem), ..stored('a', "MIIK", 1) };
    azure.state().secrets.insert(name.to_owned(), vec![site]);
}

/// Why a vault can't be made.
pub fn refused(variables: &[(String, String)], parts: &[&str]) {
    let error = build("azure", variables).err().expect("a refusal");
    harmless(&error, Kind::Config, parts);
}

fn harmless(error: &Error, kind: Kind, parts: &[&str]) {
    let text = error.to_string();
    assert!(text.starts_with("azure") && !text.contains("s3cret") && !text.contains('\n'), "{text}");
    for part in parts {
        assert!(error.kind() == kind && text.contains(part), "{part:?} is not in {error:?}");
    }
}
