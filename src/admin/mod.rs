//! The standalone Admin API for vault entities, as in Kong: what a request means, what it changes, and the answer. It
//! knows HTTP, but no server: `lua/kong/vault/admin.lua` hands requests in and answers out.
//!
//! It uses the configuration and the store. It must never know values, nor the resolver. What it changed, it says to its
//! caller, who has it logged.

mod access;
mod answer;
mod body;
mod change;
mod check;
mod entity;
mod form;
mod key;
mod list;
mod mask;
mod option_list;
mod page;
mod tokens;
mod write;

use std::path::PathBuf;

use percent_encoding::percent_decode;
use zeroize::Zeroizing;

pub use crate::audit::Who;
use crate::backend::Descriptor;
use crate::backend::registry::ALL;
use crate::config::Verification;
use crate::error::Kind;
pub use crate::redact::MASK;
use crate::store::{Edit, Record, Store};
pub use access::{Access, Requester, check_access, refuses_browser};
pub use answer::AdminResponse;
pub use change::EntityChange;
pub use check::{Check, CheckSubject, TestedEntity};
use key::EntityKey;
pub use page::{Page, page};
pub use tokens::{Tokens, admits};

/// The largest body, in bytes.
pub const LIMIT: u64 = 1024 * 1024;

const OF_ALL: &str = "GET, HEAD, OPTIONS, POST";
const OF_WHAT_IS_SHOWN: &str = "GET, HEAD, OPTIONS";
const OF_CHECK: &str = "OPTIONS, POST";
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
    /// Whether Kong's Admin API got it, which stores the entities itself.
    pub of_kong: bool,
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

/// What kong-vault has of its own, under names in place of an entity's prefix, which can't begin so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnResource {
    /// The state of the node.
    Status,
    /// The options that an entity may set.
    Options,
    /// Checks of vaults. The resolver does them: here they are only understood.
    Check,
}

impl OwnResource {
    fn parse(key: &[u8]) -> Option<Self> {
        match key {
            b"_status" => Some(Self::Status),
            b"_options" => Some(Self::Options),
            b"_check" => Some(Self::Check),
            _ => None,
        }
    }

    /// What a request's target names, if it is one of these.
    fn of(target: &[u8]) -> Option<Self> {
        Self::parse(AdminRoute::parse(parts(target).0)?.key.as_deref()?)
    }

    fn answer(self, method: &str, status: &dyn Fn() -> serde_json::Value) -> AdminResponse {
        let allowed = if self == Self::Check { OF_CHECK } else { OF_WHAT_IS_SHOWN };
        match (self, method) {
            (_, "OPTIONS") => AdminResponse::nothing().allowing(allowed),
            (Self::Status, "GET" | "HEAD") => AdminResponse::list(&status()),
            (Self::Options, "GET" | "HEAD") => AdminResponse::list(&option_list::list(ALL)),
            _ => AdminResponse::not_allowed(allowed),
        }
    }
}

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
        if let Some(own) = request.answer_without_store(self.status) {
            return own;
        }
        let method = request.method.as_str();
        let answer = match (&route.key, method) {
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

impl Request {
    /// The answer that needs no store, if it is one: that of what kong-vault has of its own.
    pub fn answer_without_store(&self, status: &dyn Fn() -> serde_json::Value) -> Option<AdminResponse> {
        let answer = self.own_resource()?.answer(&self.method, status);
        Some(if self.method == "HEAD" { answer.without_body() } else { answer })
    }

    /// Whether it asks for a check.
    pub fn is_check(&self) -> bool {
        self.method == "POST" && self.own_resource() == Some(OwnResource::Check)
    }

    /// Whether it asks for the state of the node.
    pub fn is_status(&self) -> bool {
        self.own_resource() == Some(OwnResource::Status)
    }

    fn own_resource(&self) -> Option<OwnResource> {
        OwnResource::of(&self.target)
    }

    fn may_change(&self) -> bool {
        matches!(self.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE")
    }

    /// Path and query.
    fn parts(&self) -> (&[u8], &[u8]) {
        parts(&self.target)
    }
}

/// Path and query.
fn parts(target: &[u8]) -> (&[u8], &[u8]) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, b""),
    }
}

/// Whether a request asks for the page: for the list, as a document to look at.
pub fn wants_page(method: &str, target: &[u8], accept: &[u8]) -> bool {
    let is_document = |accepted: &[u8]| {
        let kind = accepted.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    };
    matches!(method, "GET" | "HEAD")
        && accept.split(|byte| *byte == b',').any(is_document)
        && AdminRoute::parse(parts(target).0).is_some_and(|route| route.key.is_none())
}

/// Whether a request's target names what is kong-vault's own, and not an entity.
pub fn is_own(target: &[u8]) -> bool {
    OwnResource::of(target).is_some()
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

    #[test]
    fn a_browser_gets_the_page_for_the_list() {
        let firefox = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert!(wants_page("GET", b"/vaults", firefox) && wants_page("HEAD", b"/admin/vaults-beta/?size=1", firefox));
        for accept in [&b"*/*"[..], b"", b"application/json", b"text/htmlx", b"application/json;x=text/html"] {
            assert!(!wants_page("GET", b"/vaults", accept), "{}", String::from_utf8_lossy(accept));
        }
        assert!(!wants_page("POST", b"/vaults", firefox) && !wants_page("GET", b"/vaults/mine", firefox));
    }
}
