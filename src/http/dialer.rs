//! Makes a connection step by step, to find out which step fails. Requests don't use it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connect_check::BoxError;
use super::dns::System;
use super::proxy::Proxy;
use super::route::{Route, Routes, is_secure, port};
use super::transport::{AGENT, bare};
use crate::file::{self, FileFlaw};

/// The longest head of a proxy's answer.
const HEAD: usize = 8 * 1024;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to the vault before TLS.
pub(super) struct Dialed {
    pub stream: Box<dyn Stream>,
    /// The other end's address, where that is the vault itself.
    pub peer: Option<SocketAddr>,
}

/// What went wrong at or before a proxy.
#[derive(Debug)]
pub(super) struct AtProxy {
    /// The proxy's `host:port`.
    pub address: String,
    pub trouble: Trouble,
}

#[derive(Debug)]
pub(super) enum Trouble {
    /// It can't be reached, or does not behave like an HTTP proxy.
    Broken(BoxError),
    /// Its answer to `CONNECT`.
    Refused(StatusCode),
}

impl fmt::Display for AtProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the proxy did not connect")
    }
}

impl std::error::Error for AtProxy {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.trouble {
            Trouble::Broken(cause) => Some(&**cause),
            Trouble::Refused(_) => None,
        }
    }
}

/// Connects to a destination, through a proxy if the route has one.
pub(super) async fn dial(
    routes: &Routes,
    route: Route<'_>,
    destination: &Uri,
    timeout: Duration,
) -> Result<Dialed, BoxError> {
    match route {
        Route::Direct => {
            let stream = tcp(destination, timeout).await?;
            let peer = stream.peer_addr().ok();
            Ok(Dialed { stream: Box::new(stream), peer })
        }
        Route::Socket(path) => {
            // Its file system may hang. So its status is read first, on a thread of the pool: connecting would block
            // this one.
            if let Err(flaw @ (FileFlaw::Hangs | FileFlaw::Busy(_))) = file::status(path, file::PATIENCE).await {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("the socket {flaw}")).into());
            }
            Ok(Dialed { stream: Box::new(UnixStream::connect(path).await?), peer: None })
        }
        Route::Proxy(proxy) => {
            let trouble = match by_proxy(routes, proxy, destination, timeout).await {
                Ok(Ok(stream)) => return Ok(Dialed { stream, peer: None }),
                Ok(Err(status)) => Trouble::Refused(status),
                Err(cause) => Trouble::Broken(cause),
            };
            Err(AtProxy { address: proxy.address.clone(), trouble }.into())
        }
    }
}

/// A connection to the proxy, with the tunnel that an https destination needs, or the proxy's refusal.
async fn by_proxy(
    routes: &Routes,
    proxy: &Proxy,
    destination: &Uri,
    timeout: Duration,
) -> Result<Result<Box<dyn Stream>, StatusCode>, BoxError> {
    let tcp = tcp(&proxy.uri, timeout).await?;
    let stream: Box<dyn Stream> = match routes.proxy_tls.as_ref().filter(|_| is_secure(&proxy.uri)) {
        None => Box::new(tcp),
        Some(tls) => {
            let config = tls.clone().current().await?.config.clone();
            Box::new(secure(tcp, config, server_name(&proxy.uri)?).await?)
        }
    };
    if is_secure(destination) { tunnel(stream, proxy, destination).await } else { Ok(Ok(stream)) }
}

async fn tcp(destination: &Uri, timeout: Duration) -> Result<TcpStream, BoxError> {
    let (host, port) = (destination.host().unwrap_or_default(), port(destination));
    let addresses = match bare(host).parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => System::new(timeout).addresses(host).await?,
    };
    let each = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    for address in addresses {
        let connecting = TcpStream::connect(SocketAddr::new(address.ip(), port));
        match tokio::time::timeout(each, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last.into())
}

/// The name under which a host's certificate is checked.
pub(super) fn server_name(destination: &Uri) -> Result<ServerName<'static>, BoxError> {
    Ok(ServerName::try_from(bare(destination.host().unwrap_or_default()).to_owned())?)
}

pub(super) async fn secure<S: Stream>(
    stream: S,
    config: ClientConfig,
    name: ServerName<'static>,
) -> io::Result<TlsStream<S>> {
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Has the proxy at the other end of `stream` connect it to `destination`.
async fn tunnel(
    mut stream: Box<dyn Stream>,
    proxy: &Proxy,
    destination: &Uri,
) -> Result<Result<Box<dyn Stream>, StatusCode>, BoxError> {
    let target = format!("{}:{}", destination.host().unwrap_or_default(), port(destination));
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nuser-agent: {AGENT}\r\n").into_bytes();
    if let Some(authorization) = &proxy.authorization {
        request.extend_from_slice(b"proxy-authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
        // Byte by byte, as the bytes after the head belong to the tunnel.
        head.push(stream.read_u8().await.map_err(early_end)?);
    }
    match status(&head) {
        Some(StatusCode::OK) => Ok(Ok(stream)),
        Some(status) => Ok(Err(status)),
        None => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

/// A server that closes the connection within its answer is no proxy.
fn early_end(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { io::ErrorKind::InvalidData.into() } else { error }
}

/// The status in an answer's first line.
fn status(head: &[u8]) -> Option<StatusCode> {
    let rest = head.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    StatusCode::from_bytes(rest.get(..3)?).ok().filter(|_| !rest.get(3).is_some_and(u8::is_ascii_digit))
}
