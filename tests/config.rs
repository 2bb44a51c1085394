//! Where configuration comes from, and how it says what is wrong with it.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kong_vault::backend::{Backend, Descriptor, Setup, registry::ALL};
use kong_vault::config::{Config, ConfigSource, IndirectValues};
use kong_vault::environment::Environment;
use kong_vault::error::{Kind, Result};
use kong_vault::options::{Opt, Type};
use support::config::{File, Pairs, flaw, load, map, refused, says, settings, shown};

#[test]
fn the_stronger_source_wins() {
    let ttl = |config: &Config, text: &str| settings(config, text).unwrap().seconds("ttl");
    let seconds = |seconds| Some(Duration::from_secs(seconds));

    assert_eq!(ttl(&load(&[], &[]).unwrap(), "{vault://env/a}"), None);
    let conf = load(&[("vault_env_ttl", "10")], &[]).unwrap();
    assert_eq!(ttl(&conf, "{vault://env/a}"), seconds(10));
    assert_eq!(ttl(&conf, "{vault://hcv/a}"), None);
    let both = load(&[("vault_env_ttl", "10")], &[("KONG_VAULT_ENV_TTL", "20")]).unwrap();
    assert_eq!(ttl(&both, "{vault://env/a}"), seconds(20));
    assert_eq!(ttl(&both, "{vault://env/a?ttl=30}"), seconds(30));

    let file = File::new("kong.yml", "vaults: [{prefix: mine, name: env, config: {ttl: 40}}]");
    let entity = file.load(&[("KONG_VAULT_ENV_TTL", "20"), ("KONG_VAULT_ENV_PREFIX", "P_")]).unwrap();
    assert_eq!(ttl(&entity, "{vault://mine/a}"), seconds(40));
    assert_eq!(ttl(&entity, "{vault://mine/a?ttl=50}"), seconds(50));
    assert_eq!(settings(&entity, "{vault://mine/a}").unwrap().text("prefix"), Some(""), "in place of kong.conf's");
    assert_eq!(settings(&entity, "{vault://env/a}").unwrap().text("prefix"), Some("P_"));
}

#[test]
fn defaults_are_those_of_the_tables() {
    let config = load(&[], &[]).unwrap();
    assert_eq!((config.cache_size, config.fetch_timeout), (1000, Duration::from_secs(5)));
    let hcv = settings(&config, "{vault://hcv/a/b}").unwrap();
    assert_eq!((hcv.text("host"), hcv.integer("port"), hcv.text("kv")), (Some("127.0.0.1"), Some(8200), Some("v1")));
    assert_eq!(hcv.seconds("resurrect_ttl"), Some(Duration::from_secs(100_000_000)));
    assert!(!hcv.boolean("base64_decode"));
    let own = load(
        &[("vault_cache_size", "7"), ("vault_fetch_timeout", "0.5")],
        &[("KONG_VAULT_CACHE_SIZE", "8"), ("KONG_VAULTS", "env")],
    );
    let own = own.unwrap();
    assert_eq!((own.cache_size, own.fetch_timeout), (8, Duration::from_millis(500)));
    assert!(own.vault(b"env").is_ok() && own.vault(b"hcv").is_err());
}

#[test]
fn every_spelling_of_the_environment_counts() {
    for name in ["KONG_VAULT_AWS_BASE64_DECODE", "KONG_VAULT_AWS_DECODE_BASE64"] {
        let config = load(&[], &[(name, "true")]).unwrap();
        assert!(settings(&config, "{vault://aws/a}").unwrap().boolean("base64_decode"), "{name}");
        assert!(!settings(&config, "{vault://aws/a?decode_base64=off}").unwrap().boolean("base64_decode"));
    }
    assert!(settings(&load(&[], &[]).unwrap(), "{vault://env/a?base64_decode}").unwrap().boolean("base64_decode"));
    let config = load(&[("vault_aws_decode_base64", "true")], &[("KONG_VAULT_AWS_BASE64_DECODE", "false")]).unwrap();
    assert!(!settings(&config, "{vault://aws/a}").unwrap().boolean("base64_decode"), "the environment is stronger");
    says(
        &flaw(&[], &[("KONG_VAULT_AWS_BASE64_DECODE", "true"), ("KONG_VAULT_AWS_DECODE_BASE64", "false")]),
        &[
            "base64_decode of the aws vault is set twice",
            "KONG_VAULT_AWS_BASE64_DECODE",
            "KONG_VAULT_AWS_DECODE_BASE64",
        ],
    );
    let config = load(&[("vaults", "env")], &[]).unwrap();
    says(&refused(&config, "{vault://env/a?base64_decode=1&decode_base64=1}"), &["set twice by the reference"]);
}

