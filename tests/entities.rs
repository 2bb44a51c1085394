//! Vault entities from a declarative file in Kong's format.

mod support;

use std::time::Duration;

use support::config::{File, flaw, refused, says, settings, shown};

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
fn a_file_that_is_none_is_named_with_the_place() {
    for (text, parts) in [
        ("vaults:\n- prefix: a1\n  config: {token: hunter2\n", &["line ", "is no YAML or JSON"][..]),
        ("vaults:\n  - name: [hunter2}\n", &["line 2 column ", "is no YAML or JSON"]),
        ("hunter2", &["is no YAML or JSON"]),
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
        ("{prefix: bad, name: env, config: hunter2}", "bad", &["entry 2 of vaults (bad): its config has to be"]),
        (
            "{prefix: bad, name: env, confg: {}}",
            "bad",
            &["entry 2 of vaults (bad): unknown field \"confg\" (did you mean config?)"],
        ),
        (
            "{prefix: bad, name: awz}",
            "bad",
            &["entry 2 of vaults (bad): name \"awz\" is that of no backend (did you mean aws?)"],
        ),
        ("{prefix: bad}", "bad", &["entry 2 of vaults (bad): it has no name"]),
        ("{prefix: good, name: hcv}", "good", &["entry 2 of vaults (good): this prefix is there twice"]),
        ("{name: env}", "", &["entry 2 of vaults: it has no prefix"]),
        ("{prefix: 7, name: env}", "", &["entry 2 of vaults: it has no prefix, which has to be a text"]),
        ("{prefix: B_ad, name: env}", "", &["prefix \"B_ad\" is not like ^[a-z][a-z0-9-]*[a-z0-9]+$"]),
        ("{prefix: \"bad\\n\", name: env}", "", &["prefix \"bad\\n\" is not like"]),
        ("{prefix: b, name: env}", "", &["is not like"]),
        ("{prefix: bad-, name: env}", "", &["is not like"]),
        ("{prefix: hcv, name: env}", "", &["prefix hcv is the name of a backend"]),
        ("{prefix: gcp, name: env}", "", &["prefix gcp is the name of a backend"]),
        ("hunter2", "", &["entry 2 of vaults: is no vault entity"]),
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
