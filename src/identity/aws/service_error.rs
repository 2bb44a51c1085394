//! What refusals of any AWS service mean. AWS's own message is never shown, as it names accounts, users and ARNs; it is
//! only searched to tell apart refusals with the same type.

use serde_json::Value;

use super::credentials::ENVIRONMENT;
use crate::error::Kind;
use crate::http::HttpResponse;
use crate::identity::clock::Clock;

/// An answer that is not a success.
pub struct ServiceError {
    pub status: u16,
    /// The error's type, if it looks like a name.
    pub name: Option<String>,
    message: String,
}

impl ServiceError {
    pub fn from_response(answer: &HttpResponse) -> Self {
        let body: Value = serde_json::from_slice(answer.body.as_bytes()).unwrap_or_default();
        let text = |names: [&str; 2]| names.iter().find_map(|name| body.get(name)?.as_str());
        // A proxy, or AWS's check of signatures, may answer in AWS's older XML.
        let xml = |name: &str| element(answer.body.as_str()?, name);
        let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let name = header.or_else(|| text(["__type", "code"])).or_else(|| xml("Code")).and_then(plain);
        let message = text(["message", "Message"]).or_else(|| xml("Message")).unwrap_or_default();
        Self { status: answer.status, name: name.map(str::to_owned), message: message.to_owned() }
    }

    /// A refusal of one item in an answer that is a success.
    pub fn of_entry(code: &str, message: &str) -> Self {
        let name = plain(code).map(str::to_owned);
        let status = if name.as_deref().is_some_and(|name| name.starts_with("Internal")) { 500 } else { 400 };
        Self { status, name, message: message.to_owned() }
    }

    /// Whether a right is missing.
    pub fn is_denial(&self) -> bool {
        matches!(self.name.as_deref(), Some("AccessDeniedException" | "AccessDenied" | "NotAuthorized"))
    }

    pub fn says(&self, part: &str) -> bool {
        self.message.contains(part)
    }

    /// Whether other credentials may be accepted: these have expired, or are no longer known.
    pub fn is_of_credentials(&self) -> bool {
        matches!(
            self.name.as_deref(),
            Some("ExpiredTokenException" | "ExpiredToken" | "UnrecognizedClientException" | "InvalidClientTokenId")
        )
    }

    /// Whether the request was signed with a time that is too far from the server's.
    pub fn is_of_time(&self) -> bool {
        match self.name.as_deref() {
            Some("InvalidSignatureException" | "SignatureDoesNotMatch") => {
                self.says("expired") || self.says("not yet current")
            }
            Some("RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture") => true,
            _ => false,
        }
    }

    /// The kind and a clause for a refusal that every service may send; `None` where it depends on the request.
    pub fn reason(&self, login: &str, region: &str, clock: &Clock) -> Option<(Kind, String)> {
        let name = self.name.as_deref()?;
        if self.is_of_time() {
            return Some((
                Kind::Denied,
                format!("the request's time is too far from AWS's: correct this machine's clock{}", clock.flaw()),
            ));
        }
        Some(match name {
            "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" | "AuthFailure" => (
                Kind::Denied,
                format!(
                    "the access key or session token from {login} is not known: check that both belong together and are \
                     active, and that the region {region} is enabled"
                ),
            ),
            "InvalidSignatureException" | "SignatureDoesNotMatch" => (
                Kind::Denied,
                format!(
                    "the signature is wrong: the secret access key from {login} does not belong to its access key id"
                ),
            ),
            "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException" => (
                Kind::Denied,
                "the signature did not arrive whole: check for a proxy on the way that changes headers".to_owned(),
            ),
            "ExpiredTokenException" | "ExpiredToken" => (
                Kind::Denied,
                format!("the session token from {login} has expired: refresh it{}", after_refresh(login)),
            ),
            "OptInRequired" | "RegionDisabledException" => {
                (Kind::Denied, format!("the account has no access to the region {region}: enable it"))
            }
            name if is_throttling(name) => (Kind::Throttled, throttled()),
            "InternalServiceError"
            | "InternalServiceErrorException"
            | "InternalServerError"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "RequestAbortedException" => (Kind::Unavailable, unavailable()),
            _ => return None,
        })
    }

    /// ` (status 400, ThrottlingException)`.
    pub fn mark(&self) -> String {
        match &self.name {
            Some(name) => format!(" (status {}, {name})", self.status),
            None => format!(" (status {})", self.status),
        }
    }
}

/// The text between the tags of the first element with that name.
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// An error's type without the namespace before it and the address after it, if it looks like a name.
fn plain(name: &str) -> Option<&str> {
    let name = name.rsplit('#').next()?;
    let name = name.split(':').next()?.trim();
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then_some(name)
}

pub fn throttled() -> String {
    "too many requests: raise `ttl`".to_owned()
}

pub fn unavailable() -> String {
    "failed: try again".to_owned()
}

fn is_throttling(name: &str) -> bool {
    name.contains("Throttl")
        || matches!(name, "TooManyRequestsException" | "RequestLimitExceeded" | "LimitExceededException" | "SlowDown")
}

fn after_refresh(login: &str) -> &'static str {
    if login == ENVIRONMENT { " and restart nginx" } else { " at its source: kong-vault reads it again at once" }
}
