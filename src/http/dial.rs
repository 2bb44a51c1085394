//! The way to a destination, below the TLS that is spoken with it: its own address, a proxy, or a socket in the file
//! system.

use std::future::Future;
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use super::proxy::{Proxies, Proxy};
use super::resolve::System;
use super::tls::Tls;
use super::tunnel::{self, AtProxy};
use crate::file::{self, FileFlaw};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Dialing<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Where all requests of one vault go.
pub(super) struct Ways {
    /// Whatever the destination is called, it is this socket.
    pub socket: Option<Box<Path>>,
    pub proxies: Proxies,
    /// For proxies that are spoken to over TLS.
    pub proxy_tls: Option<Arc<Tls>>,
}

#[derive(Clone)]
pub(super) struct Dial {
    pub tcp: HttpConnector<System>,
    pub ways: Arc<Ways>,
}

impl Service<Uri> for Dial {
    type Response = Link;
    type Error = BoxError;
    type Future = Dialing<Link>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let ways = self.ways.clone();
        if ways.socket.is_some() {
            return Box::pin(async move {
                let path = ways.socket.as_deref().unwrap_or(Path::new(""));
                // Its file system may hang: then it does so here, and not on this thread.
                if let Err(flaw @ (FileFlaw::Hangs | FileFlaw::Busy(_))) = file::status(path, file::PATIENCE).await {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, format!("the socket {flaw}")).into());
                }
                Ok(Link::Socket(TokioIo::new(UnixStream::connect(path).await?)))
            });
        }
        let proxy = match ways.proxies.of(&destination) {
            Ok(proxy) => proxy.cloned(),
            // Whoever sends a request has seen it before.
            Err(_) => return Box::pin(async { Err(io::Error::from(io::ErrorKind::InvalidInput).into()) }),
        };
        let Some(proxy) = proxy else {
            let connecting = self.tcp.call(destination);
            return Box::pin(async move { Ok(Link::Direct(connecting.await?)) });
        };
        let tcp = self.tcp.clone();
        Box::pin(async move {
            let stream = reach(tcp, ways.proxy_tls.clone(), &proxy).await?;
            if destination.scheme() == Some(&Scheme::HTTPS) {
                Ok(Link::Tunnel(Box::new(tunnel::open(stream, &proxy, &destination).await?)))
            } else {
                Ok(Link::Proxy(Box::new(stream)))
            }
        })
    }
}

async fn reach(
    mut tcp: HttpConnector<System>,
    tls: Option<Arc<Tls>>,
    proxy: &Proxy,
) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, BoxError> {
    let uri = proxy.uri.clone();
    let reached = match tls.filter(|_| uri.scheme() == Some(&Scheme::HTTPS)) {
        None => tcp.call(uri).await.map(Into::into).map_err(Into::into),
        Some(tls) => {
            let names = Arc::new(DefaultServerNameResolver::default());
            HttpsConnector::new(tcp, tls.current().await?, true, names).call(uri).await
        }
    };
    reached.map_err(|cause| AtProxy::broken(proxy, cause).into())
}

/// A connection that a request, or TLS, goes over.
pub(super) enum Link {
    Direct(TokioIo<TcpStream>),
    Socket(TokioIo<UnixStream>),
    /// To a proxy that is told each request's whole URL.
    Proxy(Box<dyn Stream>),
    /// Through a proxy, as if it were direct.
    Tunnel(Box<dyn Stream>),
}

pub(super) trait Stream: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Stream for T {}

impl Link {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        Pin::new(match self.get_mut() {
            Link::Direct(stream) => stream,
            Link::Socket(stream) => stream,
            Link::Proxy(stream) | Link::Tunnel(stream) => stream.as_mut(),
        })
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new().proxy(matches!(self, Link::Proxy(_)))
    }
}

impl Read for Link {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Link::Direct(stream) => stream.is_write_vectored(),
            Link::Socket(stream) => stream.is_write_vectored(),
            Link::Proxy(stream) | Link::Tunnel(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }
}
