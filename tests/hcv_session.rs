//! The life of a token that a login brought, at a real OpenBao: renewed ahead, had anew, never more often than its lease
//! asks, and without a read that fails. Where `TEST_BAO` does not name its binary, the tests are skipped.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::bao::{Bao, binary};
use support::login;
use support::proxy::Proxy;
use support::vault::{build, fails, fetch, reads};

const LOGIN: &str = "/login";
const RENEWAL: &str = "/renew-self";
const LOOK_UP: &str = "/lookup-self";

/// An AppRole with a role of its terms, behind a proxy.
struct Bench {
    bao: Bao,
    proxy: Proxy,
    vault: Arc<dyn Backend>,
}

async fn bench(terms: &str, more: &[(&str, &str)]) -> Option<Bench> {
    let bao = Bao::start(&binary()?, &[]).await;
    login::prepare(&bao).await;
    login::mount(&bao, "approle").await;
    let (role, secret) = login::approle(&bao, "gateway", terms).await;
    let proxy = Proxy::start(bao.port).await;
    let port = proxy.port().to_string();
    let mut options = vec![("port", port.as_str()), ("kv", "v2"), ("auth_method", "approle")];
    options.extend([("approle_role_id", role.as_str()), ("approle_secret_id", &secret)]);
    options.extend(more);
    Some(Bench { vault: build(&options).expect("a backend"), bao, proxy })
}

