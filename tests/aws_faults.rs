//! What no test server does on demand: the `aws` vault against a server made of bytes.

mod support;

use std::sync::{Arc, Mutex};

use kong_vault::error::Kind;
use support::certs::{self, Ca, VALID};
use support::resolve::Process;
use support::{Fake, answer, closed_port, tls};

/// A session's credentials; no part of them may be in an error.
fn process(endpoint: &str) -> Process {
    let environment = [
        ("KONG_VAULT_AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-key"),
        ("AWS_SESSION_TOKEN", "hunter2-token"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    Process::new(&environment, &["hunter2", "AKIDEXAMPLE", "123456789012"])
}

fn at(server: &Fake) -> Process {
    process(&format!("http://{}", server.address))
}

/// A server that refuses with an error of AWS's JSON protocol.
async fn refusing(status: &'static str, name: &'static str, message: &'static str) -> Fake {
    let body = format!(r#"{{"__type":"{name}","Message":"{message} (arn:aws:iam::123456789012:user/hunter2)"}}"#);
    Fake::start(move |_| answer(status, "content-type: application/x-amz-json-1.1\r\n", &body)).await
}

#[tokio::test]
async fn the_request_is_one_signed_post_with_the_session_in_it() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    let server = Fake::start(move |request| {
        seen.lock().unwrap().push(request.to_owned());
        answer("200 OK", "", r#"{"Name":"a/b","SecretString":"{\"c\":\"d\"}"}"#)
    })
    .await;
    let aws = process(&format!("http://{}/base/", server.address));
    assert_eq!(aws.reads("{vault://aws/a/b/c}").await, "d");
    assert_eq!(server.connections(), 1);
    let request = requests.lock().unwrap().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"{"SecretId":"a/b","VersionStage":"AWSCURRENT"}"#);
    let head = head.to_ascii_lowercase();
    for line in [
        "post /base/ http/1.1",
        &format!("host: {}", server.address),
        "content-type: application/x-amz-json-1.1",
        "x-amz-target: secretsmanager.getsecretvalue",
        "x-amz-security-token: hunter2-token",
    ] {
        assert!(head.lines().any(|found| found == line), "{line:?} is not in {head}");
    }
    let authorization = head.lines().find(|line| line.starts_with("authorization: ")).unwrap();
    for part in [
        "aws4-hmac-sha256 credential=akidexample/",
        "/eu-west-1/secretsmanager/aws4_request",
        "signedheaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
    ] {
        assert!(authorization.contains(part), "{part} is not in {authorization}");
    }
}

/// How often a failure of that kind is met by one `get`.
fn attempts(kind: Kind) -> usize {
    if matches!(kind, Kind::Throttled | Kind::Unavailable) { 3 } else { 1 }
}

#[tokio::test]
async fn each_refusal_says_what_to_do_and_only_what_may_pass_is_tried_again() {
    for (status, name, message, kind, part) in [
        ("400 Bad Request", "ThrottlingException", "Rate exceeded", Kind::Throttled, "raise `ttl`"),
        ("429 Too Many", "TooManyRequestsException", "", Kind::Throttled, "too many requests: raise `ttl`"),
        (
            "400 Bad Request",
            "ExpiredTokenException",
            "expired",
            Kind::Denied,
            "has expired: refresh it and restart nginx",
        ),
        ("400 Bad Request", "DecryptionFailure", "KMS", Kind::Denied, "kms:Decrypt"),
        ("400 Bad Request", "AccessDeniedException", "Access to KMS is not allowed", Kind::Denied, "kms:Decrypt"),
        (
            "400 Bad Request",
            "AccessDeniedException",
            "is not authorized",
            Kind::Denied,
            "secretsmanager:GetSecretValue",
        ),
        ("400 Bad Request", "UnrecognizedClientException", "", Kind::Denied, "is not known"),
        (
            "400 Bad Request",
            "InvalidSignatureException",
            "Signature expired: now",
            Kind::Denied,
            "correct this machine's clock",
        ),
        ("500 Oh", "InternalServiceError", "", Kind::Unavailable, "failed: try again"),
        ("503 Oh", "ServiceUnavailable", "", Kind::Unavailable, "failed: try again"),
        ("400 Bad Request", "ResourceNotFoundException", "can't find", Kind::NotFound, "no secret db in eu-west-1"),
        ("400 Bad Request", "InvalidRequestException", "marked for deletion", Kind::NotFound, "RestoreSecret"),
        ("400 Bad Request", "ValidationException", "", Kind::Invalid, "is not accepted"),
    ] {
        let server = refusing(status, name, message).await;
        let text = at(&server).fails("{vault://aws/db/user}", kind, part).await;
        assert!(text.starts_with(&format!("aws vault (aws) at {}: ", server.address)), "{text}");
        assert!(text.ends_with(&format!(" (status {}, {name})", &status[..3])), "{text}");
        assert_eq!(server.connections(), attempts(kind), "{name}");
    }
}

#[tokio::test]
async fn broken_answers_are_told_apart_and_not_quoted() {
    for (bytes, kind, part) in [
        (answer("200 OK", "", "<html>hunter2</html>"), Kind::Invalid, "not the JSON of a GetSecretValue"),
        (answer("200 OK", "", ""), Kind::Invalid, "not the JSON of a GetSecretValue"),
        (answer("200 OK", "", r#"{"SecretString":"hunter2"#), Kind::Invalid, "not the JSON of a GetSecretValue"),
        (answer("200 OK", "", r#"{"SecretBinary":"hunter2!"}"#), Kind::Invalid, "SecretBinary is no base64"),
        (answer("200 OK", "", r#"{"Name":"hunter2"}"#), Kind::Invalid, "neither SecretString nor SecretBinary"),
        (answer("404 Not Found", "", "hunter2"), Kind::Invalid, "check endpoint_url (status 404)"),
        (answer("502 Bad Gateway", "", "<html>hunter2"), Kind::Unavailable, "failed: try again (status 502)"),
        (answer("403 Forbidden", "", "hunter2"), Kind::Denied, "is refused (status 403)"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"SecretString\":\"hunter2".to_vec(),
            Kind::Unavailable,
            "before the answer was complete",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n{".to_vec(), Kind::Invalid, "larger than 4194304 bytes"),
        (b"hunter2\r\n\r\n".to_vec(), Kind::Invalid, "no valid HTTP"),
        (Vec::new(), Kind::Unavailable, "closed before an answer came"),
    ] {
        let server = Fake::start(move |_| bytes.clone()).await;
        at(&server).fails("{vault://aws/db/user}", kind, part).await;
        assert_eq!(server.connections(), attempts(kind), "{part}");
    }
}

#[tokio::test]
async fn a_redirect_gets_no_credentials() {
    let other = Fake::start(|_| answer("200 OK", "", r#"{"SecretString":"hunter2"}"#)).await;
    for status in ["301 Moved", "307 Elsewhere"] {
        let location = format!("location: http://{}/\r\n", other.address);
        let server = Fake::start(move |_| answer(status, &location, "")).await;
        at(&server).fails("{vault://aws/db}", Kind::Invalid, "which is never followed: correct endpoint_url").await;
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn what_cannot_be_reached_is_named() {
    let nobody = process(&format!("http://127.0.0.1:{}", closed_port()));
    nobody.fails("{vault://aws/db}", Kind::Unavailable, "connection refused").await;
    let nowhere = process("http://nosuchhost.invalid");
    nowhere
        .fails("{vault://aws/db}", Kind::Unavailable, "at nosuchhost.invalid:80: cannot resolve the host name")
        .await;
    let silent = Fake::silent().await;
    let silent = at(&silent).with(&[("KONG_VAULT_FETCH_TIMEOUT", "0.2")]);
    silent.fails("{vault://aws/db}", Kind::Timeout, "within 0.2 s").await;
}

#[tokio::test]
async fn names_that_are_none_are_refused_before_anything_is_sent() {
    let server = Fake::start(|_| answer("200 OK", "", r#"{"SecretString":"hunter2"}"#)).await;
    let aws = at(&server);
    let long = format!("{{vault://aws/{}}}", "x".repeat(2049));
    for (reference, kind, part) in [
        ("{vault://aws/a%00b}", Kind::Reference, "holds a control character"),
        ("{vault://aws/a%0d%0ax-y:%20z}", Kind::Reference, "holds a control character"),
        ("{vault://aws/%ff}", Kind::Reference, "utf-8"),
        (&long, Kind::Reference, "is longer than 2048 bytes"),
        ("{vault://aws/a?region=evil.example/}", Kind::Config, "option region"),
        ("{vault://aws/a#7}", Kind::NotFound, "no version 7"),
    ] {
        aws.fails(reference, kind, part).await;
    }
    let broken = aws.with(&[("AWS_SESSION_TOKEN", "hunter2\r\nx: y")]);
    broken.fails("{vault://aws/a}", Kind::Config, "a character that cannot be sent").await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn tls_with_a_private_ca() {
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Ca::new(directory.path(), "ours"), Ca::new(directory.path(), "theirs"));
    let port = tls::start(&ours.issue("server", "DNS:localhost", VALID));
    let aws = process(&format!("https://localhost:{port}"));
    // The server's answer is no secret, but it comes after a handshake that was believed.
    let believed = "not the JSON of a GetSecretValue";
    aws.with(&[("KONG_VAULT_AWS_CA_CERT", ours.pair.path())]).fails("{vault://aws/a}", Kind::Invalid, believed).await;
    aws.with(&[("KONG_VAULT_AWS_CA_CERT", &ours.pair.pem())]).fails("{vault://aws/a}", Kind::Invalid, believed).await;
    aws.with(&[("AWS_CA_BUNDLE", ours.pair.path())]).fails("{vault://aws/a}", Kind::Invalid, believed).await;
    aws.with(&[("KONG_VAULT_AWS_SSL_VERIFY", "off")]).fails("{vault://aws/a}", Kind::Invalid, believed).await;
    let both = aws.with(&[("KONG_VAULT_AWS_CA_CERT", theirs.pair.path()), ("AWS_CA_BUNDLE", ours.pair.path())]);
    for untrusting in [&aws.with(&[("AWS_CA_BUNDLE", theirs.pair.path())]), &both] {
        untrusting.fails("{vault://aws/a}", Kind::Tls, "from a CA that is not trusted").await;
    }
    let missing = aws.with(&[("AWS_CA_BUNDLE", "/no/such/ca.pem")]);
    missing
        .fails("{vault://aws/a}", Kind::Config, "cannot read the CA file of `ca_cert` (a value of 15 characters)")
        .await;
}