#[test]
fn tls_options_go_by_the_names_that_users_know() {
    let hcv = |name: &str, value: &str| {
        let config = load(&[(name, value)], &[]).unwrap();
        config.check().unwrap();
        settings(&config, "{vault://hcv/a/b}").unwrap()
    };
    assert!(hcv("vault_hcv_tls_skip_verify", "on").boolean("tls_skip_verify"));
    assert!(!hcv("vault_hcv_tls_verify", "off").boolean("ssl_verify"));
    for name in ["vault_hcv_ca_cert", "vault_hcv_cacert", "vault_hcv_ssl_ca_cert", "vault_hcv_tls_ca_cert"] {
        assert_eq!(hcv(name, "/ca.pem").text("ca_cert"), Some("/ca.pem"));
    }
    assert_eq!(hcv("vault_hcv_ssl_server_name", "vault").text("tls_server_name"), Some("vault"));
    let aws = load(&[], &[("KONG_VAULT_AWS_CA_BUNDLE", "/ca.pem")]).unwrap();
    assert_eq!(settings(&aws, "{vault://aws/a}").unwrap().text("ca_cert"), Some("/ca.pem"));
}

#[test]
fn white_space_around_a_value_and_empty_values_count_as_in_kong() {
    let config =
        load(&[("vault_env_prefix", " A_ ")], &[("KONG_VAULT_HCV_TOKEN", "hvs.x\n"), ("KONG_VAULT_AWS_REGION", " ")]);
    let config = config.unwrap();
    assert_eq!(settings(&config, "{vault://env/a}").unwrap().text("prefix"), Some("A_"));
    assert_eq!(settings(&config, "{vault://hcv/a}").unwrap().secret("token").unwrap().as_str(), Some("hvs.x"));
    assert_eq!(settings(&config, "{vault://aws/a}").unwrap().get("region"), None, "empty is none");
    let undone = load(&[("vault_aws_region", "eu-west-1")], &[("KONG_VAULT_AWS_REGION", "")]).unwrap();
    assert_eq!(settings(&undone, "{vault://aws/a}").unwrap().get("region"), None);
    says(&flaw(&[], &[("KONG_VAULT_HCV_PORT", "")]), &["port", "KONG_VAULT_HCV_PORT", "from 1 to 65535"]);
    says(&refused(&config, "{vault://env/a?ttl=}"), &["value \"\" of option ttl", "the reference"]);
}

#[test]
fn an_invalid_value_is_named_with_its_source_and_what_is_accepted() {
    for (key, value, parts) in [
        ("vault_hcv_kv", "v3", &["\"v3\"", "option kv of the hcv vault", "v1 or v2"][..]),
        ("vault_hcv_port", "65536", &["option port of the hcv vault", "a whole number from 1 to 65535"]),
        ("vault_hcv_host", "http://a", &["option host", "a host name or an IP address, without protocol"]),
        ("vault_hcv_ssl_verify", "maybe", &["option ssl_verify", "true or false"]),
        ("vault_env_ttl", "-1", &["option ttl of the env vault", "seconds from 0 to 1000000000"]),
        ("vault_aws_ttl", "NaN", &["option ttl of the aws vault"]),
        ("vault_aws_region", "Frankfurt", &["option region", "such as us-east-1"]),
        ("vault_aws_endpoint_url", "ftp://a", &["\"ftp://a\"", "option endpoint_url", "a URL such as https://host"]),
        ("vault_cache_size", "0", &["option vault_cache_size", "from 1 to"]),
        ("vault_fetch_timeout", "0", &["option vault_fetch_timeout", "seconds from 0.001"]),
        ("vault_strict_compatibility", "2", &["option vault_strict_compatibility", "true or false"]),
    ] {
        let text = flaw(&[(key, value)], &[]);
        says(&text, parts);
        says(&text, &[&format!("set by configure key {key},")]);
        let variable = format!("KONG_{}", key.to_uppercase());
        let text = flaw(&[], &[(&variable, value)]);
        says(&text, parts);
        says(&text, &[&format!("set by environment variable {variable},")]);
    }
}

