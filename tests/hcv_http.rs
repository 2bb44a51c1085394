//! The transport that backends share: what it does with servers and networks that fail.

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use http::Request;
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::http::{BODY_LIMIT, Client, HttpResponse, Transport};
use support::{Fake, answer, closed_port};

const LABEL: &str = "hcv vault (test)";

fn client<'a>(change: impl FnOnce(&mut Transport<'a>)) -> Result<Client> {
    static NOTHING: LazyLock<Environment> = LazyLock::new(Environment::default);
    let mut transport = Transport::new(LABEL.to_owned(), &NOTHING, Duration::from_secs(5));
    change(&mut transport);
    Client::new(&transport)
}

async fn get(client: &Client, url: &str) -> Result<HttpResponse> {
    let request = Request::get(url).header("x-vault-token", "tok3n-of-mine").body(Vec::new()).expect("a request");
    client.send(request).await
}

async fn fails(url: String) -> Error {
    let error = get(&client(|_| {}).expect("a client"), &url).await.err().expect("a failure");
    assert!(error.to_string().starts_with(LABEL), "{error}");
    assert!(!error.to_string().contains("tok3n"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    error
}

#[tokio::test]
async fn an_answer_comes_whole_whatever_its_status() {
    let server = Fake::start(|head| {
        assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("user-agent: kong-vault/"), "{head}");
        assert!(!head.contains("accept-encoding"), "{head}");
        answer("418 teapot", "x-a: b\r\n", "short and stout")
    })
    .await;
    let client = client(|_| ()).unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let answer = get(&client, &format!("http://{host}:{}/a?b=c", server.port())).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (418, Some("short and stout")));
        assert_eq!(answer.headers["x-a"], "b");
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_the_host_is_named_in_each() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let echo =
            |head: &str| answer("200 OK", "", head.lines().find(|line| line.starts_with("host: ")).unwrap_or(""));
        let Ok(server) = Fake::lasting(at, echo).await else {
            support::skip("there is no IPv6");
            continue;
        };
        let client = client(|_| {}).unwrap();
        for _ in 0..3 {
            let answer = get(&client, &format!("http://{}/", server.address)).await.unwrap();
            assert_eq!(answer.body.as_str(), Some(format!("host: {}", server.address).as_str()));
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let elsewhere = Fake::start(|_| answer("200 OK", "", "")).await;
    let to = format!("location: http://{}/\r\n", elsewhere.address);
    let server = Fake::start(move |_| answer("307 Temporary Redirect", &to, "")).await;
    let answer = get(&client(|_| {}).unwrap(), &format!("http://{}/", server.address)).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_no_further() {
    let body = "x".repeat(BODY_LIMIT);
    let server = Fake::start(move |_| answer("200 OK", "", &body)).await;
    let read = get(&client(|_| {}).unwrap(), &format!("http://{}/", server.address)).await.unwrap();
    assert_eq!(read.body.len(), BODY_LIMIT);

    let announced = Fake::start(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\ns3cret".to_vec()).await;
    let endless = Fake::start(|_| {
        let mut body = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        body.resize(100 * 1024 * 1024, b'x');
        body
    })
    .await;
    for server in [announced, endless] {
        let error = fails(format!("http://{}/", server.address)).await;
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("answer is larger than 4194304 bytes"), "{error}");
    }
}

#[tokio::test]
async fn each_way_to_fail_has_its_own_sentence() {
    let error = fails(format!("http://127.0.0.1:{}/", closed_port())).await;
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("connection refused"), "{error}");

    let error = fails("/v1/secret".to_owned()).await;
    assert_eq!(error.kind(), Kind::Invalid);
    let error = fails("ftp://127.0.0.1/".to_owned()).await;
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("neither http nor https"), "{error}");

    let error = fails("http://nosuchhost.invalid:8200/".to_owned()).await;
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("at nosuchhost.invalid:8200: cannot resolve the host name"), "{error}");

    let server = Fake::start(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ns3cret".to_vec()).await;
    let error = fails(format!("http://{}/", server.address)).await;
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("closed before the answer was complete"), "{error}");

    let server = Fake::start(|_| Vec::new()).await;
    let error = fails(format!("http://{}/", server.address)).await;
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("closed before an answer came"), "{error}");

    let server = Fake::start(|_| b"s3cret nonsense\r\n\r\n".to_vec()).await;
    let error = fails(format!("http://{}/", server.address)).await;
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("no valid HTTP"), "{error}");

    let server = Fake::start(|_| answer("200 OK", &format!("x-big: {}\r\n", "s3cret".repeat(200_000)), "")).await;
    let error = fails(format!("http://{}/", server.address)).await;
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("headers are too large"), "{error}");

    let server = Fake::greeting(b"HTTP/1.0 400 Bad Request\r\n\r\ns3cret").await;
    let error = fails(format!("https://{}/", server.address)).await;
    assert_eq!(error.kind(), Kind::Tls);
    assert!(error.to_string().contains("does not speak TLS"), "{error}");

    let server = Fake::greeting(b"").await;
    let error = fails(format!("https://{}/", server.address)).await;
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("closed during the TLS handshake"), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_timeout() {
    let server = Fake::silent().await;
    let client = client(|transport| transport.timeout = Duration::from_millis(200)).unwrap();
    for scheme in ["http", "https"] {
        let error = get(&client, &format!("{scheme}://{}/", server.address)).await.err().expect("a failure");
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        assert!(error.to_string().contains("within 0.2 seconds"), "{error}");
    }
}

#[test]
fn a_bad_ca_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        ("/no/such/ca.pem".to_owned(), "cannot read the CA file of `ca_cert` (a value of 15 characters): no such file"),
        (directory.path().to_string_lossy().into_owned(), "it is no regular file: `ca_cert` takes"),
        ("/dev/zero".to_owned(), "it is no regular file"),
        (path("large.pem", &" ".repeat(1024 * 1024 + 1)), "it is too large"),
        ("/no\n/ca".to_owned(), "the CA file of `ca_cert` (a value of 7 characters): no such file"),
        (path("empty.pem", ""), "holds no PEM certificate"),
        (path("key.pem", "-----BEGIN X-----\nAAAA\n-----END X-----\n"), "holds no PEM certificate"),
        (path("garbage.pem", garbage), "garbage.pem holds a broken PEM certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), "`ca_cert` holds a broken PEM certificate"),
        (garbage.to_owned(), "`ca_cert` holds a broken PEM certificate"),
    ];
    for (ca_cert, expected) in &cases {
        let error = client(|transport| transport.ca_cert = Some(ca_cert)).err().expect("a refusal");
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(expected), "{error}");
    }
    for name in ["a/b", "127.0.0.1", "a b", "a:443", "[::1]"] {
        let error = client(|transport| transport.server_name = Some(name)).err().expect("a refusal");
        assert!(error.to_string().contains("TLS server name"), "{error}");
    }
}
