//! The option tables, and how values are read: whatever is written, a value comes out that the option allows, or none.

use std::time::Duration;

use kong_vault::backend::registry::ALL;
use kong_vault::config::options_of;
use kong_vault::options::own::OWN;
use kong_vault::options::value::Value;
use kong_vault::options::{COMMON, Opt, Type, in_keys, variable};
use proptest::prelude::*;

fn every() -> impl Iterator<Item = (&'static str, &'static Opt)> {
    let of_backends = ALL.iter().flat_map(|backend| backend.options.iter().map(|opt| (backend.name, opt)));
    of_backends.chain(COMMON.iter().map(|opt| ("", opt))).chain(OWN.iter().map(|opt| ("", opt)))
}

#[test]
fn every_declaration_holds_together() {
    for (backend, opt) in every() {
        let name = format!("{backend} {}", opt.name);
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(is_plain(opt.name) && opt.aliases.iter().all(|alias| is_plain(alias)), "{name}");
        assert!(!opt.help.is_empty() && !opt.help.ends_with('.') && !opt.help.contains('|'), "{name}");
        if let Some(pattern) = opt.pattern {
            regex::Regex::new(&format!("^(?:{})$", pattern.regex)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(opt.kind, Type::Text, "{name}");
        }
        assert!(opt.one_of.iter().all(|text| opt.parse(text).is_some()), "{name}");
        if let Some(default) = opt.default {
            assert!(opt.parse(default).is_some() && !opt.required && !opt.sensitive, "{name}");
        }
        assert!(!opt.overridable || !(opt.sensitive || opt.operators), "{name}");
    }
}

#[test]
fn no_two_options_of_a_vault_share_a_spelling() {
    for backend in ALL {
        let opts: Vec<_> = options_of(backend).collect();
        for (index, opt) in opts.iter().enumerate() {
            for other in &opts[index + 1..] {
                for name in opt.aliases.iter().chain([&opt.name]) {
                    assert!(!other.is_called(name), "{} of {}", name, backend.name);
                }
            }
        }
        // Else `vault_<backend>_…` could mean two vaults' options.
        for other in ALL {
            let rest = in_keys(other.name).strip_prefix(&format!("{}_", in_keys(backend.name))).map(str::to_owned);
            assert!(!rest.is_some_and(|rest| opts.iter().any(|opt| opt.name.starts_with(&rest))), "{}", other.name);
        }
        assert!(!OWN.iter().any(|opt| opt.name.starts_with(&format!("vault_{}_", in_keys(backend.name)))));
    }
}

#[test]
fn names_outside_follow_from_the_name() {
    let region = ALL.iter().flat_map(|backend| backend.options).find(|opt| opt.name == "region").unwrap();
    assert_eq!(region.key("aws"), "vault_aws_region");
    assert_eq!(region.variable("aws"), "KONG_VAULT_AWS_REGION");
    assert_eq!(variable("vaults"), "KONG_VAULTS");
}

#[test]
fn values_at_the_edge() {
    let read = |kind, text: &str| Opt::new("x", kind, "").parse(text);
    for text in ["true", "on", "yes", "1"] {
        assert_eq!(read(Type::Boolean, text), Some(Value::Boolean(true)));
    }
    for text in ["false", "off", "no", "0"] {
        assert_eq!(read(Type::Boolean, text), Some(Value::Boolean(false)));
    }
    for text in ["", "2", "TRUE!", "on off", "t\0"] {
        assert_eq!(read(Type::Boolean, text), None, "{text:?}");
    }
    let port = Type::Integer { min: 1, max: 65535 };
    assert_eq!((read(port, "1"), read(port, "65535")), (Some(Value::Integer(1)), Some(Value::Integer(65535))));
    for text in ["", "0", "65536", "1.0", "0x10", "1e3", " 1", "-1", "99999999999999999999"] {
        assert_eq!(read(port, text), None, "{text:?}");
    }
    let seconds = Type::Seconds { min: 0.0 };
    assert_eq!(read(seconds, "1e9"), Some(Value::Seconds(Duration::from_secs(1_000_000_000))));
    assert_eq!(read(seconds, "0.25"), Some(Value::Seconds(Duration::from_millis(250))));
    for text in ["", "-0.1", "1e10", "inf", "nan", "1,5", "1s", "0x1"] {
        assert_eq!(read(seconds, text), None, "{text:?}");
    }
    assert_eq!(read(Type::Seconds { min: 0.001 }, "1e-400"), None);
    assert_eq!(read(Type::List, " a, ,b ,"), Some(Value::List(vec!["a".into(), "b".into()])));
}

fn written() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[-+]?[0-9]{0,12}(\\.[0-9]{0,4})?(e[-+]?[0-9]{1,3})?",
        "[a-z0-9.:/@_-]{0,24}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn whatever_is_read_is_what_the_option_allows(text in written()) {
        for (backend, opt) in every() {
            let Some(value) = opt.parse(&text) else { continue };
            let allowed = match (&value, opt.kind) {
                (Value::Text(value), Type::Text) => {
                    !opt.sensitive && *value == text && (opt.one_of.is_empty() || opt.one_of.contains(&value.as_str()))
                }
                (Value::Secret(value), Type::Text) => opt.sensitive && value.as_str() == Some(&text),
                (Value::Boolean(_), Type::Boolean) => true,
                (Value::Integer(number), Type::Integer { min, max }) => {
                    (min..=max).contains(number) && text.trim_start_matches('+').trim_start_matches('0').len() <= 20
                }
                (Value::Seconds(time), Type::Seconds { min }) => (min..=1e9).contains(&time.as_secs_f64()),
                (Value::List(items), Type::List) => {
                    items.iter().all(|item| !item.is_empty() && !item.contains(',') && item.trim() == item)
                }
                _ => false,
            };
            prop_assert!(allowed, "{} {}: {:?} of {:?}", backend, opt.name, value, text);
        }
    }

    #[test]
    fn numbers_come_back(number in any::<i64>(), seconds in 0.0..1e9f64) {
        let integer = Opt::new("x", Type::Integer { min: i64::MIN, max: i64::MAX }, "");
        prop_assert_eq!(integer.parse(&number.to_string()), Some(Value::Integer(number)));
        let Some(Value::Seconds(read)) = Opt::new("x", Type::Seconds { min: 0.0 }, "").parse(&seconds.to_string()) else {
            return Err(TestCaseError::fail("no seconds"));
        };
        prop_assert!((read.as_secs_f64() - seconds).abs() < 1e-6);
    }

    #[test]
    fn lists_come_back(items in proptest::collection::vec("[a-z0-9.:-]{1,9}", 0..6), space in "[ \t]{0,2}") {
        let text = items.join(&format!("{space},{space}"));
        prop_assert_eq!(Opt::new("x", Type::List, "").parse(&text), Some(Value::List(items)));
    }
}

