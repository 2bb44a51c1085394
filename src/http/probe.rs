//! Checks the way to a server step by step, for `kong-vault doctor`.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Instant;

use http::Uri;

use super::client::Client;
use super::dialer::{self, Dialed};
use super::dns::System;
use super::error;
use super::proxied_tls;
use super::route::Route;
use super::transport::bare;
use crate::diagnosis::Findings;
use crate::error::{Kind, Result};
use crate::redact;

const RESOLVE: &str = "resolve";
const CONNECT: &str = "connect";
const TLS: &str = "TLS";

impl Client {
    /// Whether a request to that URL would get a connection. Each step is noted in `findings`.
    pub async fn probe(&self, url: &str, findings: &mut Findings) -> bool {
        self.walk(url, findings).await.is_some()
    }

    async fn walk(&self, url: &str, findings: &mut Findings) -> Option<()> {
        let uri: Uri = findings.or_bad(RESOLVE, url.parse().map_err(|_| self.no_url()))?;
        let context = self.context(&uri);
        let route = self.routes.for_destination(&uri).map_err(|reason| context.error(Kind::Config, reason));
        let route = findings.or_bad(RESOLVE, route)?;
        let resolved = self.resolve(&uri, route).await;
        let text = findings.or_bad(RESOLVE, resolved)?;
        findings.good(RESOLVE, text);
        let connected = self.connect(&uri, route).await;
        let (text, dialed) = findings.or_bad(CONNECT, connected)?;
        findings.good(CONNECT, text);
        if uri.scheme_str() != Some("https") {
            findings.doubtful(TLS, "none: tokens and secrets go over the network as they are: set https");
            return Some(());
        }
        let secured = self.secure(&uri, route, dialed).await;
        let text = findings.or_bad(TLS, secured)?;
        findings.good(TLS, text);
        Some(())
    }

    async fn resolve(&self, uri: &Uri, route: Route<'_>) -> Result<String> {
        let target = match route {
            Route::Socket(path) => {
                return Ok(format!("no name to resolve: the socket is {}", redact::known_path(path)));
            }
            Route::Proxy(proxy) => &proxy.uri,
            Route::Direct => uri,
        };
        let context = self.context(uri);
        let host = target.host().unwrap_or_default();
        let shown = redact::host(host);
        let found = if bare(host).parse::<IpAddr>().is_ok() {
            format!("{} is an IP address", bare(host))
        } else {
            let error = |why: &dyn Display| context.error(Kind::Unavailable, format!("cannot resolve {shown}: {why}"));
            let system = System::new(self.timeout);
            let looked = tokio::time::timeout(self.timeout, system.addresses(host)).await;
            let seconds = self.timeout.as_secs_f64();
            let silent = format!("no answer within {seconds} seconds: check the name servers in /etc/resolv.conf");
            let addresses = looked.map_err(|_| error(&silent))?.map_err(|why| error(&why))?;
            let addresses: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            format!("{shown} is {}", addresses.join(", "))
        };
        Ok(match route.proxy() {
            Some(proxy) => format!("{found} (the proxy {}, which resolves the vault's own host)", proxy.address),
            None => found,
        })
    }

    async fn connect(&self, uri: &Uri, route: Route<'_>) -> Result<(String, Dialed)> {
        let (start, context) = (Instant::now(), self.context(uri));
        let dialing = dialer::dial(&self.routes, route, uri, self.timeout);
        let dialed = match tokio::time::timeout(self.timeout, dialing).await {
            Ok(Ok(dialed)) => dialed,
            Ok(Err(error)) => return Err(error::of_connecting(&context, &*error)),
            Err(_) => return Err(error::unconnected(&context)),
        };
        let who = match route {
            Route::Proxy(_) if context.is_secure => format!("the proxy connects to {}", context.address),
            Route::Proxy(_) => "the proxy accepts connections".to_owned(),
            Route::Direct | Route::Socket(_) => {
                let peer = dialed.peer.map_or(context.address, |peer| peer.to_string());
                format!("{peer} accepts connections")
            }
        };
        let took = start.elapsed().as_secs_f64() * 1000.0;
        Ok((format!("{who} ({took:.1} ms)"), dialed))
    }

    /// Makes the TLS handshake as requests do.
    async fn secure(&self, uri: &Uri, route: Route<'_>, dialed: Dialed) -> Result<String> {
        let context = self.context(uri);
        let current = self.tls.clone().current().await?;
        let name = self.routes.server_name.as_ref();
        let (config, name) = match (route, name) {
            (Route::Proxy(_), _) => (proxied_tls::configuration(&current, name, false), dialer::server_name(uri)),
            (_, Some(name)) => (current.http_1(), Ok(name.clone())),
            (_, None) => (current.config.clone(), dialer::server_name(uri)),
        };
        let name = name.map_err(|error| error::of_connecting(&context, &*error))?;
        let securing = dialer::secure(dialed.stream, config, name);
        let stream = match tokio::time::timeout(self.timeout, securing).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(error::of_connecting(&context, &error)),
            Err(_) => return Err(error::unconnected(&context)),
        };
        let connection = stream.get_ref().1;
        let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
        let http = if connection.alpn_protocol() == Some(b"h2") { "HTTP/2" } else { "HTTP/1.1" };
        let ours = if self.tls.has_identity() { ", client certificate loaded" } else { "" };
        Ok(format!("{}, {http}, {}{ours}", version.replace("TLSv1_", "TLS 1."), self.tls.verdict()))
    }
}
