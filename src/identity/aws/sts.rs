//! The Security Token Service (STS): exchanges an identity for a role's credentials. Its query protocol sends a form
//! and returns a little XML.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use zeroize::Zeroizing;

use super::client::send_in_time;
use super::credentials::{AccessKeys, Login};
use super::parse::time;
use super::service_error::{ServiceError, element, throttled, unavailable};
use super::sigv4::{signed, unsigned};
use crate::error::{Error, Kind, Result};
use crate::http::HttpResponse;
use crate::identity::client::{CloudClient, address};

const SERVICE: &str = "sts";
const VERSION: &str = "2011-06-15";

/// The session's name where none is set.
pub const SESSION: &str = "KongVault";

/// The longest path and name of a role, in characters.
const LONGEST_NAME: usize = 576;

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
    /// Its name for error texts, without the account's number.
    fn name(&self) -> &str {
        role_name(&self.arn)
    }
}

fn role_name(arn: &str) -> &str {
    let name = arn.rsplit_once(":role/").map(|(_, name)| name);
    name.filter(|name| is_role(name)).unwrap_or("that is asked for")
}

/// Whether this is a role's path and name, as IAM allows them. Any other text in an ARN's place is not shown.
fn is_role(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_part)
}

/// An STS to ask: its address and region, and the client.
pub struct StsTarget<'a> {
    pub client: &'a CloudClient,
    pub url: &'a str,
    pub region: &'a str,
}

/// The role that is requested, and by whom, for error texts.
struct AssumeContext<'a> {
    role: &'a Role,
    login: &'a str,
    who: String,
}

