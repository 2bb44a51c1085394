//! Requests out, answers in: one pool of connections a vault.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use super::connect::Connector;
use super::failure::{self, Place};
use super::tls::Tls;
use super::{Answer, Transport, body};
use crate::error::{Error, Kind, Result};

/// How long an idle connection is kept: below the idle limits of usual load balancers and of vault servers.
const IDLE: Duration = Duration::from_secs(50);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("kong-vault/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

type Pool = legacy::Client<Connector, Full<Bytes>>;

/// The connections to one vault: a pool for each scheme, which knows its peers by host and port.
pub struct Client {
    label: String,
    timeout: Duration,
    has_identity: bool,
    plain: Pool,
    secure: Pool,
}

impl Client {
    pub fn new(transport: &Transport<'_>) -> Result<Self> {
        let label = transport.label.clone();
        let server_name = transport.server_name.filter(|name| !name.is_empty());
        let server_name = server_name.map(|name| check_server_name(&label, name)).transpose()?;
        let (threads, timeout) = (transport.threads, transport.timeout);
        let tls = Arc::new(Tls::new(transport)?);
        Ok(Self {
            label,
            timeout,
            has_identity: tls.has_identity(),
            plain: pool(Connector::plain(threads, timeout)),
            secure: pool(Connector::secure(threads, timeout, tls, server_name)),
        })
    }

    /// Sends one request and reads the whole answer, whatever its status. Errors name label, host and reason, and never
    /// a path, a query, a header or a body.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer> {
        // A body may hold a credential: it is wiped when it has been sent.
        let mut request = request.map(|body| Full::new(Bytes::from_owner(Zeroizing::new(body))));
        let uri = request.uri();
        let place =
            Place { label: &self.label, address: address(uri), timeout: self.timeout, has_identity: self.has_identity };
        if uri.host().is_none_or(str::is_empty) {
            return Err(place.error(Kind::Invalid, "no valid URL"));
        }
        let pool = match uri.scheme_str() {
            Some("http") => &self.plain,
            Some("https") => &self.secure,
            _ => return Err(place.error(Kind::Config, "neither http nor https: correct the protocol")),
        };
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        request.headers_mut().entry(ACCEPT).or_insert(ANYTHING);
        let mut late = pin!(tokio::time::sleep(self.timeout));
        let response = tokio::select! {
            biased;
            () = &mut late => return Err(failure::unanswered(&place)),
            response = pool.request(request) => response.map_err(|error| failure::of_request(&place, &error))?,
        };
        let (head, body) = response.into_parts();
        let body = tokio::select! {
            biased;
            () = &mut late => return Err(failure::incomplete(&place)),
            body = body::read(body) => body.map_err(|refused| failure::of_body(&place, &refused))?,
        };
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// A request that a pooled connection couldn't take, because it was closed meanwhile, goes to another one by itself.
fn pool(connector: Connector) -> Pool {
    legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(connector)
}

fn check_server_name(label: &str, name: &str) -> Result<ServerName<'static>> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    match ServerName::try_from(name.to_owned()) {
        Ok(checked) if is_name && name.parse::<IpAddr>().is_err() => Ok(checked),
        _ => {
            Err(Error::new(Kind::Config, format!("{label}: the TLS server name has to be a host name, without a port")))
        }
    }
}

/// `host:port` of a URL, and nothing else of it.
fn address(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{host}:{port}")
}
