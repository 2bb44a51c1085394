//! Conjur's tokens in the course of time: they end under load, are refused before their end, and come from old servers.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::conjur::{Conjur, fails, fetch, reads};
use support::cyberark::{POD, pod_token};
use tokio::task::JoinSet;

#[tokio::test]
async fn tokens_that_end_under_load_fail_no_fetch() {
    let Some(conjur) = Conjur::start().await else { return };
    conjur.world().life = Duration::from_secs(3);
    let path = conjur.file("token", &pod_token(&conjur.signer, "conjur", 600));
    let jwt = [("auth_method", "jwt"), ("service_id", "k8s"), ("jwt_file", path.as_str())];
    tokio::join!(load(&conjur, conjur.usual(), "authn"), load(&conjur, conjur.vault(&jwt, &[]), "authn-jwt"),);
}

async fn load(conjur: &Conjur, vault: Arc<dyn Backend>, by: &str) {
    let (start, mut reads_done) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(6) {
        let mut all = JoinSet::new();
        for _ in 0..8 {
            let vault = Arc::clone(&vault);
            all.spawn(async move { fetch(&vault, "plain").await });
        }
        for read in all.join_all().await {
            assert_eq!(read.unwrap(), b"plain");
            reads_done += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Each is renewed once, after two thirds of its life at the earliest.
    let logins = conjur.given(by);
    assert!((2..=4).contains(&logins) && reads_done > 100, "{logins} logins for {reads_done} reads");
}

#[tokio::test]
async fn who_comes_first_logs_in_for_all_and_so_does_who_is_refused_first() {
    let Some(conjur) = Conjur::start().await else { return };
    let vault = conjur.usual();
    for logins in [1, 2] {
        let mut all = JoinSet::new();
        for _ in 0..20 {
            let vault = Arc::clone(&vault);
            all.spawn(async move { fetch(&vault, "plain").await });
        }
        for read in all.join_all().await {
            assert_eq!(read.unwrap(), b"plain");
        }
        assert_eq!(conjur.given("authn"), logins);
        conjur.world().revoke();
    }
    // A token that is never welcome multiplies no logins.
    for _ in 0..5 {
        let error = fails(&vault, "plain", Kind::Denied, "the access token from the API key as host/BotApp").await;
        assert!(error.is_of_login());
    }
    assert_eq!(conjur.given("authn"), 2);
}

#[tokio::test]
async fn tokens_of_old_servers_live_for_eight_minutes() {
    let Some(conjur) = Conjur::start().await else { return };
    conjur.world().tells_end = false;
    let vault = conjur.usual();
    for _ in 0..3 {
        assert_eq!(reads(&vault, "plain").await, "plain");
    }
    assert_eq!(conjur.given("authn"), 1);
    // A sidecar's token, which is some minutes old.
    let token = conjur.world().give("sidecar", POD);
    let path = conjur.file("token", &token);
    let vault = conjur.vault(&[("auth_method", "token_file"), ("token_file", &path)], &[]);
    assert_eq!(reads(&vault, "plain").await, "plain");
}
