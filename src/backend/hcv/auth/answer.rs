//! What the vault's answers about tokens mean. The texts are ours: of a body only what is known to be no secret decides.

use std::borrow::Cow;
use std::time::Duration;

use ::http::HeaderValue;
use serde::Deserialize;

use super::Method;
use super::lease::Terms;
use crate::backend::hcv::answer::{no_vault, outage};
use crate::backend::hcv::api::sensitive;
use crate::backend::http::Answer;
use crate::error::Kind;

/// A token that the vault gave.
pub struct Granted {
    pub token: HeaderValue,
    pub terms: Terms,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    auth: Option<Auth<'a>>,
    errors: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    client_token: Option<&'a str>,
    lease_duration: Option<u64>,
    renewable: Option<bool>,
    num_uses: Option<u32>,
    #[serde(borrow)]
    mfa_requirement: Option<&'a serde_json::value::RawValue>,
}

impl Auth<'_> {
    fn terms(&self) -> Terms {
        Terms {
            lease: self.lease_duration.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            renewable: self.renewable == Some(true),
            uses: self.num_uses.filter(|uses| *uses > 0),
        }
    }
}

fn envelope(answer: &Answer) -> Option<Envelope<'_>> {
    serde_json::from_slice(answer.body.as_bytes()).ok()
}

impl Envelope<'_> {
    fn says(&self, text: &str) -> bool {
        self.errors.iter().flatten().any(|line| line.contains(text))
    }
}

pub fn of_login(answer: &Answer, method: &dyn Method, path: &str) -> Result<Granted, (Kind, String)> {
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
                "the login by {name} failed: no auth method is mounted at {path}: enable it there, or correct its path or the namespace"
            ),
        ),
        // Who has no token is told no more of a path where nothing is.
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

fn granted(envelope: Option<&Envelope<'_>>, name: &str, path: &str) -> Result<Granted, (Kind, String)> {
    let auth = envelope.and_then(|envelope| envelope.auth.as_ref()).ok_or_else(no_vault)?;
    match auth.client_token.and_then(|token| sensitive(token.as_bytes())) {
        Some(token) => Ok(Granted { token, terms: auth.terms() }),
        None if auth.mfa_requirement.is_some() => Err((
            Kind::Denied,
            format!(
                "the login by {name} at {path} asks for a second factor, which a gateway has not: exempt it from MFA"
            ),
        )),
        None => Err((Kind::Invalid, format!("the login by {name} at {path} brought no token (status 200)"))),
    }
}

/// What became of a renewal.
pub enum Renewal {
    Done(Terms),
    /// The vault can't say now.
    Later,
    /// This token won't be renewed.
    Never,
}

pub fn of_renewal(answer: &Answer) -> Renewal {
    let auth = envelope(answer).and_then(|envelope| envelope.auth);
    match (answer.status, auth) {
        (200, Some(auth)) => Renewal::Done(auth.terms()),
        (200 | 400..=404, _) => Renewal::Never,
        _ => Renewal::Later,
    }
}

#[derive(Deserialize)]
struct LookedUp {
    data: Option<Found>,
}

#[derive(Deserialize)]
struct Found {
    ttl: Option<u64>,
    renewable: Option<bool>,
}

/// What a token says of itself; nothing, where it may not look.
pub fn of_look_up(answer: &Answer) -> Terms {
    let found = serde_json::from_slice::<LookedUp>(answer.body.as_bytes()).ok().and_then(|found| found.data);
    match found.filter(|_| answer.status == 200) {
        Some(found) => Terms {
            lease: found.ttl.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            renewable: found.renewable == Some(true),
            // When they are used up, no other token comes: nothing is to be counted.
            uses: None,
        },
        None => Terms { lease: None, renewable: false, uses: None },
    }
}

/// What a read that was denied says of its token.
#[derive(Debug, PartialEq)]
pub enum Denial {
    /// It is none.
    NoToken,
    /// Nothing but "permission denied", as some vaults say of a token that is none.
    Bare,
    /// Most likely it may not read that path.
    Path,
}

pub fn of_denial(answer: &Answer) -> Denial {
    match envelope(answer).and_then(|envelope| envelope.errors).as_deref() {
        Some(lines) if lines.iter().any(|line| line.contains("invalid token")) => Denial::NoToken,
        Some([line]) if line.trim() == "permission denied" => Denial::Bare,
        _ => Denial::Path,
    }
}
