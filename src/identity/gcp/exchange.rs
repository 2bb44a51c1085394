//! Requests for access tokens: to the token endpoint, to STS (RFC 8693), and to the IAM Credentials API, which lets one
//! account impersonate another.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::destination;
use super::login::SCOPE;
use super::written::{ExternalAccount, ImpersonationTarget, RefreshableUser};
use crate::error::{Error, Kind, Result};
use crate::http::HttpResponse;
use crate::identity::access_token::AccessToken;
use crate::identity::aws::time;
use crate::identity::client::{CloudClient, address};
use crate::identity::json::Text;
use crate::identity::oauth;

const TOKEN_ENDPOINT: &str = "https://oauth2.googleapis.com/token";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A request for a token.
struct TokenRequest<'a> {
    client: &'a CloudClient,
    url: &'a Url,
    /// The server's name in errors.
    who: &'a str,
    /// The origin of the proof, for errors.
    origin: &'a str,
}

impl TokenRequest<'_> {
    fn address(&self) -> String {
        self.url.as_str().parse().map_or_else(|_| String::new(), |uri| address(&uri))
    }

    fn error(&self, kind: Kind, reason: impl std::fmt::Display) -> Error {
        self.client.error_at(&self.address(), kind, format!("{} {reason}", self.who))
    }

    async fn post(&self, kind: &'static str, authorization: Option<HeaderValue>, body: &[u8]) -> Result<HttpResponse> {
        let mut request = Request::new(body.to_vec());
        *request.method_mut() = Method::POST;
        let uri = self.url.as_str().parse();
        *request.uri_mut() = uri.map_err(|_| self.error(Kind::Config, "has no valid URL"))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        self.client.services.send(request).await
    }

    /// Sends a form, and reads the token.
    async fn token(&self, authorization: Option<HeaderValue>, pairs: &[(&str, &str)]) -> Result<AccessToken> {
        let asked = self.client.clock.now();
        let answer = self.post(oauth::FORM, authorization, &oauth::form(pairs)).await?;
        if answer.status != 200 {
            return Err(self.refused(&answer));
        }
        let invalid = |reason: &'static str| self.error(Kind::Invalid, format!("is not as it should be: {reason}"));
        let granted = oauth::granted(answer.body.as_bytes()).map_err(invalid)?;
        AccessToken::bearer(&granted.token, self.origin, asked, granted.life).map_err(invalid)
    }

    fn refused(&self, answer: &HttpResponse) -> Error {
        let (status, body, origin) = (answer.status, answer.body.as_bytes(), self.origin);
        let code = oauth::code(body);
        let (kind, reason) = match (code, status) {
            (Some("internal_failure" | "server_error" | "temporarily_unavailable"), _) | (_, 500..) => {
                (Kind::Unavailable, "failed: try again".to_owned())
            }
            (_, 429) => (Kind::Throttled, "has too many requests".to_owned()),
            (_, 300..400) => {
                (Kind::Invalid, "redirects elsewhere, which is never followed: correct its address".to_owned())
            }
            (Some("invalid_grant"), _) if oauth::says(body, "short-lived") || oauth::says(body, "timeframe") => {
                // The next attempt signs by Google's clock.
                self.client.clock.learn(&answer.headers);
                let flaw = self.client.clock.flaw();
                (Kind::Denied, format!("refuses {origin} for its time: correct this machine's clock{flaw}"))
            }
            (Some("invalid_grant"), _) => (
                Kind::Denied,
                format!(
                    "does not take {origin}: check that the key, the account or the subject still exists, is enabled and has \
                     not expired"
                ),
            ),
            (Some("invalid_client" | "unauthorized_client"), _) => {
                (Kind::Denied, format!("does not know the client of {origin}: make the credentials anew"))
            }
            (Some("invalid_target"), _) => (
                Kind::Denied,
                format!("does not know the audience of {origin}: check the workload identity pool and its provider"),
            ),
            (Some("invalid_scope"), _) => (Kind::Denied, format!("gives {origin} no scope cloud-platform")),
            (Some("access_denied"), _) => {
                (Kind::Denied, format!("denies {origin}: check the provider's attribute condition"))
            }
            (_, 404) => (Kind::Config, "is not there: check the address in the credentials".to_owned()),
            _ => (Kind::Denied, format!("refuses {origin}")),
        };
        let mark = code.map_or_else(|| format!(" (status {status})"), |code| format!(" (status {status}, {code})"));
        self.error(kind, reason + &mark).with_retry_after(answer.retry_after())
    }
}

/// Exchanges an assertion, which a service account's key has signed.
pub async fn for_assertion(
    client: &CloudClient,
    token_uri: Option<&Url>,
    assertion: &str,
    origin: &str,
) -> Result<AccessToken> {
    let usual;
    let url = match token_uri {
        Some(url) => url,
        None => {
            usual = endpoint(client, TOKEN_ENDPOINT)?;
            &usual
        }
    };
    let question = TokenRequest { client, url, who: "the token endpoint", origin };
    question.token(None, &[("grant_type", BEARER), ("assertion", assertion)]).await
}

/// Exchanges a user's refresh token.
pub async fn for_user(
    client: &CloudClient,
    user: &RefreshableUser,
    universe: &str,
    origin: &str,
) -> Result<AccessToken> {
    let usual = match user.of_pool {
        true => format!("https://sts.{universe}/v1/oauthtoken"),
        false => TOKEN_ENDPOINT.to_owned(),
    };
    let usual = endpoint(client, &usual)?;
    let question =
        TokenRequest { client, url: user.token_url.as_ref().unwrap_or(&usual), who: "the token endpoint", origin };
    let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", user.refresh.0.as_str())];
    if user.of_pool {
        return question.token(Some(basic(client, &user.id, &user.secret.0)?), &pairs).await;
    }
    pairs.extend([("client_id", user.id.as_str()), ("client_secret", &user.secret.0)]);
    question.token(None, &pairs).await
}

