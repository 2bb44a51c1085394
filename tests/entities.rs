//! Vault entities from a declarative file in Kong's format.

mod support;

use std::sync::Arc;
use std::time::Duration;

use kong_vault::admin::admits;
use kong_vault::backend::registry::ALL;
use kong_vault::config::{ConfigSource, EntityResult, entity};
use kong_vault::environment::Environment;
use kong_vault::error::Result;
use kong_vault::resolver::indirect;
use kong_vault::resolver::{Lookup, Resolver};
use serde_json::json;
use support::config::{File, flaw, map, refused, resolver, says, settings, shown};

const YAML: &str = r#"
_format_version: "3.0"
services:
- name: something-of-kongs
  url: http://localhost
vaults:
- prefix: my-env
  name: env
  description: what the process sees
  id: 0b1e9e4e-6b4a-4b5c-9c0e-1d1f8f5a2a11
  tags: [a, b]
  created_at: 1
  updated_at: 2
  config:
    prefix: SECRET_
    ttl: 1.5
    base64_decode: true
    neg_ttl: null
- prefix: cluster-2
  name: hcv
  config:
    host: vault.example
    port: 8201
    token: hunter2
    redirect_hosts: [a.example, "b.example:1"]
- { prefix: plain, name: aws }
"#;

const JSON: &str = r#"{"_format_version": "3.0", "consumers": [], "vaults": [
    {"prefix": "my-env", "name": "env", "config": {"prefix": "SECRET_", "ttl": 1.5, "base64_decode": true, "neg_ttl": null}},
    {"prefix": "cluster-2", "name": "hcv", "description": null,
     "config": {"host": "vault.example", "port": 8201, "token": "hunter2", "redirect_hosts": ["a.example", "b.example:1"]}},
    {"prefix": "plain", "name": "aws", "config": {}, "tags": null}]}"#;

#[test]
fn entities_are_read_from_yaml_and_from_json() {
    for (name, text) in [("kong.yml", YAML), ("kong.json", JSON)] {
        let config = File::new(name, text).load(&[]).unwrap();
        config.check().unwrap();
        let mine = settings(&config, "{vault://my-env/a}").unwrap();
        assert_eq!((mine.text("prefix"), mine.boolean("base64_decode")), (Some("SECRET_"), true));
        assert_eq!(mine.seconds("ttl"), Some(Duration::from_millis(1500)));
        assert_eq!(mine.seconds("neg_ttl"), Some(Duration::ZERO), "null is unset");
        let cluster = settings(&config, "{vault://cluster-2/a/b}").unwrap();
        assert_eq!((cluster.text("host"), cluster.integer("port")), (Some("vault.example"), Some(8201)));
        assert_eq!(cluster.list("redirect_hosts"), ["a.example", "b.example:1"]);
        assert_eq!(cluster.secret("token").unwrap().as_str(), Some("hunter2"));
        assert_eq!(settings(&config, "{vault://plain/a}").unwrap().get("region"), None);
        assert_eq!(config.vault(b"cluster-2").unwrap().name, "cluster-2");
        let off = File::new(name, text).load(&[("KONG_VAULTS", "env")]).unwrap();
        assert!(off.vault(b"my-env").is_ok() && off.vault(b"cluster-2").is_err(), "as its backend");
    }
    for nothing in ["", "services: []", "vaults:", "vaults: []", "{\"vaults\": null}"] {
        File::new("kong.yml", nothing).load(&[]).unwrap().check().unwrap();
    }
}

#[test]
fn merge_keys_are_merged() {
    let yaml = "_base: &base { host: vault.example, port: 8201 }\n\
                vaults:\n- prefix: mine\n  name: hcv\n  config: { <<: *base, port: 8202 }\n";
    let config = File::new("kong.yml", yaml).load(&[]).unwrap();
    config.check().unwrap();
    let mine = settings(&config, "{vault://mine/a/b}").unwrap();
    assert_eq!((mine.text("host"), mine.integer("port")), (Some("vault.example"), Some(8202)));
    let config = File::new("kong.yml", "vaults: [{ prefix: mine, name: env, <<: hunter2 }]").load(&[]).unwrap();
    says(&shown(config.check().unwrap_err()), &["entry 1 of vaults", "`<<` merges a value that is not a mapping"]);
}

#[test]
fn a_file_that_is_none_is_named_with_the_place() {
    for (text, parts) in [
        ("vaults:\n- prefix: a1\n  config: {token: hunter2\n", &["line ", "is not YAML or JSON"][..]),
        ("vaults:\n  - name: [hunter2}\n", &["line 2 column ", "is not YAML or JSON"]),
        ("hunter2", &["is not YAML or JSON"]),
        ("vaults: hunter2", &["line 1 column ", "a list `vaults`"]),
    ] {
        let file = File::new("kong.yml", text);
        let text = shown(file.load(&[]).unwrap_err());
        says(&text, &[&format!("vault_declarative_config {}: ", file.path)]);
        says(&text, parts);
    }
    for (path, what) in [("/no/such/file.yml", "No such file"), ("/", "directory")] {
        let text = flaw(&[], &[("KONG_VAULT_DECLARATIVE_CONFIG", path)]);
        says(&text, &[&format!("vault_declarative_config {path}: can't be read ("), what]);
    }
}

