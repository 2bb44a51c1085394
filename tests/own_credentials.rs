//! Variables that hold credentials of ours: which references may read them.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kong_vault::backend::registry::ALL;
use kong_vault::config::{ConfigSource, Verification, entity};
use kong_vault::environment::Environment;
use kong_vault::resolver::indirect;
use kong_vault::resolver::{Lookup, Resolver};
use serde_json::json;
use support::config::{resolver, says, settings};

const NOBODYS: &[(&str, &str)] = &[
    ("KONG_VAULT_HCV_TOKEN", "hvs.hunter2"),
    ("KONG_VAULT_ADMIN_TOKEN", "hunter2"),
    ("KONG_VAULT_CONJUR_API_KEY", "hunter2"),
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
        "{vault://env/kong-vault-conjur-api-key}",
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
        assert!(!entity::check(&entity, ALL, Verification::Optional).unwrap_err().is_empty());
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
    let environment = Environment::from_variables([NOBODYS, &more].concat());
    let config = indirect::load(&BTreeMap::new(), ConfigSource::Configure, &environment).unwrap();
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

/// A configuration by the environment, with whatever is wrong with it.
fn flawed(conf: &[(&str, &str)], variables: &[(&str, &str)]) -> Arc<Resolver> {
    let environment =
        Environment::from_variables([variables, &[("MINE", "hunter2"), ("MINE_PREVIOUS", "hunter2")]].concat());
    let config = indirect::load(&support::config::map(conf), ConfigSource::Configure, &environment).unwrap();
    Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(1))))
}

const MINE: &str = "{vault://env/mine}";

#[test]
fn what_is_wrong_with_the_configuration_beside_lets_nobody_read_a_credentials_variable() {
    for flaw in [
        ("vault_hcv_port", "x"),
        ("vault_hcv_tokn", "x"),
        ("vault_hcv_auth_method", "x"),
        ("vault_hcv_ssl_verify", "perhaps"),
        ("vault_hcv_host", "{vault://aws/nowhere}"),
        ("vault_nope", "x"),
        ("vaults", "env"),
        ("vault_ca", "x"),
    ] {
        is_kept(&flawed(&[flaw], &[("KONG_VAULT_HCV_TOKEN", MINE)]), MINE);
        is_kept(&flawed(&[flaw, ("vault_hcv_token", MINE)], &[]), "{vault://env/mine#2}");
    }
    // The option's own name, value or source; a whole vault, or option, that nobody knows.
    for (name, value) in [
        ("KONG_VAULT_HCV_TOKN", MINE),
        ("KONG_VAULT_HVC_TOKEN", MINE),
        ("KONG_VAULT_GCP_SERVICE_ACCOUNT", MINE),
        ("KONG_VAULT_ADMIN_TOKN", MINE),
        ("KONG_VAULT_ADMIN_TOKEN", MINE),
        ("KONG_VAULT_HCV_TOKEN", " {vault://env/mine} "),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/mine?ttl=x}"),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/mine?nope}"),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/mine#x}"),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/mine#7}"),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/mine/no-such-field}"),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/ne?prefix=mi}"),
        ("KONG_VAULT_HCV_CLIENT_CERT", MINE),
        ("KONG_VAULT_HCV_OAUTH2_TOKEN_ENDPOINT", MINE),
        ("KONG_VAULT_AWS_PROXY", MINE),
    ] {
        is_kept(&flawed(&[], &[(name, value)]), MINE);
    }
    let of_others = ALL.iter().filter(|backend| backend.name != "env");
    for (backend, opt) in of_others.flat_map(|backend| backend.options.iter().map(move |opt| (backend, opt))) {
        let variable = opt.variable(backend.name);
        let resolver = flawed(&[("vault_hcv_port", "x"), ("vault_aws_region", "x y")], &[(&variable, MINE)]);
        match opt.may_hold_secret() {
            true => is_kept(&resolver, MINE),
            false => assert_eq!(read(&resolver, MINE).as_deref(), Ok("hunter2"), "{}", opt.name),
        }
    }
}

#[test]
fn a_broken_vault_of_the_environment_tells_of_its_variables_all_the_same() {
    let token = ("KONG_VAULT_HCV_TOKEN", "{vault://env/ne}");
    for flaw in [("KONG_VAULT_ENV_TTL", "x"), ("KONG_VAULT_ENV_NOPE", "x")] {
        let resolver = flawed(&[], &[token, flaw, ("KONG_VAULT_ENV_PREFIX", "MI")]);
        let entity = json!({"prefix": "sly", "name": "env"});
        resolver.replace_entities(vec![entity::listed(&entity, ALL, "a test")], "a test");
        is_kept(&resolver, "{vault://sly/mine}");
    }
    let file =
        |vaults: serde_json::Value| support::config::File::new("kong.json", &json!({"vaults": vaults}).to_string());
    for entity in [
        json!({"prefix": "theirs", "name": "env", "config": {"prefix": "MI"}}),
        json!({"prefix": "theirs", "name": "env", "config": {"prefix": "MI", "ttl": "x"}}),
        json!({"prefix": "theirs", "name": "env", "config": {"prefix": "MI"}, "nope": 1}),
        json!({"prefix": "theirs", "name": "evn", "config": {"prefix": "MI"}}),
    ] {
        let file = file(json!([entity]));
        let conf = [("vault_declarative_config", file.path.as_str()), ("vault_hcv_token", "{vault://theirs/ne}")];
        is_kept(&flawed(&conf, &[]), MINE);
    }
}