/// Kong's name, its type and its default; `None` where Kong has none, and where it does not publish its own.
type OfKong = (&'static str, &'static str, Option<&'static str>);

const TEXT: &str = "text";

/// The options of every vault in Kong 3.15, of its reference of kong.conf and of the vaults' pages.
const KONGS: &[(&str, &[OfKong])] = &[
    ("env", &[("prefix", TEXT, None)]),
    (
        "aws",
        &[
            ("region", TEXT, None),
            ("endpoint_url", TEXT, None),
            ("assume_role_arn", TEXT, None),
            ("role_session_name", TEXT, Some("KongVault")),
            ("sts_endpoint_url", TEXT, None),
        ],
    ),
    (
        "hcv",
        &[
            ("protocol", TEXT, Some("http")),
            ("host", TEXT, Some("127.0.0.1")),
            ("port", "integer", Some("8200")),
            ("mount", TEXT, Some("secret")),
            ("kv", TEXT, Some("v1")),
            ("namespace", TEXT, None),
            ("ssl_verify", "boolean", Some("true")),
            ("token", TEXT, None),
            ("auth_method", TEXT, Some("token")),
            ("kube_role", TEXT, None),
            ("kube_auth_path", TEXT, Some("kubernetes")),
            ("kube_api_token_file", TEXT, Some("/run/secrets/kubernetes.io/serviceaccount/token")),
            ("approle_auth_path", TEXT, Some("approle")),
            ("approle_role_id", TEXT, None),
            ("approle_secret_id", TEXT, None),
            ("approle_secret_id_file", TEXT, None),
            ("approle_response_wrapping", "boolean", Some("false")),
            ("cert_auth_cert", TEXT, None),
            ("cert_auth_cert_key", TEXT, None),
            ("cert_auth_role_name", TEXT, None),
            ("jwt_role", TEXT, None),
            ("oauth2_role_name", TEXT, None),
            ("oauth2_token_endpoint", TEXT, None),
            ("oauth2_client_id", TEXT, None),
            ("oauth2_client_secret", TEXT, None),
            ("oauth2_audiences", TEXT, None),
            ("gcp_auth_role", TEXT, None),
            ("gcp_login_path", TEXT, Some("/v1/auth/gcp/login")),
            ("gcp_service_account", TEXT, None),
            // Kong requires it, for `gcp_iam`.
            ("gcp_jwt_exp", "integer", Some("900")),
            ("azure_auth_role", TEXT, None),
            ("azure_login_path", TEXT, Some("/v1/auth/azure/login")),
            ("aws_auth_role", TEXT, None),
            ("aws_login_path", TEXT, Some("/v1/auth/aws/login")),
            ("aws_auth_region", TEXT, None),
            ("aws_auth_nonce", TEXT, None),
            ("aws_access_key_id", TEXT, None),
            ("aws_secret_access_key", TEXT, None),
            ("aws_sts_endpoint_url", TEXT, None),
            ("aws_assume_role_arn", TEXT, None),
            ("aws_role_session_name", TEXT, Some("kong")),
        ],
    ),
    ("gcp", &[("project_id", TEXT, None)]),
    (
        "azure",
        &[
            ("vault_uri", TEXT, None),
            ("client_id", TEXT, None),
            ("tenant_id", TEXT, None),
            ("location", TEXT, None),
            ("type", TEXT, Some("secrets")),
            ("credentials_prefix", TEXT, Some("AZURE")),
        ],
    ),
    (
        "azure-certs",
        &[
            ("vault_uri", TEXT, None),
            ("client_id", TEXT, None),
            ("tenant_id", TEXT, None),
            ("credentials_prefix", TEXT, Some("AZURE")),
            ("ttl", "seconds", Some("3600")),
        ],
    ),
    (
        "conjur",
        &[
            ("endpoint_url", TEXT, None),
            ("auth_method", TEXT, Some("api_key")),
            ("account", TEXT, None),
            ("login", TEXT, None),
            ("api_key", TEXT, None),
        ],
    ),
    ("fs", &[("prefix", TEXT, None)]),
];

#[test]
fn every_option_of_kongs_vaults_is_there_with_its_type_and_default() {
    assert_eq!(ALL.len(), KONGS.len(), "every vault is in the table");
    for (backend, own) in KONGS {
        let backend = ALL.iter().find(|it| it.name == *backend).expect(backend);
        for (name, kind, default) in *own {
            let opt = options_of(backend).find(|opt| opt.is_called(name)).unwrap_or_else(|| panic!("{name}"));
            let known = (opt.type_in_kong(), opt.default.filter(|text| !text.is_empty()));
            assert_eq!(known, (*kind, *default), "{name} of {}", backend.name);
        }
        for name in ["ttl", "neg_ttl", "resurrect_ttl", "base64_decode", "decode_base64"] {
            assert!(options_of(backend).any(|opt| opt.is_called(name)), "{name} of {}", backend.name);
        }
    }
    for name in ["vaults", "tls_certificate_verify", "vaults_lazy_load_secrets"] {
        assert!(OWN.iter().any(|opt| opt.name == name), "{name}");
    }
}

#[test]
fn what_is_secret_in_kong_is_secret_here() {
    let of_hcv = ["token", "approle_role_id", "approle_secret_id", "cert_auth_cert_key", "oauth2_client_secret"];
    let of_aws = ["aws_access_key_id", "aws_secret_access_key", "aws_auth_nonce"];
    for (backend, names) in [("hcv", &of_hcv[..]), ("hcv", &of_aws[..]), ("conjur", &["api_key"][..])] {
        let backend = ALL.iter().find(|it| it.name == backend).expect(backend);
        for name in names {
            assert!(options_of(backend).any(|opt| opt.name == *name && opt.sensitive), "{name}");
        }
    }
}
