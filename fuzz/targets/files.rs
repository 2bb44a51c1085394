//! Declarative files: the loader takes what `kong-vault check` finds nothing wrong with, and nothing else.
#![no_main]

use std::sync::Once;

use kong_vault::backend::registry::ALL;
use kong_vault::config::declarative;
use kong_vault_cli::check;
use kong_vault_fuzz::{Bytes, MARKER, bounded, hides, tolerate_panics_of};
use libfuzzer_sys::fuzz_target;

/// Files with a secret in them.
const TEMPLATES: [&str; 4] = [
    "_format_version: \"3.0\"\nvaults:\n- prefix: mine\n  name: hcv\n  config:\n    host: vault.internal\n    port: 8200\n    \
     token: m4rk3r-0f-a-s3cr3t\n- prefix: other\n  name: env\n  config: {prefix: A_, ttl: 30}\n",
    "{\"vaults\": [{\"prefix\": \"mine\", \"name\": \"hcv\", \"config\": {\"token\": \"m4rk3r-0f-a-s3cr3t\", \"ssl_verify\": true}}]}",
    "base: &base {auth_method: approle, approle_role_id: m4rk3r-0f-a-s3cr3t, approle_secret_id: m4rk3r-0f-a-s3cr3t}\n\
     vaults: [{prefix: mine, name: hcv, config: {<<: *base, mount: secret}}, {prefix: aa, name: aws, config: *base}]\n",
    "services:\n- url: \"{vault://mine/a/b?token=m4rk3r-0f-a-s3cr3t}\"\n  x: !!str 1\n? [a]\n: |\n  text\nvaults:\n",
];

/// Its panics are caught, and told as flaws of the file.
static PARSER: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    PARSER.call_once(|| tolerate_panics_of("libyaml-safer"));
    let mut bytes = Bytes(data);
    let name = bytes.one_of(&["kong.yml", "kong.json"]);
    match bytes.byte() {
        0..128 => look_at(name, bytes.0, false),
        _ => {
            let template = bytes.one_of(&TEMPLATES);
            let text = bytes.edited(template);
            look_at(name, &text, text.windows(MARKER.len()).filter(|it| *it == MARKER.as_bytes()).count() > 0);
        }
    }
});

fn look_at(name: &str, bytes: &[u8], secret: bool) {
    bounded(bytes.len(), || {
        let (table, wrong) = check::look_at(name, bytes.to_vec());
        let Ok(text) = std::str::from_utf8(bytes) else {
            assert!(wrong > 0, "{table}");
            return;
        };
        let loaded = declarative::parse_text(name, text, ALL);
        match &loaded {
            Err(error) => {
                assert!(wrong > 0, "loading: {error}\n{table}");
                assert!(!error.to_string().contains('\n'), "{error}");
                if secret {
                    hides(&error.to_string());
                }
            }
            Ok(found) => {
                let flaw = found.broken.first().map(|broken| &broken.error);
                assert!(wrong > 0 || flaw.is_none(), "loading: {flaw:?}\n{table}");
                assert!(!table.contains("the rest of the file is not checked"), "{table}");
                if secret {
                    hides(&format!("{flaw:?} {:?}", found.entities));
                }
            }
        }
    });
}
