//! Tokens of Azure are caches: one login at a time, renewed ahead, new after a refusal.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kong_vault::error::Kind;
use support::azure::Azure;
use support::azure::vault::{fails, fetch, reads};
use tokio::task::JoinSet;

#[tokio::test]
async fn all_fetches_share_one_login() {
    let Some(azure) = Azure::start().await else { return };
    let vault = azure.vault(&[]);
    let mut fetches = JoinSet::new();
    for _ in 0..40 {
        let vault = Arc::clone(&vault);
        fetches.spawn(async move { reads(&vault, "plain").await });
    }
    assert!(fetches.join_all().await.iter().all(|value| value == "just text"));
    let state = azure.state();
    assert_eq!((state.logins, state.reads), (1, 40));
}

#[tokio::test]
async fn a_short_token_is_renewed_ahead_and_no_read_fails() {
    let Some(azure) = Azure::start().await else { return };
    azure.state().life = Duration::from_secs(3);
    let vault = azure.vault(&[]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(9) {
        assert_eq!(reads(&vault, "plain").await, "just text");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let logins = azure.state().logins;
    assert!((3..=7).contains(&logins), "{logins}");
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_replaced_once() {
    let Some(azure) = Azure::start().await else { return };
    let vault = azure.vault(&[]);
    assert_eq!(reads(&vault, "plain").await, "just text");
    azure.state().tokens.clear();
    assert_eq!(reads(&vault, "plain").await, "just text");
    assert_eq!(azure.state().logins, 2);
    // Where the new one isn't taken either, logins do not multiply.
    for _ in 0..10 {
        azure.state().tokens.clear();
        let _ = support::azure::vault::fetch(&vault, "plain").await;
    }
    assert!(azure.state().logins <= 4, "{}", azure.state().logins);
}

#[tokio::test]
async fn a_refused_login_is_an_error_of_the_login_and_the_old_token_serves_to_its_end() {
    let Some(azure) = Azure::start().await else { return };
    azure.state().life = Duration::from_secs(4);
    let vault = azure.vault(&[]);
    // Before the token's life begins.
    let start = Instant::now();
    assert_eq!(reads(&vault, "plain").await, "just text");
    azure.state().login_refusal = Some((503, 90_033));
    while start.elapsed() < Duration::from_secs(3) {
        let read = fetch(&vault, "plain").await;
        // A machine that stands still lets the token end meanwhile.
        if start.elapsed() < Duration::from_secs(3) {
            assert_eq!(read.unwrap().document.as_str(), Some("just text"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // From the login on, which the first read waited for.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(fails(&vault, "plain", Kind::Unavailable, &["asking Entra ID"]).await.is_of_login());
    azure.state().login_refusal = None;
    assert_eq!(reads(&vault, "plain").await, "just text");
}
