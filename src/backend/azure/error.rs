//! What Key Vault's refusals mean and what to do about them. Its own messages are never passed on: they quote ids, addresses
//! and policies.

use std::fmt::Display;

use serde::Deserialize;

use crate::error::{Error, Kind};
use crate::http::HttpResponse;

/// Who asked whom for what.
pub struct Asked<'a> {
    /// Such as `azure vault (mine) at mine.vault.azure.net:443`.
    pub place: String,
    /// What is read, such as `the secret db`; fit for an error.
    pub what: String,
    /// Where the token came from.
    pub origin: &'a str,
    /// The right that it takes: `get`, or `list`.
    pub right: &'static str,
}

impl Asked<'_> {
    pub fn error(&self, kind: Kind, reason: impl Display) -> Error {
        Error::new(kind, format!("{}: {reason}", self.place))
    }
}

/// An answer that is no success.
struct Refusal {
    status: u16,
    code: Option<String>,
    inner: Option<String>,
    /// Key Vault's own number for what is wrong with a token, such as `AKV10022`.
    number: Option<String>,
    /// Whether it says that the token has expired.
    has_expired: bool,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Told,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Told {
    code: Option<String>,
    message: Option<String>,
    innererror: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    code: Option<String>,
}

impl Refusal {
    fn of(answer: &HttpResponse) -> Self {
        let Body { error } = serde_json::from_slice(answer.body.as_bytes()).unwrap_or_default();
        let plain = |name: Option<String>| name.filter(|name| is_name(name));
        let number = error.message.as_deref().and_then(|text| {
            text.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| is_number(word)).map(str::to_owned)
        });
        let has_expired = error.message.as_deref().is_some_and(|text| text.contains("TokenExpired"));
        let inner = plain(error.innererror.and_then(|inner| inner.code));
        Self { status: answer.status, code: plain(error.code), inner, number, has_expired }
    }

    fn says(&self, name: &str) -> bool {
        [&self.code, &self.inner].into_iter().any(|told| told.as_deref() == Some(name))
    }

    /// ` (status 403, ForbiddenByRbac)`.
    fn mark(&self) -> String {
        match self.number.as_ref().or(self.inner.as_ref()).or(self.code.as_ref()) {
            Some(told) => format!(" (status {}, {told})", self.status),
            None => format!(" (status {})", self.status),
        }
    }
}

