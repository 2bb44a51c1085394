//! References: parsed, planned, and quoted in errors.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kong_vault::config::Config;
use kong_vault::environment::Environment;
use kong_vault::error::Kind;
use kong_vault::reference::{is_reference, parse, quote};
use kong_vault::resolver::resolved_reference::ResolvedReference;
use kong_vault_fuzz::{Bytes, MARKER, bounded, hides};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<Config> =
    LazyLock::new(|| Config::load(&BTreeMap::new(), &Environment::default()).expect("a configuration"));

/// Options in which somebody may write a credential down, allowed there or not.
const OPTIONS: [&str; 6] =
    ["token", "approle_secret_id", "userpass_password", "aws_secret_access_key", "client_cert_key", "jwt"];

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || {
        look_at(data);
        look_at(&[b"{vault://", data, b"}"].concat());
        let mut bytes = Bytes(data);
        let option = bytes.one_of(&OPTIONS);
        let template = format!("{{vault://hcv/a/b?ttl=1&{option}={MARKER}#2}}");
        let reference = bytes.edited(&template);
        let text = String::from_utf8_lossy(&reference);
        // Where its name is still that.
        let query = text.split_once('?').map_or("", |(_, query)| query);
        if query.contains(&format!("&{option}={MARKER}")) {
            hides(&quote(&reference));
            if let Err(error) = ResolvedReference::resolve(&reference, &CONFIG) {
                hides(&format!("{error} {error:?} {}", error.for_users()));
            }
        }
    });
});

fn look_at(reference: &[u8]) {
    let parsed = parse(reference);
    if let Ok(parsed) = &parsed {
        assert!(is_reference(reference));
        assert!(!parsed.name.is_empty() && !parsed.resource.is_empty());
    }
    let quoted = quote(reference);
    assert!(quoted.chars().count() <= 1100 && !quoted.contains(|c: char| c.is_control()), "{quoted:?}");
    match (ResolvedReference::resolve(reference, &CONFIG), parsed) {
        (Ok(_), parsed) => assert!(parsed.is_ok()),
        (Err(error), parsed) => {
            assert_ne!(error.kind(), Kind::Internal, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            assert!(parsed.is_ok() || error.kind() == Kind::Reference, "{error}");
        }
    }
}
