//! Secrets and their fields, against another reader of JSON.
#![no_main]

use kong_vault::cache::document::Document;
use kong_vault::error::Kind;
use kong_vault::secret::Secret;
use kong_vault_fuzz::{Bytes, bounded, hides};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const TEMPLATE: &str = "{\"user\": \"kong\", \"password\": \"m4rk3r-0f-a-s3cr3t\", \"port\": 5432, \"deep\": {\"a\": [\"m4rk3r-0f-a-s3cr3t\"]}}";

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let (decode, key) = (bytes.byte() & 1 == 1, bytes.piece());
    bounded(data.len(), || {
        look_at(bytes.0, key, decode);
        let text = bytes.edited(TEMPLATE);
        let document = Document::new(Secret::new(text));
        for key in [None, Some(&b"password"[..]), Some(b"port"), Some(b"none")] {
            let picked = document.pick(key, true);
            hides(&format!("{picked:?} {document:?}"));
        }
    });
});

fn look_at(text: &[u8], key: &[u8], decode: bool) {
    let document = Document::new(Secret::new(text.to_vec()));
    let whole = document.pick(None, false).expect("the whole");
    assert_eq!(whole.as_bytes(), text);
    let picked = document.pick(Some(key), false);
    let theirs: Option<Value> = serde_json::from_slice(text).ok();
    if let Some(theirs) = theirs {
        let theirs = std::str::from_utf8(key).ok().and_then(|key| theirs.get(key));
        match (&picked, theirs) {
            (Ok(ours), Some(Value::String(theirs))) => assert_eq!(ours.as_bytes(), theirs.as_bytes()),
            (Err(error), theirs) => {
                assert!(!matches!(theirs, Some(Value::String(_))), "{error}");
                assert!(matches!(error.kind(), Kind::Invalid | Kind::NotFound), "{error}");
            }
            (Ok(_), other) => panic!("a text in place of {other:?}"),
        }
    }
    if decode {
        let _ = document.pick(Some(key), true);
    }
    assert!(document.bytes() >= text.len());
}