#[test]
fn an_empty_admin_token_hears_nobody_whatever_else_is_set() {
    let token = "vault_admin_token";
    for blank in ["", " ", "\t\r\n", "\u{a0}"] {
        let cases: [(Pairs<'_>, Pairs<'_>, &str); 5] = [
            (&[], &[("KONG_VAULT_ADMIN_TOKEN", blank)], "environment variable KONG_VAULT_ADMIN_TOKEN"),
            (&[(token, "s3cret")], &[("KONG_VAULT_ADMIN_TOKEN", blank)], "environment variable KONG_VAULT_ADMIN_TOKEN"),
            (&[(token, "s3cret")], &[("KONG_vault_admin_token", blank)], "environment variable KONG_vault_admin_token"),
            (&[(token, blank)], &[], "configure key vault_admin_token"),
            (&[(token, blank)], &[("KONG_VAULT_ADMIN_TOKEN", "s3cret")], "configure key vault_admin_token"),
        ];
        for (conf, environment, source) in cases {
            let config = load(conf, environment).unwrap();
            let text = config.admin_token.as_ref().expect_err("nobody is heard").to_string();
            says(&text, &["option vault_admin_token", source, "is empty"]);
            says(&flaw(conf, environment), &["option vault_admin_token", source]);
            assert!(settings(&config, "{vault://env/a}").is_ok(), "the vaults are usable");
        }
    }
    for wrong in ["two words", "ünicode", "a\nb"] {
        let config = load(&[(token, wrong)], &[]).unwrap();
        assert!(config.admin_token.is_err() && config.check().is_err(), "{wrong}");
    }
    let file = |value: &str| {
        let keys = map(&[(token, value)]);
        Config::load_with(
            &keys,
            ConfigSource::File("/etc/kong.conf"),
            &Environment::default(),
            ALL,
            &IndirectValues::default(),
        )
    };
    says(&file(" ").unwrap().admin_token.unwrap_err().to_string(), &["key vault_admin_token in /etc/kong.conf"]);
    assert!(file("s3cret").unwrap().admin_token.unwrap().is_some());
    assert!(load(&[], &[]).unwrap().admin_token.unwrap().is_none());
}

#[test]
fn an_unknown_option_is_named_with_its_source_and_what_was_meant() {
    says(
        &flaw(&[("vault_hcv_tokn", "hunter2")], &[]),
        &[
            "unknown option tokn of the hcv vault",
            "configure key vault_hcv_tokn",
            "did you mean token?",
            "accepted are",
        ],
    );
    says(
        &flaw(&[], &[("KONG_VAULT_AWS_REGOIN", "hunter2")]),
        &[
            "unknown option regoin",
            "environment variable KONG_VAULT_AWS_REGOIN",
            "did you mean region?",
            "accepted are region,",
            "and others, which `kong-vault vaults` lists",
        ],
    );
    says(
        &flaw(&[], &[("KONG_VAULT_CACH_SIZE", "1")]),
        &["unknown option vault_cach_size", "KONG_VAULT_CACH_SIZE", "did you mean vault_cache_size?", "vault_hcv_…"],
    );
    says(&flaw(&[("vault_hvc_token", "hunter2")], &[]), &["did you mean vault_hcv_token?"]);
    says(&flaw(&[("nope", "1")], &[]), &["unknown option nope, set by configure key nope: accepted are vaults,"]);
    let config = load(&[], &[]).unwrap();
    let text = refused(&config, "{vault://env/a?tll=1}");
    says(&text, &["unknown option tll of the env vault, set by the reference (did you mean ttl?)", "prefix"]);
    says(&refused(&config, "{vault://env/a?%ff=1}"), &["unknown option ? of the env vault"]);
    says(&refused(&config, "{vault://env/a?q=1}"), &["set by the reference: accepted"]);
    assert!(refused(&config, &format!("{{vault://env/a?{}=1}}", "x".repeat(65536))).len() < 400);
}

#[test]
fn what_is_wrong_with_one_vault_leaves_the_others_usable() {
    let config = load(&[], &[("KONG_VAULT_HCV_NOPE", "1"), ("KONG_VAULT_OTHER", "1")]).unwrap();
    assert!(settings(&config, "{vault://env/a}").is_ok());
    says(&refused(&config, "{vault://hcv/a/b}"), &["unknown option nope of the hcv vault"]);
    says(&flaw(&[("vaults", "env")], &[("KONG_VAULT_HCV_NOPE", "1")]), &["unknown option nope of the hcv vault"]);
}

