//! What the vault's answers about tokens mean. The error texts are fixed: of a body, only parts that can't be secret
//! decide which one is used.

use std::borrow::Cow;
use std::time::Duration;

use ::http::HeaderValue;
use serde::Deserialize;

use super::lease::{ENDING, TokenTerms, UNKNOWN};
use super::method::Method;
use crate::backend::hcv::answer::{no_vault, outage};
use crate::backend::hcv::api::sensitive;
use crate::error::Kind;
use crate::http::HttpResponse;
use crate::identity::json::Text;

/// A token that the vault returned.
pub struct GrantedToken {
    pub token: HeaderValue,
    pub terms: TokenTerms,
    /// After what time to look it up again, where its terms are not yet known.
    pub again: Option<Duration>,
}

#[derive(Deserialize)]
struct AuthEnvelope<'a> {
    #[serde(borrow)]
    auth: Option<AuthBlock<'a>>,
    errors: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct AuthBlock<'a> {
    #[serde(borrow)]
    client_token: Option<Text<'a>>,
    lease_duration: Option<u64>,
    renewable: Option<bool>,
    num_uses: Option<u32>,
    #[serde(borrow)]
    mfa_requirement: Option<&'a serde_json::value::RawValue>,
}

impl AuthBlock<'_> {
    fn terms(&self) -> TokenTerms {
        TokenTerms {
            lease: self.lease_duration.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            renewable: self.renewable == Some(true),
            uses: self.num_uses.filter(|uses| *uses > 0),
        }
    }
}

fn envelope(answer: &HttpResponse) -> Option<AuthEnvelope<'_>> {
    serde_json::from_slice(answer.body.as_bytes()).ok()
}

impl AuthEnvelope<'_> {
    fn says(&self, text: &str) -> bool {
        self.errors.iter().flatten().any(|line| line.contains(text))
    }
}

pub fn of_login(answer: &HttpResponse, method: &dyn Method, path: &str) -> Result<GrantedToken, (Kind, String)> {
    let (name, status) = (method.name(), answer.status);
    let path = path.strip_prefix("/v1/").unwrap_or(path);
    let envelope = envelope(answer);
    let says = |text: &str| envelope.as_ref().is_some_and(|envelope| envelope.says(text));
    let (kind, reason) = match status {
        200 => return granted(envelope.as_ref(), name, path),
        400..=499 if envelope.is_none() && !matches!(status, 412 | 429 | 472 | 473) => return Err(no_vault()),
        404 if says("namespace not found") => (
            Kind::Denied,
            format!("the login by {name} failed: there is no such namespace: correct `auth_namespace` or `namespace`"),
        ),
        404 if says("no handler for route") => (
            Kind::Denied,
            format!(
                "the login by {name} failed: no auth method is mounted at {path}: enable it there, or correct its \
                 path or the namespace"
            ),
        ),
        // Without a token, the vault does not say whether a method is mounted at a path.
        403 => (
            Kind::Denied,
            format!(
                "the login by {name} at {path} was refused: {}; or no such method is mounted there",
                method.remedy()
            ),
        ),
        400 | 401 | 404 => (Kind::Denied, format!("the login by {name} at {path} was refused: {}", method.remedy())),
        _ => {
            let (kind, reason) = outage(status, says("sealed"), answer.retry_after());
            (kind, format!("the login by {name} failed: {reason}"))
        }
    };
    Err((kind, format!("{reason} (status {status})")))
}

fn granted(envelope: Option<&AuthEnvelope<'_>>, name: &str, path: &str) -> Result<GrantedToken, (Kind, String)> {
    let auth = envelope.and_then(|envelope| envelope.auth.as_ref()).ok_or_else(no_vault)?;
    match auth.client_token.as_ref().and_then(|token| sensitive(token.as_bytes())) {
        Some(token) => Ok(GrantedToken { token, terms: auth.terms(), again: None }),
        None if auth.mfa_requirement.is_some() => Err((
            Kind::Denied,
            format!(
                "the login by {name} at {path} asks for a second factor, which a gateway has not: exempt it from MFA"
            ),
        )),
        None => Err((Kind::Invalid, format!("the login by {name} at {path} returned no token (status 200)"))),
    }
}

/// The outcome of a renewal.
pub enum Renewal {
    Done(TokenTerms),
    /// The vault can't answer now.
    Later,
    /// The vault does not renew this token.
    Never,
}

