//! The way to a server, gone step by step, for who asks where it ends.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Instant;

use http::Uri;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::client::Client;
use super::dial::Link;
use super::failure;
use super::resolve::{System, Unresolved};
use crate::diagnosis::Findings;
use crate::error::{Kind, Result};
use crate::redact;

const RESOLVE: &str = "resolve";
const CONNECT: &str = "connect";
const TLS: &str = "TLS";

impl Client {
    /// Whether a request to that URL would have a connection to go over. What is found is noted.
    pub async fn probe(&self, url: &str, findings: &mut Findings) -> bool {
        self.walk(url, findings).await.is_some()
    }

    async fn walk(&self, url: &str, findings: &mut Findings) -> Option<()> {
        let uri: Uri = findings.or_bad(RESOLVE, url.parse().map_err(|_| self.no_url()))?;
        let resolved = self.resolve(&uri).await;
        let text = findings.or_bad(RESOLVE, resolved)?;
        findings.good(RESOLVE, text);
        let connected = self.connect(&uri).await;
        let text = findings.or_bad(CONNECT, connected)?;
        findings.good(CONNECT, text);
        if uri.scheme_str() != Some("https") {
            findings.doubtful(TLS, "none: tokens and secrets go over the network as they are: set https");
            return Some(());
        }
        let secured = self.secure(uri).await;
        let text = findings.or_bad(TLS, secured)?;
        findings.good(TLS, text);
        Some(())
    }

    async fn resolve(&self, uri: &Uri) -> Result<String> {
        if let Some(path) = &self.ways.socket {
            return Ok(format!("no name to resolve: the socket is {}", redact::known_path(path)));
        }
        let place = self.place(uri);
        let proxy = self.ways.proxies.of(uri).map_err(|reason| place.error(Kind::Config, reason))?;
        let target = proxy.map_or(uri, |proxy| &proxy.uri);
        let host = target.host().unwrap_or_default();
        let shown = redact::host(host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = if bare.parse::<IpAddr>().is_ok() {
            format!("{bare} is an IP address")
        } else {
            let error = |why: &dyn Display| place.error(Kind::Unavailable, format!("cannot resolve {shown}: {why}"));
            let name = host.parse::<Name>().map_err(|_| error(&Unresolved::Unknown))?;
            let looked = tokio::time::timeout(self.timeout, System::new(self.timeout).call(name)).await;
            let seconds = self.timeout.as_secs_f64();
            let silent = format!("no answer within {seconds} seconds: check the name servers in /etc/resolv.conf");
            let addresses = looked.map_err(|_| error(&silent))?.map_err(|why| error(&why))?;
            let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
            format!("{shown} is {}", addresses.join(", "))
        };
        Ok(match proxy {
            Some(proxy) => format!("{found} (the proxy {}, which resolves the vault's own host)", proxy.address),
            None => found,
        })
    }

    async fn connect(&self, uri: &Uri) -> Result<String> {
        let start = Instant::now();
        let mut dial = self.connector.dial.clone();
        let dialing = dial.call(uri.clone());
        let link = match tokio::time::timeout(self.timeout, dialing).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return Err(failure::of_connecting(&self.place(uri), &*error)),
            Err(_) => return Err(failure::unconnected(&self.place(uri))),
        };
        let took = start.elapsed().as_secs_f64() * 1000.0;
        let place = self.place(uri);
        Ok(match &link {
            Link::Direct(stream) => {
                let peer = stream.inner().peer_addr().map_or(place.address, |peer| peer.to_string());
                format!("{peer} accepts connections ({took:.1} ms)")
            }
            Link::Socket(_) => format!("{} accepts connections ({took:.1} ms)", place.address),
            Link::Proxy(_) => format!("the proxy accepts connections ({took:.1} ms)"),
            Link::Tunnel(_) => format!("the proxy connects to {} ({took:.1} ms)", place.address),
        })
    }

    async fn secure(&self, uri: Uri) -> Result<String> {
        let place = self.place(&uri);
        let stream = self.connector.clone().call(uri).await;
        let stream = stream.map_err(|error| failure::of_connecting(&place, &*error))?;
        let MaybeHttpsStream::Https(stream) = &stream else {
            return Err(place.error(Kind::Internal, "the connection has no TLS"));
        };
        let connection = stream.inner().get_ref().1;
        let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
        let http = if connection.alpn_protocol() == Some(b"h2") { "HTTP/2" } else { "HTTP/1.1" };
        let ours = if self.tls.has_identity() { ", client certificate loaded" } else { "" };
        Ok(format!("{}, {http}, {}{ours}", version.replace("TLSv1_", "TLS 1."), self.tls.verdict()))
    }
}
