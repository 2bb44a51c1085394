//! Who we are to a server that asks for a certificate; and certificates that change while we run.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use kong_vault::environment::Environment;
use kong_vault::error::{Kind, Result};
use kong_vault::http::{Client, Pem, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use support::certs::{self, Ca, EXPIRED, Pair, VALID};
use support::forward::{Forward, Manner};
use support::tls::{self, Terms};

const PATIENCE: Duration = Duration::from_secs(10);

fn build(ca_cert: Option<&str>, certificate: Option<&str>, key: Option<&str>) -> Result<Client> {
    let environment = Environment::default();
    let pem = |option, value| Pem { option, value };
    Client::new(&Transport {
        ca_cert,
        client_cert: certificate.map(|value| pem("cert_auth_cert", value)),
        client_key: key.map(|value| pem("cert_auth_cert_key", value)),
        ..Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(5))
    })
}

fn as_client(ca: &Ca, pair: &Pair) -> Client {
    build(Some(ca.pair.path()), Some(pair.path()), pair.key.to_str()).expect("a client")
}

async fn get(client: &Client, port: u16) -> Result<String> {
    let request = Request::get(format!("https://localhost:{port}/")).body(Vec::new()).expect("a request");
    Ok(client.send(request).await?.body.as_str().expect("text").to_owned())
}

fn mark(pair: &Pair) -> String {
    format!("client={}", tls::mark(&CertificateDer::from_pem_file(&pair.certificate).expect("a certificate")))
}

fn directory() -> Option<tempfile::TempDir> {
    if !certs::available() {
        support::skip("there is no openssl command");
        return None;
    }
    Some(tempfile::tempdir().expect("a directory"))
}

/// As a careful renewer does it: beside, then in place.
fn replace(target: &Path, bytes: &[u8]) {
    let beside = target.with_extension("new");
    std::fs::write(&beside, bytes).expect("a file");
    std::fs::rename(&beside, target).expect("the file");
}

const TLS_1_2: Option<&[&rustls::SupportedProtocolVersion]> = Some(&[&rustls::version::TLS12]);

