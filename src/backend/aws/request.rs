//! The signed requests: `GetSecretValue` for one secret, `BatchGetSecretValue` for many.

use std::time::SystemTime;

use aws_smithy_runtime_api::client::identity::Identity;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request};

use crate::error::Result;
use crate::identity::aws::{signed, unsigned};

/// AWS's own limit for a name or an ARN.
pub const NAME_LIMIT: usize = 2048;

const SERVICE: &str = "secretsmanager";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// A request to `url` for the version of a secret with a staging label.
pub fn get_secret_value(
    url: &str,
    region: &str,
    identity: &Identity,
    secret_id: &str,
    stage: &str,
    now: SystemTime,
) -> Result<Request<Vec<u8>>> {
    let body = serde_json::json!({ "SecretId": secret_id, "VersionStage": stage });
    post(url, region, identity, "secretsmanager.GetSecretValue", &body, now)
}

/// A request to `url` for the current versions of several secrets; `token` names a further page of the answer.
pub fn batch_get_secret_value(
    url: &str,
    region: &str,
    identity: &Identity,
    secret_ids: &[&str],
    token: Option<&str>,
    now: SystemTime,
) -> Result<Request<Vec<u8>>> {
    let mut body = serde_json::json!({ "SecretIdList": secret_ids });
    if let Some(token) = token {
        body["NextToken"] = token.into();
    }
    post(url, region, identity, "secretsmanager.BatchGetSecretValue", &body, now)
}

fn post(
    url: &str,
    region: &str,
    identity: &Identity,
    target: &'static str,
    body: &serde_json::Value,
    now: SystemTime,
) -> Result<Request<Vec<u8>>> {
    let mut request = Request::new(body.to_string().into_bytes());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().map_err(|_| unsigned("its address"))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert(TARGET, HeaderValue::from_static(target));
    signed(request, SERVICE, region, identity, now)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_credential_types::Credentials;

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

    /// The expected signatures are botocore's for the same request.
    #[test]
    fn signs_all_that_matters_of_the_request() {
        let ask = |token| {
            let url = "https://secretsmanager.us-east-1.amazonaws.com/";
            let now = UNIX_EPOCH + EXAMPLE;
            get_secret_value(url, "us-east-1", &identity(token), "db/password", "AWSCURRENT", now).unwrap()
        };
        let plain = ask(None);
        assert_eq!(plain.body(), br#"{"SecretId":"db/password","VersionStage":"AWSCURRENT"}"#);
        assert_eq!(header(&plain, "content-type"), "application/x-amz-json-1.1");
        assert_eq!(header(&plain, "x-amz-target"), "secretsmanager.GetSecretValue");
        assert!(!plain.headers().contains_key("x-amz-security-token"));
        assert!(
            header(&plain, "authorization")
                .ends_with("SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=7a36f7884dd535c6105b5bc6e437c60c12984a8a68862ec52ef504f93b698c8d")
        );

        let session = ask(Some("AQoDYXdzEXAMPLETOKEN=="));
        assert_eq!(header(&session, "x-amz-security-token"), "AQoDYXdzEXAMPLETOKEN==");
        assert!(header(&session, "authorization").ends_with(
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=692ad239391028d3343bf1f42d67dedc10ed22701d7198bdecb1a118ceafae62"
        ));
        let shown = format!("{session:?}");
        assert!(!shown.contains("EXAMPLETOKEN"), "{shown}");
    }

    /// The expected signatures are botocore's for the same request.
    #[test]
    fn signs_the_address_as_it_is_sent() {
        for (url, signature) in [
            ("http://127.0.0.1:5000/", "a324c74bb024a1ca0639ad452ca031c6eaa5bbd2f0b8eb14e9f6c92dc2335bed"),
            ("http://127.0.0.1:5000/base/", "05c1907ac2f7c5ec4062cca1bae177d5c429b1c6477662d0c4d5a8e04bed4d42"),
            ("http://localhost:5000/base/a%2Fb/~x", "85eed24509a409e30ab764900d155cab1fa2e884d152c370703c0f8af2efe5a2"),
        ] {
            let now = UNIX_EPOCH + EXAMPLE;
            let request =
                get_secret_value(url, "us-east-1", &identity(None), "db/password", "AWSCURRENT", now).unwrap();
            assert!(header(&request, "authorization").ends_with(&format!("Signature={signature}")), "{url}");
        }
    }

    #[test]
    fn a_name_is_quoted_and_not_interpreted() {
        let name = "a\"b\\c/é?x=1#2";
        let request =
            get_secret_value("http://127.0.0.1:1/", "us-east-1", &identity(None), name, "AWSPREVIOUS", UNIX_EPOCH);
        let body: serde_json::Value = serde_json::from_slice(request.unwrap().body()).unwrap();
        assert_eq!(body, serde_json::json!({ "SecretId": name, "VersionStage": "AWSPREVIOUS" }));
    }
}
