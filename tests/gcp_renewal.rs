//! Google's tokens in the course of time: they end under load, are refused before their end, and are signed with a clock
//! that is wrong.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::certs;
use support::gcp::{Google, build, fails, fetch, reads};
use support::{Fake, answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn google() -> Option<Google> {
    if certs::available() {
        return Some(Google::start().await);
    }
    support::skip("there is no openssl command");
    None
}

fn machine(google: &Google, project: &str) -> Arc<dyn Backend> {
    google.vault(&[("project_id", project)], &[("GCE_METADATA_HOST", &google.host())])
}

#[tokio::test]
async fn tokens_that_end_under_load_fail_no_fetch() {
    let Some(google) = google().await else { return };
    google.world().life = Duration::from_secs(2);
    let vault = machine(&google, "p");
    let (start, mut reads_done) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(6) {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let vault = Arc::clone(&vault);
            all.spawn(async move { fetch(&vault, "good#1").await });
        }
        for read in all.join_all().await {
            assert_eq!(read.unwrap(), "one");
            reads_done += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Each is renewed once, after two thirds of its life at the earliest.
    let logins = google.given("metadata");
    assert!((3..=6).contains(&logins) && reads_done > 100, "{logins} logins for {reads_done} reads");
}

#[tokio::test]
async fn who_comes_first_logs_in_for_all() {
    let Some(google) = google().await else { return };
    let vault = machine(&google, "p");
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let vault = Arc::clone(&vault);
        all.spawn(async move { fetch(&vault, "good#1").await });
    }
    for read in all.join_all().await {
        assert_eq!(read.unwrap(), "one");
    }
    assert_eq!(google.given("metadata"), 1);
}

#[tokio::test]
async fn a_token_that_is_revoked_is_replaced_once_for_all() {
    let Some(google) = google().await else { return };
    let vault = machine(&google, "p");
    reads(&vault, "good#1").await;
    google.world().revoke();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let vault = Arc::clone(&vault);
        all.spawn(async move { fetch(&vault, "good#1").await });
    }
    for read in all.join_all().await {
        assert_eq!(read.unwrap(), "one");
    }
    assert_eq!(google.given("metadata"), 2);
    // One that is never welcome multiplies no requests.
    google.world().revoke();
    for _ in 0..5 {
        let error = fails(&vault, "good", Kind::Denied, "the token from the metadata server is not accepted").await;
        assert!(error.is_of_login());
    }
    assert_eq!(google.given("metadata"), 2);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_googles() {
    let Some(google) = google().await else { return };
    google.world().ahead = Duration::from_secs(7200);
    let key = google.file("key.json", &google.key().to_string());
    let vault = google.vault(&[], &[("GOOGLE_APPLICATION_CREDENTIALS", &key)]);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let vault = Arc::clone(&vault);
        all.spawn(async move { fetch(&vault, "good#1").await });
    }
    for read in all.join_all().await {
        assert_eq!(read.unwrap(), "one");
    }
    assert_eq!(google.given("token"), 0, "it was signed anew, and not exchanged");
}

/// A metadata server whose first token takes as long as that.
async fn slow_metadata(takes: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                if request[..length].windows(6).any(|part| part == b"/token") {
                    tokio::time::sleep(takes).await;
                }
                let body = r#"{"access_token":"ya29.hunter2-slow","expires_in":3599,"token_type":"Bearer"}"#;
                let _ = stream.write_all(&answer("200 OK", "metadata-flavor: Google\r\n", body)).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_metadata_server_that_is_there_may_take_longer_than_nobody() {
    let host = slow_metadata(Duration::from_millis(1400)).await.to_string();
    let reader = Fake::start(|request| match request.contains("Bearer ya29.hunter2-slow") {
        true => answer("200 OK", "", r#"{"payload":{"data":"b25l"}}"#),
        false => answer("401 Unauthorized", "", "{}"),
    })
    .await;
    let endpoint = format!("http://{}", reader.address);
    let environment = [("GCE_METADATA_HOST", host.as_str()), ("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "googleapis.com")];
    let vault = build(&[("endpoint_url", &endpoint), ("project_id", "p")], &environment);
    assert_eq!(reads(&vault, "good").await, "one");
    // Who never answers is nobody.
    let silent = Fake::silent().await.address.to_string();
    let vault = build(&[("endpoint_url", &endpoint), ("project_id", "p")], &[("GCE_METADATA_HOST", &silent)]);
    fails(&vault, "good", Kind::Config, "no metadata server of Google's answers").await;
}