#[test]
fn a_broken_entity_is_named_with_file_and_place_and_leaves_the_others_usable() {
    for (entity, prefix, parts) in [
        (
            "{prefix: bad, name: env, config: {nope: 1}}",
            "bad",
            &["unknown option nope of the env vault", "vault entity bad in "][..],
        ),
        ("{prefix: bad, name: env, config: {ttl: soon}}", "bad", &["\"soon\" of option ttl", "vault entity bad in "]),
        (
            "{prefix: bad, name: hcv, config: {token: a hunter2}}",
            "bad",
            &["value of option token", "vault entity bad in "],
        ),
        (
            "{prefix: bad, name: env, config: {base64_decode: true, decode_base64: false}}",
            "bad",
            &["set twice by vault entity bad in ", "as base64_decode and decode_base64"],
        ),
        (
            "{prefix: bad, name: env, config: {prefix: {a: hunter2}}}",
            "bad",
            &["entry 2 of vaults (bad): config.prefix is no text"],
        ),
        ("{prefix: bad, name: env, config: hunter2}", "bad", &["entry 2 of vaults (bad): its config must be"]),
        (
            "{prefix: bad, name: env, confg: {}}",
            "bad",
            &["entry 2 of vaults (bad): unknown field \"confg\" (did you mean config?)"],
        ),
        (
            "{prefix: bad, name: awz}",
            "bad",
            &["entry 2 of vaults (bad): name \"awz\" is not a backend (did you mean aws?)"],
        ),
        ("{prefix: bad}", "bad", &["entry 2 of vaults (bad): it has no name"]),
        ("{prefix: good, name: hcv}", "good", &["entry 2 of vaults (good): this prefix is set twice"]),
        ("{name: env}", "", &["entry 2 of vaults: it has no prefix"]),
        ("{prefix: 7, name: env}", "", &["entry 2 of vaults: it has no prefix: set prefix to a text"]),
        ("{prefix: B_ad, name: env}", "", &["prefix \"B_ad\" is not like ^[a-z][a-z0-9-]*[a-z0-9]+$"]),
        ("{prefix: \"bad\\n\", name: env}", "", &["prefix \"bad\\n\" is not like"]),
        ("{prefix: b, name: env}", "", &["is not like"]),
        ("{prefix: bad-, name: env}", "", &["is not like"]),
        ("{prefix: hcv, name: env}", "", &["prefix hcv is the name of a backend"]),
        ("{prefix: gcp, name: env}", "", &["prefix gcp is the name of a backend"]),
        ("hunter2", "", &["entry 2 of vaults: is not a vault entity"]),
    ] {
        let file = File::new("kong.yml", &format!("vaults:\n- {{prefix: good, name: env}}\n- {entity}\n"));
        let config = file.load(&[]).unwrap_or_else(|error| panic!("{entity}: {error}"));
        let text = shown(config.check().expect_err(entity));
        says(&text, parts);
        says(&text, &[&file.path]);
        assert_eq!(settings(&config, "{vault://good/a}").is_ok(), prefix != "good", "{entity}");
        if !prefix.is_empty() {
            assert_eq!(refused(&config, &format!("{{vault://{prefix}/a}}")), text);
        }
    }
}

fn get(resolver: &Arc<Resolver>, reference: &str) -> Result<String> {
    match resolver.lookup(reference.as_bytes())? {
        Lookup::Value(value) => Ok(value.secret.as_str().unwrap().to_owned()),
        Lookup::Miss(resolved) => Err(resolved.key.would_block()),
    }
}

fn listed(entity: serde_json::Value) -> EntityResult {
    entity::listed(&entity, ALL, "the store")
}

#[test]
fn entities_change_while_requests_are_served() {
    let resolver = resolver(&[("A_X", "of a"), ("B_X", "of b"), ("X", "plain")]);
    let with = |entities: Vec<serde_json::Value>| {
        resolver.replace_entities(entities.into_iter().map(listed).collect(), "the store")
    };
    let a = json!({"prefix": "mine", "name": "env", "config": {"prefix": "A_"}});
    let b = json!({"prefix": "mine", "name": "env", "config": {"prefix": "B_"}});
    let other = json!({"prefix": "other", "name": "env", "config": {"prefix": "A_"}});
    assert_eq!(get(&resolver, "{vault://mine/x}").unwrap_err().to_string(), "could not find vault (mine)");
    assert!(with(vec![a.clone(), other.clone()]));
    assert_eq!(get(&resolver, "{vault://mine/x}").unwrap(), "of a");
    assert_eq!(get(&resolver, "{vault://env/x}").unwrap(), "plain");
    let entries = resolver.levels(0).entries;
    assert!(!with(vec![other.clone(), a.clone()]), "nothing changed");
    assert_eq!(resolver.levels(0).entries, entries, "and nothing is forgotten");
    assert!(with(vec![b, other.clone()]));
    assert_eq!(get(&resolver, "{vault://mine/x}").unwrap(), "of b");
    assert!(with(vec![other]));
    assert_eq!(get(&resolver, "{vault://mine/x}").unwrap_err().to_string(), "could not find vault (mine)");
    assert_eq!(get(&resolver, "{vault://other/x}").unwrap(), "of a");
}

