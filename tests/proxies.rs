//! Requests that go by a proxy.

mod support;

use std::time::Duration;

use http::Request;
use kong_vault::environment::Environment;
use kong_vault::error::{Kind, Result};
use kong_vault::http::{Client, Transport};
use support::certs::{self, Ca, VALID};
use support::forward::{Forward, Manner};
use support::{Fake, answer, closed_port, tls};

/// A host that only the proxy knows: nobody else may try to resolve it.
const HOST: &str = "vault.invalid";
const PASSWORD: &str = "hunter2";
/// `user:hunter2`.
const AUTHORIZATION: &str = "proxy-authorization: basic dxnlcjpodw50zxiy\r\n";

fn client(proxy: &str, ca_cert: Option<&str>) -> Client {
    let environment = Environment::default();
    Client::new(&Transport {
        ca_cert,
        proxy: Some(proxy),
        ..Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(1))
    })
    .expect("a client")
}

async fn get(client: &Client, url: &str) -> Result<String> {
    let request = Request::get(url).header("x-vault-token", "tok3n-of-mine").body(Vec::new()).expect("a request");
    Ok(client.send(request).await?.body.as_str().expect("text").to_owned())
}

fn with_password(port: u16) -> String {
    format!("http://user:{PASSWORD}@127.0.0.1:{port}")
}

fn directory() -> Option<tempfile::TempDir> {
    if !certs::available() {
        support::skip("there is no openssl command");
        return None;
    }
    Some(tempfile::tempdir().expect("a directory"))
}

#[tokio::test]
async fn over_http_the_proxy_is_told_the_whole_url_and_who_we_are() {
    let server = Fake::lasting("127.0.0.1:0", |head| {
        assert!(head.starts_with("GET http://vault.invalid:8200/v1/a?b=c HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: vault.invalid:8200\r\n"), "{head}");
        answer("200 OK", "", "by a proxy")
    })
    .await
    .expect("a port");
    let proxy = Forward::start(Manner::To(server.port()), None).await;
    let client = client(&with_password(proxy.port), None);
    for _ in 0..3 {
        assert_eq!(get(&client, "http://vault.invalid:8200/v1/a?b=c").await.unwrap(), "by a proxy");
    }
    let heads = proxy.heads();
    assert!(heads.len() == 1 && heads[0].to_lowercase().contains(AUTHORIZATION), "one connection: {heads:?}");
}

#[tokio::test]
async fn over_https_the_proxy_is_told_the_host_alone() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let server = tls::start(&ca.issue("server", &format!("DNS:{HOST}"), VALID));
    let proxy = Forward::start(Manner::To(server), None).await;
    let client = client(&with_password(proxy.port), Some(ca.pair.path()));
    for _ in 0..3 {
        let answer = get(&client, &format!("https://{HOST}/v1/s3cret")).await.unwrap();
        assert_eq!(answer, format!("name={HOST} host={HOST}"));
    }
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "one connection: {heads:?}");
    assert!(heads[0].starts_with("CONNECT vault.invalid:443 HTTP/1.1\r\n"), "{heads:?}");
    let head = heads[0].to_lowercase();
    assert!(head.contains("host: vault.invalid:443\r\n") && head.contains(AUTHORIZATION), "{head}");
    assert!(!head.contains("tok3n") && !head.contains("s3cret"), "{head}");
}

#[tokio::test]
async fn a_proxy_may_be_spoken_to_over_tls() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let server = tls::start(&ca.issue("server", &format!("DNS:{HOST}"), VALID));
    let pair = ca.issue("proxy", "DNS:localhost", VALID);
    let by = |host: &str, port: u16| format!("https://user:{PASSWORD}@{host}:{port}");

    let proxy = Forward::start(Manner::To(server), Some(&pair)).await;
    let secure = client(&by("localhost", proxy.port), Some(ca.pair.path()));
    assert_eq!(get(&secure, &format!("https://{HOST}/")).await.unwrap(), format!("name={HOST} host={HOST}"));
    let misnamed = client(&by("127.0.0.1", proxy.port), Some(ca.pair.path()));
    let error = get(&misnamed, &format!("https://{HOST}/")).await.expect_err("another name");
    let text =
        format!("vault.invalid:443: the proxy 127.0.0.1:{}: the server's certificate is for another name", proxy.port);
    assert!(error.kind() == Kind::Tls && error.to_string().contains(&text), "{error:?}");

    let plain = Fake::start(|_| answer("200 OK", "", "in the clear behind it")).await;
    let proxy = Forward::start(Manner::To(plain.port()), Some(&pair)).await;
    let secure = client(&by("localhost", proxy.port), Some(ca.pair.path()));
    assert_eq!(get(&secure, &format!("http://{HOST}/")).await.unwrap(), "in the clear behind it");
    assert!(proxy.heads()[0].starts_with("GET http://vault.invalid/ HTTP/1.1\r\n"), "{:?}", proxy.heads());
}