impl Renewal {
    /// For a debug line.
    pub fn outcome(&self) -> &'static str {
        match self {
            Renewal::Done(_) => "succeeded",
            Renewal::Later => "failed, to be tried again,",
            Renewal::Never => "was refused, so that a login follows,",
        }
    }
}

pub fn of_renewal(answer: &HttpResponse) -> Renewal {
    let auth = envelope(answer).and_then(|envelope| envelope.auth);
    match (answer.status, auth) {
        (200, Some(auth)) => Renewal::Done(auth.terms()),
        (200 | 400..=404, _) => Renewal::Never,
        _ => Renewal::Later,
    }
}

#[derive(Deserialize)]
struct LookedUp {
    data: Option<LookUpData>,
}

#[derive(Deserialize)]
struct LookUpData {
    ttl: Option<u64>,
    renewable: Option<bool>,
    expire_time: Option<serde::de::IgnoredAny>,
}

/// A token's terms, and when to look it up again, where the vault could not say them for good. A token without the
/// right to look itself up is used as it is. A vault that can't answer now has said nothing about the token's end.
pub fn of_look_up(answer: &HttpResponse) -> (TokenTerms, Option<Duration>) {
    let found = serde_json::from_slice::<LookedUp>(answer.body.as_bytes()).ok();
    // Uses of a configured token are not counted: when they are used up, there is no other token.
    let unknown = TokenTerms { lease: None, renewable: false, uses: None };
    match (answer.status, found) {
        (200, Some(LookedUp { data: Some(found) })) => {
            let lease = found.ttl.filter(|seconds| *seconds > 0).map(Duration::from_secs);
            let terms = TokenTerms { lease, renewable: found.renewable == Some(true), uses: None };
            // The vault returns zero for a token without an end, and for one in its last second.
            let ending = lease.is_none() && found.expire_time.is_some();
            let pause = if terms.renewable { ENDING } else { UNKNOWN };
            (terms, ending.then_some(pause))
        }
        (403 | 404, Some(_)) => (unknown, None),
        _ => (unknown, Some(UNKNOWN)),
    }
}

/// What the answer to a denied read says about the token.
#[derive(Debug, PartialEq)]
pub enum Denial {
    /// The vault does not know it.
    NoToken,
    /// Only "permission denied", which some vaults also return for a token that they don't know.
    Bare,
    /// Most likely, the token may not read that path.
    Path,
}

pub fn of_denial(answer: &HttpResponse) -> Denial {
    match envelope(answer).and_then(|envelope| envelope.errors).as_deref() {
        Some(lines) if lines.iter().any(|line| line.contains("invalid token")) => Denial::NoToken,
        Some([line]) if line.trim() == "permission denied" => Denial::Bare,
        _ => Denial::Path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn only_what_the_vault_says_for_good_makes_a_token_endless() {
        let seen = |status, body: &str| {
            let (terms, again) =
                of_look_up(&HttpResponse { status, headers: Default::default(), body: Secret::new(body) });
            (terms.lease.map(|lease| lease.as_secs()), terms.renewable, again)
        };
        let ends = r#""expire_time":"2018-05-19T11:35:54.466476215-04:00""#;
        assert_eq!(seen(200, &format!(r#"{{"data":{{"ttl":60,"renewable":true,{ends}}}}}"#)), (Some(60), true, None));
        assert_eq!(seen(200, r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#), (None, false, None));
        let last = |renewable| seen(200, &format!(r#"{{"data":{{"ttl":0,"renewable":{renewable},{ends}}}}}"#));
        assert_eq!(last("true"), (None, true, Some(ENDING)));
        assert_eq!(last("false"), (None, false, Some(UNKNOWN)));
        for status in [403, 404] {
            assert_eq!(seen(status, r#"{"errors":["permission denied"]}"#), (None, false, None), "{status}");
            assert_eq!(seen(status, "<html>"), (None, false, Some(UNKNOWN)), "{status} of a proxy");
        }
        for (status, body) in
            [(429, "{}"), (472, "{}"), (503, r#"{"errors":["Vault is sealed"]}"#), (200, "<html>"), (200, "{}")]
        {
            assert_eq!(seen(status, body), (None, false, Some(UNKNOWN)), "{status} {body}");
        }
    }
}
