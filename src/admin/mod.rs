//! The standalone Admin API for vault entities, as in Kong: what a request means, what it changes, and the answer. It
//! knows HTTP, but no server: `lua/kong/vault/admin.lua` hands requests in and answers out.
//!
//! It uses the configuration and the store. It must never know values, nor the resolver. What it changed, it says to its
//! caller, who has it logged.

mod access;
mod answer;
mod body;
mod change;
mod entity;
mod form;
mod key;
mod list;
mod mask;
mod write;

use std::path::PathBuf;

use percent_encoding::percent_decode;
use zeroize::Zeroizing;

pub use crate::audit::Who;
use crate::backend::Descriptor;
use crate::config::Verification;
use crate::error::Kind;
pub use crate::redact::MASK;
use crate::store::{Edit, Record, Store};
pub use access::{Access, Requester, Tokens, admits, check_access};
pub use answer::AdminResponse;
pub use change::EntityChange;
use key::EntityKey;

/// The largest body, in bytes.
pub const LIMIT: u64 = 1024 * 1024;

const OF_ALL: &str = "GET, HEAD, OPTIONS, POST";
const OF_STATUS: &str = "GET, HEAD, OPTIONS";
const OF_ONE: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, PUT";

/// A request. `check_access` has accepted it.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Path and query, as they came.
    pub target: Vec<u8>,
    pub content_type: Option<Vec<u8>>,
    pub body: Body,
    /// Who sent it, for the audit log.
    pub who: Who,
}

/// A request's body. nginx writes one that is too large for its buffer to a file.
pub enum Body {
    Bytes(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[body]")
    }
}

/// What the API works on.
pub struct AdminApi<'a> {
    pub store: &'a Store,
    pub backends: &'a [&'static Descriptor],
    /// Whether a prefix belongs to the declarative file, which this API doesn't change.
    pub is_fixed: &'a dyn Fn(&str) -> bool,
    /// Whether an entity may leave certificates unverified.
    pub verification: Verification,
    /// The state of the node, as JSON.
    pub status: &'a dyn Fn() -> serde_json::Value,
}

/// The name in place of an entity's prefix, which can't begin so, under which the state of the node is.
const STATUS: &[u8] = b"_status";

impl AdminApi<'_> {
    /// Answers requests in their order, each as if it were the only one. All changes are written at once. It blocks.
    pub fn serve(&self, requests: &[Request]) -> Vec<AdminResponse> {
        let answer_all = |vaults: &mut Vec<Record>| -> Vec<AdminResponse> {
            requests.iter().map(|request| self.answer(vaults, request)).collect()
        };
        let served = if requests.iter().any(Request::may_change) {
            self.store.change(|vaults| {
                let answers = answer_all(vaults);
                let changed = answers.iter().any(|answer| answer.change.is_some());
                if changed { Edit::Changed(answers) } else { Edit::Unchanged(answers) }
            })
        } else {
            self.store.read().map(|mut snapshot| answer_all(&mut snapshot.vaults))
        };
        match served {
            Ok(answers) => answers,
            // They may be too large together, and fit one by one.
            Err(error) if error.kind() == Kind::Invalid && requests.len() > 1 => {
                requests.iter().flat_map(|request| self.serve(std::slice::from_ref(request))).collect()
            }
            Err(error) => requests.iter().map(|_| AdminResponse::failed(&error)).collect(),
        }
    }

    fn answer(&self, vaults: &mut Vec<Record>, request: &Request) -> AdminResponse {
        let (path, query) = request.parts();
        let Some(route) = AdminRoute::parse(path) else { return AdminResponse::not_found() };
        let method = request.method.as_str();
        let answer = match (&route.key, method) {
            (Some(key), _) if key == STATUS => answer_status(method, self.status),
            (_, "OPTIONS") => AdminResponse::nothing().allowing(if route.key.is_some() { OF_ONE } else { OF_ALL }),
            (None, "GET" | "HEAD") => self.list(vaults, &route.collection, query),
            (None, "POST") => self.create(vaults, request),
            (None, _) => AdminResponse::not_allowed(OF_ALL),
            (Some(key), "GET" | "HEAD" | "PUT" | "PATCH" | "DELETE") => match EntityKey::parse(key, self.backends) {
                Err(what) => AdminResponse::invalid_prefix(&what),
                Ok(key) if method == "PUT" => self.put(vaults, &key, request),
                Ok(key) if method == "PATCH" => self.patch(vaults, &key, request),
                Ok(key) if method == "DELETE" => self.delete(vaults, &key),
                Ok(key) => self.get(vaults, &key),
            },
            (Some(_), _) => AdminResponse::not_allowed(OF_ONE),
        };
        if method == "HEAD" { answer.without_body() } else { answer }
    }

    fn get(&self, vaults: &[Record], key: &EntityKey) -> AdminResponse {
        match vaults.iter().find(|vault| key.is_of(vault)) {
            Some(vault) => AdminResponse::ok(&self.shown(vault)),
            None => AdminResponse::not_found(),
        }
    }

    /// An entity as answers show it.
    fn shown(&self, vault: &Record) -> Record {
        mask::masked(vault, self.backends)
    }
}

