//! The standalone Admin API: any requests in a row, and what they leave behind.
#![no_main]

use std::cell::RefCell;

use kong_vault::admin::{AdminApi, Body, Request, Who};
use kong_vault::backend::registry::ALL;
use kong_vault::config::{Verification, entity};
use kong_vault::store::Store;
use kong_vault_fuzz::{Bytes, bounded, hides};
use libfuzzer_sys::fuzz_target;

struct Bed {
    folder: tempfile::TempDir,
    store: Store,
}

thread_local! {
    static BED: RefCell<Option<Bed>> = const { RefCell::new(None) };
}

impl Bed {
    fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let store = Store::open(folder.path().to_str().expect("a path")).expect("a store");
        Self { folder, store }
    }
}

const METHODS: [&str; 8] = ["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE"];
const PATHS: [&str; 6] = [
    "/vaults",
    "/vaults/mine",
    "/vaults/f4aecadc-05c7-11e6-8d41-1f3b3d5fa15c",
    "/vaults?size=1&tags=a,b&offset=",
    "/vaults/fixed",
    "/vaults/other-1",
];
const KINDS: [Option<&str>; 4] =
    [Some("application/json"), Some("application/x-www-form-urlencoded"), None, Some("text/plain")];
const BODIES: [&str; 5] = [
    "{\"name\": \"hcv\", \"prefix\": \"mine\", \"config\": {\"token\": \"m4rk3r-0f-a-s3cr3t\", \"port\": 8200}, \"tags\": [\"a\", \"b\"]}",
    "{\"name\": \"hcv\", \"config\": {\"auth_method\": \"approle\", \"approle_role_id\": \"m4rk3r-0f-a-s3cr3t\", \
     \"approle_secret_id\": \"m4rk3r-0f-a-s3cr3t\", \"ssl_verify\": true, \"redirect_hosts\": [\"a\"]}}",
    "{\"name\": \"env\", \"config\": {\"prefix\": \"A_\", \"ttl\": 3.5}, \"id\": \"f4aecadc-05c7-11e6-8d41-1f3b3d5fa15c\"}",
    "name=hcv&config.token=m4rk3r-0f-a-s3cr3t&config[port]=8200&tags[]=a&tags=b",
    "{}",
];

fuzz_target!(|data: &[u8]| {
    BED.with_borrow_mut(|bed| {
        let bed = bed.get_or_insert_with(Bed::new);
        let _ = std::fs::remove_file(bed.folder.path().join("vaults.json"));
        bounded(data.len(), || serve(bed, data));
    });
});

fn serve(bed: &Bed, data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut requests = Vec::new();
    while !bytes.is_empty() && requests.len() < 6 {
        let (method, path) = (*bytes.one_of(&METHODS), *bytes.one_of(&PATHS));
        let kind = *bytes.one_of(&KINDS);
        let is_edited = bytes.byte() < 160;
        let body = if is_edited {
            let body = bytes.one_of(&BODIES);
            bytes.edited(body)
        } else {
            bytes.piece().to_vec()
        };
        let target = [path.as_bytes(), if is_edited { b"" } else { bytes.piece() }].concat();
        requests.push(Request {
            method: method.to_owned(),
            target,
            content_type: kind.map(|kind| kind.as_bytes().to_vec()),
            body: Body::Bytes(body.into()),
            who: Who::default(),
            of_kong: false,
        });
    }
    let (store, verification) = (&bed.store, Verification::Optional);
    let api = AdminApi {
        store,
        backends: ALL,
        is_fixed: &|prefix| prefix == "fixed",
        verification,
        status: &|| serde_json::json!({}),
    };
    let answers = api.serve(&requests);
    assert_eq!(answers.len(), requests.len());
    for (request, answer) in requests.iter().zip(&answers) {
        assert!((200..500).contains(&answer.status), "{request:?}: {answer:?}");
        if let Some(body) = &answer.body {
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert!(answer.status < 400 || body["message"].is_string(), "{body}");
        }
    }
    let mut listed = 0;
    let snapshot = bed.store.read().expect("what was written");
    for vault in &snapshot.vaults {
        listed += 1;
        assert!(!vault.text("id").is_empty() && !vault.text("prefix").is_empty(), "{vault:?}");
        let whole = serde_json::Value::Object((**vault).clone());
        assert!(entity::check(&whole, ALL, Verification::Optional).is_ok());
        hides(&format!("{vault:?}"));
        // An entity's credentials are nowhere shown, whatever else it was given.
        let config = vault.get("config");
        let hidden = ["token", "approle_role_id", "approle_secret_id"];
        let is_hidden = |name: &&str| {
            let Some(value) = config.and_then(|config| config.get(name)).and_then(|value| value.as_str()) else {
                return true;
            };
            value.contains("m4rk3r") || value.starts_with("{vault://")
        };
        if hidden.iter().all(is_hidden) && vault.text("name") == "hcv" {
            let target = format!("/vaults/{}", vault.text("id")).into_bytes();
            let (body, who) = (Body::Bytes(Vec::new().into()), Who::default());
            let request = Request { method: "GET".to_owned(), target, content_type: None, body, who, of_kong: false };
            let shown = api.serve(&[request]).remove(0);
            let body = shown.body.unwrap_or_default();
            assert_eq!(shown.status, 200, "{body}");
            let shown: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            for name in hidden {
                hides(&shown["config"][name].to_string());
            }
        }
    }
    assert!(listed <= requests.len());
}