#[tokio::test]
async fn what_a_proxy_does_wrong_is_told_of_the_proxy() {
    let cases = [
        (
            "HTTP/1.1 407 Who\r\ncontent-length: 3\r\n\r\nWho",
            "set or correct user and password in its URL (status 407)",
        ),
        (
            "HTTP/1.1 403 No\r\n\r\n",
            "allow this host and port in the proxy, or add the host to `no_proxy` (status 403)",
        ),
        ("HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n", "the proxy cannot reach it"),
        ("HTTP/1.1 302 Found\r\nlocation: http://evil/\r\n\r\n", "the proxy refuses to connect"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not from an HTTP proxy"),
        ("", "the answer is not from an HTTP proxy"),
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "the proxy 127.0.0.1:"),
    ];
    for (says, text) in cases {
        let proxy = Forward::start(Manner::Says(says), None).await;
        let client = client(&with_password(proxy.port), None);
        let error = get(&client, &format!("https://{HOST}:8200/")).await.expect_err(text);
        let shown = error.to_string();
        assert!(error.kind() == Kind::Unavailable && shown.contains(text), "{says:?}: {error:?}");
        assert!(shown.starts_with("hcv vault (test) at vault.invalid:8200"), "{shown}");
        assert!(shown.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{shown}");
        assert!(!shown.contains(PASSWORD) && !shown.contains("user:"), "{shown}");
    }
    let proxy = Forward::start(Manner::Says(cases[0].0), None).await;
    let error = get(&client(&with_password(proxy.port), None), &format!("http://{HOST}/")).await.expect_err("a 407");
    assert!(error.to_string().contains("set or correct user and password in its URL"), "{error:?}");
}

#[tokio::test]
async fn an_ipv6_address_behind_a_proxy_wants_a_name() {
    let proxy = Forward::start(Manner::Says(""), None).await;
    let client = client(&with_password(proxy.port), None);
    let error = get(&client, "https://[2001:db8::1]:8200/").await.expect_err("an address");
    assert!(error.kind() == Kind::Config && error.to_string().contains("set the host to a name"), "{error:?}");
    assert!(proxy.heads().is_empty());
}

/// What the URL's library would write anew is not asked for.
#[tokio::test]
async fn a_path_is_asked_for_as_it_is_or_not_at_all() {
    let server = Fake::start(|head| answer("200 OK", "", head.split(' ').nth(1).expect("a path"))).await;
    let client = client("off", None);
    let ask = async |path: &str| get(&client, &format!("http://127.0.0.1:{}{path}", server.port())).await;
    for path in
        ["/", "/v1/secret/data/a%2Fb%20c?version=3", "/v1/%C3%BC//b/", "/v1/a?b=%27c%27&d=http%3A%2F%2Fe", "/v1/a?"]
    {
        assert_eq!(ask(path).await.unwrap(), path);
    }
    for path in ["/v1/a/../b", "/v1/%2e%2E/b", "/v1/./b", "/v1/a?b='c'"] {
        let error = ask(path).await.expect_err(path);
        assert!(error.kind() == Kind::Invalid && error.to_string().ends_with("no valid URL"), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_is_named() {
    let port = closed_port();
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{HOST}:8200/");
        let error = get(&client(&with_password(port), None), &url).await.expect_err("nobody listens");
        let text = format!("vault.invalid:8200: the proxy 127.0.0.1:{port}: connection refused");
        assert!(error.kind() == Kind::Unavailable && error.to_string().contains(&text), "{error:?}");
        let error = get(&client("http://proxy.invalid:1", None), &url).await.expect_err("no such host");
        assert!(error.to_string().contains("the proxy proxy.invalid:1: cannot resolve"), "{error:?}");
        let silent = Fake::silent().await;
        let error = get(&client(&with_password(silent.port()), None), &url).await.expect_err("silence");
        let text = format!("by the proxy 127.0.0.1:{}: no ", silent.port());
        assert!(error.kind() == Kind::Timeout && error.to_string().contains(&text), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_misspelt_is_no_reason_to_go_without() {
    let server = Fake::start(|_| answer("200 OK", "", "reached")).await;
    for wrong in ["socks5://user:hunter2@127.0.0.1:1", "http://user:hunter2@", "ftp://user:hunter2@127.0.0.1"] {
        let client = client(wrong, None);
        let error = get(&client, &format!("http://{HOST}/")).await.expect_err(wrong);
        assert!(error.kind() == Kind::Config && error.to_string().contains("`proxy` "), "{error:?}");
        assert!(!error.to_string().contains(PASSWORD), "{error}");
        assert_eq!(get(&client, &format!("http://127.0.0.1:{}/", server.port())).await.unwrap(), "reached");
    }
}
