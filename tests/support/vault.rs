//! An `hcv` backend from options as a user writes them, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use kong_vault::backend::{self, Backend, Fetched, SecretId, Setup};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::Type;
use kong_vault::options::settings::Settings;
use kong_vault::options::value::Value;
use kong_vault::secret::Secret;

/// What no error may hold.
pub const TOKEN: &str = "hvs.T0p-s3cret";

pub fn settings(given: &[(&str, &str)]) -> Settings {
    let descriptor = backend::registry::find("hcv").expect("the backend");
    let mut settings = Settings::default();
    for option in descriptor.options {
        let given = given.iter().rfind(|(name, _)| option.is_called(name)).map(|(_, value)| *value);
        let Some(text) = given.or(option.default) else { continue };
        let value = match option.kind {
            Type::Text if option.sensitive => Value::Secret(Secret::new(text)),
            Type::Text => Value::Text(text.to_owned()),
            Type::Boolean => Value::Boolean(text == "true"),
            Type::Integer { .. } => Value::Integer(text.parse().expect("a number")),
            Type::Seconds { .. } => Value::Seconds(Duration::from_secs_f64(text.parse().expect("a number"))),
            Type::List => Value::List(text.split(',').map(str::to_owned).collect()),
        };
        settings.set(option.name, value);
    }
    settings
}

pub fn build(given: &[(&str, &str)]) -> Result<Arc<dyn Backend>> {
    build_in(&Environment::default(), given)
}

/// The same in an environment.
pub fn build_in(environment: &Environment, given: &[(&str, &str)]) -> Result<Arc<dyn Backend>> {
    let setup = Setup {
        vault: "my-vault",
        settings: &settings(given),
        environment,
        timeout: Duration::from_secs(5),
        lasts: true,
    };
    (backend::registry::find("hcv").expect("the backend").build)(&setup)
}

/// Reads `resource`, or `resource#version`.
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

/// The failure of a read: named after the vault, and without any secret.
pub async fn fails(vault: &Arc<dyn Backend>, reference: &str) -> Error {
    let error = fetch(vault, reference).await.expect_err(reference);
    let text = error.to_string();
    assert!(text.starts_with("hcv vault (my-vault) at "), "{text}");
    assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
    error
}

/// The failure of a read of `hello`, whoever it came from: of a kind, with all these parts, and without any secret.
pub async fn fails_with(vault: &Arc<dyn Backend>, kind: Kind, parts: &[&str]) {
    let error = fetch(vault, "hello").await.expect_err("a failure");
    let text = error.to_string();
    assert!(text.starts_with("hcv vault (my-vault)") && !text.contains("s3cret") && !text.contains('\n'), "{text}");
    for part in parts {
        assert!(error.kind() == kind && text.contains(part), "{part:?} is not in {error:?}");
    }
}
