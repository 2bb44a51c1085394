//! Where spans are sent.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use percent_encoding::percent_decode_str;

use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// Where a collector takes spans, below its address.
const PATH: &str = "/v1/traces";

/// A collector, or whoever else takes OTLP over HTTP.
#[derive(Debug, Clone)]
pub struct Collector {
    pub url: Uri,
    headers: HeaderMap,
    /// The name of the service whose spans they are.
    pub service: String,
}

impl Collector {
    /// `headers`: `name=value` pairs, separated by commas; the values may be percent-encoded.
    pub fn new(endpoint: &str, headers: Option<&Secret>, service: &str) -> Result<Self> {
        let address = endpoint.trim_end_matches('/');
        let url = if address.ends_with(PATH) { address.to_owned() } else { format!("{address}{PATH}") };
        let url = url.parse().map_err(|_| invalid("vault_otlp_endpoint is no valid URL"))?;
        let mut all = HeaderMap::new();
        let written = headers.and_then(Secret::as_str).unwrap_or_default();
        for (name, value) in written.split(',').filter_map(|pair| pair.split_once('=')) {
            let name = HeaderName::from_bytes(name.trim().as_bytes());
            let value: Vec<u8> = percent_decode_str(value.trim()).collect();
            let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_bytes(&value)) else {
                return Err(invalid("vault_otlp_headers has a name or a value that no header may have"));
            };
            value.set_sensitive(true);
            all.append(name, value);
        }
        Ok(Self { url, headers: all, service: service.to_owned() })
    }

    /// The request that sends spans.
    pub(super) fn request(&self, body: Vec<u8>) -> Request<Vec<u8>> {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        request
    }
}

fn invalid(what: &str) -> Error {
    Error::new(Kind::Config, format!("{what}: correct it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_where_it_is_not_there() {
        for (endpoint, url) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://host/otlp", "https://host/otlp/v1/traces"),
            ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
        ] {
            assert_eq!(Collector::new(endpoint, None, "gateway").unwrap().url, *url);
        }
        assert!(Collector::new("http://[::1", None, "gateway").is_err());
    }

    #[test]
    fn headers_are_pairs_and_no_text_shows_their_values() {
        let headers = Secret::new("Authorization=Bearer%20hunter2, x-scope = a=b,");
        let collector = Collector::new("http://host", Some(&headers), "gateway").unwrap();
        let request = collector.request(vec![1]);
        assert_eq!(request.headers()["authorization"], "Bearer hunter2");
        assert_eq!(request.headers()["x-scope"], "a=b");
        assert_eq!(request.headers()["content-type"], "application/x-protobuf");
        assert!(!format!("{collector:?}").contains("hunter2"));
        let broken = Collector::new("http://host", Some(&Secret::new("a=hunter2%0a")), "gateway").unwrap_err();
        assert!(!broken.text().contains("hunter2"), "{broken}");
    }
}
