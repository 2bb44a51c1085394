//! How a server is reached, and what it answers.

use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::pem::Pem;
use crate::environment::Environment;
use crate::secret::Secret;

/// The longest answer that is read, in bytes: far above any secret (AWS: 64 KiB), far below what could hurt a worker.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// The longest `Retry-After` that is accepted. Deadlines and breakers limit the real wait, but they calculate with this
/// number, which must not overflow an `Instant`.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The `User-Agent` header.
pub(super) const AGENT: &str = concat!("kong-vault/", env!("CARGO_PKG_VERSION"));

/// A host as it stands in a URL, without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// How to connect, and which servers to trust.
#[derive(Clone)]
pub struct Transport<'a> {
    /// How error texts call the client, such as `hcv vault (my-vault)`.
    pub label: String,
    /// A CA bundle that replaces the system's roots: a file's path, or PEM text.
    pub ca_cert: Option<&'a str>,
    /// Whether the server's certificate is checked.
    pub verify: bool,
    /// The name in the server's certificate, where it isn't the host.
    pub server_name: Option<&'a str>,
    /// The SHA-1 of the one certificate that the server may have, in place of all other trust.
    pub thumbprint: Option<[u8; 20]>,
    /// The client certificate, for servers that ask for one.
    pub client_cert: Option<Pem<'a>>,
    /// Its key. `None`: the certificate's file or text has it.
    pub client_key: Option<Pem<'a>>,
    /// Whether TLS 1.2 is refused.
    pub tls_1_3: bool,
    /// A proxy's URL, or `off`. `None`: the environment decides.
    pub proxy: Option<&'a str>,
    /// Hosts to connect to directly. Empty: the environment decides.
    pub no_proxy: &'a [String],
    /// A Unix-domain socket that every request goes to, whatever its host.
    pub socket: Option<&'a Path>,
    /// For `SSL_CERT_FILE` and `SSL_CERT_DIR`, which name the system's roots, and for the variables that name proxies.
    pub environment: &'a Environment,
    /// See `Setup::timeout`.
    pub timeout: Duration,
}

impl<'a> Transport<'a> {
    /// Trusts the system's roots, and has no client certificate.
    pub fn new(label: String, environment: &'a Environment, timeout: Duration) -> Self {
        Self {
            label,
            ca_cert: None,
            verify: true,
            server_name: None,
            thumbprint: None,
            client_cert: None,
            client_key: None,
            tls_1_3: false,
            proxy: None,
            no_proxy: &[],
            socket: None,
            environment,
            timeout,
        }
    }
}

/// What a server answered.
pub struct HttpResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// Wiped when dropped: it may hold the secret.
    pub body: Secret,
}

impl HttpResponse {
    /// The server's `Retry-After` (RFC 9110, 10.2.3), where it is in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_longer_than_instants_can_bear() {
        let asked = |wait: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(wait))]);
            HttpResponse { status: 429, headers, body: Secret::new("") }.retry_after()
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("18446744073709551615"), Some(LONGEST_WAIT));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }
}
