//! Key Vault's secrets (7.4, and from 2025-06-01-preview on certificates that are converted).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::clouds::Asked;
use super::super::login::now;
use super::{RESOURCE, State, TENANT, json_answer};

/// One version of a secret.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub version: String,
    pub value: String,
    pub created: i64,
    pub disabled: bool,
    pub nbf: Option<i64>,
    pub exp: Option<i64>,
    /// Of a certificate: what it is when it is asked for as PEM.
    pub pem: Option<String>,
}

/// A version's id, made of a letter.
pub fn version(letter: char) -> String {
    letter.to_string().repeat(32)
}

pub fn stored(letter: char, value: &str, created: i64) -> Stored {
    Stored { version: version(letter), value: value.to_owned(), created, ..Stored::default() }
}

/// What is there from the beginning.
pub fn usual() -> HashMap<String, Vec<Stored>> {
    let time = now() as i64;
    let one = |name: &str, stored: Stored| (name.to_owned(), vec![stored]);
    HashMap::from([
        (
            "db".to_owned(),
            vec![
                stored('b', r#"{"username":"u2","password":"p2"}"#, 1_493_938_412),
                stored('a', r#"{"username":"u1","password":"p1"}"#, 1_493_938_411),
                stored('c', r#"{"username":"u3","password":"p3"}"#, 1_493_938_413),
            ],
        ),
        one("plain", stored('d', "just text", 1)),
        one("off", Stored { disabled: true, ..stored('e', "s3cret", 1) }),
        one("old", Stored { exp: Some(1_500_000_000), ..stored('f', "expired", 1) }),
        one("early", Stored { nbf: Some(time + 9000), ..stored('f', "not yet", 1) }),
        one("ending", Stored { exp: Some(time + 60), ..stored('f', "soon", 1) }),
        one("binary", stored('d', "AP8=", 1)),
    ])
}

pub fn answer_to(state: &mut State, asked: &Asked<'_>) -> Vec<u8> {
    match read(state, asked) {
        Ok(found) => json_answer("200 OK", "", &found),
        Err(refused) => refused,
    }
}

/// An error as Key Vault writes it; its messages are as free as these.
fn refuse(status: u16, headers: &str, code: &str, inner: &str, message: &str) -> Vec<u8> {
    let mut error = json!({"code": code, "message": format!("{message} s3cret")});
    if !inner.is_empty() {
        error["innererror"] = json!({ "code": inner });
    }
    json_answer(&format!("{status} Refused"), headers, &json!({ "error": error }))
}

/// Whom a key vault's tokens are for: what its own name is below.
fn resource(asked: &Asked<'_>) -> String {
    let host = asked.header("host").unwrap_or_default();
    match host.split_once('.') {
        Some((_, domain)) if domain.starts_with("vault.localhost") => format!("https://{domain}"),
        _ => RESOURCE.to_owned(),
    }
}

fn unauthorized(state: &State, asked: &Asked<'_>, message: &str) -> Vec<u8> {
    let challenge = format!(
        "www-authenticate: Bearer authorization=\"{}/{TENANT}\", resource=\"{}\"\r\n",
        state.origin,
        resource(asked)
    );
    refuse(401, &challenge, "Unauthorized", "", message)
}

fn read(state: &mut State, asked: &Asked<'_>) -> Result<Value, Vec<u8>> {
    let query = |name: &str| asked.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let Some(api) = query("api-version") else {
        return Err(refuse(400, "", "BadParameter", "", "api-version must be specified"));
    };
    if !["7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"].contains(&api) {
        return Err(refuse(400, "", "BadParameter", "", "unknown api-version"));
    }
    let Some(token) = asked.header("authorization").and_then(|given| given.strip_prefix("Bearer ")) else {
        return Err(unauthorized(state, asked, "AKV10000: Request is missing a Bearer or PoP token."));
    };
    state.reads += 1;
    match state.tokens.get(token) {
        None => return Err(unauthorized(state, asked, "AKV10001: Error validating token.")),
        Some(known) if known.ends <= now() => {
            return Err(unauthorized(state, asked, "[TokenExpired] Error validating token."));
        }
        Some(known) if known.audience != resource(asked) => {
            return Err(unauthorized(state, asked, "AKV10022: Invalid audience."));
        }
        Some(known) if known.tenant != TENANT => return Err(unauthorized(state, asked, "AKV10032: Invalid issuer.")),
        Some(_) => {}
    }
    if let Some((status, code, inner, wait)) = state.refusal {
        let wait = wait.map_or(String::new(), |wait| format!("retry-after: {wait}\r\n"));
        return Err(refuse(status, &wait, code, inner, ""));
    }
    let parts: Vec<_> = asked.path.trim_start_matches("/secrets/").split('/').collect();
    let (name, rest) = (parts[0], &parts[1..]);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || name.len() > 127 || !name.bytes().all(is_name) {
        return Err(refuse(400, "", "BadParameter", "", "The request URI contains an invalid name"));
    }
    let missing = || refuse(404, "", "SecretNotFound", "", "A secret with (name/id) was not found in this key vault.");
    let versions = state.secrets.get(&name.to_lowercase()).ok_or_else(missing)?;
    match rest {
        // Names are compared without case.
        [] | [""] => {
            let newest = versions.iter().max_by_key(|stored| stored.created).ok_or_else(missing)?;
            bundle(state, asked, name, newest)
        }
        ["versions"] => list(state, asked, name, versions),
        [version] if version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            let found = versions.iter().find(|stored| stored.version == *version);
            bundle(state, asked, name, found.ok_or_else(missing)?)
        }
        _ => Err(refuse(400, "", "BadParameter", "", "invalid version")),
    }
}

fn attributes(stored: &Stored) -> Value {
    let mut all = json!({
        "enabled": !stored.disabled, "created": stored.created, "updated": stored.created,
        "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
    });
    for (name, time) in [("nbf", stored.nbf), ("exp", stored.exp)] {
        if let Some(time) = time {
            all[name] = time.into();
        }
    }
    all
}

fn id(state: &State, name: &str, stored: &Stored) -> String {
    format!("{}/secrets/{name}/{}", state.origin, stored.version)
}

fn bundle(state: &State, asked: &Asked<'_>, name: &str, stored: &Stored) -> Result<Value, Vec<u8>> {
    if stored.disabled {
        let text = "Operation get is not allowed on a disabled secret.";
        return Err(refuse(403, "", "Forbidden", "SecretDisabled", text));
    }
    let wanted = asked.query.iter().find(|(name, _)| name == "outContentType").map(|(_, kind)| kind.as_str());
    let converts = asked.query.iter().any(|(name, api)| name == "api-version" && api.len() > 3);
    let mut found =
        json!({"value": stored.value, "id": id(state, name, stored), "attributes": attributes(stored), "tags": {}});
    if let Some(pem) = &stored.pem {
        let as_pem = converts && wanted == Some("application/x-pem-file");
        let (value, kind) =
            if as_pem { (pem, "application/x-pem-file") } else { (&stored.value, "application/x-pkcs12") };
        (found["value"], found["contentType"], found["managed"]) = (value.as_str().into(), kind.into(), true.into());
    }
    Ok(found)
}

/// Versions in no order, some to a page.
fn list(state: &State, asked: &Asked<'_>, name: &str, versions: &[Stored]) -> Result<Value, Vec<u8>> {
    if !state.may_list {
        return Err(refuse(403, "", "Forbidden", "ForbiddenByPolicy", "list"));
    }
    let number =
        |name: &str| asked.query.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.parse::<usize>().ok());
    let most = number("maxresults").unwrap_or(25);
    if !(1..=25).contains(&most) {
        return Err(refuse(400, "", "BadParameter", "", "maxresults"));
    }
    // As few as a server likes.
    let (from, size) = (number("$skiptoken").unwrap_or(0), most.min(2));
    let page: Vec<_> = versions.iter().skip(from).take(size).collect();
    let items: Vec<_> =
        page.iter().map(|stored| json!({"id": id(state, name, stored), "attributes": attributes(stored)})).collect();
    let next = (from + size < versions.len()).then(|| {
        // Its host is another name of the key vault; whoever follows it there gives a token away.
        format!(
            "https://evil.example:443/secrets/{name}/versions?api-version=7.4&$skiptoken={}&maxresults={most}",
            from + size
        )
    });
    Ok(json!({"value": items, "nextLink": next}))
}
