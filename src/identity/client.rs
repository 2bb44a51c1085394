//! How the sources of credentials are asked: connections, the clock, and errors that name the source.

use std::time::Duration;

use http::Request;

use super::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse, Transport};

/// The part of a fetch's time that one request may take: a source that does not answer must be named before the fetch
/// ends.
const SHARE: f64 = 0.8;

/// Connections to the servers that give credentials.
pub struct CloudClient {
    label: String,
    /// To the cloud's services.
    pub services: Client,
    /// To the machine's own services, never through a proxy.
    pub local: Client,
    pub clock: Clock,
}

impl CloudClient {
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

/// `host:port`, for error texts.
pub fn address(uri: &http::Uri) -> String {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{}:{port}", uri.host().unwrap_or_default())
}