impl StsTarget<'_> {
    /// Assumes a role with `login`.
    pub async fn assume(&self, login: &Login, role: &Role) -> Result<Login> {
        let duration = role.duration.map(|seconds| seconds.to_string());
        let mut pairs = vec![("RoleArn", role.arn.as_str()), ("RoleSessionName", &role.session)];
        pairs.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        pairs.extend(duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let body = form("AssumeRole", &pairs);
        let sign = |now| signed(self.request(body.clone())?, SERVICE, self.region, &login.identity, now);
        let answer = send_in_time(&self.client.services, &self.client.clock, sign).await?;
        let asks = AssumeContext { role, login: &login.origin, who: format!("the credentials from {}", login.origin) };
        self.credentials(&answer, &asks, |refusal| match refusal {
            "AccessDenied" | "AccessDeniedException" => Some(
                "allow them sts:AssumeRole on it, and name them in the role's trust policy (with the external id, if it \
                 asks for one)",
            ),
            _ => None,
        })
    }

    /// Assumes a role with a token of an identity provider, such as a Kubernetes cluster.
    pub async fn assume_with_token(&self, role: &Role, token: &str, origin: &str) -> Result<Login> {
        let pairs = [("RoleArn", role.arn.as_str()), ("RoleSessionName", &role.session), ("WebIdentityToken", token)];
        let request = self.request(form("AssumeRoleWithWebIdentity", &pairs))?;
        let answer = self.client.services.send(request).await?;
        let asks = AssumeContext { role, login: origin, who: origin.to_owned() };
        self.credentials(&answer, &asks, |refusal| match refusal {
            "AccessDenied" | "AccessDeniedException" => {
                Some("name its identity provider and its subject in the role's trust policy")
            }
            "ExpiredToken" | "ExpiredTokenException" => {
                Some("it has expired: check that the program that writes it renews it")
            }
            "InvalidIdentityToken" | "IDPRejectedClaim" => {
                Some("check its audience (sts.amazonaws.com) and the account's identity provider")
            }
            _ => None,
        })
    }

    fn request(&self, body: Vec<u8>) -> Result<Request<Vec<u8>>> {
        form_request(self.url, body)
    }

    /// `advice` returns what to do about refusals that concern the caller.
    fn credentials(
        &self,
        answer: &HttpResponse,
        asks: &AssumeContext<'_>,
        advice: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Login> {
        let address = self.url.parse().map_or_else(|_| String::new(), |uri| address(&uri));
        let error = |kind, reason: String| self.client.error_at(&address, kind, reason);
        if answer.status != 200 {
            let refusal = ServiceError::from_response(answer);
            let (kind, reason) = self.reason(&refusal, asks, refusal.name.as_deref().and_then(advice));
            return Err(error(kind, reason + &refusal.mark()).with_retry_after(answer.retry_after()));
        }
        let Some(keys) = answer.body.as_str().and_then(keys) else {
            let reason = "the answer holds no credentials: check that the address is that of STS";
            return Err(error(Kind::Invalid, reason.to_owned()));
        };
        let origin = format!("the role {} (assumed by {})", asks.role.name(), asks.login);
        Login::new(origin, &keys).map_err(|reason| error(Kind::Invalid, reason))
    }

    fn reason(&self, refusal: &ServiceError, asks: &AssumeContext<'_>, advice: Option<&str>) -> (Kind, String) {
        let AssumeContext { role, login, who } = asks;
        let name = role.name();
        if let Some(advice) = advice {
            return (Kind::Denied, format!("{who} may not assume the role {name}: {advice}"));
        }
        match (refusal.name.as_deref(), refusal.status) {
            (Some("ValidationError" | "ValidationException" | "MalformedInput"), _) => (
                Kind::Config,
                format!("the ARN of the role {name}, its session's name or its duration is not accepted: correct them"),
            ),
            (Some("IDPCommunicationError"), _) => (Kind::Unavailable, unavailable()),
            (_, status) => match refusal.reason(login, self.region, &self.client.clock) {
                Some(known) => known,
                None if status == 429 => (Kind::Throttled, throttled()),
                None if status >= 500 => (Kind::Unavailable, unavailable()),
                None => (Kind::Denied, format!("the request with {who} is refused")),
            },
        }
    }
}

/// A signed `GetCallerIdentity`: with it, another server can ask STS who signed it, and nothing else.
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

fn keys(xml: &str) -> Option<AccessKeys> {
    let credentials = element(xml, "Credentials")?;
    let text = |name| Some(Zeroizing::new(unescaped(element(credentials, name)?.trim())));
    Some(AccessKeys {
        id: text("AccessKeyId")?,
        key: text("SecretAccessKey")?,
        token: text("SessionToken"),
        expiry: Some(time(&text("Expiration")?)?),
    })
}

/// The longest entity. The search for its end stops here.
const LONGEST_ENTITY: usize = 16;

/// An XML text with its entities replaced. An unknown one stays as it is.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let end = after.bytes().take(LONGEST_ENTITY).position(|byte| byte == b';');
        let entity = end.and_then(|end| Some((after.get(..end)?, after.get(end + 1..)?)));
        let character = entity.and_then(|(entity, after)| Some((entity_of(entity)?, after)));
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

    /// The expected signatures are botocore's for the same request.
    #[test]
    fn who_we_are_is_signed_with_whatever_else_has_to_arrive() {
        let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_440_938_160);
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        for (token, more, signature) in [
            (None, vec![], "52a8540fea00e731072179f763577cbe2a45eac2c5d32fb4d785f3eefac88165"),
            (
                Some("AQoDYXdzEXAMPLETOKEN=="),
                vec![("x-vault-aws-iam-server-id", "vault.example")],
                "d6109d342a99a277fa853388706ec70d2e78c13ddba09cfd4beb66724a2e1a06",
            ),
        ] {
            let login = Login::new("a test", &AccessKeys::new("AKIDEXAMPLE", key, token)).unwrap();
            let url = "https://sts.us-east-1.amazonaws.com/";
            let request = caller_identity(url, "us-east-1", &login, &more, now).unwrap();
            assert_eq!(request.body(), b"Action=GetCallerIdentity&Version=2011-06-15");
            let authorization = request.headers()["authorization"].to_str().unwrap();
            assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
        }
        let login = Login::new("a test", &AccessKeys::new("AKIDEXAMPLE", key, None)).unwrap();
        let broken = caller_identity("https://x/", "us-east-1", &login, &[("x-a", "a\r\nb: c")], now);
        assert_eq!(broken.unwrap_err().kind(), Kind::Config);
    }

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
    fn entities_that_never_end_cost_no_more_than_others() {
        // With a search to the end of the text for each of them, this would take minutes.
        for text in ["&".repeat(4_000_000), format!("{};", "&#".repeat(2_000_000)), "&é".repeat(1_000_000)] {
            assert_eq!(unescaped(&text), text);
        }
        assert_eq!(unescaped("&#x10FFFF;&#0000038;&amp;&quot;"), "\u{10ffff}&&\"");
    }

    #[test]
    fn a_role_is_named_without_its_account() {
        assert_eq!(role_name("arn:aws:iam::123456789012:role/team/gateway"), "team/gateway");
        for other in [
            "123456789012",
            "arn:aws:iam::123456789012:role/gateway\naws_secret_access_key = hunter2",
            "arn:aws:iam::123456789012:role/aws_secret_access_key = hunter2",
            "arn:aws:iam::123456789012:role/",
        ] {
            assert_eq!(role_name(other), "that is asked for");
        }
    }
}
