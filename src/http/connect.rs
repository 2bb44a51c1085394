//! New connections: a way to the destination, then TLS where the vault has it, within one time.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream, ResolveServerName,
};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::ServerName;
use tower_service::Service;

use super::dial::{BoxError, Dial, Dialing, Link, Ways};
use super::resolve::System;
use super::tls::Tls;

/// When a silent connection is asked whether its other end is still there, and how often before it is given up.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// How long what was sent may go unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Connects to whatever host a pool of connections asks for.
#[derive(Clone)]
pub(super) struct Connector {
    pub dial: Dial,
    tls: Arc<Tls>,
    names: Arc<dyn ResolveServerName + Send + Sync>,
    timeout: Duration,
}

impl Connector {
    /// `name`: what the server's certificate has to carry, where it isn't the host's name.
    pub fn new(ways: Arc<Ways>, tls: Arc<Tls>, name: Option<ServerName<'static>>, timeout: Duration) -> Self {
        let names: Arc<dyn ResolveServerName + Send + Sync> = match name {
            Some(name) => Arc::new(FixedServerNameResolver::new(name)),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        let tcp = tcp(timeout);
        Self { dial: Dial { tcp, ways }, tls, names, timeout }
    }
}

fn tcp(timeout: Duration) -> HttpConnector<System> {
    let mut tcp = HttpConnector::new_with_resolver(System::new(timeout));
    // What the scheme asks for is seen to above it.
    tcp.enforce_http(false);
    // It is divided among a host's addresses, so that one that is dead doesn't take the time of the others.
    tcp.set_connect_timeout(Some(timeout));
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Link>;
    type Error = BoxError;
    type Future = Dialing<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.dial.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (mut dial, tls, names) = (self.dial.clone(), self.tls.clone(), self.names.clone());
        let connecting = async move {
            if uri.scheme() != Some(&Scheme::HTTPS) {
                return Ok(dial.call(uri).await?.into());
            }
            HttpsConnector::new(dial, tls.current().await?, true, names).call(uri).await
        };
        let timeout = self.timeout;
        // A connection may be made beside a request that no longer needs it, so that the request's time doesn't bound it.
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        })
    }
}
