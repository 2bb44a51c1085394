//! A subject token from AWS credentials: a signed request for GetCallerIdentity, which Google's STS sends to AWS. The
//! signature covers the audience, so that no other pool can use the token.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::destination::is_local;
use super::written::AwsSubjectSource;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::http::{HttpResponse, Transport};
use crate::identity::aws::{self, AccessKeys, Chain, Login, Wanted, check_region, signed};
use crate::identity::client::{CloudClient, address};
use crate::identity::credentials_cache::LoadStage;

const TARGET: &str = "x-goog-cloud-target-resource";
const SESSION: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const SESSION_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// The timeout of one request to EC2's metadata service.
const LIMIT: Duration = Duration::from_secs(1);

/// All characters but the unreserved ones of URLs.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// AWS's sources without EC2's metadata service: the credentials file says where that is.
pub fn chain(transport: &Transport<'_>, client: &CloudClient) -> Result<Chain> {
    let environment = Environment::from_variables(
        transport
            .environment
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .chain([(b"AWS_EC2_METADATA_DISABLED".to_vec(), b"true".to_vec())]),
    );
    let wanted = Wanted {
        transport: &Transport { environment: &environment, ..transport.clone() },
        region: None,
        region_option: "the region",
        keys: None,
        role: None,
        sts: None,
        fips: None,
        dualstack: None,
        metadata_v1: None,
    };
    Chain::new(wanted, client.clock.clone())
}

pub async fn token(
    client: &CloudClient,
    chain: &Chain,
    stage: &LoadStage,
    source: &AwsSubjectSource,
    audience: &str,
    origin: &str,
) -> Result<Zeroizing<String>> {
    let metadata = Ec2Metadata { client, source, origin };
    // Both requests to EC2's metadata service use one session.
    let mut session = None;
    let region = match chain.region_if_any().await? {
        Some(region) => region.to_string(),
        None => metadata.region(&mut session).await?,
    };
    let login = match chain.login_if_any(stage, &region).await? {
        Some(login) => login,
        None => metadata.login(&mut session).await?,
    };
    let url = source.verification_url.replace("{region}", &region);
    let refuse = |reason: &str| client.error(Kind::Config, format!("{origin}: {reason}"));
    let mut request = Request::new(Vec::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().map_err(|_| refuse("its regional_cred_verification_url is no URL"))?;
    let host = request.uri().authority().map(|authority| authority.to_string()).unwrap_or_default();
    let (Ok(host), Ok(target)) = (HeaderValue::from_str(&host), HeaderValue::from_str(audience)) else {
        return Err(refuse("its audience cannot be sent"));
    };
    request.headers_mut().insert(http::header::HOST, host);
    request.headers_mut().insert(HeaderName::from_static(TARGET), target);
    let request = signed(request, "sts", &region, &login.identity, client.clock.now())?;
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| json!({ "key": name.as_str(), "value": value.to_str().unwrap_or_default() }))
        .collect();
    let token = Zeroizing::new(json!({ "url": url, "method": "POST", "headers": headers }).to_string());
    Ok(Zeroizing::new(utf8_percent_encode(&token, ESCAPED).to_string()))
}

/// EC2's metadata service, at the addresses of the credentials file.
struct Ec2Metadata<'a> {
    client: &'a CloudClient,
    source: &'a AwsSubjectSource,
    origin: &'a str,
}

impl Ec2Metadata<'_> {
    async fn region(&self, session: &mut Option<HeaderValue>) -> Result<String> {
        let Some(url) = &self.source.region_url else {
            return Err(self.absent("no AWS region: set AWS_REGION before nginx starts, or region_url in it"));
        };
        let answer = self.ask(url, session).await?;
        let zone = answer.body.as_str().unwrap_or_default().trim();
        // A zone's name is its region's name and a letter.
        let region = zone.strip_suffix(|last: char| last.is_ascii_lowercase()).unwrap_or(zone).to_owned();
        check_region(self.origin, "region_url", &region)?;
        Ok(region)
    }

    async fn login(&self, session: &mut Option<HeaderValue>) -> Result<Login> {
        let Some(url) = &self.source.url else {
            return Err(self.absent(
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the \
                                    machine a role",
            ));
        };
        let answer = self.ask(url, session).await?;
        let role = answer.body.as_str().unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if role.is_empty() || !role.bytes().all(is_name) {
            return Err(self.error(url, Kind::Invalid, "names no role"));
        }
        let mut url = url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&role);
        }
        let answer = self.ask(&url, session).await?;
        let invalid = |reason: &str| self.error(&url, Kind::Invalid, &format!("has no usable credentials: {reason}"));
        let keys: AccessKeys = aws::keys(answer.body.as_bytes()).map_err(invalid)?;
        Login::new("the EC2 instance's role", &keys).map_err(|reason| invalid(&reason))
    }

    /// Sends a GET, with a session if the file has an address for sessions.
    async fn ask(&self, url: &Url, session: &mut Option<HeaderValue>) -> Result<HttpResponse> {
        if let (Some(place), None) = (&self.source.session_url, &session) {
            let mut request = self.request(place)?;
            *request.method_mut() = Method::PUT;
            request.headers_mut().insert(SESSION_TTL, HeaderValue::from_static("300"));
            let answer = self.send(place, request).await?;
            let token = answer.body.as_str().and_then(|text| HeaderValue::from_str(text.trim()).ok());
            let mut token = token.ok_or_else(|| self.error(place, Kind::Invalid, "gives no session's token"))?;
            token.set_sensitive(true);
            *session = Some(token);
        }
        let mut request = self.request(url)?;
        if let Some(session) = session {
            request.headers_mut().insert(SESSION, session.clone());
        }
        self.send(url, request).await
    }

    fn request(&self, url: &Url) -> Result<Request<Vec<u8>>> {
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = url.as_str().parse().map_err(|_| self.error(url, Kind::Config, "has no valid URL"))?;
        Ok(request)
    }

    async fn send(&self, url: &Url, request: Request<Vec<u8>>) -> Result<HttpResponse> {
        let answer = match is_local(url) {
            true => self.client.send_local(request, LIMIT).await?,
            false => self.client.services.send(request).await?,
        };
        match answer.status {
            200 => Ok(answer),
            status @ (429 | 500..) => {
                Err(self.error(url, Kind::Unavailable, &format!("failed: try again (status {status})")))
            }
            status => Err(self.error(url, Kind::Denied, &format!("refused the request (status {status})"))),
        }
    }

    fn absent(&self, reason: &str) -> Error {
        self.client.error(Kind::Config, format!("{}: {reason}", self.origin))
    }

    fn error(&self, url: &Url, kind: Kind, reason: &str) -> Error {
        let at = url.as_str().parse().map_or_else(|_| String::new(), |uri| address(&uri));
        self.client.error_at(&at, kind, format!("EC2's metadata service {reason}"))
    }
}