#[tokio::test]
async fn a_server_that_asks_sees_our_certificate_from_files_and_from_text() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let server = ca.issue("server", "DNS:localhost", VALID);
    let ours = ca.issue("ours", "DNS:client", VALID);
    let key = std::fs::read_to_string(&ours.key).unwrap();
    let both = directory.path().join("both.pem");
    std::fs::write(&both, format!("{key}{}", ours.pem())).unwrap();
    for versions in [None, TLS_1_2] {
        let port = tls::start_with(&server, &Terms { versions, clients: Some(&ca), ..Terms::default() });
        let one_line = ours.pem().replace('\n', "\\n");
        let base64 = |text: &str| STANDARD.encode(text);
        let (behind, before) = (base64(&format!("{}{key}", ours.pem())), base64(&format!("{key}{}", ours.pem())));
        let in_lines = behind.as_bytes().chunks(76).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
        for (certificate, key) in [
            (ours.path(), ours.key.to_str()),
            (&*ours.pem(), Some(&*key)),
            (&*one_line, ours.key.to_str()),
            (both.to_str().unwrap(), None),
            (&*base64(&ours.pem()), Some(&*base64(&key))),
            (&*behind, None),
            (before.trim_end_matches('='), None),
            (&*in_lines, None),
        ] {
            let trusted = if key.is_some() { ca.pair.path().to_owned() } else { base64(&ca.pair.pem()) };
            let client = build(Some(&trusted), Some(certificate), key).unwrap();
            let answer = get(&client, port).await.unwrap();
            assert!(answer.ends_with(&mark(&ours)), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_no_certificate_of_ours_says_so() {
    let Some(directory) = directory() else { return };
    let (ca, other) = (Ca::new(directory.path(), "ca"), Ca::new(directory.path(), "other"));
    let server = ca.issue("server", "DNS:localhost", VALID);
    let (foreign, expired) = (other.issue("foreign", "DNS:client", VALID), ca.issue("expired", "DNS:client", EXPIRED));
    for versions in [None, TLS_1_2] {
        let port = tls::start_with(&server, &Terms { versions, clients: Some(&ca), ..Terms::default() });
        for (client, text) in [
            (build(Some(ca.pair.path()), None, None).unwrap(), "asks for a client certificate: set `client_cert`"),
            (as_client(&ca, &foreign), "refuses the client certificate"),
            (as_client(&ca, &expired), "refuses the client certificate"),
        ] {
            let error = get(&client, port).await.expect_err(text);
            assert!(error.kind() == Kind::Tls && error.to_string().contains(text), "{versions:?}: {error:?}");
        }
    }
}

#[test]
fn a_certificate_that_cannot_be_presented_is_refused_at_once_and_no_key_is_shown() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let (one, two) = (ca.issue("one", "DNS:client", VALID), ca.issue("two", "DNS:client", VALID));
    let path = |pair: &Pair| pair.key.to_str().unwrap().to_owned();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cases = [
        (Some(one.path().to_owned()), Some(path(&two)), "is not the key of the certificate file"),
        (Some(one.path().to_owned()), None, "holds no whole PEM key"),
        (None, Some(path(&one)), "`cert_auth_cert_key` is set without its certificate"),
        (
            Some("/no/such/cert.pem".to_owned()),
            Some(path(&one)),
            "cannot read the certificate file of `cert_auth_cert` (a value of 17 characters): no such file",
        ),
        (
            Some(one.path().to_owned()),
            Some("/no/s3cret".to_owned()),
            "cannot read the key file of `cert_auth_cert_key`",
        ),
        (Some(one.path().to_owned()), Some("MHcs3cretAQEEI".to_owned()), "no such file"),
        (Some(one.path().to_owned()), Some(one.path().to_owned()), "holds no whole PEM key"),
        (Some(path(&one)), Some(path(&one)), "holds no PEM certificate"),
        (Some(one.path().to_owned()), Some(encrypted.to_owned()), "`cert_auth_cert_key` is encrypted"),
    ];
    for (certificate, key, text) in &cases {
        for ca_cert in [Some(ca.pair.path()), None] {
            let error = build(ca_cert, certificate.as_deref(), key.as_deref()).err().expect(text);
            assert!(error.kind() == Kind::Config && error.to_string().contains(text), "{error:?}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}

/// The proxy asks for a certificate as the server does, and both have names of their own.
#[tokio::test]
async fn a_proxy_over_tls_neither_sees_our_certificate_nor_counts_as_the_server() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let ours = ca.issue("ours", "DNS:client", VALID);
    let of_server = ca.issue("server", "DNS:vault.internal", VALID);
    let of_proxy = ca.issue("proxy", "DNS:localhost", VALID);
    for (to_proxy, to_server) in [(None, None), (TLS_1_2, None), (None, TLS_1_2), (TLS_1_2, TLS_1_2)] {
        let clients = Some(&ca);
        let server = tls::start_with(&of_server, &Terms { versions: to_server, clients, ..Terms::default() });
        let asks = Terms { versions: to_proxy, clients, is_optional: true };
        let proxy = Forward::start_with(Manner::To(server), Some(&of_proxy), &asks).await;
        let url = format!("https://localhost:{}", proxy.port);
        let environment = Environment::default();
        let named = |name| {
            Client::new(&Transport {
                ca_cert: Some(ca.pair.path()),
                client_cert: Some(Pem { option: "client_cert", value: ours.path() }),
                client_key: ours.key.to_str().map(|value| Pem { option: "client_key", value }),
                proxy: Some(&url),
                server_name: name,
                ..Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(5))
            })
            .expect("a client")
        };
        let by = async |client: &Client, host: &str| {
            let request = Request::get(format!("https://{host}/")).body(Vec::new()).expect("a request");
            client.send(request).await.map(|answer| answer.body.as_str().expect("text").to_owned())
        };
        let usual = named(None);
        let misnamed = named(Some("localhost"));
        for port in [443, 8200, 8201] {
            // Each port is a connection of its own, also where one has been made before.
            let answer = by(&usual, &format!("vault.internal:{port}")).await.unwrap();
            assert!(answer.starts_with("name=vault.internal ") && answer.ends_with(&mark(&ours)), "{answer}");
            let error = by(&misnamed, &format!("vault.internal:{port}")).await.expect_err("the proxy's own name");
            assert!(error.kind() == Kind::Tls && error.to_string().contains("is for another name"), "{error:?}");
        }
        let answer = by(&named(Some("vault.internal")), "vault.invalid:8200").await.unwrap();
        assert_eq!(answer, format!("name=vault.invalid host=vault.invalid:8200 {}", mark(&ours)));
        assert!(proxy.heads().len() == 7 && proxy.certificates() == 0, "{:?}", proxy.heads());
        assert_eq!(proxy.heads()[6].lines().next(), Some("CONNECT vault.invalid:8200 HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_renewed_certificate_and_a_renewed_ca_are_used_by_new_connections() {
    let Some(directory) = directory() else { return };
    let (ca, next) = (Ca::new(directory.path(), "ca"), Ca::new(directory.path(), "next"));
    let (first, second) = (ca.issue("first", "DNS:client", VALID), ca.issue("second", "DNS:client", VALID));
    let trusted = directory.path().join("trusted.pem");
    std::fs::copy(&ca.pair.certificate, &trusted).unwrap();
    let client = build(trusted.to_str(), Some(first.path()), first.key.to_str()).unwrap();
    let before = mark(&first);
    // Each server is another host to the client's pool, so that each is a new connection.
    let server = |ca: &Ca, name: &str| {
        tls::start_with(&ca.issue(name, "DNS:localhost", VALID), &Terms { clients: Some(ca), ..Terms::default() })
    };
    assert!(get(&client, server(&ca, "a")).await.unwrap().ends_with(&before));

    // A half of the pair, or garbage, changes nothing, also after it was looked at.
    replace(&first.certificate, &std::fs::read(&second.certificate).unwrap());
    replace(&trusted, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(get(&client, server(&ca, "b")).await.unwrap().ends_with(&before));
    replace(&first.key, &std::fs::read(&second.key).unwrap());
    replace(&trusted, ca.pair.pem().as_bytes());
    let start = Instant::now();
    let mut count = 0;
    while !get(&client, server(&ca, &format!("c{count}"))).await.unwrap().ends_with(&mark(&second)) {
        assert!(start.elapsed() < PATIENCE, "the renewed certificate was not used");
        count += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let of_next = tls::start(&next.issue("server", "DNS:localhost", VALID));
    assert_eq!(get(&client, of_next).await.expect_err("not trusted").kind(), Kind::Tls);
    replace(&trusted, next.pair.pem().as_bytes());
    let start = Instant::now();
    while let Err(error) = get(&client, of_next).await {
        assert!(start.elapsed() < PATIENCE, "the renewed CA was not used: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_changed_and_cannot_be_used_is_told_once_and_so_is_its_end() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let trusted = directory.path().join("trusted.pem");
    std::fs::copy(&ca.pair.certificate, &trusted).unwrap();
    let client = build(trusted.to_str(), None, None).unwrap();
    let server = ca.issue("server", "DNS:localhost", VALID);
    let mut told = Vec::new();
    let mut until = async |count: usize| {
        let start = Instant::now();
        while told.len() < count {
            assert!(start.elapsed() < PATIENCE, "no news: {told:?}");
            // Each server is another host, so that each is a new connection.
            get(&client, tls::start(&server)).await.unwrap();
            told.extend(client.notice());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(client.notice(), None);
        told.clone()
    };
    replace(&trusted, b"");
    assert!(until(1).await[0].text.contains("trusted.pem holds no PEM certificate"));
    std::fs::remove_file(&trusted).unwrap();
    let told = until(2).await;
    assert!(!told[1].is_over && told[1].text.contains("no such file"), "{told:?}");
    replace(&trusted, ca.pair.pem().as_bytes());
    let told = until(3).await;
    assert!(told[2].is_over && told[2].text.starts_with("hcv vault (test): "), "{told:?}");
}
