//! Signature Version 4 over a request.

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::{HeaderValue, Request};

use crate::error::{Error, Kind, Result};

/// Signs everything in a request.
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

/// The signer's own error is dropped: it may quote its input.
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

    /// Examples of AWS's published Signature Version 4 test suite, by their names there.
    #[test]
    fn signs_as_in_the_published_examples() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        for (name, method, path, form, token, signature) in [
            (
                "get-vanilla",
                Method::GET,
                "",
                None,
                None,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                Method::POST,
                "",
                None,
                None,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-vanilla-query",
                Method::POST,
                "?Param1=value1",
                None,
                None,
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
            (
                "get-vanilla-query-order-key-case",
                Method::GET,
                "?Param2=value2&Param1=value1",
                None,
                None,
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-x-www-form-urlencoded",
                Method::POST,
                "",
                Some("Param1=value1"),
                None,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                Method::POST,
                "",
                None,
                Some(token),
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let mut request = Request::new(form.unwrap_or_default().as_bytes().to_vec());
            *request.method_mut() = method;
            *request.uri_mut() = format!("https://example.amazonaws.com/{path}").parse().unwrap();
            if form.is_some() {
                let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert("content-type", kind);
            }
            let signed = signed(request, "service", "us-east-1", &identity(token), UNIX_EPOCH + EXAMPLE).unwrap();
            assert_eq!(header(&signed, "x-amz-date"), "20150830T123600Z");
            let authorization = header(&signed, "authorization");
            let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ";
            assert!(authorization.starts_with(scope), "{name}: {authorization}");
            assert!(authorization.ends_with(&format!(" Signature={signature}")), "{name}: {authorization}");
        }
    }
}
