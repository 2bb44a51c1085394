//! Credentials of an EC2 instance's role, from its metadata service: with a session token (IMDSv2). It is asked without
//! one (IMDSv1) only where the operator allows it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request};
use url::Url;

use super::credentials::{Login, NoCredentials};
use super::parse;
use super::profile::Profile;
use super::region::{flag, set, truth};
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::HttpResponse;
use crate::identity::client::{CloudClient, address};

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// How long a session's token is valid, in seconds: it is used for the requests of one load.
const TTL: HeaderValue = HeaderValue::from_static("300");
const ROLES: &str = "latest/meta-data/iam/security-credentials/";

/// The longest that one request may take: the service is on the machine itself, and without one nobody answers.
const LIMIT: Duration = Duration::from_secs(1);

/// How long credentials that the service returns after their end are used before it is asked again.
const PROLONGED: Duration = Duration::from_secs(600);

pub struct InstanceMetadata {
    disabled: bool,
    endpoint: Option<String>,
    mode: Option<String>,
    /// `None`: the profile decides.
    v1: Option<bool>,
    /// Whether it ever answered: then silence is an outage, and not a missing service.
    seen: AtomicBool,
}

impl InstanceMetadata {
    /// `v1`: the option that allows IMDSv1.
    pub fn from_environment(environment: &Environment, v1: Option<bool>) -> Self {
        let text = |name| set(environment, name).map(str::to_owned);
        Self {
            disabled: flag(environment, "AWS_EC2_METADATA_DISABLED") == Some(true),
            endpoint: text("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
            mode: text("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
            v1: v1.or_else(|| flag(environment, "AWS_EC2_METADATA_V1_DISABLED").map(|disabled| !disabled)),
            seen: AtomicBool::new(false),
        }
    }

    pub async fn login(&self, client: &CloudClient, profile: &Profile) -> Result<Login, NoCredentials> {
        if self.disabled {
            return Err(NoCredentials::Absent("AWS_EC2_METADATA_DISABLED disables EC2's metadata".to_owned()));
        }
        let base = self.base(profile).map_err(|reason| client.error(Kind::Config, reason))?;
        let session = ImdsSession { client, base: &base, token: None };
        let token = match session.token().await {
            Ok(SessionReply::Token(token)) => Some(token),
            Ok(SessionReply::NotHere(_)) if self.allows_v1(profile) => None,
            Ok(SessionReply::NotHere(status)) => {
                return Err(NoCredentials::Absent(format!(
                    "EC2's metadata service gives no session (IMDSv2, status {status}), and IMDSv1 is not allowed"
                )));
            }
            Ok(SessionReply::Silence(error)) if self.seen.load(Ordering::Relaxed) => return Err(error.into()),
            Ok(SessionReply::Silence(_)) => {
                return Err(NoCredentials::Absent(format!(
                    "no metadata service of EC2 answers at {} (on EC2, a container needs a hop limit of 2)",
                    session.address()
                )));
            }
            Err(error) => return Err(error.into()),
        };
        self.seen.store(true, Ordering::Relaxed);
        let session = ImdsSession { token, ..session };
        let Some(role) = session.role().await? else {
            return Err(NoCredentials::Absent("this EC2 instance has no role: give it an instance profile".to_owned()));
        };
        Ok(session.credentials(&role).await?)
    }

    fn allows_v1(&self, profile: &Profile) -> bool {
        let of_profile = || Some(!truth(profile.property("ec2_metadata_v1_disabled")?)?);
        self.v1.or_else(of_profile).unwrap_or(false)
    }

    /// The service's address with a slash at its end, or a clause that says what is wrong with it.
    fn base(&self, profile: &Profile) -> Result<Url, String> {
        let setting = |variable: &'static str, own: &Option<String>, key: &'static str| match own {
            Some(text) => Some((variable, text.clone())),
            None => profile.property(key).map(|text| (key, text.to_owned())),
        };
        let endpoint = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.endpoint, "ec2_metadata_service_endpoint");
        if let Some((origin, text)) = endpoint {
            let text = if text.ends_with('/') { text } else { format!("{text}/") };
            let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            return url.ok_or(format!("{origin} is no URL of a server"));
        }
        let mode = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", &self.mode, "ec2_metadata_service_endpoint_mode");
        let usual = match mode.as_ref().map(|(origin, mode)| (origin, mode.to_ascii_lowercase())) {
            None => "http://169.254.169.254/",
            Some((_, mode)) if mode == "ipv4" => "http://169.254.169.254/",
            Some((_, mode)) if mode == "ipv6" => "http://[fd00:ec2::254]/",
            Some((origin, _)) => return Err(format!("{origin} is neither IPv4 nor IPv6")),
        };
        Url::parse(usual).map_err(|_| "its own address is no URL".to_owned())
    }
}

/// The outcome of asking for a session.
enum SessionReply {
    Token(HeaderValue),
    /// The service has no sessions, or none any more; with the status.
    NotHere(u16),
    Silence(Error),
}

struct ImdsSession<'a> {
    client: &'a CloudClient,
    base: &'a Url,
    token: Option<HeaderValue>,
}

