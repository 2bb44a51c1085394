//! A folder and an Admin API on it.

use kong_vault::admin::{AdminApi, AdminResponse, Body, Request, Who};
use kong_vault::backend::registry::ALL;
use kong_vault::config::Verification;
use kong_vault::store::Store;
use serde_json::Value;

pub struct Bed {
    folder: tempfile::TempDir,
    store: Store,
    pub verification: Verification,
}

/// Method, path with query, content type, body.
pub type Sent<'a> = (&'a str, &'a str, Option<&'a str>, &'a [u8]);

impl Bed {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap()).unwrap();
        Self { folder, store, verification: Verification::Optional }
    }

    pub fn send_all(&self, requests: &[Sent<'_>]) -> Vec<Called> {
        let requests = requests.iter().map(|(method, path, content_type, body)| Request {
            method: (*method).to_owned(),
            target: path.as_bytes().to_vec(),
            content_type: content_type.map(|text| text.as_bytes().to_vec()),
            body: Body::Bytes(body.to_vec().into()),
            who: Who::default(),
            of_kong: false,
        });
        let requests: Vec<_> = requests.collect();
        let (store, verification) = (&self.store, self.verification);
        let api = AdminApi {
            store,
            backends: ALL,
            is_fixed: &|prefix| prefix == "fixed",
            verification,
            status: &|| serde_json::json!({}),
        };
        api.serve(&requests).into_iter().map(Called::from).collect()
    }

    pub fn send(&self, method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Called {
        self.send_all(&[(method, path, content_type, body)]).remove(0)
    }

    pub fn call(&self, method: &str, path: &str) -> Called {
        self.send(method, path, None, b"")
    }

    pub fn get(&self, path: &str) -> Called {
        self.call("GET", path)
    }

    pub fn json(&self, method: &str, path: &str, body: Value) -> Called {
        self.send(method, path, Some("application/json"), body.to_string().as_bytes())
    }

    pub fn form(&self, method: &str, path: &str, body: &str) -> Called {
        self.send(method, path, Some("application/x-www-form-urlencoded"), body.as_bytes())
    }

    /// What is stored; nothing before the first change.
    pub fn file(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("vaults.json")).ok()
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[derive(Debug)]
pub struct Called {
    pub status: u16,
    pub body: Option<String>,
    pub allow: Option<&'static str>,
}

impl Called {
    pub fn json(&self) -> Value {
        serde_json::from_str(self.body.as_deref().expect("a body")).expect("JSON")
    }
}

impl From<AdminResponse> for Called {
    fn from(answer: AdminResponse) -> Self {
        Self { status: answer.status, body: answer.body, allow: answer.allow }
    }
}

pub fn id(vault: &Value) -> &str {
    vault["id"].as_str().expect("an id")
}
