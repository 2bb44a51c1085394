//! Where a request goes: to its host, to a proxy, or to a Unix-domain socket.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use rustls::pki_types::ServerName;
use url::Url;

use super::proxy::{Proxies, Proxy};
use super::tls::Tls;
use super::transport::Transport;
use crate::error::{Error, Kind, Result};

/// The routes of one vault.
pub(super) struct Routes {
    /// The socket that every request goes to, whatever its host.
    pub socket: Option<Arc<Path>>,
    pub proxies: Proxies,
    /// For proxies that are reached by https.
    pub proxy_tls: Option<Arc<Tls>>,
    /// The name in the vault's certificate, where it isn't the host.
    pub server_name: Option<ServerName<'static>>,
}

#[derive(Clone, Copy)]
pub(super) enum Route<'a> {
    Direct,
    Socket(&'a Arc<Path>),
    Proxy(&'a Arc<Proxy>),
}

impl Routes {
    pub fn new(transport: &Transport<'_>) -> Result<Self> {
        let name = transport.server_name.filter(|name| !name.is_empty());
        let proxies = Proxies::new(transport);
        Ok(Self {
            socket: transport.socket.map(Arc::from),
            proxy_tls: proxies.want_tls().then(|| Arc::new(Tls::to_proxy(transport))),
            proxies,
            server_name: name.map(|name| check_server_name(&transport.label, name)).transpose()?,
        })
    }

    /// The route to a destination, or why its proxy can't be used.
    pub fn for_destination(&self, destination: &Uri) -> std::result::Result<Route<'_>, &str> {
        if let Some(path) = &self.socket {
            return Ok(Route::Socket(path));
        }
        let Some(proxy) = self.proxies.for_destination(destination)? else { return Ok(Route::Direct) };
        // For TLS behind a proxy, the HTTP library accepts no address in brackets as a name.
        if is_secure(destination) && destination.host().is_some_and(|host| host.starts_with('[')) {
            return Err(
                "an IPv6 address cannot be reached through a proxy over https: set the host to a name, or add the \
                 address to `no_proxy`",
            );
        }
        Ok(Route::Proxy(proxy))
    }
}

impl<'a> Route<'a> {
    pub fn proxy(self) -> Option<&'a Arc<Proxy>> {
        match self {
            Route::Proxy(proxy) => Some(proxy),
            Route::Direct | Route::Socket(_) => None,
        }
    }
}

pub(super) fn is_secure(destination: &Uri) -> bool {
    destination.scheme() == Some(&Scheme::HTTPS)
}

pub(super) fn port(destination: &Uri) -> u16 {
    destination.port_u16().unwrap_or(if is_secure(destination) { 443 } else { 80 })
}

fn check_server_name(label: &str, name: &str) -> Result<ServerName<'static>> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let stays = || Url::parse(&format!("https://{name}/")).is_ok_and(|url| url.domain() == Some(&name.to_lowercase()));
    match ServerName::try_from(name.to_owned()) {
        Ok(checked) if is_name && name.parse::<IpAddr>().is_err() && stays() => Ok(checked),
        _ => Err(Error::new(Kind::Config, format!("{label}: the TLS server name must be a host name, without a port"))),
    }
}
