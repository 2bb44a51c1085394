//! Clients for servers other than the vault that a login needs: the metadata services of clouds, which every machine
//! there has, and identity providers.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse, Transport};
use crate::redact;
use crate::secret::Secret;

/// The longest that a request to a service of the machine itself may take: without one, nobody answers.
const LOCAL: Duration = Duration::from_secs(2);

/// Makes clients for other servers than the vault.
pub struct ClientFactory<'a> {
    pub usual: Transport<'a>,
}

/// A client for one such server.
pub struct ExternalClient {
    label: String,
    client: Client,
}

impl<'a> ClientFactory<'a> {
    /// A client for a server on the network; errors call it `who`.
    pub fn remote(&self, who: &str, ca_cert: Option<&'a str>) -> Result<ExternalClient> {
        Self::open(who, Transport { ca_cert, ..self.usual.clone() })
    }

    /// A client for a service of the machine, never through a proxy.
    pub fn local(&self, who: &str) -> Result<ExternalClient> {
        self.local_within(who, LOCAL)
    }

    /// The same, with another limit for one question.
    pub fn local_within(&self, who: &str, limit: Duration) -> Result<ExternalClient> {
        let timeout = self.usual.timeout.min(limit);
        Self::open(who, Transport { proxy: Some("off"), timeout, ..self.usual.clone() })
    }

    /// A service of the machine that shows the certificate with that thumbprint (SHA-1), whoever issued it.
    pub fn pinned(&self, who: &str, thumbprint: [u8; 20]) -> Result<ExternalClient> {
        Self::open(who, Transport { proxy: Some("off"), thumbprint: Some(thumbprint), ..self.usual.clone() })
    }

    fn open(who: &str, transport: Transport<'_>) -> Result<ExternalClient> {
        let label = format!("{} asking {who}", transport.label);
        Ok(ExternalClient { client: Client::new(&Transport { label: label.clone(), ..transport })?, label })
    }

    /// A service's address: from its vendor's variable, or the usual one. No option can set it, so no reference or
    /// entity can either.
    pub fn place(&self, variable: &'static str, usual: &str) -> Result<Url> {
        let text = self.variable(variable);
        let written = match text {
            Some(text) if text.contains("://") => text.to_owned(),
            Some(text) => format!("http://{text}"),
            None => usual.to_owned(),
        };
        let url = Url::parse(&written).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.ok_or_else(|| {
            Error::new(Kind::Config, format!("{}: {variable} is no address of a server", self.usual.label))
        })
    }

    /// A variable's value, if it is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.usual.environment.text(name).map(str::trim).filter(|text| !text.is_empty())
    }
}

impl ExternalClient {
    pub async fn get(&self, url: &Url, headers: &[(&'static str, &str)]) -> Result<HttpResponse> {
        self.send(Method::GET, url, headers, &[]).await
    }

    /// The answer, whatever its status. A failure is a failure of the login.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<HttpResponse> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| self.error(url, Kind::Config, "no request can be made"))?;
            // Most of them are a token under some name: the `Debug` of a request shows none.
            value.set_sensitive(true);
            request = request.header(HeaderName::from_static(name), value);
        }
        let request =
            request.body(body.to_vec()).map_err(|_| self.error(url, Kind::Config, "no request can be made"))?;
        self.client.send(request).await.map_err(Error::of_login)
    }

    pub fn error(&self, url: &Url, kind: Kind, reason: &str) -> Error {
        let host = redact::host(url.host_str().unwrap_or_default());
        let port = url.port_or_known_default().unwrap_or_default();
        let error = Error::new(kind, format!("{} at {host}:{port}: {reason}", self.label));
        if kind == Kind::Config { error } else { error.of_login() }
    }

    /// The error for a status other than 200. `refused` says what to do about a refusal.
    pub fn refusal(&self, url: &Url, answer: &HttpResponse, refused: &str) -> Error {
        let status = answer.status;
        let (kind, reason) = match status {
            429 => (Kind::Throttled, "too many requests"),
            500..=599 => (Kind::Unavailable, "it failed"),
            _ => (Kind::Denied, refused),
        };
        self.error(url, kind, &format!("{reason} (status {status})")).with_retry_after(answer.retry_after())
    }

    /// An answer's body as text, if the status is 200.
    pub fn text(&self, url: &Url, answer: &HttpResponse, refused: &str) -> Result<Secret> {
        if answer.status != 200 {
            return Err(self.refusal(url, answer, refused));
        }
        match answer.body.as_str().map(str::trim) {
            Some(text) if !text.is_empty() => Ok(Secret::new(text)),
            _ => Err(self.error(url, Kind::Invalid, "the answer is empty, or no text")),
        }
    }

    /// An answer's body as JSON of some form. The parser's own error is dropped, as it may quote the body.
    pub fn json<T: DeserializeOwned>(&self, url: &Url, answer: &HttpResponse, refused: &str) -> Result<T> {
        if answer.status != 200 {
            return Err(self.refusal(url, answer, refused));
        }
        let wrong = |_| self.error(url, Kind::Invalid, "the answer is not the JSON that it should be");
        serde_json::from_slice(answer.body.as_bytes()).map_err(wrong)
    }
}

/// Whether a header has that value, whatever the case.
pub fn has(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}
