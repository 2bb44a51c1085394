//! Requests out, answers in: one pool of connections a vault.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Request, Uri};
use reqwest::Url;

use super::failure::{self, Place};
use super::roots::{self, Locations};
use super::tls::{self, Trust};
use super::{Answer, Transport, body};
use crate::error::{Error, Kind, Result};

/// How long an idle connection is kept: below the idle limits of usual load balancers and of vault servers.
const IDLE: Duration = Duration::from_secs(50);
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A pool of connections to one vault.
pub struct Client {
    label: String,
    trust: Trust,
    server_name: Option<String>,
    threads: bool,
    timeout: Duration,
    plain: reqwest::Client,
    /// TLS clients, made when `https` is first asked for. There is one for all hosts, but with a `server_name` one for
    /// each: reqwest knows a pool's peer by the URL's name, which is then the same for every host.
    secure: Mutex<HashMap<Option<String>, reqwest::Client>>,
}

impl Client {
    pub fn new(transport: &Transport<'_>) -> Result<Self> {
        let label = transport.label.clone();
        let server_name = transport.server_name.filter(|name| !name.is_empty());
        if let Some(name) = server_name {
            check_server_name(&label, name)?;
        }
        let trust = match transport.ca_cert.filter(|text| !text.is_empty()) {
            _ if !transport.verify => Trust::Anyone,
            Some(ca_cert) => Trust::Bundle(roots::bundle(&label, ca_cert)?),
            None => Trust::System(Locations::from(transport.environment)),
        };
        let plain = build(&label, tls::unused()?, transport.threads, None, transport.timeout)?;
        Ok(Self {
            label,
            trust,
            server_name: server_name.map(str::to_owned),
            threads: transport.threads,
            timeout: transport.timeout,
            plain,
            secure: Mutex::new(HashMap::new()),
        })
    }

    /// Sends one request and reads the whole answer, whatever its status. Errors name label, host and reason, and never
    /// a path, a query, a header or a body.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer> {
        let (parts, body) = request.into_parts();
        let place = Place { label: &self.label, address: address(&parts.uri), timeout: self.timeout };
        let mut url = Url::parse(&parts.uri.to_string()).map_err(|_| place.error(Kind::Invalid, "no valid URL"))?;
        let mut headers = parts.headers;
        let client = match (url.scheme(), &self.server_name) {
            ("http", _) => self.plain.clone(),
            ("https", None) => self.secure(None)?,
            ("https", Some(name)) => {
                let host = parts.uri.host().unwrap_or_default();
                if !headers.contains_key(HOST) {
                    let value =
                        HeaderValue::from_str(parts.uri.authority().map_or(host, |authority| authority.as_str()));
                    headers.insert(HOST, value.map_err(|_| place.error(Kind::Invalid, "no valid host"))?);
                }
                url.set_host(Some(name)).map_err(|_| place.error(Kind::Config, "no valid server name"))?;
                self.secure(Some(bare(host).to_owned()))?
            }
            _ => return Err(place.error(Kind::Config, "neither http nor https: correct the protocol")),
        };
        let mut outgoing = reqwest::Request::new(parts.method, url);
        *outgoing.headers_mut() = headers;
        *outgoing.timeout_mut() = Some(self.timeout);
        if !body.is_empty() {
            *outgoing.body_mut() = Some(body.into());
        }
        let mut response = client.execute(outgoing).await.map_err(|error| failure::of_request(&place, &error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let body = body::read(&mut response).await.map_err(|refused| failure::of_body(&place, &refused))?;
        Ok(Answer { status, headers, body })
    }

    fn secure(&self, target: Option<String>) -> Result<reqwest::Client> {
        let mut clients = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&target) {
            return Ok(client.clone());
        }
        // With a server name, the URL and with it HTTP/2's `:authority` differ from the host that is asked for; HTTP/1
        // has the `Host` header for that.
        let config = tls::config(&self.label, &self.trust, target.is_none())?;
        let client = build(&self.label, config, self.threads, target.clone(), self.timeout)?;
        clients.insert(target, client.clone());
        Ok(client)
    }
}

fn build(
    label: &str,
    tls: rustls::ClientConfig,
    threads: bool,
    target: Option<String>,
    timeout: Duration,
) -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(super::resolve::System { threads, target })
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(timeout)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEPALIVE)
        .tcp_nodelay(true)
        .user_agent(concat!("kong-vault/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| Error::new(Kind::Internal, format!("{label}: the HTTP library refuses its settings")))
}

fn check_server_name(label: &str, name: &str) -> Result<()> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_name && name.parse::<IpAddr>().is_err() && rustls::pki_types::ServerName::try_from(name).is_ok() {
        return Ok(());
    }
    Err(Error::new(Kind::Config, format!("{label}: the TLS server name has to be a host name, without a port")))
}

/// `host:port` of a URL, and nothing else of it.
fn address(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{host}:{port}")
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