#[test]
fn what_others_put_into_the_environment_is_no_mistake() {
    let config = load(
        &[("vault_rotation_interval", "60")],
        &[
            ("KONG_VAULT_ROTATION_INTERVAL", "60"),
            ("KONG_DATABASE", "off"),
            ("KONG_VAULTED", "1"),
            ("KONG_VAULT_SERVICE_HOST", "10.0.0.1"),
            ("KONG_VAULT_SERVICE_PORT", "8200"),
            ("KONG_VAULT_SERVICE_PORT_HTTP", "8200"),
            ("KONG_VAULT_PORT", "tcp://10.0.0.1:8200"),
            ("KONG_VAULT_PORT_8200_TCP_ADDR", "10.0.0.1"),
        ],
    );
    config.unwrap().check().unwrap();
}

#[test]
fn bytes_that_are_no_text_are_refused_and_not_passed_over() {
    let environment = Environment::from_variables([("KONG_VAULT_HCV_TOKEN", b"hunter2\xff")]);
    let config = Config::load(&BTreeMap::new(), &environment).unwrap();
    says(&refused(&config, "{vault://hcv/a/b}"), &["(no UTF-8) of option token", "KONG_VAULT_HCV_TOKEN"]);
    says(&refused(&config, "{vault://env/a?prefix=%ff}"), &["(no UTF-8) of option prefix", "the reference"]);
}

#[test]
fn a_reference_may_set_what_it_may_and_nothing_else() {
    let config = load(&[("vault_hcv_token", "hvs.mine")], &[]).unwrap();
    for option in ["host=evil", "token=hunter2", "protocol=https", "namespace=x", "mount=sys", "ssl_verify=off"] {
        let name = option.split('=').next().unwrap();
        let text = refused(&config, &format!("{{vault://hcv/a/b?{option}}}"));
        says(&text, &[&format!("option {name} of the hcv vault (hcv) is not allowed in a reference")]);
        says(&text, &["a reference may set ttl, neg_ttl, resurrect_ttl, min_ttl, max_ttl, base64_decode"]);
    }
    says(
        &refused(&config, "{vault://aws/a?endpoint_url=http://evil}"),
        &["option endpoint_url", "may set region, ttl"],
    );
    let region = settings(&config, "{vault://aws/a?region=eu-west-1}").unwrap();
    assert_eq!(region.text("region"), Some("eu-west-1"));
    says(&refused(&config, "{vault://aws/a?region=evil.example/}"), &["option region", "the reference"]);
}

#[test]
fn strict_compatibility_lets_a_reference_set_everything() {
    let config = load(&[("vault_strict_compatibility", "on")], &[]).unwrap();
    let settings = settings(&config, "{vault://hcv/a/b?host=other&token=hvs.x&port=1}").unwrap();
    assert_eq!((settings.text("host"), settings.integer("port")), (Some("other"), Some(1)));
    assert_eq!(settings.secret("token").unwrap().as_str(), Some("hvs.x"));
    let text = refused(&config, "{vault://hcv/a/b?token=hunter2%20}");
    says(&text, &["value of option token of the hcv vault, set by the reference"]);
    says(&refused(&config, "{vault://hcv/a/b?hots=1}"), &["unknown option hots"]);
    says(&refused(&config, "{vault://hcv/a/b?nope=1}"), &["unknown option nope"]);
    // It may be the end of a token that has an `&` in it.
    says(&refused(&config, "{vault://hcv/a/b?token=p&zulu}"), &["unknown option (a value of 4 characters)"]);
}