/// Whether it is nothing but a name, and so may be shown.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_number(word: &str) -> bool {
    word.strip_prefix("AKV").is_some_and(|digits| digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The error for an answer that is no success.
pub fn of(asked: &Asked<'_>, answer: &HttpResponse) -> Error {
    let refusal = Refusal::of(answer);
    let (kind, reason) = reason(asked, &refusal);
    let error = asked.error(kind, reason + &refusal.mark()).with_retry_after(answer.retry_after());
    if refusal.status == 401 { error.of_login() } else { error }
}

fn reason(asked: &Asked<'_>, refusal: &Refusal) -> (Kind, String) {
    let Asked { what, origin, right, .. } = asked;
    match refusal.status {
        300..=399 => (Kind::Invalid, "redirects elsewhere, which is never followed: correct `vault_uri`".to_owned()),
        401 => (Kind::Denied, of_token(origin, refusal)),
        403 if refusal.says("SecretDisabled") => {
            (Kind::NotFound, format!("{what} is disabled: enable it, or make a new version of it"))
        }
        403 if refusal.says("ForbiddenByFirewall") => (
            Kind::Denied,
            "the key vault's firewall refuses this machine's address: allow its network there".to_owned(),
        ),
        403 if refusal.says("ForbiddenByConnection") => (
            Kind::Denied,
            "the key vault takes connections by its private endpoint alone: have its name resolve to that".to_owned(),
        ),
        403 if refusal.says("ForbiddenByRbac") => (
            Kind::Denied,
            format!(
                "the identity from {origin} may not read {what}: give it the role \"Key Vault Secrets User\" on the key \
                 vault (a new role takes some minutes)"
            ),
        ),
        403 if *right == "list" => (
            Kind::Denied,
            format!(
                "the identity from {origin} may not list the versions of {what}, which #2 needs: give it the right `list` of \
                 secrets, or name the version"
            ),
        ),
        403 => (
            Kind::Denied,
            format!(
                "the identity from {origin} may not read {what}: give it the right `get` of secrets in the key vault's access \
                 policy, or the role \"Key Vault Secrets User\""
            ),
        ),
        404 if refusal.says("SecretNotFound") => {
            (Kind::NotFound, format!("there is no {}: check the reference; if it was deleted, recover it", bare(what)))
        }
        400 if refusal.code.is_some() => {
            (Kind::Invalid, format!("{what}, or `api_version`, is not accepted: check both"))
        }
        429 => (Kind::Throttled, "too many requests: raise `ttl`".to_owned()),
        408 | 500.. => (Kind::Unavailable, "failed: try again".to_owned()),
        _ if refusal.code.is_some() => (Kind::Invalid, "the request is refused".to_owned()),
        _ => (Kind::Invalid, "the answer is not one of Key Vault: check `vault_uri`".to_owned()),
    }
}

/// `the secret db` without its article.
fn bare(what: &str) -> &str {
    what.strip_prefix("the ").unwrap_or(what)
}

/// What Key Vault's numbers for tokens say.
fn of_token(origin: &str, refusal: &Refusal) -> String {
    match refusal.number.as_deref() {
        Some("AKV10022") => "the token is for somebody else: check `resource`".to_owned(),
        Some("AKV10032") => format!(
            "the token from {origin} is of another tenant than the key vault: set `tenant_id` to the key vault's own \
             (`kong-vault doctor` shows it)"
        ),
        _ if refusal.has_expired => format!(
            "the token from {origin} has expired before its time: check this machine's clock and the source of the token"
        ),
        _ => format!("the token from {origin} is not taken: check `tenant_id`, `client_id` and `resource`"),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};

    use super::*;
    use crate::secret::Secret;

    fn refuse(status: u16, body: &str, right: &'static str) -> Error {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let asked = Asked {
            place: "azure vault (mine) at mine.vault.azure.net:443".to_owned(),
            what: "the secret db".to_owned(),
            origin: "AZURE_CLIENT_SECRET",
            right,
        };
        of(&asked, &HttpResponse { status, headers, body: Secret::new(body) })
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let told = |code: &str, inner: &str, message: &str| {
            let inner = if inner.is_empty() { String::new() } else { format!(r#","innererror":{{"code":"{inner}"}}"#) };
            format!(r#"{{"error":{{"code":"{code}","message":"{message} hunter2"{inner}}}}}"#)
        };
        for (status, code, inner, message, kind, part) in [
            (400, "BadParameter", "", "", Kind::Invalid, "`api_version`, is not accepted"),
            (401, "Unauthorized", "", "AKV10000: Request is missing a token.", Kind::Denied, "is not taken"),
            (401, "Unauthorized", "", "[TokenExpired]", Kind::Denied, "has expired"),
            (
                401,
                "Unauthorized",
                "",
                "AKV10022: Invalid audience.",
                Kind::Denied,
                "check `resource` (status 401, AKV10022)",
            ),
            (401, "Unauthorized", "", "AKV10032: Invalid issuer.", Kind::Denied, "of another tenant"),
            (403, "Forbidden", "SecretDisabled", "", Kind::NotFound, "is disabled: enable it"),
            (
                403,
                "Forbidden",
                "ForbiddenByRbac",
                "",
                Kind::Denied,
                "the role \"Key Vault Secrets User\" on the key vault",
            ),
            (403, "Forbidden", "AccessDenied", "", Kind::Denied, "the right `get` of secrets"),
            (403, "Forbidden", "ForbiddenByPolicy", "", Kind::Denied, "the right `get` of secrets"),
            (403, "Forbidden", "ForbiddenByFirewall", "", Kind::Denied, "firewall"),
            (403, "Forbidden", "ForbiddenByConnection", "", Kind::Denied, "private endpoint"),
            (403, "Forbidden", "", "", Kind::Denied, "the right `get` of secrets"),
            (404, "SecretNotFound", "", "", Kind::NotFound, "there is no secret db"),
            (404, "VaultNotFound", "", "", Kind::Invalid, "the request is refused (status 404, VaultNotFound)"),
            (429, "Throttled", "", "", Kind::Throttled, "raise `ttl`"),
            (500, "InternalError", "", "", Kind::Unavailable, "try again"),
            (503, "", "", "", Kind::Unavailable, "try again"),
            (409, "Conflict", "", "", Kind::Invalid, "the request is refused"),
        ] {
            let error = refuse(status, &told(code, inner, message), "get");
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.starts_with("azure vault (mine) at mine.vault.azure.net:443: "), "{text}");
            assert!(text.contains(part) && !text.contains("hunter2"), "{part:?} is not in {text:?}");
            assert_eq!(error.is_of_login(), status == 401, "{text}");
            assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7));
        }
        let text = refuse(403, &told("Forbidden", "AccessDenied", ""), "list").to_string();
        assert!(text.contains("the right `list` of secrets") && text.contains("#2"), "{text}");
    }

    #[test]
    fn what_is_no_answer_of_key_vaults_is_told_by_its_status() {
        for (status, body, kind) in [
            (404, "<html>hunter2</html>", Kind::Invalid),
            (403, "hunter2", Kind::Denied),
            (302, "", Kind::Invalid),
            (400, r#"{"error":{"code":"hunter2 hunter2"}}"#, Kind::Invalid),
            (400, r#"{"error":"hunter2"}"#, Kind::Invalid),
            (204, "", Kind::Invalid),
            (502, "<html>hunter2</html>", Kind::Unavailable),
        ] {
            let error = refuse(status, body, "get");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().ends_with(&format!("(status {status})")), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
