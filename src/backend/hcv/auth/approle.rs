//! `approle`: a role's id, and a secret id, plain or wrapped, from the configuration or a file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ::http::HeaderValue;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::files;
use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, secret, text};
use crate::backend::hcv::api::{ApiRequest, VaultApi, object, sensitive};
use crate::error::{Error, Kind, Result};
use crate::identity::json::Text;
use crate::node::shared_slots::SharedSlots;
use crate::secret::Secret;
use crate::sync::lock;

const LOOK_UP: &str = "/v1/sys/wrapping/lookup";
const UNWRAP: &str = "/v1/sys/wrapping/unwrap";

/// How long to wait for another worker that has just unwrapped the token: attempts, and the pause before each.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

pub struct AppRole {
    api: Arc<VaultApi>,
    namespace: Option<HeaderValue>,
    path: String,
    role_id: Secret,
    secret_id: From,
    wrapped: bool,
    /// The last wrapping token, and the secret id that was in it.
    known: Mutex<Option<(Secret, Secret)>>,
}

/// Why a wrapping token was not unwrapped.
enum Closed {
    /// It is used or has expired.
    Spent(Error),
    Refused(Error),
}

impl std::convert::From<Error> for Closed {
    fn from(error: Error) -> Self {
        Closed::Refused(error)
    }
}

enum From {
    Value(Secret),
    File(PathBuf),
    /// There is no secret id: the role does not require one.
    Nowhere,
}

