//! What guards: where `tls_certificate_verify` is on, no vault leaves certificates unverified, whoever wants it so; and an empty
//! value of what guards is a mistake.

mod support;

use std::collections::BTreeMap;

use kong_vault::backend::Descriptor;
use kong_vault::backend::registry::{ALL, find};
use kong_vault::config::{Config, ConfigSource, IndirectValues, Verification, entity, options_of};
use kong_vault::environment::Environment;
use kong_vault::options::Opt;
use serde_json::json;
use support::admin::Bed;
use support::config::{File, Pairs, flaw, load, map, refused, says, settings, shown};

const ON: (&str, &str) = ("KONG_TLS_CERTIFICATE_VERIFY", "on");

/// Every spelling of every option that switches verification off, with its backend and the value that does.
fn all() -> impl Iterator<Item = (&'static str, &'static Opt, &'static str, &'static str)> {
    let options = ALL.iter().flat_map(|backend| options_of(backend).map(|opt| (backend.name, opt)));
    options.filter_map(|(backend, opt)| Some((backend, opt, opt.unverified?))).flat_map(|(backend, opt, off)| {
        let names = std::iter::once(opt.name).chain(opt.aliases.iter().copied());
        names.map(move |name| (backend, opt, name, if off { "on" } else { "off" }))
    })
}

/// What a vault needs beside, as keys of kong.conf.
fn more(backend: &str) -> (&'static str, &'static str) {
    match backend {
        "aws" => ("vault_aws_region", "eu-west-1"),
        "azure" => ("vault_azure_vault_uri", "https://a.vault.azure.net"),
        _ => ("vault_cache_size", "10"),
    }
}

#[test]
fn every_vault_with_tls_has_such_an_option() {
    let mut with: Vec<_> = all().map(|(backend, ..)| backend).collect();
    with.dedup();
    let has_tls = |backend: &&&Descriptor| options_of(backend).any(|opt| opt.name == "tls_min_version");
    assert_eq!(with, ALL.iter().filter(has_tls).map(|backend| backend.name).collect::<Vec<_>>());
    assert!(all().any(|(backend, opt, ..)| (backend, opt.name) == ("hcv", "tls_skip_verify")));
}

#[test]
fn kong_conf_and_the_environment_are_told_which_setting_is_wrong() {
    for (backend, opt, name, off) in all() {
        let key = Opt { name, ..*opt }.key(backend);
        let variable = format!("KONG_{}", key.to_uppercase());
        let (reference, wanted) = (format!("{{vault://{backend}/a/b}}"), if off == "on" { "false" } else { "true" });
        let by_key: Pairs = &[more(backend), (&key, off)];
        let by_variable: Pairs = &[(&variable, off), ON];
        for (conf, environment, source) in [(by_key, &[ON][..], &key), (&[more(backend)], by_variable, &variable)] {
            let parts = [opt.name, source, &format!("must be {wanted}"), "tls_certificate_verify is on", "ca_cert"];
            says(&flaw(conf, environment), &parts);
            says(&refused(&load(conf, environment).unwrap(), &reference), &parts);
            // Nothing else is wrong with it.
            let without: Vec<_> = environment.iter().copied().filter(|pair| *pair != ON).collect();
            load(conf, &without).unwrap().check().unwrap();
        }
        // The other value is welcome, and other vaults are as they were.
        let right = load(&[more(backend), (&key, if off == "on" { "off" } else { "on" })], &[ON]).unwrap();
        right.check().unwrap();
        let other = load(by_key, &[ON]).unwrap();
        assert!(settings(&other, "{vault://env/a}").is_ok());
    }
}

#[test]
fn it_is_set_as_kongs_options_are() {
    let is_on = |conf: Pairs<'_>, environment: Pairs<'_>| {
        load(conf, environment).unwrap().verification() == Verification::Enforced
    };
    assert!(!is_on(&[], &[]), "every vault decides, unless the operator says otherwise");
    for name in ["tls_certificate_verify", "vault_tls_certificate_verify"] {
        let variable = format!("KONG_{}", name.to_uppercase());
        assert!(is_on(&[(name, "on")], &[]) && is_on(&[], &[(&variable, "true")]), "{name}");
        assert!(!is_on(&[(name, "on")], &[(&variable, "off")]), "{name}: the environment wins");
        says(&shown(load(&[(name, "maybe")], &[]).unwrap_err()), &["tls_certificate_verify", "maybe", "true or false"]);
        assert!(load(&[], &[(&variable, "")]).is_err(), "{name}: an empty variable is a mistake, and no `off`");
    }
    // Most Kongs don't know it, so that the environment says it; one that does hands it over.
    let kong = |conf: Pairs<'_>, environment: Pairs<'_>| {
        let environment = Environment::from_variables(environment.iter().copied());
        let indirect = IndirectValues::default();
        let config = Config::load_with(&map(conf), ConfigSource::Kong, &environment, ALL, &indirect).unwrap();
        (config.verification() == Verification::Enforced, config.lazy)
    };
    assert_eq!(kong(&[], &[ON, ("KONG_VAULTS_LAZY_LOAD_SECRETS", "on")]), (true, true));
    assert_eq!(kong(&[("tls_certificate_verify", "true"), ("vault_secrets_lazy_load", "on")], &[]), (true, true));
    assert_eq!(kong(&[], &[("KONG_VAULT_HCV_SSL_VERIFY", "off")]), (false, false), "that, Kong reads");
}

#[test]
fn it_stays_on_where_its_own_value_is_not_known() {
    let reference = ("KONG_TLS_CERTIFICATE_VERIFY", "{vault://env/strict}");
    let config = load(&[("vault_hcv_ssl_verify", "off")], &[reference]).unwrap();
    assert_eq!(config.verification(), Verification::Enforced);
    says(&refused(&config, "{vault://hcv/a/b}"), &["tls_certificate_verify is on"]);
}

