//! What may be set of Azure's vaults, by whom, and by which names.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use kong_vault::backend::registry::ALL;
use kong_vault::config::{Config, ConfigSource, Verification, entity};
use kong_vault::environment::Environment;
use kong_vault::resolver::{Lookup, Resolver, indirect};
use serde_json::json;
use support::config::{File, flaw, load, refused, says, settings};

#[test]
fn a_backend_with_a_dash_has_underscores_in_its_keys() {
    for (conf, environment) in [
        (&[("vault_azure_certs_tenant_id", "t.example"), ("vault_azure_tenant_id", "other.example")][..], &[][..]),
        (&[], &[("KONG_VAULT_AZURE_CERTS_TENANT_ID", "t.example"), ("KONG_VAULT_AZURE_TENANT_ID", "other.example")]),
    ] {
        let config = load(conf, environment).unwrap();
        config.check().unwrap();
        assert_eq!(settings(&config, "{vault://azure-certs/a/cert}").unwrap().text("tenant_id"), Some("t.example"));
        assert_eq!(settings(&config, "{vault://azure/a/b}").unwrap().text("tenant_id"), Some("other.example"));
    }
    let alone = load(&[("vaults", "azure-certs")], &[]).unwrap();
    assert!(alone.vault(b"azure-certs").is_ok() && alone.vault(b"azure").is_err());
    assert!(load(&[("vaults", "bundled")], &[]).unwrap().vault(b"azure-certs").is_ok());
    says(&flaw(&[("vault_azure_certs_tenent_id", "x")], &[]), &["unknown option tenent_id of the azure-certs vault"]);
    says(&flaw(&[("vault_azure_certz", "x")], &[]), &["unknown option certz of the azure vault"]);
    let text = flaw(&[], &[("KONG_VAULT_AZURE_CERTS_API_VERSION", "x")]);
    says(&text, &["option api_version of the azure-certs vault", "KONG_VAULT_AZURE_CERTS_API_VERSION"]);
}

#[test]
fn certificates_are_fresh_for_an_hour_by_default() {
    let config = load(&[], &[]).unwrap();
    let ttl = |reference: &str| settings(&config, reference).unwrap().seconds("ttl");
    assert_eq!(ttl("{vault://azure-certs/a/cert}"), Some(Duration::from_secs(3600)));
    assert_eq!(ttl("{vault://azure-certs/a/cert?ttl=5}"), Some(Duration::from_secs(5)));
    assert_eq!(ttl("{vault://azure/a/b}"), None);
    let config = load(&[("vault_azure_certs_ttl", "60")], &[]).unwrap();
    assert_eq!(
        settings(&config, "{vault://azure-certs/a/cert}").unwrap().seconds("ttl"),
        Some(Duration::from_secs(60))
    );
}

#[test]
fn what_is_the_operators_alone_holds_for_entities_and_is_set_by_none() {
    let entity = |config: serde_json::Value| {
        let vaults = json!({"vaults": [{"prefix": "mine", "name": "azure", "config": config}]});
        File::new("kong.json", &vaults.to_string())
    };
    let uri = "https://mine.vault.azure.net";
    let plain = entity(json!({ "vault_uri": uri }));
    let resource = |config: &Config| {
        let settings = settings(config, "{vault://mine/a/b}").unwrap();
        (settings.text("resource").map(str::to_owned), settings.boolean("verify_challenge_resource"))
    };
    assert_eq!(resource(&plain.load(&[]).unwrap()), (None, true));
    let by_operator =
        [("KONG_VAULT_AZURE_RESOURCE", "https://kv.example"), ("KONG_VAULT_AZURE_VERIFY_CHALLENGE_RESOURCE", "off")];
    assert_eq!(resource(&plain.load(&by_operator).unwrap()), (Some("https://kv.example".to_owned()), false));
    for (option, value) in [("resource", json!("https://evil.example")), ("verify_challenge_resource", json!(false))] {
        let file = entity(json!({"vault_uri": uri, option: value}));
        let config = file.load(&[]).unwrap();
        says(&refused(&config, "{vault://mine/a/b}"), &[option, "vault entity mine", "is the operator's alone"]);
        let written = json!({"prefix": "mine", "name": "azure", "config": {option: value}});
        let flaws = entity::check(&written, ALL, Verification::Optional).unwrap_err();
        assert!(flaws[0].path == format!("config.{option}") && flaws[0].what.contains("operator's alone"), "{flaws:?}");
    }
    // Nor by a reference, where these may set everything else.
    let strict = load(&[("vault_strict_compatibility", "on"), ("vault_azure_vault_uri", uri)], &[]).unwrap();
    assert!(settings(&strict, "{vault://azure/a/b?tenant_id=t}").is_ok());
    says(&refused(&strict, "{vault://azure/a/b?verify_challenge_resource=off}"), &["is not allowed in a reference"]);
    // An entity that may change is no other.
    let environment = Environment::from_variables(by_operator);
    let config = Config::load(&BTreeMap::new(), &environment).unwrap();
    let resolver = Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(0))));
    let live = json!({"prefix": "live", "name": "azure", "config": {"vault_uri": uri}});
    resolver.replace_entities(vec![entity::listed(&live, ALL, "a test")], "a test");
    let found = settings(resolver.config(), "{vault://live/a/b}").unwrap();
    assert_eq!(found.text("resource"), Some("https://kv.example"));
}