impl AppRole {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        let secret_id =
            match (secret(context.settings, "approle_secret_id"), text(context.settings, "approle_secret_id_file")) {
                (Some(value), _) => From::Value(value),
                (None, Some(file)) => From::File(PathBuf::from(file)),
                (None, None) => From::Nowhere,
            };
        let wrapped = context.settings.boolean("approle_response_wrapping");
        if wrapped && matches!(secret_id, From::Nowhere) {
            let text = format!(
                "{}: `approle_response_wrapping` is on, but there is no wrapping token: set `approle_secret_id` or \
                 `approle_secret_id_file`",
                context.api.label
            );
            return Err(Error::new(Kind::Config, text));
        }
        Ok(Self {
            api: Arc::clone(context.api),
            namespace: context.namespace.clone(),
            path: login_path(context, "approle_auth_path")?,
            role_id: secret(context.settings, "approle_role_id").unwrap_or_default(),
            secret_id,
            wrapped,
            known: Mutex::default(),
        })
    }

    async fn secret_id(&self) -> Result<Option<Secret>> {
        let given = match &self.secret_id {
            From::Nowhere => return Ok(None),
            From::Value(value) => value.clone(),
            From::File(path) => {
                let read = files::read_text(path).await;
                let (text, _) = read.map_err(|clause| {
                    let text = format!("{}: no secret id: `approle_secret_id_file` {clause}", self.api.label);
                    Error::new(Kind::Config, text)
                })?;
                text
            }
        };
        if self.wrapped { self.content(given).await.map(Some) } else { Ok(Some(given)) }
    }

    /// The secret id in a wrapping token.
    async fn content(&self, given: Secret) -> Result<Secret> {
        if let Some(found) = self.opened(&given) {
            return Ok(found);
        }
        match self.unwrap(&given).await {
            Ok(found) => {
                // A wrapping token can be unwrapped only once, but every worker needs the secret id for each of its
                // logins.
                if let Some(shared_slots) = SharedSlots::of_this_process() {
                    shared_slots.put(given.as_bytes(), &found);
                }
                *self.known() = Some((given, found.clone()));
                Ok(found)
            }
            // Another worker may have been faster.
            Err(Closed::Spent(error)) => {
                for _ in 0..LOOKS {
                    tokio::time::sleep(PAUSE).await;
                    if let Some(found) = self.opened(&given) {
                        return Ok(found);
                    }
                }
                Err(error)
            }
            Err(Closed::Refused(error)) => Err(error),
        }
    }

    /// The secret id in a wrapping token that this nginx has unwrapped before.
    fn opened(&self, token: &Secret) -> Option<Secret> {
        let known = self.known().clone();
        let own = known.filter(|(of, _)| of == token).map(|(_, found)| found);
        own.or_else(|| SharedSlots::of_this_process()?.get(token.as_bytes()))
    }

    fn known(&self) -> MutexGuard<'_, Option<(Secret, Secret)>> {
        lock(&self.known)
    }

    async fn unwrap(&self, token: &Secret) -> std::result::Result<Secret, Closed> {
        let error = |kind, text: &str| self.api.error(&self.api.base, kind, text).of_login();
        let refuse = |kind, text: &str| Closed::Refused(error(kind, text));
        let spent = |status| Closed::Spent(error(Kind::Denied, &spent(status)));
        let header = sensitive(token.as_bytes()).ok_or_else(|| {
            refuse(
                Kind::Config,
                "the value is not a wrapping token (printable ASCII without spaces): for a plain secret id, set \
                 `approle_response_wrapping` to false",
            )
        })?;
        // An attacker's wrapping token, put in the place of the real one, was created by another path.
        let body = object(&[("token", token.as_str().unwrap_or_default())]);
        let (_, answer) = self.api.send(&ApiRequest::post(LOOK_UP, &body).with(None, self.namespace.as_ref())).await?;
        let made: Option<WrappingLookup<'_>> = serde_json::from_slice(answer.body.as_bytes()).ok();
        let status = answer.status;
        match made.and_then(|made| made.data) {
            Some(data) if status == 200 && is_of_approle(&data.creation_path, &self.path, self.namespace.as_ref()) => {}
            Some(_) if status == 200 => {
                return Err(refuse(
                    Kind::Denied,
                    "the wrapping token was not created by this AppRole method and is not unwrapped: find out where \
                     it comes from",
                ));
            }
            // It is not known what created it.
            None if status == 200 => {
                return Err(refuse(
                    Kind::Denied,
                    "the vault's answer does not name the creator of the wrapping token, which is not unwrapped: \
                     check that `host` is a vault and that no proxy changes its answers (status 200)",
                ));
            }
            _ if matches!(status, 400 | 403 | 404) => return Err(spent(status)),
            _ => {
                return Err(refuse(
                    Kind::Unavailable,
                    &format!("the vault cannot look up the wrapping token (status {status})"),
                ));
            }
        }
        let (_, answer) =
            self.api.send(&ApiRequest::post(UNWRAP, b"").with(Some(&header), self.namespace.as_ref())).await?;
        let found: Option<Unwrapped<'_>> = serde_json::from_slice(answer.body.as_bytes()).ok();
        match (answer.status, found.and_then(|found| found.data)) {
            (200, Some(data)) => Ok(Secret::new(&*data.secret_id)),
            (200, None) => {
                Err(refuse(Kind::Denied, "the wrapping token contains no secret id: wrap the answer of `…/secret-id`"))
            }
            (status @ (400 | 403 | 404), _) => Err(spent(status)),
            (status, _) => {
                Err(refuse(Kind::Unavailable, &format!("the vault cannot unwrap the secret id (status {status})")))
            }
        }
    }
}

fn spent(status: u16) -> String {
    format!(
        "the wrapping token of the secret id is already used or has expired: give this node a new one; if it was not \
         used here, treat the secret id as stolen; if it is a plain secret id, set `approle_response_wrapping` to \
         false (status {status})"
    )
}

/// Whether a wrapping token was created by this method: `auth/approle/role/<name>/secret-id`. Only the login's own
/// namespace may stand before that, as another user's mount may have any path in it.
fn is_of_approle(made_by: &str, login: &str, namespace: Option<&HeaderValue>) -> bool {
    // The vault returns its path as it is, and the login's is percent-encoded.
    let login = percent_decode_str(login).decode_utf8_lossy();
    let mount = login.strip_prefix("/v1/").and_then(|path| path.strip_suffix("login"));
    let Some(mount) = mount.filter(|mount| !mount.is_empty()) else { return false };
    let namespace = namespace.and_then(|name| std::str::from_utf8(name.as_bytes()).ok()).unwrap_or_default();
    let namespace = namespace.trim_matches('/');
    let inside = made_by.strip_prefix(namespace).and_then(|path| path.strip_prefix('/'));
    let path = inside.filter(|_| !namespace.is_empty()).unwrap_or(made_by);
    let role = path.strip_prefix(mount).and_then(|path| path.strip_prefix("role/"));
    let role = role.and_then(|role| role.strip_suffix("/secret-id").or_else(|| role.strip_suffix("/custom-secret-id")));
    role.is_some_and(|role| !role.is_empty() && !role.contains('/'))
}

