//! Sends a request to the vault's API. It follows a standby's redirect to the active node, and names the vault in
//! errors.

use std::fmt::Display;

use ::http::{HeaderValue, Method, Request};
use url::Url;
use zeroize::Zeroizing;

use super::redirect::{self, Allowed};
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse};

/// How many redirects one request follows: a standby names the active node, which answers.
const REDIRECTS: usize = 3;

/// One vault's API.
pub(super) struct VaultApi {
    pub label: String,
    /// Where the vault is, without a path.
    pub base: Url,
    pub allowed: Vec<Allowed>,
    pub client: Client,
}

/// A request.
pub(super) struct ApiRequest<'a> {
    pub method: Method,
    /// From `/v1/` on, percent-encoded.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub token: Option<&'a HeaderValue>,
    pub namespace: Option<&'a HeaderValue>,
    /// JSON, or nothing.
    pub body: &'a [u8],
}

impl<'a> ApiRequest<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, query: None, token: None, namespace: None, body: &[] }
    }

    pub fn post(path: &'a str, body: &'a [u8]) -> Self {
        Self { method: Method::POST, body, ..Self::get(path) }
    }

    pub fn with(self, token: Option<&'a HeaderValue>, namespace: Option<&'a HeaderValue>) -> Self {
        Self { token, namespace, ..self }
    }
}

impl VaultApi {
    /// The answer, whatever its status, and the URL of the node that gave it.
    pub async fn send(&self, call: &ApiRequest<'_>) -> Result<(Url, HttpResponse)> {
        let mut url = self.base.clone();
        url.set_path(call.path);
        url.set_query(call.query);
        for _ in 0..=REDIRECTS {
            let answer = self.client.send(self.request(&url, call)?).await?;
            if !redirect::is_redirect(answer.status) {
                return Ok((url, answer));
            }
            url = redirect::follow(&self.base, &url, &answer.headers, &self.allowed)
                .map_err(|reason| self.error(&url, Kind::Invalid, format!("{reason} (status {})", answer.status)))?;
        }
        let reason = format!("redirected more than {REDIRECTS} times: check the nodes' `api_addr`");
        Err(self.error(&url, Kind::Invalid, reason))
    }

    fn request(&self, url: &Url, call: &ApiRequest<'_>) -> Result<Request<Vec<u8>>> {
        let mut request =
            Request::builder().method(call.method.clone()).uri(url.as_str()).header("x-vault-request", "true");
        if let Some(token) = call.token {
            request = request.header("x-vault-token", token);
        }
        if let Some(namespace) = call.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if !call.body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request
            .body(call.body.to_vec())
            .map_err(|_| self.error(url, Kind::Internal, "the path cannot be sent in a request: correct the reference"))
    }

    /// An error that names the node it came from.
    pub fn error(&self, url: &Url, kind: Kind, reason: impl Display) -> Error {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        Error::new(kind, format!("{} at {}: {reason}", self.label, self.client.address(host, port)))
    }
}

/// The body of a request: an object of texts. As it holds credentials, it is wiped, and has its full size before it is
/// written.
pub(super) fn object(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    // JSON writes a byte as six at most.
    let length: usize = fields.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 6).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(length + 2));
    let fields: std::collections::BTreeMap<_, _> = fields.iter().copied().collect();
    // Writing texts into memory can't fail.
    let _ = serde_json::to_writer(&mut *body, &fields);
    body
}

/// A header that libraries don't show in logs; `None` where the text could end the header.
pub(super) fn sensitive(text: &[u8]) -> Option<HeaderValue> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut value = HeaderValue::from_bytes(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_of_texts() {
        let body = object(&[("role", "a\"\n\u{1}é"), ("jwt", "x")]);
        let read: std::collections::BTreeMap<String, String> = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            read.into_iter().collect::<Vec<_>>(),
            [("jwt".into(), "x".into()), ("role".into(), "a\"\n\u{1}é".into())]
        );
        assert!(body.len() <= body.capacity());
    }

    #[test]
    fn a_header_cannot_be_ended_and_is_not_shown() {
        let header = sensitive(b"hvs.s3cret").expect("a header");
        assert!(header.is_sensitive() && !format!("{header:?}").contains("s3cret"));
        for text in ["", "hvs.s3cret\n", "hvs.s3cret\r\nx-vault-namespace: a", "hvs s3cret", "s3cret\0", "s3cr\u{e9}t"]
        {
            assert_eq!(sensitive(text.as_bytes()), None, "{text:?}");
        }
    }
}