#[test]
fn a_credential_of_an_entity_may_be_a_reference_to_the_environment_and_nothing_else_may() {
    let resolver = resolver(&[("HCV_TOKEN", "hunter2"), ("PORT", "8201"), ("BAD", "hunter2 hunter2")]);
    let settings = |config: serde_json::Value| {
        let entity = json!({"prefix": "mine", "name": "hcv", "config": config});
        resolver.replace_entities(vec![listed(entity)], "the store");
        resolver.resolve(b"{vault://mine/a/b}").map(|resolved| Arc::clone(&resolved.key.settings))
    };
    let found = settings(json!({"token": "{vault://env/hcv-token}"})).unwrap();
    assert_eq!(found.secret("token").unwrap().as_str(), Some("hunter2"));
    for (config, parts) in [
        (
            json!({"port": "{vault://env/port}"}),
            &["option port", "in a vault entity only credentials may be references"][..],
        ),
        (json!({"token": "{vault://aws/token}"}), &["option token", "only to the environment"]),
        (json!({"token": "{vault://env/none}"}), &["option token", "without a value: env vault (env) has no"]),
        (json!({"token": "{vault://env/bad}"}), &["option token", "a reference to a value that is not accepted"]),
    ] {
        says(&shown(settings(config).unwrap_err()), parts);
    }
}

#[test]
fn what_configures_may_be_a_reference() {
    let environment = [
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/hcv-token}"),
        ("KONG_VAULT_HCV_PORT", "{vault://env/settings/port}"),
        ("KONG_VAULT_CACHE_SIZE", "{vault://env/size}"),
        ("HCV_TOKEN", "hunter2"),
        ("SETTINGS", r#"{"port":"8201"}"#),
        ("SIZE", "7"),
    ];
    let load = |conf: &[(&str, &str)], environment: &[(&str, &str)]| {
        let environment = Environment::from_variables(environment.iter().copied());
        indirect::load(&map(conf), ConfigSource::Configure, &environment)
    };
    let config =
        load(&[("vault_hcv_host", "{vault://env/host}")], &[&environment[..], &[("HOST", "h.example")]].concat());
    let config = config.unwrap();
    config.check().unwrap();
    let found = settings(&config, "{vault://hcv/a/b}").unwrap();
    assert_eq!((found.text("host"), found.integer("port")), (Some("h.example"), Some(8201)));
    assert_eq!((found.secret("token").unwrap().as_str(), config.cache_size), (Some("hunter2"), 7));
    for (key, reference, parts) in [
        ("vault_hcv_token", "{vault://env/none}", &["option token of the hcv vault", "without a value: env vault"][..]),
        ("vault_hcv_token", "{vault://env}", &["option token of the hcv vault", "reference url is missing path"]),
        ("vault_hcv_token", "{vault://mine/a}", &["option token of the hcv vault", "could not find vault (mine)"]),
        ("vault_hcv_host", "{vault://hcv/a/b}", &["option host of the hcv vault", "without a value"]),
        ("vault_cache_size", "{vault://env/none}", &["option vault_cache_size", "without a value: env vault"]),
        ("vault_hcv_port", "{vault://env/secret}", &["option port", "a reference to a value that is not accepted"]),
    ] {
        let config = load(&[(key, reference)], &[("SECRET", "hunter2")]).unwrap();
        says(&shown(config.check().expect_err(reference)), parts);
        assert!(settings(&config, "{vault://env/a}").is_ok(), "the others are usable");
    }
}

fn admits_token(resolver: &Resolver, token: Option<&[u8]>) -> Result<bool> {
    let wanted = resolver.config().admin_token.as_ref().map_err(Clone::clone)?;
    Ok(admits(wanted.as_ref(), token))
}

#[test]
fn nobody_is_heard_where_the_admin_token_is_a_reference_without_a_value() {
    for token in [None, Some("")] {
        let mut environment = vec![("KONG_VAULT_ADMIN_TOKEN", "{vault://env/admin-token}")];
        environment.extend(token.map(|token| ("ADMIN_TOKEN", token)));
        let resolver = resolver(&environment);
        for shown in [None, Some(&b""[..]), Some(b"{vault://env/admin-token}")] {
            let error = admits_token(&resolver, shown).expect_err("nobody is admitted");
            assert!(error.to_string().contains("option vault_admin_token"), "{error}");
        }
    }
    let resolver = resolver(&[("KONG_VAULT_ADMIN_TOKEN", "{vault://env/admin-token}"), ("ADMIN_TOKEN", "s3cret")]);
    assert!(admits_token(&resolver, Some(b"s3cret")).unwrap() && !admits_token(&resolver, None).unwrap());
}