/// An entity with a credential in a variable, and the ways in which it can be wrong otherwise.
fn broken_entities() -> Vec<serde_json::Value> {
    let of = |more: serde_json::Value| {
        let mut entity = json!({"prefix": "mine", "name": "hcv", "config": {"host": "vault.example", "token": MINE}});
        for (name, value) in more.as_object().unwrap() {
            match (name.split_once('.'), value.is_null()) {
                (Some((_, option)), _) => entity["config"][option] = value.clone(),
                (None, true) => drop(entity.as_object_mut().unwrap().remove(name)),
                (None, false) => entity[name] = value.clone(),
            }
        }
        entity
    };
    vec![
        of(json!({})),
        of(json!({"config.port": "x"})),
        of(json!({"config.nope": "x"})),
        of(json!({"config.auth_method": "nope"})),
        of(json!({"config.kube_role": {"a": "b"}})),
        of(json!({"config.token_file": [1]})),
        of(json!({"config.host": MINE})),
        of(json!({"nope": 1})),
        of(json!({"name": "hvc"})),
        of(json!({"name": null})),
        of(json!({"prefix": "No Prefix"})),
        of(json!({"prefix": "env"})),
        of(json!({"prefix": null})),
        of(json!({"id": "x"})),
        of(json!({"tags": "x"})),
        of(json!({"config": {"tokn": MINE}})),
        of(json!({"config": {"token": {"deep": [MINE]}}})),
        of(json!({"config": [MINE]})),
        of(json!({"config": MINE})),
        of(json!({"config": null, "confg": {"token": MINE}})),
        of(json!({"config.token": "{vault://env/mine?ttl=x}"})),
        of(json!({"config.token": " {vault://env/mine}"})),
        json!([MINE]),
        json!(MINE),
    ]
}

#[test]
fn an_entity_that_is_broken_otherwise_lets_nobody_read_its_credentials_variable() {
    for on in ["bundled", "env"] {
        let resolver = flawed(&[("vaults", on)], &[]);
        assert_eq!(read(&resolver, MINE).as_deref(), Ok("hunter2"), "it is nobody's credential yet");
        for entity in broken_entities() {
            // From right to wrong, as an edit makes it.
            resolver.replace_entities(vec![entity::listed(&entity, ALL, "a test")], "a test");
            is_kept(&resolver, MINE);
        }
        resolver.replace_entities(vec![], "a test");
        assert_eq!(read(&resolver, MINE).as_deref(), Ok("hunter2"), "the entity is gone");
    }
}

#[test]
fn the_same_holds_in_a_declarative_file() {
    for entity in broken_entities() {
        for twin in [false, true] {
            let good = json!({"prefix": "mine", "name": "hcv", "config": {"host": "a"}});
            let vaults = if twin { json!([good, entity]) } else { json!([entity]) };
            let file = support::config::File::new("kong.json", &json!({ "vaults": vaults }).to_string());
            is_kept(&flawed(&[("vault_declarative_config", &file.path)], &[]), MINE);
        }
    }
    for yaml in [
        "vaults: [{prefix: mine, name: hcv, config: {token: !secret '{vault://env/mine}'}}]",
        "vaults: [{prefix: mine, name: hcv, config: {[a]: 1, token: '{vault://env/mine}'}}]",
        "a: &a '{vault://env/mine}'\nvaults: [{prefix: mine, name: hcv, config: {x: !b 1, token: *a}}]",
    ] {
        let file = support::config::File::new("kong.yml", yaml);
        is_kept(&flawed(&[("vault_declarative_config", &file.path)], &[]), MINE);
    }
}

#[test]
fn what_kong_has_resolved_is_kept_from_references_by_what_it_resolved() {
    let load = |conf: &[(&str, &str)], references: &[(&str, &str)], variables: &[(&str, &str)]| {
        let environment = Environment::from_variables([variables, &[("MINE", "hunter2")]].concat());
        let references: Vec<_> = references.iter().map(|(key, it)| ((*key).to_owned(), (*it).to_owned())).collect();
        let config = indirect::load_by_kong(&support::config::map(conf), &references, &environment).unwrap();
        Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(1))))
    };
    let token = ("vault_hcv_token", "hunter2");
    for conf in [&[token][..], &[token, ("vault_hcv_port", "x")], &[("vaults", "env"), token], &[]] {
        for key in
            ["vault_hcv_token", "vault_hcv_tokn", "vault_aws_proxy", "vault_gcp_service_account", "vault_admin_token"]
        {
            is_kept(&load(conf, &[(key, MINE)], &[]), MINE);
        }
        // Also where Kong tells of no references.
        is_kept(&load(conf, &[], &[("KONG_VAULT_HCV_TOKEN", MINE)]), MINE);
        let plain = load(conf, &[("vault_hcv_host", MINE)], &[]);
        assert_eq!(read(&plain, MINE).as_deref(), Ok("hunter2"), "a host is no credential");
    }
    let prefixed = load(&[("vault_env_prefix", "MI")], &[("vault_hcv_token", "{vault://env/ne}")], &[]);
    is_kept(&prefixed, "{vault://env/mine?prefix=}");
}
