//! Sends requests and reads answers.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode, Uri};
use url::Url;
use zeroize::Zeroizing;

use super::client_cache::Clients;
use super::error::{self, ErrorContext};
use super::route::{Route, Routes, is_secure, port};
use super::tls::Tls;
use super::transport::{HttpResponse, Transport};
use super::{asked, body, dialer};
use crate::error::{Error, Kind, Result};
use crate::notice::{Notice, debug};
use crate::redact;

/// The connections to one vault.
pub struct Client {
    label: String,
    pub(super) timeout: Duration,
    pub(super) tls: Arc<Tls>,
    pub(super) routes: Arc<Routes>,
    clients: Clients,
}

impl Client {
    pub fn new(transport: &Transport<'_>) -> Result<Self> {
        let (label, timeout) = (transport.label.clone(), transport.timeout);
        let routes = Arc::new(Routes::new(transport)?);
        let tls = Arc::new(Tls::new(transport)?);
        let clients = Clients::new(label.clone(), tls.clone(), routes.clone(), timeout);
        Ok(Self { label, timeout, tls, routes, clients })
    }

    /// A notice that changed certificates can't be used, or can be again, if that is new.
    pub fn notice(&self) -> Option<Notice> {
        let of_proxy = || self.routes.proxy_tls.as_ref().and_then(|tls| tls.notice());
        self.tls.notice().or_else(of_proxy)
    }

    /// Where requests for `host` and `port` go, as error texts name it.
    pub fn address(&self, host: &str, port: u16) -> String {
        match &self.routes.socket {
            Some(path) => format!("unix://{}", redact::known_path(path)),
            None => format!("{}:{port}", redact::host(host)),
        }
    }

    /// Sends one request and reads the whole answer, whatever its status. Errors name label, host and reason, and never
    /// a path, a query, a header or a body.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<HttpResponse> {
        let destination = request.uri().clone();
        asked::note_request(&destination);
        let mut context = self.context(&destination);
        if destination.host().is_none_or(str::is_empty) {
            return Err(context.error(Kind::Invalid, "no valid URL"));
        }
        if !matches!(destination.scheme_str(), Some("http" | "https")) {
            return Err(context.error(Kind::Config, "neither http nor https: correct the protocol"));
        }
        let route = self.routes.for_destination(&destination).map_err(|reason| context.error(Kind::Config, reason))?;
        context.proxy = route.proxy().map(|proxy| &*proxy.address);
        let request =
            self.prepare(request, &destination, route).ok_or_else(|| context.error(Kind::Invalid, "no valid URL"))?;
        let mut late = pin!(tokio::time::sleep(self.timeout));
        let mut response = tokio::select! {
            biased;
            () = &mut late => return Err(error::unanswered(&context)),
            response = self.exchange(&context, &destination, route, request) => response?,
        };
        let (status, headers) = (response.status(), mem::take(response.headers_mut()));
        asked::note_status(status.as_u16());
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && !context.is_secure && context.proxy.is_some() {
            return Err(error::of_proxy(&context, status));
        }
        let body = tokio::select! {
            biased;
            () = &mut late => return Err(error::incomplete(&context)),
            body = body::read_bounded(response) => body.map_err(|refused| error::of_body(&context, &refused))?,
        };
        Ok(HttpResponse { status: status.as_u16(), headers, body })
    }

    /// The request in the HTTP library's form; `None` where the library would change its path or query.
    fn prepare(&self, request: Request<Vec<u8>>, destination: &Uri, route: Route<'_>) -> Option<reqwest::Request> {
        let (head, body) = request.into_parts();
        let mut url = Url::parse(&destination.to_string()).ok()?;
        let is_same = url.path() == destination.path() && url.query() == destination.query();
        if !is_same {
            return None;
        }
        let mut headers = head.headers;
        if self.clients.named(destination, route).is_some() {
            // The URL has the name in the server's certificate, and this header the host.
            let host = destination.host()?;
            let host = match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            };
            headers.insert(HOST, HeaderValue::from_str(&host).ok()?);
            url.set_host(Some(&self.routes.server_name.as_ref()?.to_str())).ok()?;
        }
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = headers;
        // A body may hold a credential: it is wiped when it has been sent.
        *request.body_mut() = Some(Bytes::from_owner(Zeroizing::new(body)).into());
        Some(request)
    }

    async fn exchange(
        &self,
        context: &ErrorContext<'_>,
        destination: &Uri,
        route: Route<'_>,
        mut request: reqwest::Request,
    ) -> Result<reqwest::Response> {
        loop {
            let made = self.clients.for_destination(destination, route).await?;
            // If certificate files have changed, nothing was sent, so the request can be made again.
            let again = made.of.as_ref().and_then(|of| Some((of, request.try_clone()?)));
            let error = match made.client.execute(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error.without_url(),
            };
            match again.filter(|_| error::is_outdated(&error)) {
                Some((outdated, same)) => {
                    debug(|| format!("{} at {}: its certificates have changed", self.label, context.address));
                    self.clients.forget(outdated);
                    request = same;
                }
                None => return Err(self.explain(context, destination, route, &error).await),
            }
        }
    }

    /// The error of a failed exchange. The HTTP library doesn't say why a proxy refuses a tunnel, so the proxy is asked
    /// again.
    async fn explain(
        &self,
        context: &ErrorContext<'_>,
        destination: &Uri,
        route: Route<'_>,
        error: &reqwest::Error,
    ) -> Error {
        if error::is_refused_tunnel(error)
            && let Err(reason) = dialer::dial(&self.routes, route, destination, self.timeout).await
        {
            return error::of_connecting(context, &*reason);
        }
        error::of_request(context, error)
    }

    pub(super) fn no_url(&self) -> Error {
        Error::new(Kind::Invalid, format!("{}: no valid URL", self.label))
    }

    pub(super) fn context(&self, destination: &Uri) -> ErrorContext<'_> {
        ErrorContext {
            label: &self.label,
            address: self.address(destination.host().unwrap_or_default(), port(destination)),
            is_secure: is_secure(destination),
            proxy: None,
            timeout: self.timeout,
            has_identity: self.tls.has_identity(),
        }
    }
}
