//! A marked secret, in each of the ways that people give one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kong_vault::backend::Descriptor;
use kong_vault::config::options_of;
use kong_vault::options::Opt;
use serde_json::{Value, json};

use super::certs;
use super::given::config_of;

/// Part of every secret. A text is looked at whatever its case.
pub const MARKER: &str = "Hunter2Marker";

/// A way to give a secret, and texts that show it.
pub struct Given {
    name: &'static str,
    pub value: String,
    parts: Vec<String>,
}

impl Given {
    pub fn of(name: &'static str, value: String) -> Self {
        // Of base64, any part of some length.
        let is_encoded = !value.contains(MARKER);
        let parts: Vec<_> =
            value.as_bytes().chunks(16).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        Self { name, value, parts: if is_encoded { parts } else { vec![MARKER.to_owned()] } }
    }

    #[track_caller]
    pub fn is_hidden_in(&self, text: &str, place: &str) {
        let lower = text.to_lowercase();
        for part in &self.parts {
            assert!(!lower.contains(&part.to_lowercase()), "{place} shows {} ({part}):\n{text}", self.name);
        }
    }
}

pub fn all_ways() -> Vec<Given> {
    let directory = tempfile::tempdir().unwrap();
    let certificate = match certs::available() {
        true => certs::self_signed(directory.path(), "ours", "/CN=ours", None).pem(),
        false => "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUJw==\n-----END CERTIFICATE-----\n".to_owned(),
    };
    let key = format!("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG{MARKER}AgEGCCqGSM49\n-----END PRIVATE KEY-----\n");
    let (last, first) = (format!("{certificate}{key}"), format!("{key}{certificate}"));
    let wrapped = |text: &str| {
        let base64 = STANDARD.encode(text);
        base64.as_bytes().chunks(76).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n")
    };
    vec![
        Given::of("a key behind its certificate", last.clone()),
        Given::of("a key before its certificate", first.clone()),
        Given::of("the same in one line", first.replace('\n', "\\n")),
        Given::of("base64 of them", STANDARD.encode(&last)),
        Given::of("base64 in lines", wrapped(&first)),
        Given::of("a vault's token", format!("hvs.CAESI{MARKER}0123456789")),
        Given::of("a JWT", format!("eyJhbGciOiJSUzI1NiJ9.eyJ{MARKER}.c2lnbmF0dXJl")),
        Given::of("a URL", format!("https://user:{MARKER}@idp.example.com/token?sig={MARKER}#{MARKER}")),
        Given::of("an address with a user", format!("user:{MARKER}@idp.example.com:8080")),
        Given::of("a URL's query", format!("https://idp.example.com/token?sig={MARKER}")),
    ]
}

fn json_of(backend: &Descriptor, opt: &Opt, value: &str) -> Value {
    let config = config_of(backend, opt, value).into_iter().map(|(name, value)| {
        let is_list = options_of(backend).any(|opt| opt.name == name && opt.kind.name() == "list");
        (name, if is_list { json!([value]) } else { json!(value) })
    });
    Value::Object(config.collect())
}

pub fn prefix_of(backend: &Descriptor, opt: &Opt) -> String {
    format!("{}-{}", backend.name, opt.name.replace('_', "-"))
}

pub fn entity_of(backend: &Descriptor, opt: &Opt, value: &str) -> Value {
    json!({"prefix": prefix_of(backend, opt), "name": backend.name, "config": json_of(backend, opt, value)})
}
