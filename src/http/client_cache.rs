//! The clients of the HTTP library that one vault has, each with connections of its own. One is enough for most vaults.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use http::Uri;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Proxy, redirect, retry};
use rustls::ClientConfig;

use super::connect_check::Checks;
use super::dns::System;
use super::proxied_tls;
use super::route::{Route, Routes, is_secure};
use super::tls::{self, Configured, Tls};
use super::transport::{AGENT, bare};
use crate::error::{Error, Kind, Result};
use crate::sync::lock;

/// How long a connection stays idle before it is closed. The pool looks once in that time, so it may stay for twice as
/// long. It is short, as the buffers of HTTP and TLS hold what they last received until they are freed: a dropped
/// secret must not be found in memory ten seconds later. A vault that is asked more often keeps its connection.
const IDLE: Duration = Duration::from_secs(4);

/// When a silent connection is probed (TCP keepalive), and how often before it is closed.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// How long sent data may stay unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

pub(super) struct Clients {
    label: String,
    tls: Arc<Tls>,
    routes: Arc<Routes>,
    timeout: Duration,
    made: Mutex<Vec<(ClientKey, CachedClient)>>,
}

/// What tells clients apart.
#[derive(PartialEq, Eq)]
struct ClientKey {
    is_secure: bool,
    is_proxied: bool,
    /// The host, where URLs have the TLS server's name instead.
    named: Option<Box<str>>,
}

#[derive(Clone)]
pub(super) struct CachedClient {
    pub client: reqwest::Client,
    /// The TLS configuration that it was made with, where that may change.
    pub of: Option<Arc<Configured>>,
}

impl Clients {
    pub fn new(label: String, tls: Arc<Tls>, routes: Arc<Routes>, timeout: Duration) -> Self {
        Self { label, tls, routes, timeout, made: Mutex::default() }
    }

    /// The client for a destination.
    pub async fn for_destination(&self, destination: &Uri, route: Route<'_>) -> Result<CachedClient> {
        let key = ClientKey {
            is_secure: is_secure(destination),
            is_proxied: route.proxy().is_some(),
            named: self.named(destination, route).map(Box::from),
        };
        if let Some((_, made)) = self.made().iter().find(|(known, _)| *known == key) {
            return Ok(made.clone());
        }
        let made = self.make(&key, route).await?;
        let mut all = self.made();
        // Another request may have made one meanwhile.
        if let Some((_, theirs)) = all.iter().find(|(known, _)| *known == key) {
            return Ok(theirs.clone());
        }
        all.push((key, made.clone()));
        Ok(made)
    }

    /// The host, where URLs have the TLS server's name instead: the HTTP library checks certificates against the URL's
    /// name only. A proxy must be told the host, so it stays there.
    pub fn named<'a>(&self, destination: &'a Uri, route: Route<'_>) -> Option<&'a str> {
        let is_named = self.routes.server_name.is_some() && is_secure(destination) && route.proxy().is_none();
        destination.host().filter(|_| is_named)
    }

    /// Drops the clients that were made with an outdated configuration.
    pub fn forget(&self, of: &Arc<Configured>) {
        self.made().retain(|(_, made)| !made.of.as_ref().is_some_and(|known| Arc::ptr_eq(known, of)));
    }

    async fn make(&self, key: &ClientKey, route: Route<'_>) -> Result<CachedClient> {
        let proxy = route.proxy();
        let proxy_tls = self.routes.proxy_tls.as_ref().filter(|_| proxy.is_some_and(|proxy| is_secure(&proxy.uri)));
        let used = if key.is_secure { Some(&self.tls) } else { proxy_tls };
        let current = match used {
            Some(tls) => Some(tls.clone().current().await?),
            None => None,
        };
        let name = self.routes.server_name.as_ref();
        let config = match &current {
            None => NOBODY.clone().ok_or_else(|| self.broken())?,
            Some(current) if key.is_secure && proxy.is_some() => {
                proxied_tls::configuration(current, name, proxy_tls.is_some())
            }
            // HTTP/2 would send the URL's name in place of the host.
            Some(current) if key.named.is_some() => current.http_1(),
            Some(current) => current.config.clone(),
        };
        let socket = match route {
            Route::Socket(path) => Some(path.clone()),
            Route::Direct | Route::Proxy(_) => None,
        };
        let checks = Checks { tls: used.cloned().zip(current.clone()), socket: socket.clone() };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .user_agent(AGENT)
            .pool_idle_timeout(IDLE)
            // The library divides this among a host's addresses as well, so that a dead one leaves time for the others.
            .connect_timeout(self.timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(KEEPALIVE_PROBES)
            .dns_resolver(Arc::new(Names { system: System::new(self.timeout), host: key.named.clone() }))
            .connector_layer(checks)
            .tls_backend_preconfigured(config);
        #[cfg(target_os = "linux")]
        {
            builder = builder.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if let Some(path) = socket {
            builder = builder.unix_socket(&*path);
        }
        if let Some(proxy) = proxy {
            let mut rule = Proxy::all(proxy.uri.to_string()).map_err(|_| self.broken())?;
            if let Some(authorization) = &proxy.authorization {
                rule = rule.custom_http_auth(authorization.clone());
            }
            builder = builder.proxy(rule);
        }
        let client = builder.build().map_err(|_| self.broken())?;
        Ok(CachedClient { client, of: current.filter(|current| current.is_of_files) })
    }

    fn broken(&self) -> Error {
        Error::new(Kind::Internal, format!("{}: the HTTP library refuses its configuration", self.label))
    }

    fn made(&self) -> MutexGuard<'_, Vec<(ClientKey, CachedClient)>> {
        lock(&self.made)
    }
}

/// For clients without TLS: should one use TLS all the same, it trusts no server.
static NOBODY: LazyLock<Option<ClientConfig>> = LazyLock::new(tls::trusting_nobody);

/// This crate's resolver of names, in the HTTP library's form.
struct Names {
    system: System,
    /// The name to look up instead of the URL's.
    host: Option<Box<str>>,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let system = self.system.clone();
        let host = self.host.as_deref().unwrap_or(name.as_str()).to_owned();
        Box::pin(async move {
            let addresses = match bare(&host).parse::<IpAddr>() {
                Ok(address) => vec![SocketAddr::new(address, 0)],
                Err(_) => system.addresses(&host).await?,
            };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