#[derive(Deserialize)]
struct WrappingLookup<'a> {
    #[serde(borrow)]
    data: Option<WrappingInfo<'a>>,
}

#[derive(Deserialize)]
struct WrappingInfo<'a> {
    #[serde(borrow)]
    creation_path: Text<'a>,
}

#[derive(Deserialize)]
struct Unwrapped<'a> {
    #[serde(borrow)]
    data: Option<UnwrappedSecretId<'a>>,
}

#[derive(Deserialize)]
struct UnwrappedSecretId<'a> {
    #[serde(borrow)]
    secret_id: Text<'a>,
}

impl Method for AppRole {
    fn name(&self) -> &'static str {
        "approle"
    }

    fn remedy(&self) -> &'static str {
        if matches!(self.secret_id, From::Nowhere) {
            return "check `approle_role_id`, and set `approle_secret_id` or `approle_secret_id_file`, which only a role with \
                    `bind_secret_id=false` does without";
        }
        "check `approle_role_id`, and whether the secret id has expired, is used up or may not come from this address"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            let secret_id = self.secret_id().await?;
            let mut fields = vec![("role_id", self.role_id.as_str().unwrap_or_default())];
            fields.extend(secret_id.as_ref().map(|secret_id| ("secret_id", secret_id.as_str().unwrap_or_default())));
            Ok(LoginRequest { path: self.path.clone(), body: object(&fields) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = "/v1/auth/approle/login";

    fn is_taken(path: &str, namespace: Option<&'static str>) -> bool {
        is_of_approle(path, LOGIN, namespace.map(HeaderValue::from_static).as_ref())
    }

    #[test]
    fn a_wrapping_token_has_to_come_from_the_role() {
        for path in ["auth/approle/role/x/secret-id", "auth/approle/role/x/custom-secret-id"] {
            assert!(is_taken(path, None), "{path}");
        }
        for path in [
            "",
            "sys/wrapping/wrap",
            "auth/other/role/x/secret-id",
            "evilauth/approle/role/x/secret-id",
            "auth/approle/role//secret-id",
            "auth/approle/role/x/y/secret-id",
            "auth/approle/role/x",
            "auth/approle/role/secret-id",
            "auth/approle/x/secret-id",
            "/auth/approle/role/x/secret-id",
            "auth/approle/role/x/secret-id/",
            "auth/approle/role/x/secret-id/lookup",
            "auth%2fapprole/role/x/secret-id",
        ] {
            assert!(!is_taken(path, None), "{path}");
        }
        let with = |path: &str, login: &str| is_of_approle(path, login, None);
        assert!(with("auth/team/a b/role/x/secret-id", "/v1/auth/team/a%20b/login"), "a mount with a blank");
        assert!(!with("auth/team/a b/role/x/secret-id", "/v1/auth/team/a%2520b/login"), "and with a percent");
        assert!(!with("role/x/secret-id", "/v1/login") && !with("role/x/secret-id", ""));
    }

    #[test]
    fn only_the_namespace_of_the_login_stands_before_the_role() {
        let path = "auth/approle/role/g/secret-id";
        for mount in ["cubbyhole/", "kv1/", "team/", "kv1/team/", "/", "auth/approle/role/x/"] {
            assert!(!is_taken(&format!("{mount}{path}"), None), "{mount}");
        }
        for namespace in ["team/a", "team/a/", "/team/a/"] {
            assert!(is_taken(&format!("team/a/{path}"), Some(namespace)), "{namespace}");
            assert!(is_taken(path, Some(namespace)), "{namespace}: told from within");
            for other in
                ["team/", "a/", "team/b/", "team/a/b/", "x/team/a/", "team/a//", "team/acubbyhole/", "cubbyhole/"]
            {
                assert!(!is_taken(&format!("{other}{path}"), Some(namespace)), "{namespace}: {other}");
            }
        }
        for none in ["", "/"] {
            assert!(is_taken(path, Some(none)) && !is_taken(&format!("kv1/{path}"), Some(none)));
        }
    }
}