/// Answers a request for the state of the node.
fn answer_status(method: &str, status: &dyn Fn() -> serde_json::Value) -> AdminResponse {
    match method {
        "GET" | "HEAD" => AdminResponse::list(&status()),
        "OPTIONS" => AdminResponse::nothing().allowing(OF_STATUS),
        _ => AdminResponse::not_allowed(OF_STATUS),
    }
}

impl Request {
    /// The answer that needs no store, if it is one: that of the state of the node.
    pub fn answer_without_store(&self, status: &dyn Fn() -> serde_json::Value) -> Option<AdminResponse> {
        let route = AdminRoute::parse(self.parts().0)?;
        let answer = (route.key.as_deref() == Some(STATUS)).then(|| answer_status(&self.method, status))?;
        Some(if self.method == "HEAD" { answer.without_body() } else { answer })
    }

    fn may_change(&self) -> bool {
        matches!(self.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE")
    }

    /// Path and query.
    fn parts(&self) -> (&[u8], &[u8]) {
        match self.target.iter().position(|byte| *byte == b'?') {
            Some(at) => (&self.target[..at], &self.target[at + 1..]),
            None => (&self.target, b""),
        }
    }
}

/// What the path of a request names.
struct AdminRoute {
    /// The path of the list, as the client wrote it.
    collection: String,
    key: Option<Vec<u8>>,
}

impl AdminRoute {
    /// The API may be mounted anywhere: what counts is the end of the path.
    fn parse(path: &[u8]) -> Option<AdminRoute> {
        let is_list = |part: &[u8]| matches!(part, b"vaults" | b"vaults-beta");
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let (before, last) = split(path)?;
        let collection = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        match split(before) {
            // Before the list itself: an entity may have the prefix `vaults`.
            Some((_, part)) if is_list(part) && !last.is_empty() => {
                Some(AdminRoute { collection: collection(before), key: Some(percent_decode(last).collect()) })
            }
            _ if is_list(last) => Some(AdminRoute { collection: collection(path), key: None }),
            _ => None,
        }
    }
}

/// A path without its last part, and that part.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some((&path[..slash], &path[slash + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_the_list_or_to_one() {
        let route = |path: &str| AdminRoute::parse(path.as_bytes()).map(|route| (route.collection, route.key));
        let one = |collection: &str, key: &str| Some((collection.to_owned(), Some(key.as_bytes().to_vec())));
        let all = |collection: &str| Some((collection.to_owned(), None));
        assert_eq!(route("/vaults"), all("/vaults"));
        assert_eq!(route("/admin/vaults-beta/"), all("/admin/vaults-beta"));
        assert_eq!(route("/vaults-beta/a%2Fb"), one("/vaults-beta", "a/b"));
        assert_eq!(route("/vaults/vaults"), one("/vaults", "vaults"));
        assert_eq!(route("/vaults/vaults/vaults"), one("/vaults/vaults", "vaults"));
        for path in ["", "/", "vaults", "/vault", "/vaults/a/b", "/vaultsx", "/vaults//a/", "/vaults/../../etc"] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
