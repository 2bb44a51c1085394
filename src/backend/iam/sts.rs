//! The Security Token Service: one role's credentials for another identity's. Its query protocol is a form out and a
//! little XML back.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use zeroize::Zeroizing;

use super::answer::time;
use super::asker::{Asker, address, send_in_time, shown};
use super::login::{Keys, Login};
use super::refusal::{Refusal, element, throttled, unavailable};
use super::sign::{signed, unsigned};
use crate::backend::http::Answer;
use crate::error::{Error, Kind, Result};

const SERVICE: &str = "sts";
const VERSION: &str = "2011-06-15";

/// The session's name where nobody gives one.
pub const SESSION: &str = "KongVault";

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub session: String,
    pub external_id: Option<String>,
    /// Seconds.
    pub duration: Option<u32>,
}

impl Role {
    /// For error texts: its name, without the account's number.
    fn name(&self) -> Cow<'_, str> {
        role_name(&self.arn)
    }
}

fn role_name(arn: &str) -> Cow<'_, str> {
    shown(arn.rsplit_once(":role/").map_or("that is asked for", |(_, name)| name))
}

/// Whom to ask: the service in a region, and as whom.
pub struct Place<'a> {
    pub asker: &'a Asker,
    pub url: &'a str,
    pub region: &'a str,
}

impl Place<'_> {
    /// Another role's credentials for `login`'s.
    pub async fn assume(&self, login: &Login, role: &Role) -> Result<Login> {
        let duration = role.duration.map(|seconds| seconds.to_string());
        let mut pairs = vec![("RoleArn", role.arn.as_str()), ("RoleSessionName", &role.session)];
        pairs.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        pairs.extend(duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let body = form("AssumeRole", &pairs);
        let sign = |now| signed(self.request(body.clone())?, SERVICE, self.region, &login.identity, now);
        let answer = send_in_time(&self.asker.services, &self.asker.clock, sign).await?;
        let (name, origin) = (role.name(), &login.origin);
        self.credentials(&answer, format!("the role {name} (assumed by {origin})"), |refusal| match refusal.name.as_deref()
        {
            Some("AccessDenied" | "AccessDeniedException") => format!(
                "the credentials from {origin} may not assume the role {name}: allow them sts:AssumeRole on it, and name \
                 them in the role's trust policy (with the external id, if it asks for one)"
            ),
            Some("ValidationError" | "ValidationException" | "MalformedInput") => {
                format!("the ARN of the role {name}, its session's name or its duration is not accepted: correct them")
            }
            _ => refusal
                .reason(origin, self.region, &self.asker.clock)
                .map_or_else(|| format!("the request with the credentials from {origin} is refused"), |(_, text)| text),
        })
    }

    /// A role's credentials for a token of an identity provider, such as a Kubernetes cluster.
    pub async fn assume_with_token(&self, role: &Role, token: &str, origin: &str) -> Result<Login> {
        let pairs = [("RoleArn", role.arn.as_str()), ("RoleSessionName", &role.session), ("WebIdentityToken", token)];
        let request = self.request(form("AssumeRoleWithWebIdentity", &pairs))?;
        let answer = self.asker.services.send(request).await?;
        let name = role.name();
        self.credentials(&answer, format!("the role {name} (assumed by {origin})"), |refusal| match refusal.name.as_deref()
        {
            Some("AccessDenied" | "AccessDeniedException") => format!(
                "{origin} may not assume the role {name}: name its identity provider and its subject in the role's trust \
                 policy"
            ),
            Some("ExpiredToken" | "ExpiredTokenException") => {
                format!("{origin} has expired: check that who writes it still renews it")
            }
            Some("InvalidIdentityToken" | "IDPRejectedClaim") => format!(
                "{origin} is not accepted: check its audience (sts.amazonaws.com) and the account's identity provider"
            ),
            _ => refusal
                .reason(origin, self.region, &self.asker.clock)
                .map_or_else(|| format!("the request with {origin} is refused"), |(_, text)| text),
        })
    }

    fn request(&self, body: Vec<u8>) -> Result<Request<Vec<u8>>> {
        form_request(self.url, body)
    }

    fn credentials(&self, answer: &Answer, origin: String, refused: impl Fn(&Refusal) -> String) -> Result<Login> {
        let address = self.url.parse().map_or_else(|_| String::new(), |uri| address(&uri));
        let error = |kind, reason: String| self.asker.error_at(&address, kind, reason);
        if answer.status != 200 {
            let refusal = Refusal::of(answer);
            let kind = self.kind(&refusal);
            let text = match kind {
                Kind::Throttled => throttled(),
                Kind::Unavailable => unavailable(),
                _ => refused(&refusal),
            };
            return Err(error(kind, text + &refusal.mark()).with_retry_after(answer.retry_after()));
        }
        let keys = answer.body.as_str().and_then(keys);
        let Some(keys) = keys else {
            let reason = "the answer holds no credentials: check that the address is that of STS";
            return Err(error(Kind::Invalid, reason.to_owned()));
        };
        Login::new(origin, &keys).map_err(|reason| error(Kind::Invalid, reason))
    }

    fn kind(&self, refusal: &Refusal) -> Kind {
        match (refusal.name.as_deref(), refusal.status) {
            (Some("IDPCommunicationError"), _) => Kind::Unavailable,
            (Some("ValidationError" | "ValidationException" | "MalformedInput"), _) => Kind::Config,
            (_, status) => match refusal.reason("", "", &self.asker.clock) {
                Some((kind, _)) => kind,
                None if status == 429 => Kind::Throttled,
                None if status >= 500 => Kind::Unavailable,
                None => Kind::Denied,
            },
        }
    }
}

