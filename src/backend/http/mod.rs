//! HTTP for backends: one place for TLS, name resolution and bounded bodies. Redirects are never followed here: where a
//! credential may go is the backend's decision.

mod body;
mod client;
mod connect;
mod failure;
mod resolve;
mod roots;
mod tls;

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::environment::Environment;
use crate::secret::Secret;

pub use client::Client;

/// The longest answer that is read, in bytes: far above any secret (AWS: 64 KiB), far below what could hurt a worker.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Whom to trust and how to connect.
#[derive(Clone)]
pub struct Transport<'a> {
    /// How error texts call the asker, such as `hcv vault (my-vault)`.
    pub label: String,
    /// A CA bundle that replaces the system's roots: a file's path, or PEM text.
    pub ca_cert: Option<&'a str>,
    /// Whether the server's certificate is checked.
    pub verify: bool,
    /// The name that the server's certificate has to carry, where it isn't the host's.
    pub server_name: Option<&'a str>,
    /// For `SSL_CERT_FILE` and `SSL_CERT_DIR`, which name the system's roots.
    pub environment: &'a Environment,
    /// See `Setup::threads`.
    pub threads: bool,
    /// See `Setup::timeout`.
    pub timeout: Duration,
}

/// What a server answered.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Wiped when dropped: it may hold the secret.
    pub body: Secret,
}

impl Answer {
    /// How long the server asks us to stay away (RFC 9110, 10.2.3), where it says so in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}
