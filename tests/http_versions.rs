//! Which HTTP and which TLS is spoken: HTTP/2 where the server offers it, and no TLS older than was asked for.

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kong_vault::environment::Environment;
use kong_vault::error::{Kind, Result};
use kong_vault::http::{Client, Transport};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use support::certs::{self, Ca, VALID};
use support::forward::{Forward, Manner};
use support::tls::{self, Terms};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const OLD: &[&SupportedProtocolVersion] = &[&TLS12];
const NEW: &[&SupportedProtocolVersion] = &[&TLS13];

/// Answers with the version that it was asked in. Returns the port, and counts connections.
async fn serve(ca: &Ca, protocols: &[&[u8]]) -> (u16, Arc<AtomicUsize>) {
    let mut config = tls::config(&ca.issue("server", "DNS:localhost,DNS:vault.invalid", VALID), &Terms::default());
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let port = listener.local_addr().expect("its address").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let answer = |request: Request<hyper::body::Incoming>| async move {
        let text = format!("{:?}", request.version());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_new = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let stream = TokioIo::new(stream);
                if is_new {
                    let _ =
                        http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service_fn(answer)).await;
                } else {
                    let _ = http1::Builder::new().serve_connection(stream, service_fn(answer)).await;
                }
            });
        }
    });
    (port, connections)
}

fn client(ca: &Ca, tls_1_3: bool) -> Client {
    let environment = Environment::default();
    let transport = Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(5));
    Client::new(&Transport { ca_cert: Some(ca.pair.path()), tls_1_3, ..transport }).expect("a client")
}

async fn get(client: &Client, host: &str, port: u16) -> Result<String> {
    let request = Request::get(format!("https://{host}:{port}/")).body(Vec::new()).expect("a request");
    Ok(client.send(request).await?.body.as_str().expect("text").to_owned())
}

fn directory() -> Option<tempfile::TempDir> {
    if !certs::available() {
        support::skip("there is no openssl command");
        return None;
    }
    Some(tempfile::tempdir().expect("a directory"))
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_and_many_requests_share_a_connection() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let client = client(&ca, false);
    let (port, connections) = serve(&ca, &[b"h2", b"http/1.1"]).await;
    assert_eq!(get(&client, "localhost", port).await.unwrap(), "HTTP/2.0");
    let client = Arc::new(client);
    let many: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { get(&client, "localhost", port).await })
        })
        .collect();
    for one in many {
        assert_eq!(one.await.expect("a task").unwrap(), "HTTP/2.0");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    for protocols in [&[b"http/1.1".as_slice()][..], &[]] {
        let (port, _) = serve(&ca, protocols).await;
        assert_eq!(get(&client, "localhost", port).await.unwrap(), "HTTP/1.1");
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_told_the_host_in_http_1() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let (port, _) = serve(&ca, &[b"h2", b"http/1.1"]).await;
    let environment = Environment::default();
    let transport = Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(5));
    let named = Transport { ca_cert: Some(ca.pair.path()), server_name: Some("vault.invalid"), ..transport };
    let client = Client::new(&named).expect("a client");
    assert_eq!(get(&client, "127.0.0.1", port).await.unwrap(), "HTTP/1.1");
}

#[tokio::test]
async fn http_2_goes_through_a_proxys_tunnel() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let (port, connections) = serve(&ca, &[b"h2"]).await;
    let proxy = Forward::start(Manner::To(port), None).await;
    let proxy = format!("http://127.0.0.1:{}", proxy.port);
    let environment = Environment::from_variables([("HTTPS_PROXY", proxy)]);
    let client = Client::new(&Transport {
        ca_cert: Some(ca.pair.path()),
        ..Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(5))
    });
    let client = client.expect("a client");
    for _ in 0..3 {
        assert_eq!(get(&client, "vault.invalid", 8200).await.unwrap(), "HTTP/2.0");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_older_tls_is_spoken_than_was_asked_for() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let server = ca.issue("server", "DNS:localhost", VALID);
    let old = tls::start_with(&server, &Terms { versions: Some(OLD), ..Terms::default() });
    let new = tls::start_with(&server, &Terms { versions: Some(NEW), ..Terms::default() });
    let (usual, strict) = (client(&ca, false), client(&ca, true));
    for (client, port) in [(&usual, old), (&usual, new), (&strict, new)] {
        assert!(get(client, "localhost", port).await.unwrap().starts_with("name=localhost"));
    }
    let error = get(&strict, "localhost", old).await.expect_err("too old");
    assert!(error.kind() == Kind::Tls && error.to_string().contains("`tls_min_version`"), "{error:?}");
}
