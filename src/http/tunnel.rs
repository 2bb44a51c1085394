//! A way through a proxy: what `CONNECT` opens, over which TLS is spoken with the vault itself.

use std::fmt;
use std::io;
use std::pin::pin;

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};

use super::client::AGENT;
use super::proxy::Proxy;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong at or before a proxy.
#[derive(Debug)]
pub(super) struct AtProxy {
    /// The proxy's `host:port`.
    pub address: String,
    pub trouble: Trouble,
}

#[derive(Debug)]
pub(super) enum Trouble {
    /// It can't be reached, or doesn't speak as it should.
    Broken(BoxError),
    /// Its answer to `CONNECT`.
    Refused(StatusCode),
}

impl AtProxy {
    pub fn broken(proxy: &Proxy, cause: impl Into<BoxError>) -> Self {
        Self { address: proxy.address.clone(), trouble: Trouble::Broken(cause.into()) }
    }
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

/// Has the proxy at the other end of `stream` connect it to `destination`.
pub(super) async fn open<S>(stream: S, proxy: &Proxy, destination: &Uri) -> Result<S, AtProxy>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let broken = |cause: BoxError| AtProxy::broken(proxy, cause);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| broken(error.into()))?;
    let request = request(proxy, destination).map_err(|error| broken(error.into()))?;
    let (mut serving, mut answering) = (pin!(connection.without_shutdown()), pin!(sender.send_request(request)));
    // The connection is done as soon as it is a tunnel, and the answer is there by then.
    let (answer, done) = tokio::select! {
        done = &mut serving => (answering.await, Some(done)),
        answer = &mut answering => (answer, None),
    };
    let status = answer.map_err(|error| broken(error.into()))?.status();
    if status != StatusCode::OK {
        return Err(AtProxy { address: proxy.address.clone(), trouble: Trouble::Refused(status) });
    }
    let done = match done {
        Some(done) => done,
        None => serving.await,
    };
    let parts = done.map_err(|error| broken(error.into()))?;
    if !parts.read_buf.is_empty() {
        // In TLS the client speaks first: this is not the vault.
        return Err(broken(io::Error::from(io::ErrorKind::InvalidData).into()));
    }
    Ok(parts.io)
}

fn request(proxy: &Proxy, destination: &Uri) -> http::Result<Request<Empty<Bytes>>> {
    let target = format!("{}:{}", destination.host().unwrap_or_default(), destination.port_u16().unwrap_or(443));
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = target.parse()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&target)?);
    headers.insert(USER_AGENT, AGENT);
    if let Some(authorization) = &proxy.authorization {
        headers.insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}