/// `GetCallerIdentity`, signed: by this, somebody else can ask STS who we are, and nothing more.
pub fn caller_identity(
    url: &str,
    region: &str,
    login: &Login,
    more: &[(&'static str, &str)],
    now: std::time::SystemTime,
) -> Result<Request<Vec<u8>>> {
    let mut request = form_request(url, form("GetCallerIdentity", &[]))?;
    for (name, value) in more {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Error::new(Kind::Config, format!("the value of the header {name} cannot be sent")))?;
        request.headers_mut().insert(*name, value);
    }
    signed(request, SERVICE, region, &login.identity, now)
}

fn form(action: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", VERSION).extend_pairs(pairs);
    form.finish().into_bytes()
}

fn form_request(url: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().map_err(|_| unsigned("its address"))?;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(request)
}

fn keys(xml: &str) -> Option<Keys> {
    let credentials = element(xml, "Credentials")?;
    let text = |name| Some(Zeroizing::new(unescaped(element(credentials, name)?.trim())));
    Some(Keys {
        id: text("AccessKeyId")?,
        key: text("SecretAccessKey")?,
        token: text("SessionToken"),
        expiry: Some(time(&text("Expiration")?)?),
    })
}

/// A text of XML without its entities; one that is unknown stays as it is.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let character = after.split_once(';').and_then(|(entity, after)| Some((entity_of(entity)?, after)));
        match character {
            Some((character, after)) => {
                plain.push(character);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn entity_of(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credentials_of_an_answer() {
        let xml = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>a&#x2F;b&amp;c</SecretAccessKey>\
            <SessionToken> t&#43; </SessionToken><Expiration>2015-08-30T12:36:00.000Z</Expiration></Credentials></R>";
        let keys = keys(xml).unwrap();
        assert_eq!((keys.id.as_str(), keys.key.as_str()), ("A", "a/b&c"));
        assert_eq!(keys.token.unwrap().as_str(), "t+");
        assert_eq!(keys.expiry, time("2015-08-30T12:36:00Z"));
        assert_eq!(unescaped("a&b&nope;&#xd800;"), "a&b&nope;&#xd800;");
    }

    #[test]
    fn an_answer_without_credentials_is_none() {
        for xml in ["", "<Credentials></Credentials>", "<Credentials><AccessKeyId>A</AccessKeyId></Credentials>"] {
            assert!(keys(xml).is_none(), "{xml}");
        }
    }

    #[test]
    fn a_role_is_named_without_its_account() {
        assert_eq!(role_name("arn:aws:iam::123456789012:role/team/gateway"), "team/gateway");
        assert_eq!(role_name("123456789012"), "that is asked for");
    }
}
