//! IAM Identity Center: the token that `aws sso login` left, which is renewed where possible, and a role's credentials
//! for it.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool")]

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credentials::{AccessKeys, Login};
use super::endpoint::{Endpoint, Variant};
use super::parse::time;
use super::profile::{Profile, SignOn};
use super::region::check_region;
use super::service_error::ServiceError;
use crate::error::{Error, Kind, Result};
use crate::file;
use crate::http::HttpResponse;
use crate::identity::client::{CloudClient, address};
use crate::identity::files;
use crate::redact;
use crate::secret::WipedText;

const TOKEN: HeaderName = HeaderName::from_static("x-amz-sso_bearer_token");

/// How long before its end a token is renewed.
const AHEAD: Duration = Duration::from_secs(300);

/// The services, and the directory of the tokens.
pub struct SsoClient {
    pub portal: Endpoint,
    pub oidc: Endpoint,
    pub home: Option<PathBuf>,
    /// The limit of the whole fetch that a token is renewed for.
    timeout: Duration,
    /// A renewed token whose file could not be written, with the file's text at that time.
    renewed: Mutex<Option<(Zeroizing<String>, SsoToken)>>,
}

/// A cached token, as AWS's command line writes it. Other fields of the file are kept.
#[derive(Deserialize, Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct SsoToken {
    access_token: WipedText,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<WipedText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<WipedText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_expires_at: Option<String>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Renewed {
    access_token: WipedText,
    expires_in: u32,
    refresh_token: Option<WipedText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantedRole {
    role_credentials: RoleCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleCredentials {
    access_key_id: WipedText,
    secret_access_key: WipedText,
    session_token: WipedText,
    /// Milliseconds.
    expiration: u64,
}

impl SsoToken {
    fn ends(&self) -> Option<SystemTime> {
        time(&self.expires_at)
    }

    fn is_renewable(&self, now: SystemTime) -> bool {
        let registered = self.registration_expires_at.as_deref().and_then(time).is_some_and(|end| now < end);
        registered && self.refresh_token.is_some() && self.client_id.is_some() && self.client_secret.is_some()
    }
}

impl SsoClient {
    pub fn new(portal: Endpoint, oidc: Endpoint, home: Option<PathBuf>, timeout: Duration) -> Self {
        Self { portal, oidc, home, timeout, renewed: Mutex::default() }
    }

    pub async fn login(
        &self,
        client: &CloudClient,
        sign_on: &SignOn,
        origin: &str,
        profile: &Profile,
        variant: Variant,
    ) -> Result<Login> {
        check_region(origin, "sso_region", &sign_on.region)?;
        let token = self.token(client, sign_on, origin, profile, variant).await?;
        let pairs = [("role_name", &sign_on.role), ("account_id", &sign_on.account)];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let url = self.portal.locate(&sign_on.region, variant, profile)?.url;
        let mut request = Request::new(Vec::new());
        let no_request = |what: &str| client.error(Kind::Config, format!("{origin}: {what}"));
        *request.uri_mut() = format!("{url}federation/credentials?{}", query)
            .parse()
            .map_err(|_| no_request("its account, role or region cannot be sent"))?;
        let mut header = HeaderValue::from_str(&token.access_token.0)
            .map_err(|_| no_request("its cached token cannot be sent: run `aws sso login` again"))?;
        header.set_sensitive(true);
        request.headers_mut().insert(TOKEN, header);
        let place = address(request.uri());
        let answer = client.services.send(request).await?;
        if answer.status != 200 {
            return Err(refused(client, &place, origin, &answer));
        }
        let invalid = |reason: String| client.error_at(&place, Kind::Invalid, reason);
        let granted: GrantedRole = serde_json::from_slice(answer.body.as_bytes())
            .map_err(|_| invalid("the answer is not the JSON of a role's credentials".to_owned()))?;
        let RoleCredentials { access_key_id, secret_access_key, session_token, expiration } = granted.role_credentials;
        let keys = AccessKeys {
            id: access_key_id.0,
            key: secret_access_key.0,
            token: Some(session_token.0),
            expiry: Some(UNIX_EPOCH + Duration::from_millis(expiration)),
        };
        Login::new(format!("IAM Identity Center for {origin}"), &keys).map_err(invalid)
    }

    /// A token that is valid now.
    async fn token(
        &self,
        client: &CloudClient,
        sign_on: &SignOn,
        origin: &str,
        profile: &Profile,
        variant: Variant,
    ) -> Result<SsoToken> {
        let path = self.path(sign_on).ok_or_else(|| {
            client.error(Kind::Config, format!("{origin}: no cached token of IAM Identity Center, as HOME is not set"))
        })?;
        let sign_on_again =
            "run `aws sso login` as the user whose HOME nginx has, and let nginx's workers read the file";
        let text = files::read_text(&path)
            .await
            .map_err(|reason| client.error(Kind::Config, format!("{origin}: {reason}: {sign_on_again}")))?;
        let token = match self.renewed_after(&text) {
            Some(token) => token,
            None => serde_json::from_str(&text).map_err(|_| {
                client.error(
                    Kind::Config,
                    format!("{origin}: {} holds no token: {sign_on_again}", redact::known_path(&path)),
                )
            })?,
        };
        let now = client.clock.now();
        let ends = token.ends().unwrap_or(UNIX_EPOCH);
        if now + AHEAD < ends {
            return Ok(token);
        }
        if token.is_renewable(now) {
            match self.renew(client, sign_on, &token, origin, profile, variant).await {
                Ok(renewed) => {
                    self.keep(&path, text, &renewed).await;
                    return Ok(renewed);
                }
                Err(error) if now >= ends => return Err(error),
                // The old token is still valid, and the next load tries again.
                Err(_) => return Ok(token),
            }
        }
        if now < ends {
            return Ok(token);
        }
        let reason = format!("{origin}: the session of IAM Identity Center has expired: run `aws sso login` again");
        Err(client.error(Kind::Denied, reason))
    }

    fn path(&self, sign_on: &SignOn) -> Option<PathBuf> {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, sign_on.session.as_bytes());
        let name: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(self.home.as_ref()?.join(".aws/sso/cache").join(name + ".json"))
    }

    async fn renew(
        &self,
        client: &CloudClient,
        sign_on: &SignOn,
        token: &SsoToken,
        origin: &str,
        profile: &Profile,
        variant: Variant,
    ) -> Result<SsoToken> {
        let secret = |text: &Option<WipedText>| text.as_ref().map(|WipedText(text)| text.clone()).unwrap_or_default();
        let body = serde_json::json!({
            "clientId": token.client_id,
            "clientSecret": *secret(&token.client_secret),
            "grantType": "refresh_token",
            "refreshToken": *secret(&token.refresh_token),
        });
        let mut request = Request::new(body.to_string().into_bytes());
        *request.method_mut() = Method::POST;
        let url = self.oidc.locate(&sign_on.region, variant, profile)?.url;
        *request.uri_mut() = format!("{url}token")
            .parse()
            .map_err(|_| client.error(Kind::Config, format!("{origin}: its region cannot be sent")))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let place = address(request.uri());
        let now = client.clock.now();
        let answer = client.services.send(request).await?;
        if answer.status != 200 {
            return Err(refused(client, &place, origin, &answer));
        }
        let renewed: Renewed = serde_json::from_slice(answer.body.as_bytes())
            .map_err(|_| client.error_at(&place, Kind::Invalid, "the answer is not the JSON of a token"))?;
        let ends = DateTime::from(now + Duration::from_secs(renewed.expires_in.into())).fmt(Format::DateTime);
        let mut token = token.clone();
        token.access_token = renewed.access_token;
        token.expires_at = ends.unwrap_or_default();
        token.refresh_token = renewed.refresh_token.or(token.refresh_token);
        Ok(token)
    }

    fn renewed_after(&self, text: &str) -> Option<SsoToken> {
        let renewed = self.renewed.lock().ok()?;
        renewed.as_ref().filter(|(of, _)| **of == *text).map(|(_, token)| token.clone())
    }

    /// Stores a renewed token: in the file, for others who use it, or in memory where the file can't be written.
    async fn keep(&self, path: &std::path::Path, before: Zeroizing<String>, token: &SsoToken) {
        let (owned, written) = (path.to_owned(), token.clone());
        let key = path.as_os_str().as_encoded_bytes();
        let done =
            file::on_a_thread(key, file::patience_for_renewal(self.timeout), move || write(&owned, &written).is_ok())
                .await;
        if done != Ok(true)
            && let Ok(mut renewed) = self.renewed.lock()
        {
            *renewed = Some((before, token.clone()));
        }
    }
}

fn write(path: &std::path::Path, token: &SsoToken) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let json = Zeroizing::new(serde_json::to_vec(token)?);
    let new = path.with_extension(format!("json.{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(&json))
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn refused(client: &CloudClient, place: &str, origin: &str, answer: &HttpResponse) -> Error {
    let refusal = ServiceError::from_response(answer);
    let (kind, reason) = match (answer.status, refusal.name.as_deref()) {
        (429, _) | (_, Some("TooManyRequestsException" | "SlowDownException")) => {
            (Kind::Throttled, "IAM Identity Center has too many requests: raise `ttl`".to_owned())
        }
        (500.., _) => (Kind::Unavailable, "IAM Identity Center failed: try again".to_owned()),
        (401, _) | (_, Some("UnauthorizedException" | "InvalidGrantException" | "ExpiredTokenException")) => (
            Kind::Denied,
            format!("IAM Identity Center no longer knows the session of {origin}: run `aws sso login` again"),
        ),
        (403 | 404, _) => (
            Kind::Denied,
            format!(
                "the signed-in user may not use the account and role of {origin}: correct sso_account_id and \
                 sso_role_name, or assign them"
            ),
        ),
        _ => (Kind::Denied, format!("IAM Identity Center refuses the request of {origin}")),
    };
    client.error_at(place, kind, reason + &refusal.mark()).with_retry_after(answer.retry_after())
}
