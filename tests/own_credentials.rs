//! Variables that hold credentials of ours: which references may read them.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kong_vault::backend::ALL;
use kong_vault::bootstrap;
use kong_vault::config::{Source, entity};
use kong_vault::environment::Environment;
use kong_vault::resolver::{Lookup, Resolver};
use serde_json::json;
use support::config::{resolver, says, settings};

const NOBODYS: &[(&str, &str)] = &[
    ("KONG_VAULT_HCV_TOKEN", "hvs.hunter2"),
    ("KONG_VAULT_ADMIN_TOKEN", "hunter2"),
    ("KONG_VAULT_GCP_KEY", "hunter2"),
    ("AWS_ACCESS_KEY_ID", "AKhunter2"),
    ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ("AWS_SECRET_ACCESS_KEY_PREVIOUS", "hunter2"),
    ("AWS_SESSION_TOKEN", "hunter2"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"),
    ("VAULT_TOKEN", "hunter2"),
    ("HTTPS_PROXY", "http://u:hunter2@p"),
    ("AWS_REGION", "eu-central-1"),
    ("APP_SECRET", "a secret"),
];

fn read(resolver: &Arc<Resolver>, reference: &str) -> std::result::Result<String, String> {
    match resolver.lookup(reference.as_bytes()) {
        Ok(Lookup::Value(value)) => Ok(value.secret.as_str().unwrap().to_owned()),
        Ok(Lookup::Miss(_)) => panic!("the environment is there at once"),
        Err(error) => Err(error.to_string()),
    }
}

/// By each way in.
#[track_caller]
fn is_kept(resolver: &Arc<Resolver>, reference: &str) {
    let waiting = resolver.lookup_waiting(reference.as_bytes()).unwrap_err().to_string();
    let blocking = resolver.fetch_blocking(&[reference.as_bytes().to_vec()]).remove(0).unwrap_err().to_string();
    for text in [read(resolver, reference).unwrap_err(), waiting, blocking] {
        assert!(text.contains("vault_allow_env_credentials") && !text.contains("hunter2"), "{reference}: {text}");
    }
}

#[test]
fn references_read_no_credential_of_ours_in_whatever_spelling() {
    let resolver = resolver(NOBODYS);
    for reference in [
        "{vault://env/kong-vault-hcv-token}",
        "{vault://env/KONG_VAULT_HCV_TOKEN}",
        "{vault://env/Kong_Vault-Hcv_Token/}",
        "{vault://env/kong-vault-admin-token#1}",
        "{vault://env/kong-vault-admin-token#2}",
        "{vault://env/kong-vault-admin-token/field}",
        "{vault://env/kong%2dvault%5fadmin-token}",
        "{vault://env/admin-token?prefix=KONG_VAULT_}",
        "{vault://env/-admin-token?prefix=kong-vault}",
        "{vault://env/g-vault-admin-token?prefix=kon}",
        "{vault://env/kong-vault-gcp-key}",
        "{vault://env/kong-vault-no-such-option}",
        "{vault://env/aws-access-key-id}",
        "{vault://env/aws-secret-access-key}",
        "{vault://env/aws-secret-access-key#2}",
        "{vault://env/aws-session-token?ttl=5}",
        "{vault://env/aws-container-authorization-token}",
        "{vault://env/vault-token}",
        "{vault://env/gcp-service-account/private_key}",
        "{vault://env/https-proxy}",
    ] {
        is_kept(&resolver, reference);
    }
    assert_eq!(read(&resolver, "{vault://env/app-secret}").as_deref(), Ok("a secret"));
    assert_eq!(read(&resolver, "{vault://env/aws-region}").as_deref(), Ok("eu-central-1"));
}

#[test]
fn the_operator_may_allow_single_variables() {
    let allowed = ("KONG_VAULT_ALLOW_ENV_CREDENTIALS", "AWS_ACCESS_KEY_ID, KONG_VAULT_HCV_TOKEN");
    let resolver = resolver(&[NOBODYS, &[allowed]].concat());
    assert_eq!(read(&resolver, "{vault://env/aws-access-key-id}").as_deref(), Ok("AKhunter2"));
    assert_eq!(read(&resolver, "{vault://env/hcv-token?prefix=KONG_VAULT_}").as_deref(), Ok("hvs.hunter2"));
    is_kept(&resolver, "{vault://env/aws-secret-access-key}");
    is_kept(&resolver, "{vault://env/kong-vault-admin-token}");
    // Neither a reference nor an entity says so.
    for option in ["allow_credentials", "vault_allow_env_credentials"] {
        let text = read(&resolver, &format!("{{vault://env/vault-token?{option}=VAULT_TOKEN}}")).unwrap_err();
        says(&text, &["unknown option"]);
        let entity = json!({"prefix": "mine", "name": "env", "config": {option: "VAULT_TOKEN"}});
        assert!(!entity::check(&entity, ALL).unwrap_err().is_empty());
    }
}

#[test]
fn what_the_operator_writes_may_name_any_variable_and_is_kept_from_references() {
    let mine = |token: &str| {
        let entity = json!({"prefix": "mine", "name": "hcv", "config": {"host": "vault.example", "token": token}});
        vec![entity::listed(&entity, ALL, "a test")]
    };
    let more = [
        ("KONG_VAULT_AWS_PROXY", "{vault://env/my-proxy}"),
        ("MY_PROXY", "http://u:hunter2@p:1"),
        ("FIRST", "hunter2"),
        ("SECOND", "hunter2"),
        ("KONG_VAULT_ENV_TTL", "60"),
        ("KONG_VAULT_HCV_USERPASS_PASSWORD", "{vault://env/old#2}"),
        ("OLD", "hunter2"),
        ("OLD_PREVIOUS", "hunter2"),
    ];
    let environment = Environment::of([NOBODYS, &more].concat());
    let config = bootstrap::load(&BTreeMap::new(), Source::Configure, &environment).unwrap();
    config.check().unwrap();
    let generation = Arc::new(AtomicU32::new(1));
    let resolver = Arc::new(Resolver::new(config, environment, Arc::clone(&generation)));
    is_kept(&resolver, "{vault://env/my-proxy}");
    is_kept(&resolver, "{vault://env/old#2}");
    is_kept(&resolver, "{vault://env/old-previous}");
    let token = |resolver: &Arc<Resolver>| {
        let found = settings(resolver.config(), "{vault://mine/a/b}").unwrap();
        found.secret("token").unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(read(&resolver, "{vault://env/first}").as_deref(), Ok("hunter2"), "it is nobody's credential yet");
    resolver.replace_entities(mine("{vault://env/first}"), "a test");
    assert_eq!(token(&resolver), "hunter2");
    is_kept(&resolver, "{vault://env/first}");
    is_kept(&resolver, "{vault://env/first?ttl=7}");
    // The value is the same: nothing changes but which variable it stands in.
    let before = generation.load(Ordering::Relaxed);
    resolver.replace_entities(mine("{vault://env/second}"), "a test");
    assert_ne!(generation.load(Ordering::Relaxed), before, "copies are over");
    is_kept(&resolver, "{vault://env/second}");
    assert_eq!(read(&resolver, "{vault://env/first}").as_deref(), Ok("hunter2"));
    // Credentials of ours as well, which stay out of reach of references though they are cached now.
    resolver.replace_entities(mine("{vault://env/kong-vault-hcv-token}"), "a test");
    assert_eq!(token(&resolver), "hvs.hunter2");
    is_kept(&resolver, "{vault://env/kong-vault-hcv-token}");
    resolver.replace_entities(mine("{vault://env/aws-secret-access-key}"), "a test");
    assert_eq!(token(&resolver), "hunter2");
    is_kept(&resolver, "{vault://env/aws-secret-access-key}");
}

#[test]
fn an_entity_of_the_environment_reads_no_credential_of_ours() {
    let resolver = resolver(NOBODYS);
    for (prefix, name) in [("KONG_VAULT_", "hcv-token"), ("AWS_SECRET_", "access-key"), ("vault", "-token")] {
        let entity = json!({"prefix": "mine", "name": "env", "config": {"prefix": prefix}});
        resolver.replace_entities(vec![entity::listed(&entity, ALL, "a test")], "a test");
        is_kept(&resolver, &format!("{{vault://mine/{name}}}"));
    }
}
