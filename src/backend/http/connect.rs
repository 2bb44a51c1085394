//! New connections: TCP, then TLS where the vault has it, within one time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream, ResolveServerName,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower_service::Service;

use super::resolve::System;
use super::tls::Tls;

/// When a silent connection is asked whether its other end is still there, and how often before it is given up.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// How long what was sent may go unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Connects to whatever host a pool of connections asks for.
#[derive(Clone)]
pub(super) struct Connector {
    layer: Layer,
    timeout: Duration,
}

#[derive(Clone)]
enum Layer {
    Plain(HttpConnector<System>),
    Secure { tcp: HttpConnector<System>, tls: Arc<Tls>, names: Arc<dyn ResolveServerName + Send + Sync> },
}

impl Connector {
    pub fn plain(threads: bool, timeout: Duration) -> Self {
        Self { layer: Layer::Plain(tcp(threads, timeout)), timeout }
    }

    /// `name`: what the server's certificate has to carry, where it isn't the host's name.
    pub fn secure(threads: bool, timeout: Duration, tls: Arc<Tls>, name: Option<ServerName<'static>>) -> Self {
        let names: Arc<dyn ResolveServerName + Send + Sync> = match name {
            Some(name) => Arc::new(FixedServerNameResolver::new(name)),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        Self { layer: Layer::Secure { tcp: tcp(threads, timeout), tls, names }, timeout }
    }
}

fn tcp(threads: bool, timeout: Duration) -> HttpConnector<System> {
    let mut tcp = HttpConnector::new_with_resolver(System { threads });
    // What the scheme asks for is the layer's matter.
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
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.layer {
            Layer::Plain(tcp) | Layer::Secure { tcp, .. } => tcp.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting: Self::Future = match &mut self.layer {
            Layer::Plain(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async move { Ok(connecting.await?.into()) })
            }
            Layer::Secure { tcp, tls, names } => {
                let (tcp, tls, names) = (tcp.clone(), tls.clone(), names.clone());
                Box::pin(async move { HttpsConnector::new(tcp, tls.current().await?, true, names).call(uri).await })
            }
        };
        let timeout = self.timeout;
        // A connection may be made beside a request that no longer needs it, so that the request's time doesn't bound it.
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        })
    }
}
