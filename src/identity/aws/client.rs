//! How the sources of credentials are asked: connections, the clock, and errors that name the source.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::Request;

use super::clock::Clock;
use super::service_error::ServiceError;
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse, Transport};
use crate::redact;

/// The part of a fetch's time that one request may take: a source that does not answer must be named before the fetch
/// ends.
const SHARE: f64 = 0.8;

pub struct AwsClient {
    label: String,
    /// To AWS's services.
    pub services: Client,
    /// To the machine's own services, never through a proxy.
    pub local: Client,
    pub clock: Clock,
}

impl AwsClient {
    pub fn new(transport: &Transport<'_>, clock: Clock) -> Result<Self> {
        let timeout = transport.timeout.mul_f64(SHARE);
        let label = format!("{} getting credentials", transport.label);
        // The vault's own certificates, names and socket don't apply to other servers.
        let services = Transport {
            label: label.clone(),
            timeout,
            server_name: None,
            client_cert: None,
            client_key: None,
            socket: None,
            ..transport.clone()
        };
        let local = Transport { proxy: Some("off"), ..services.clone() };
        Ok(Self { label, services: Client::new(&services)?, local: Client::new(&local)?, clock })
    }

    /// `aws vault (mine) getting credentials: …`.
    pub fn error(&self, kind: Kind, reason: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{}: {reason}", self.label))
    }

    /// The same, with the server's address.
    pub fn error_at(&self, address: &str, kind: Kind, reason: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{} at {address}: {reason}", self.label))
    }

    /// Sends a request to one of the machine's own services; `limit` is the longest that it may take.
    pub async fn send_local(&self, request: Request<Vec<u8>>, limit: Duration) -> Result<HttpResponse> {
        let address = address(request.uri());
        match tokio::time::timeout(limit, self.local.send(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(self.error_at(&address, Kind::Timeout, format!("no answer within {} seconds", limit.as_secs_f64())))
            }
        }
    }
}

/// Sends the request that `sign` makes for the present time. Where the server refuses that time, it is sent once more,
/// with the server's.
pub async fn send_in_time(
    client: &Client,
    clock: &Clock,
    sign: impl Fn(SystemTime) -> Result<Request<Vec<u8>>>,
) -> Result<HttpResponse> {
    let answer = client.send(sign(clock.now())?).await?;
    if answer.status < 400 || !ServiceError::from_response(&answer).is_of_time() || !clock.learn(&answer.headers) {
        return Ok(answer);
    }
    client.send(sign(clock.now())?).await
}

/// `host:port`, for error texts.
pub fn address(uri: &http::Uri) -> String {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{}:{port}", uri.host().unwrap_or_default())
}

/// A name for an error: bounded, on one line. A text that sets something is not shown: it is no name, but a file's next
/// line that became a part of it by mistake, and may hold a key.
pub fn shown(name: &str) -> Cow<'_, str> {
    let sets_key = |word: &str| word.ends_with(':') || word.starts_with("aws_");
    if name.contains('=') || name.split_whitespace().any(sets_key) || redact::is_secret(name.as_bytes()) {
        return Cow::Owned(format!("({})", redact::length(name)));
    }
    if name.len() <= 128 && !name.chars().any(char::is_control) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(crate::error::quote(name.as_bytes(), 128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_holds_an_assignment_is_not_shown() {
        for name in [
            "base aws_secret_access_key = hunter2",
            "base aws_secret_access_key=hunter2",
            "a=hunter2",
            "base aws_secret_access_key: hunter2",
            "base key : hunter2",
            "base aws_secret_access_key hunter2",
        ] {
            assert_eq!(shown(name), format!("(a value of {} characters)", name.len()));
        }
        for name in ["base", "123456789012_AdministratorAccess", "arn:aws:iam::123456789012:role/a"] {
            assert_eq!(shown(name), name);
        }
        assert_eq!(shown("a\nb").lines().count(), 1);
    }
}