/// Reads in eight tasks for so long, with `during` called now and then. Returns the number of reads; none may fail.
async fn load(vault: &Arc<dyn Backend>, lasts: Duration, mut during: impl AsyncFnMut(Duration)) -> usize {
    let (done, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (vault, done) = (vault.clone(), done.clone());
            tokio::spawn(async move {
                while start.elapsed() < lasts {
                    reads(&vault, "hello").await;
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        })
        .collect();
    while start.elapsed() < lasts {
        during(start.elapsed()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for task in tasks {
        task.await.expect("no read fails");
    }
    done.load(Ordering::Relaxed)
}

async fn leases(lease: u64, most: u64, lasts: u64) {
    let terms = format!(r#","token_ttl":"{lease}s","token_max_ttl":"{most}s""#);
    let Some(bench) = bench(&terms, &[]).await else { return };
    let read = load(&bench.vault, Duration::from_secs(lasts), async |_| {}).await;
    let (logins, renewals) = (bench.proxy.asked(LOGIN), bench.proxy.asked(RENEWAL));
    println!("{lasts} s of leases of {lease} s and at most {most}: {read} reads, {logins} logins, {renewals} renewals");
    // The last lease before the most is shorter: up to two steps more for each token.
    let least = lasts as f64 / (lease as f64 * 0.70);
    let tokens = lasts.div_ceil(most) as usize + 1;
    assert!((2..=tokens + 1).contains(&logins), "{logins} logins");
    let steps = (lasts as f64 / (lease as f64 * 0.62)) as usize + 2 * tokens;
    assert!((least as usize - 1..=steps).contains(&(logins + renewals)), "{logins} logins, {renewals} renewals");
    assert_eq!(bench.proxy.asked(LOOK_UP), 0);
}

#[tokio::test]
async fn a_lease_is_renewed_ahead_and_a_token_replaced_before_its_last_hour() {
    leases(2, 5, 8).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn a_minute_of_leases_of_five_seconds() {
    leases(5, 20, 60).await;
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_replaced_ahead() {
    let Some(bench) = bench(r#","token_type":"batch","token_ttl":"2s""#, &[]).await else { return };
    load(&bench.vault, Duration::from_secs(5), async |_| {}).await;
    assert_eq!(bench.proxy.asked(RENEWAL), 0);
    assert!((3..=6).contains(&bench.proxy.asked(LOGIN)), "{} logins", bench.proxy.asked(LOGIN));
}

#[tokio::test]
async fn a_token_with_few_uses_is_replaced_when_they_are_used_up() {
    let Some(bench) = bench(r#","token_ttl":"60s","token_num_uses":5"#, &[]).await else { return };
    for _ in 0..50 {
        reads(&bench.vault, "hello").await;
    }
    assert!((10..=14).contains(&bench.proxy.asked(LOGIN)), "{} logins", bench.proxy.asked(LOGIN));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let vault = bench.vault.clone();
            tokio::spawn(async move { reads(&vault, "hello").await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no read fails");
    }
    assert_eq!(bench.proxy.asked(RENEWAL) + bench.proxy.asked(LOOK_UP), 0);
}

#[tokio::test]
async fn a_token_that_is_revoked_under_load_is_replaced_at_once() {
    let Some(bench) = bench(r#","token_ttl":"60s""#, &[]).await else { return };
    let mut revoked = 0;
    load(&bench.vault, Duration::from_secs(3), async |elapsed| {
        if elapsed.as_millis() / 700 > revoked {
            revoked += 1;
            bench.bao.write("sys/leases/revoke-prefix/auth/approle", "{}").await;
        }
    })
    .await;
    assert!(revoked >= 3);
    let (logins, look_ups) = (bench.proxy.asked(LOGIN), bench.proxy.asked(LOOK_UP));
    assert_eq!(logins as u128, revoked + 1, "one login each time");
    assert!(look_ups as u128 <= 2 * revoked, "{look_ups} look-ups");
}

#[tokio::test]
async fn a_read_that_is_denied_is_no_reason_for_a_login() {
    let Some(bench) = bench(r#","token_ttl":"60s""#, &[("mount", "cubbyhole2")]).await else { return };
    for _ in 0..20 {
        assert!(fails(&bench.vault, "hello").await.to_string().contains("no policy of it lets it read"));
    }
    assert_eq!(bench.proxy.asked(LOGIN), 1);
    assert!(bench.proxy.asked(LOOK_UP) <= 2, "{} look-ups", bench.proxy.asked(LOOK_UP));
}

#[tokio::test]
async fn all_who_come_at_once_share_one_login_and_its_refusal() {
    let Some(bench) = bench("", &[]).await else { return };
    let crowd = async |vault: &Arc<dyn Backend>| {
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let vault = vault.clone();
                tokio::spawn(async move { fetch(&vault, "hello").await })
            })
            .collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.expect("no panic"));
        }
        outcomes
    };
    assert!(crowd(&bench.vault).await.iter().all(Result::is_ok));
    assert_eq!(bench.proxy.asked(LOGIN), 1);
    let port = bench.proxy.port().to_string();
    let options =
        [("port", port.as_str()), ("auth_method", "approle"), ("approle_role_id", "a"), ("approle_secret_id", "b")];
    let refused = build(&options).expect("a backend");
    for outcome in crowd(&refused).await {
        let error = outcome.expect_err("a refusal");
        assert!(error.kind() == Kind::Denied && error.is_outage(), "{error:?}");
    }
    for _ in 0..5 {
        fails(&refused, "hello").await;
    }
    assert_eq!(bench.proxy.asked(LOGIN), 2, "it stands for a moment");
}

#[tokio::test]
async fn a_token_that_is_given_to_us_is_renewed_where_that_is_wanted() {
    let Some(bench) = bench("", &[]).await else { return };
    let periodic = r#"{"policies":["reader"],"period":"2s"}"#;
    let token =
        login::text(&login::data(&bench.bao.write("auth/token/create", periodic).await)["auth"]["client_token"]);
    let port = bench.proxy.port().to_string();
    let options = [("port", port.as_str()), ("kv", "v2"), ("token", &token), ("token_renew", "true")];
    let vault = build(&options).expect("a backend");
    load(&vault, Duration::from_secs(5), async |_| {}).await;
    let (look_ups, renewals) = (bench.proxy.asked(LOOK_UP), bench.proxy.asked(RENEWAL));
    assert_eq!(look_ups, 1);
    assert!((3..=4).contains(&renewals), "{renewals} renewals");
    assert!(vault.shutdown().is_none(), "it is not ours");
    // Without the right to look itself up, it is used as it is.
    let plain = r#"{"policies":["reader"],"no_default_policy":true,"ttl":"60s"}"#;
    let token = login::text(&login::data(&bench.bao.write("auth/token/create", plain).await)["auth"]["client_token"]);
    let options = [("port", port.as_str()), ("kv", "v2"), ("token", &token), ("token_renew", "true")];
    reads(&build(&options).expect("a backend"), "hello").await;
}

#[tokio::test]
async fn the_token_is_given_back_where_that_is_wanted() {
    let Some(bench) = bench("", &[("revoke_on_exit", "true")]).await else { return };
    assert!(bench.vault.shutdown().is_none(), "there is none yet");
    reads(&bench.vault, "hello").await;
    bench.vault.shutdown().expect("something to do").await;
    assert_eq!(bench.proxy.asked("/revoke-self"), 1);
    reads(&bench.vault, "hello").await;
    assert_eq!(bench.proxy.asked(LOGIN), 2);
    drop(bench);
    let Some(bench) = self::bench("", &[]).await else { return };
    reads(&bench.vault, "hello").await;
    assert!(bench.vault.shutdown().is_none(), "it is not wanted");
}