impl ImdsSession<'_> {
    fn address(&self) -> String {
        self.base.as_str().parse().map_or_else(|_| String::new(), |uri| address(&uri))
    }

    fn error(&self, kind: Kind, reason: String) -> Error {
        self.client.error_at(&self.address(), kind, format!("EC2's metadata service {reason}"))
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Vec<u8>>, Error> {
        let mut request = Request::new(Vec::new());
        *request.method_mut() = method;
        let url = format!("{}{path}", self.base);
        *request.uri_mut() = url.parse().map_err(|_| self.error(Kind::Config, "has no valid URL".to_owned()))?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(TOKEN, token.clone());
        }
        Ok(request)
    }

    async fn token(&self) -> Result<SessionReply, Error> {
        let ask = async || {
            let mut request = self.request(Method::PUT, "latest/api/token")?;
            request.headers_mut().insert(TOKEN_TTL, TTL);
            self.client.send_local(request, LIMIT).await
        };
        // Tried twice, as a packet may get lost, and silence is taken for a missing service.
        let answer = match ask().await {
            Err(error) if error.kind() == Kind::Timeout => ask().await,
            answer => answer,
        };
        let answer = match answer {
            Err(error) if matches!(error.kind(), Kind::Timeout | Kind::Unavailable) => {
                return Ok(SessionReply::Silence(error));
            }
            answer => answer?,
        };
        match answer.status {
            200 => {
                let token = answer.body.as_str().and_then(|text| HeaderValue::from_str(text.trim()).ok());
                let mut token =
                    token.ok_or_else(|| self.error(Kind::Invalid, "gives a token that cannot be sent".to_owned()))?;
                token.set_sensitive(true);
                Ok(SessionReply::Token(token))
            }
            403..=405 => Ok(SessionReply::NotHere(answer.status)),
            status => Err(self.refused(status)),
        }
    }

    /// The name of the instance's role.
    async fn role(&self) -> Result<Option<String>, Error> {
        let answer = self.ask(ROLES).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = self.granted(answer)?;
        let name = answer.body.as_str().unwrap_or_default().lines().next().unwrap_or_default().trim();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(self.error(Kind::Invalid, "names no role".to_owned()));
        }
        Ok(Some(name.to_owned()))
    }

    async fn credentials(&self, role: &str) -> Result<Login, Error> {
        let answer = self.granted(self.ask(&format!("{ROLES}{role}")).await?)?;
        let invalid = |reason: String| self.error(Kind::Unavailable, format!("has no usable credentials: {reason}"));
        let mut keys = parse::keys(answer.body.as_bytes()).map_err(|reason| invalid(reason.to_owned()))?;
        // Where the service has no new ones, AWS still accepts the old ones.
        let now = self.client.clock.now();
        keys.expiry = keys.expiry.map(|expiry| if expiry <= now { now + PROLONGED } else { expiry });
        let mut login = Login::new("the EC2 instance's role", &keys).map_err(invalid)?;
        login.outlasts = true;
        Ok(login)
    }

    async fn ask(&self, path: &str) -> Result<HttpResponse, Error> {
        self.client.send_local(self.request(Method::GET, path)?, LIMIT).await
    }

    fn granted(&self, answer: HttpResponse) -> Result<HttpResponse, Error> {
        if answer.status == 200 { Ok(answer) } else { Err(self.refused(answer.status)) }
    }

    fn refused(&self, status: u16) -> Error {
        match status {
            401 => self.error(
                Kind::Denied,
                format!("asks for a session's token: IMDSv1 is disabled: unset the option or variable that allows it (status {status})"),
            ),
            429 | 500.. => self.error(Kind::Unavailable, format!("failed: try again (status {status})")),
            _ => self.error(Kind::Denied, format!("refused the request for credentials (status {status})")),
        }
    }
}