/// Exchanges a token of another identity provider.
pub async fn for_subject(
    client: &CloudClient,
    external: &ExternalAccount,
    subject_token: &str,
    universe: &str,
    origin: &str,
) -> Result<AccessToken> {
    let usual = endpoint(client, &format!("https://sts.{universe}/v1/token"))?;
    let question =
        TokenRequest { client, url: external.token_url.as_ref().unwrap_or(&usual), who: "Google's STS", origin };
    let options;
    let mut pairs = vec![
        ("grant_type", EXCHANGE),
        ("audience", external.audience.as_str()),
        ("scope", SCOPE),
        ("requested_token_type", ACCESS_TOKEN),
        ("subject_token", subject_token),
        ("subject_token_type", external.subject_token_type.as_str()),
    ];
    let authorization = match (&external.client, &external.workforce_project) {
        (Some((id, secret)), _) => Some(basic(client, id, &secret.0)?),
        (None, Some(project)) => {
            let json = serde_json::json!({ "userProject": project }).to_string();
            options = byte_serialize(json.as_bytes()).collect::<String>();
            pairs.push(("options", &options));
            None
        }
        (None, None) => None,
    };
    question.token(authorization, &pairs).await
}

/// The token of an account that `source` may impersonate.
pub async fn for_account(
    client: &CloudClient,
    target: &ImpersonationTarget,
    source: &AccessToken,
) -> Result<AccessToken> {
    #[derive(Deserialize)]
    struct Given<'a> {
        #[serde(borrow, rename = "accessToken")]
        token: Option<Text<'a>>,
        #[serde(rename = "expireTime")]
        ends: Option<String>,
    }
    let email = destination::shown_email(target.email());
    let origin: Arc<str> = format!("the service account {email} (impersonated by {})", source.origin).into();
    let question =
        TokenRequest { client, url: &target.url, who: "Google's IAM Credentials API", origin: &source.origin };
    let delegates: Vec<_> = target.delegates.iter().map(|delegate| named(delegate)).collect();
    let mut body = serde_json::json!({ "scope": [SCOPE], "lifetime": format!("{}s", target.seconds) });
    if !delegates.is_empty() {
        body["delegates"] = delegates.into();
    }
    let asked = client.clock.now();
    let answer = question.post("application/json", Some(source.header.clone()), body.to_string().as_bytes()).await?;
    if answer.status != 200 {
        return Err(not_for(&question, target, &answer));
    }
    let invalid = |reason: &'static str| question.error(Kind::Invalid, format!("is not as it should be: {reason}"));
    let given: Given<'_> = serde_json::from_slice(answer.body.as_bytes())
        .map_err(|_| invalid("the answer is not the JSON of generateAccessToken"))?;
    let token = given.token.ok_or_else(|| invalid("the answer holds no access token"))?;
    // Google's clock may be another than this machine's. It grants no more than was asked for.
    let most = Duration::from_secs(target.seconds);
    let life = match given.ends.as_deref().map(time) {
        Some(Some(ends)) => {
            ends.duration_since(asked).ok().filter(|left| !left.is_zero()).map_or(most, |left| left.min(most))
        }
        Some(None) => return Err(invalid("the answer's expireTime is no time")),
        None => most,
    };
    AccessToken::bearer(&token, origin, asked, Some(life)).map_err(invalid)
}

/// A delegate's resource name, which the API expects.
fn named(delegate: &str) -> String {
    match delegate.starts_with("projects/") {
        true => delegate.to_owned(),
        false => format!("projects/-/serviceAccounts/{delegate}"),
    }
}

fn not_for(question: &TokenRequest<'_>, target: &ImpersonationTarget, answer: &HttpResponse) -> Error {
    let (status, origin) = (answer.status, question.origin);
    let shown = destination::shown_email(target.email());
    let (kind, reason) = match status {
        429 => (Kind::Throttled, "has too many requests".to_owned()),
        500.. => (Kind::Unavailable, "failed: try again".to_owned()),
        401 => (Kind::Denied, format!("does not take the token from {origin}")),
        400 if target.seconds > 3600 => (
            Kind::Denied,
            format!(
                "refuses a life of {} seconds: allow it by the organization policy \
                 constraints/iam.allowServiceAccountCredentialLifetimeExtension, or ask for 3600",
                target.seconds
            ),
        ),
        403 | 404 => (
            Kind::Denied,
            format!(
                "does not let the credentials from {origin} stand for {shown}: grant them \
                 roles/iam.serviceAccountTokenCreator on that account (and each delegate on the next), enable \
                 iamcredentials.googleapis.com, and check that the account exists"
            ),
        ),
        300..400 => (Kind::Invalid, "redirects elsewhere, which is never followed: correct its address".to_owned()),
        _ => (Kind::Denied, format!("refuses the request for {shown}")),
    };
    question.error(kind, format!("{reason} (status {status})")).with_retry_after(answer.retry_after())
}

fn endpoint(client: &CloudClient, text: &str) -> Result<Url> {
    Url::parse(text).map_err(|_| client.error(Kind::Config, "a token endpoint has no valid URL"))
}

fn basic(client: &CloudClient, id: &str, secret: &str) -> Result<HeaderValue> {
    let pair = Zeroizing::new(format!("{id}:{secret}"));
    let text = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut header = HeaderValue::from_str(&text)
        .map_err(|_| client.error(Kind::Config, "client_id and client_secret cannot be sent"))?;
    header.set_sensitive(true);
    Ok(header)
}
