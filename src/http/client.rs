//! Requests out, answers in: one pool of connections a vault.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use super::connect::Connector;
use super::dial::Ways;
use super::failure::{self, Place};
use super::proxy::Proxies;
use super::tls::Tls;
use super::{Answer, Transport, body};
use crate::error::{Error, Kind, Result};
use crate::notice::Notice;
use crate::redact;

/// After what time an idle connection is closed; the pool looks once in that time, so it may stay for twice as long. Short:
/// the buffers of HTTP and TLS hold what they last received until they are freed, and a secret that was dropped is not to
/// be found in memory ten seconds later. A vault that is asked more often keeps its connection.
const IDLE: Duration = Duration::from_secs(4);

pub(super) const AGENT: HeaderValue = HeaderValue::from_static(concat!("kong-vault/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

type Pool = legacy::Client<Connector, Full<Bytes>>;

/// The connections to one vault. The pool knows its peers by scheme, host and port.
pub struct Client {
    label: String,
    pub(super) timeout: Duration,
    pub(super) tls: Arc<Tls>,
    pub(super) ways: Arc<Ways>,
    pub(super) connector: Connector,
    pool: Pool,
}

impl Client {
    pub fn new(transport: &Transport<'_>) -> Result<Self> {
        let label = transport.label.clone();
        let server_name = transport.server_name.filter(|name| !name.is_empty());
        let server_name = server_name.map(|name| check_server_name(&label, name)).transpose()?;
        let tls = Arc::new(Tls::new(transport)?);
        let proxies = Proxies::new(transport);
        let ways = Arc::new(Ways {
            socket: transport.socket.map(Box::from),
            proxy_tls: proxies.want_tls().then(|| Arc::new(Tls::to_proxy(transport))),
            proxies,
        });
        let connector = Connector::new(ways.clone(), tls.clone(), server_name, transport.timeout);
        Ok(Self { label, timeout: transport.timeout, tls, ways, pool: pool(connector.clone()), connector })
    }

    /// Whether certificates that changed can't be used, or can again, where that is news.
    pub fn notice(&self) -> Option<Notice> {
        let of_proxy = || self.ways.proxy_tls.as_ref().and_then(|tls| tls.notice());
        self.tls.notice().or_else(of_proxy)
    }

    /// Where requests for `host` and `port` go, as error texts name it.
    pub fn address(&self, host: &str, port: u16) -> String {
        match &self.ways.socket {
            Some(path) => format!("unix://{}", redact::known_path(path)),
            None => format!("{}:{port}", redact::host(host)),
        }
    }

    /// Sends one request and reads the whole answer, whatever its status. Errors name label, host and reason, and never
    /// a path, a query, a header or a body.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer> {
        // A body may hold a credential: it is wiped when it has been sent.
        let mut request = request.map(|body| Full::new(Bytes::from_owner(Zeroizing::new(body))));
        let mut place = self.place(request.uri());
        let uri = request.uri();
        if uri.host().is_none_or(str::is_empty) {
            return Err(place.error(Kind::Invalid, "no valid URL"));
        }
        let is_plain = match uri.scheme_str() {
            Some("http") => true,
            Some("https") => false,
            _ => return Err(place.error(Kind::Config, "neither http nor https: correct the protocol")),
        };
        let proxy = match self.ways.socket {
            Some(_) => None,
            None => self.ways.proxies.of(uri).map_err(|reason| place.error(Kind::Config, reason))?,
        };
        if let Some(proxy) = proxy {
            place.proxy = Some(&proxy.address);
            // What goes through a tunnel is none of the proxy's business.
            if let Some(authorization) = proxy.authorization.as_ref().filter(|_| is_plain) {
                request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
            }
        }
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        request.headers_mut().entry(ACCEPT).or_insert(ANYTHING);
        let mut late = pin!(tokio::time::sleep(self.timeout));
        let response = tokio::select! {
            biased;
            () = &mut late => return Err(failure::unanswered(&place)),
            response = self.pool.request(request) => response.map_err(|error| failure::of_request(&place, &error))?,
        };
        let (head, body) = response.into_parts();
        if head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && is_plain && proxy.is_some() {
            return Err(failure::of_proxy(&place, head.status));
        }
        let body = tokio::select! {
            biased;
            () = &mut late => return Err(failure::incomplete(&place)),
            body = body::read(body) => body.map_err(|refused| failure::of_body(&place, &refused))?,
        };
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub(super) fn no_url(&self) -> Error {
        Error::new(Kind::Invalid, format!("{}: no valid URL", self.label))
    }

    pub(super) fn place(&self, uri: &Uri) -> Place<'_> {
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        Place {
            label: &self.label,
            address: self.address(uri.host().unwrap_or_default(), port),
            proxy: None,
            timeout: self.timeout,
            has_identity: self.tls.has_identity(),
        }
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
        _ => Err(Error::new(Kind::Config, format!("{label}: the TLS server name must be a host name, without a port"))),
    }
}
