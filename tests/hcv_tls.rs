//! Whom the transport trusts, and under which name it asks.

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use http::Request;
use kong_vault::environment::Environment;
use kong_vault::error::{Kind, Result};
use kong_vault::http::{Client, Transport};
use support::certs::{self, Ca, EXPIRED, Pair, VALID};
use support::tls::{self, Terms};

fn client(ca_cert: Option<&str>, server_name: Option<&str>, environment: &Environment) -> Client {
    let transport = Transport {
        ca_cert,
        server_name,
        ..Transport::new("hcv vault (test)".to_owned(), environment, Duration::from_secs(5))
    };
    Client::new(&transport).expect("a client")
}

async fn get(client: &Client, host: &str, port: u16) -> Result<String> {
    let request = Request::get(format!("https://{host}:{port}/")).body(Vec::new()).expect("a request");
    Ok(client.send(request).await?.body.as_str().expect("text").to_owned())
}

async fn fails(client: &Client, host: &str, port: u16, text: &str) {
    let error = get(client, host, port).await.expect_err(text);
    assert!(error.kind() == Kind::Tls && error.to_string().contains(text), "{error:?}");
}

fn trusting(pair: &Pair) -> Client {
    static NOTHING: LazyLock<Environment> = LazyLock::new(Environment::default);
    client(Some(pair.path()), None, &NOTHING)
}

fn directory() -> Option<tempfile::TempDir> {
    if !certs::available() {
        support::skip("there is no openssl command");
        return None;
    }
    Some(tempfile::tempdir().expect("a directory"))
}

#[tokio::test]
async fn a_server_name_is_asked_for_and_checked_while_the_host_stays_the_host() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let port = tls::start(&ca.issue("named", "DNS:vault.internal", VALID));
    let other = tls::start(&ca.issue("other", "DNS:localhost,IP:127.0.0.1", VALID));
    let named = client(Some(ca.pair.path()), Some("vault.internal"), &Environment::default());
    for host in ["127.0.0.1", "localhost"] {
        let expected = format!("name=vault.internal host={host}:{port}");
        assert_eq!(get(&named, host, port).await.unwrap(), expected);
        assert_eq!(get(&named, host, port).await.unwrap(), expected, "over a connection of before");
    }
    fails(&named, "localhost", other, "is for another name").await;

    let usual = trusting(&ca.pair);
    assert_eq!(get(&usual, "localhost", other).await.unwrap(), format!("name=localhost host=localhost:{other}"));
    fails(&usual, "localhost", port, "is for another name").await;
}

#[tokio::test]
async fn hosts_that_share_a_server_name_stay_apart() {
    let Some(directory) = directory() else { return };
    let ca = Ca::new(directory.path(), "ca");
    let port = tls::start(&ca.issue("one", "DNS:vault.internal", VALID));
    let another = std::net::TcpListener::bind(("127.0.0.2", port)).expect("the port at another address");
    tls::start_on(another, &ca.issue("another", "DNS:vault.internal", EXPIRED), &Terms::default());
    let named = client(Some(ca.pair.path()), Some("vault.internal"), &Environment::default());
    for _ in 0..2 {
        assert!(get(&named, "127.0.0.1", port).await.is_ok());
        fails(&named, "127.0.0.2", port, "has expired").await;
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_ca() {
    let Some(directory) = directory() else { return };
    let alternatives = Some("DNS:localhost");
    let own = certs::self_signed(directory.path(), "own", "/CN=vault", alternatives);
    let alike = certs::self_signed(directory.path(), "alike", "/CN=vault", alternatives);
    let port = tls::start(&own);
    assert!(get(&trusting(&own), "localhost", port).await.is_ok());
    fails(&trusting(&own), "127.0.0.1", port, "is for another name").await;
    fails(&trusting(&alike), "localhost", port, "is a CA's (CA:TRUE)").await;

    let expired = certs::expired(directory.path(), &own);
    fails(&trusting(&expired), "localhost", tls::start(&expired), "has expired").await;
}

#[tokio::test]
async fn the_environment_names_the_systems_roots() {
    let Some(directory) = directory() else { return };
    let (ca, another) = (Ca::new(directory.path(), "ca"), Ca::new(directory.path(), "another"));
    let port = tls::start(&ca.issue("good", "DNS:localhost", VALID));
    let expired = tls::start(&ca.issue("expired", "DNS:localhost", EXPIRED));
    let of_file = client(None, None, &Environment::from_variables([("SSL_CERT_FILE", ca.pair.path())]));
    assert!(get(&of_file, "localhost", port).await.is_ok());
    fails(&of_file, "localhost", expired, "has expired").await;

    let folders = directory.path().join("folders");
    std::fs::create_dir(&folders).unwrap();
    std::fs::copy(&ca.pair.certificate, folders.join("ca.pem")).unwrap();
    let of_folder = client(
        None,
        None,
        &Environment::from_variables([("SSL_CERT_DIR", format!(":/no/such/folder:{}", folders.display()))]),
    );
    assert!(get(&of_folder, "localhost", port).await.is_ok());

    let of_another = client(None, None, &Environment::from_variables([("SSL_CERT_FILE", another.pair.path())]));
    fails(&of_another, "localhost", port, "from a CA that is not trusted").await;

    let of_nothing = client(None, None, &Environment::from_variables([("SSL_CERT_FILE", "/no/such/file")]));
    let error = get(&of_nothing, "localhost", port).await.expect_err("no roots");
    assert!(error.kind() == Kind::Config && error.to_string().contains("SSL_CERT_FILE"), "{error:?}");
}