#[test]
fn entities_are_refused_wherever_they_come_from() {
    for (backend, opt, name, off) in all() {
        let off = off == "on";
        let parts = [opt.name, "tls_certificate_verify is on"];
        let config = match backend {
            "azure" | "azure-certs" => json!({name: off, "vault_uri": "https://a.vault.azure.net"}),
            _ => json!({name: off}),
        };
        let written = json!({"prefix": "mine", "name": backend, "config": config});
        // The declarative file.
        let file = File::new("kong.json", &json!({"_format_version": "3.0", "vaults": [written]}).to_string());
        let loaded = file.load(&[ON]).unwrap();
        says(&shown(loaded.check().unwrap_err()), &parts);
        says(&refused(&loaded, "{vault://mine/a/b}"), &[opt.name, "vault entity mine", &file.path]);
        file.load(&[]).unwrap().check().unwrap();
        // Those that may change.
        let config = load(&[], &[ON]).unwrap();
        let listed = vec![entity::listed(&written, ALL, "the store")];
        config.replace_entities(config.read_entities(listed, "the store", &IndirectValues::default()));
        says(&refused(&config, "{vault://mine/a/b}"), &parts);
        // The Admin API, also where the entity was right before.
        let mut bed = Bed::new();
        assert_eq!(bed.json("POST", "/vaults", written.clone()).status, 201, "{backend} {name}");
        bed.verification = Verification::Enforced;
        let answers = [
            bed.json("POST", "/vaults", json!({"prefix": "other", "name": backend, "config": written["config"]})),
            bed.json("PUT", "/vaults/mine", written.clone()),
            bed.json("PATCH", "/vaults/mine", json!({"tags": ["a"]})),
        ];
        for answer in answers {
            assert_eq!(answer.status, 400, "{backend} {name}: {answer:?}");
            says(answer.body.as_deref().unwrap(), &["tls_certificate_verify is on", opt.name]);
        }
        assert_eq!(bed.json("PATCH", "/vaults/mine", json!({"config": {name: !off}})).status, 200, "{backend} {name}");
    }
}

#[test]
fn neither_a_reference_nor_a_strategy_goes_around_it() {
    let strict = load(&[("vault_strict_compatibility", "on"), ("vault_aws_region", "eu-west-1")], &[ON]).unwrap();
    for (backend, opt, name, off) in all() {
        let text = format!("{{vault://{backend}/a/b?{name}={off}}}");
        says(&refused(&strict, &text), &[opt.name, "tls_certificate_verify is on"]);
        let options = BTreeMap::from([(name.to_owned(), off.to_owned())]);
        for trusted in [true, false] {
            let refused = strict.vault_of_strategy(find(backend).unwrap(), &options, trusted).unwrap_err();
            says(&shown(refused), &[opt.name, "tls_certificate_verify is on"]);
        }
    }
}

#[test]
fn an_empty_value_of_what_guards_is_a_mistake_wherever_it_stands() {
    let guarding = ALL.iter().flat_map(|backend| backend.options.iter().map(move |opt| (backend.name, opt)));
    let guarding: Vec<_> = guarding.filter(|(_, opt)| opt.guards).collect();
    let others: Vec<_> = guarding.iter().map(|(_, opt)| opt.name).filter(|name| *name != "ca_cert").collect();
    let over_tls = ALL.iter().filter(|backend| backend.options.iter().any(|opt| opt.name == "ca_cert")).count();
    assert_eq!((others, guarding.len()), (vec!["oauth2_ca_cert", "aws_iam_server_id"], 2 + over_tls));
    for (backend, opt) in guarding {
        let more = if backend == "aws" { [("vault_aws_region", "eu-west-1")] } else { [("vault_hcv_kv", "v1")] };
        for name in std::iter::once(opt.name).chain(opt.aliases.iter().copied()) {
            for blank in ["", " ", "\t\n"] {
                let (key, reference) = (Opt { name, ..*opt }.key(backend), format!("{{vault://{backend}/a/b}}"));
                let variable = format!("KONG_{}", key.to_uppercase());
                let conf = [more[0], (&key, blank)];
                for (conf, environment) in [(&conf[..], &[][..]), (&more[..], &[(variable.as_str(), blank)][..])] {
                    says(&flaw(conf, environment), &[opt.name, "is empty"]);
                    says(&refused(&load(conf, environment).unwrap(), &reference), &[opt.name, "is empty"]);
                }
                // What a stronger source leaves empty is not taken from a weaker one either.
                says(&flaw(&[more[0], (&key, "/etc/ca.pem")], &[(&variable, blank)]), &["is empty"]);
                let entity = json!({"prefix": "mine", "name": backend, "config": {name: blank}});
                let flaws = entity::check(&entity, ALL, Verification::Optional).unwrap_err();
                let path = format!("config.{name}");
                assert!(flaws.iter().any(|flaw| flaw.path == path && flaw.what.contains("is empty")), "{flaws:?}");
                let entity = entity::listed(&entity, ALL, "the file");
                let config = load(&[], &[]).unwrap();
                config.replace_entities(config.read_entities(vec![entity], "the file", &IndirectValues::default()));
                says(&refused(&config, "{vault://mine/a/b}"), &[opt.name, "is empty"]);
            }
        }
        let unset = [("KONG_VAULT_HCV_NAMESPACE", ""), ("KONG_VAULT_AWS_ENDPOINT_URL", "")];
        load(&more, &unset).unwrap().check().unwrap();
    }
}