#[test]
fn a_sensitive_value_is_never_shown() {
    for value in ["hunter2 ", "hunter2\nx", "a hunter2", "hunter2é"] {
        says(&flaw(&[("vault_hcv_token", &format!("x{value}y"))], &[]), &["value of option token", "printable ASCII"]);
    }
    says(&flaw(&[("vault_aws_endpoint_url", "https://me:hunter2@x")], &[]), &["value of option endpoint_url"]);
    let config = load(&[("vault_hcv_token", "hunter2")], &[("KONG_VAULT_ENV_TTL", "x")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!format!("{:?}", settings(&config, "{vault://hcv/a}").unwrap()).contains("hunter2"));
}

#[test]
fn vaults_selects_the_backends() {
    let on = |vaults: &str| {
        let config = load(&[("vaults", vaults)], &[]).unwrap();
        ["env", "hcv", "aws"].into_iter().filter(|name| config.vault(name.as_bytes()).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(on("bundled"), ["env", "hcv", "aws"]);
    assert_eq!(on("bundled,env"), ["env", "hcv", "aws"]);
    assert_eq!(on("aws , env"), ["env", "aws"]);
    assert_eq!(on("off"), [""; 0]);
    let off = load(&[("vaults", "bundled")], &[("KONG_VAULTS", "off")]).unwrap();
    let error = off.vault(b"env").unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::UnknownVault, "could not find vault (env)"));
    for (vaults, parts) in [
        ("", &["option vaults is empty", "env, hcv, aws"][..]),
        (" , ", &["option vaults is empty"]),
        ("env,off", &["\"off\" in option vaults", "`off` alone"]),
        ("env,hvc", &["\"hvc\" in option vaults, set by configure key vaults", "did you mean hcv?"]),
    ] {
        says(&load(&[("vaults", vaults)], &[]).unwrap_err().to_string(), parts);
    }
    says(&load(&[], &[("KONG_VAULTS", "nope")]).unwrap_err().to_string(), &["environment variable KONG_VAULTS"]);
}

#[test]
fn keys_of_a_file_are_named_by_it() {
    let load = |conf: Pairs<'_>| {
        Config::load_with(
            &map(conf),
            ConfigSource::File("/etc/kong.conf"),
            &Environment::default(),
            kong_vault::backend::registry::ALL,
            &IndirectValues::default(),
        )
    };
    let text = load(&[("vault_hcv_kv", "v3")]).unwrap().check().unwrap_err().to_string();
    says(&text, &["set by key vault_hcv_kv in /etc/kong.conf"]);
}

#[test]
fn a_required_option_is_missed_when_it_is_needed() {
    const OPTIONS: &[Opt] = &[Opt::new("place", Type::Text, "").required().overridable()];
    static BACKEND: Descriptor =
        Descriptor { name: "odd", options: OPTIONS, build, ..kong_vault::backend::env::DESCRIPTOR };
    fn build(_: &Setup<'_>) -> Result<Arc<dyn Backend>> {
        unreachable!()
    }
    let load = |conf| {
        Config::load_with(
            &map(conf),
            ConfigSource::Configure,
            &Environment::default(),
            &[&BACKEND],
            &IndirectValues::default(),
        )
        .unwrap()
    };
    let config = load(&[]);
    config.check().unwrap();
    says(
        &refused(&config, "{vault://odd/a}"),
        &["option place of the odd vault (odd) is missing", "vault_odd_place", "KONG_VAULT_ODD_PLACE", "config.place"],
    );
    assert!(settings(&config, "{vault://odd/a?place=x}").is_ok());
    assert!(settings(&load(&[("vault_odd_place", "x")]), "{vault://odd/a}").is_ok());
}

#[test]
fn a_strategys_options_lead_nowhere_that_no_vault_does() {
    let proxy = "http://u:hunter2@proxy:3128";
    let config = load(&[("vault_hcv_host", "vault"), ("vault_hcv_proxy", proxy)], &[]).unwrap();
    let hcv = kong_vault::backend::registry::find("hcv").expect("the backend");
    let asked = |options: Pairs<'_>| config.vault_of_strategy(hcv, &map(options), false).map_err(shown);
    let ours = [("host", "vault"), ("proxy", proxy)];
    asked(&ours).unwrap();
    // A credential may have been renewed.
    asked(&[ours[0], ours[1], ("token", "hunter2")]).unwrap();
    for other in ["http://evil:3128", "off"] {
        says(&asked(&[ours[0], ("proxy", other)]).unwrap_err(), &["may not set its server"]);
    }
    for other in [("host", "evil"), ("auth_method", "cert"), ("kube_role", "admin"), ("gcp_service_account", "a@b")] {
        asked(&[ours[0], ours[1], other]).unwrap_err();
    }
}

#[test]
fn an_empty_value_that_is_not_accepted_says_how_to_do_without() {
    for (key, option) in [
        ("tls_certificate_verify", "tls_certificate_verify"),
        ("vaults_lazy_load_secrets", "vaults_lazy_load_secrets"),
        ("vault_cache_size", "vault_cache_size"),
        ("vault_hcv_ssl_verify", "ssl_verify"),
    ] {
        let variable = format!("KONG_{}", key.to_uppercase());
        let by_variable: (Pairs, Pairs) = (&[], &[(&variable, "")]);
        for ((conf, environment), source) in [(by_variable, &*variable), ((&[(key, " ")], &[]), key)] {
            let parts = [option, source, "is empty, which is not the same as not set", "or remove the setting"];
            says(&flaw(conf, environment), &parts);
        }
    }
}
