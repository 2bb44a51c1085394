//! Signature Version 4 over a request.

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::{HeaderValue, Request};

use crate::error::{Error, Kind, Result};

/// The request with a signature over everything that is in it.
pub fn signed(
    mut request: Request<Vec<u8>>,
    service: &str,
    region: &str,
    identity: &Identity,
    now: SystemTime,
) -> Result<Request<Vec<u8>>> {
    let parameters = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| unsigned("the signing parameters"))?
        .into();
    let uri = request.uri().to_string();
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::Bytes(request.body()))
        .map_err(|_| unsigned("the request"))?;
    let (instructions, _) = sign(signable, &parameters).map_err(|_| unsigned("the request"))?.into_parts();
    let (additions, _) = instructions.into_parts();
    for header in additions {
        let mut value = HeaderValue::from_str(header.value()).map_err(|_| unsigned("a header"))?;
        value.set_sensitive(header.sensitive());
        request.headers_mut().insert(header.name(), value);
    }
    Ok(request)
}

/// The signer's own error is left out: it may quote what it was given.
pub fn unsigned(what: &str) -> Error {
    Error::new(Kind::Internal, format!("cannot sign a request to AWS: the signer refuses {what}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_credential_types::Credentials;
    use http::Method;

    use super::*;

    /// 2015-08-30T12:36:00Z, the time of AWS's published examples.
    const EXAMPLE: Duration = Duration::from_secs(1_440_938_160);

    fn identity(token: Option<&str>) -> Identity {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        Credentials::new("AKIDEXAMPLE", key, token.map(str::to_owned), None, "test").into()
    }

    fn header<'a>(request: &'a Request<Vec<u8>>, name: &str) -> &'a str {
        request.headers()[name].to_str().unwrap()
    }

    /// The example `post-vanilla` of AWS's Signature Version 4 test suite.
    #[test]
    fn signs_as_in_the_published_example() {
        let mut request = Request::new(Vec::new());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "https://example.amazonaws.com/".parse().unwrap();
        let signed = signed(request, "service", "us-east-1", &identity(None), UNIX_EPOCH + EXAMPLE).unwrap();
        assert_eq!(header(&signed, "x-amz-date"), "20150830T123600Z");
        assert_eq!(
            header(&signed, "authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }
}