#[test]
fn the_variables_of_each_prefix_are_kept_from_references() {
    let variables = [
        ("AZURE_CLIENT_SECRET", "hunter2"),
        ("TEAM_CLIENT_SECRET", "hunter2"),
        ("OTHER_CLIENT_SECRET", "no credential of ours"),
        ("MSI_SECRET", "hunter2"),
        ("IDENTITY_HEADER", "hunter2"),
    ];
    let resolver = |more: &[(&str, &str)]| {
        let environment = Environment::from_variables([&variables, more].concat());
        let config = indirect::load(&BTreeMap::new(), ConfigSource::Configure, &environment).unwrap();
        Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(1))))
    };
    let read = |resolver: &Arc<Resolver>, reference: &str| match resolver.lookup(reference.as_bytes()) {
        Ok(Lookup::Value(value)) => Ok(value.secret.as_str().unwrap().to_owned()),
        Ok(Lookup::Miss(_)) => panic!("the environment is there at once"),
        Err(error) => Err(error.to_string()),
    };
    let is_kept = |resolver: &Arc<Resolver>, reference: &str| {
        says(&read(resolver, reference).unwrap_err(), &["vault_allow_env_credentials"]);
    };
    let plain = resolver(&[]);
    for reference in ["{vault://env/azure-client-secret}", "{vault://env/msi-secret}", "{vault://env/identity-header}"]
    {
        is_kept(&plain, reference);
    }
    assert!(read(&plain, "{vault://env/team-client-secret}").is_ok(), "it is nobody's yet");
    let by_operator = resolver(&[("KONG_VAULT_AZURE_CREDENTIALS_PREFIX", "TEAM")]);
    is_kept(&by_operator, "{vault://env/team-client-secret}");
    is_kept(&by_operator, "{vault://env/client-secret?prefix=TEAM_}");
    assert!(read(&by_operator, "{vault://env/other-client-secret}").is_ok());
    // Whatever the `env` vault puts before names.
    is_kept(
        &resolver(&[("KONG_VAULT_AZURE_CREDENTIALS_PREFIX", "TEAM"), ("KONG_VAULT_ENV_PREFIX", "TE")]),
        "{vault://env/am-client-secret}",
    );
    let entity = |prefix: &str| {
        let written = json!({"prefix": "mine", "name": "azure-certs", "config": {"credentials_prefix": prefix}});
        vec![entity::listed(&written, ALL, "a test")]
    };
    plain.replace_entities(entity("TEAM"), "a test");
    is_kept(&plain, "{vault://env/team-client-secret}");
    // From right to wrong, as an edit makes it.
    let broken = json!({"prefix": "mine", "name": "azur", "config": {"credentials_prefix": "TEAM"}});
    plain.replace_entities(vec![entity::listed(&broken, ALL, "a test")], "a test");
    is_kept(&plain, "{vault://env/team-client-secret}");
    plain.replace_entities(vec![], "a test");
    assert!(read(&plain, "{vault://env/team-client-secret}").is_ok());
}
