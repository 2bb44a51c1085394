//! The life of a login's token at a vault that fails: what a real one can't be made to do at will.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::clouds::Asked;
use support::vault::{build, fails, fails_with, reads};
use support::{Fake, answer, closed_port};

const VALUE: &str = r#"{"foo":"bar"}"#;

/// How often what was asked.
#[derive(Default)]
struct Counts {
    logins: AtomicUsize,
    renewals: AtomicUsize,
}

/// A vault whose tokens live for two seconds: `renewal` says what becomes of each renewal, by its number.
async fn vault(at: &str, renewal: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> (Fake, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let counted = counts.clone();
    let fake = Fake::lasting(at, move |request| {
        let asked = Asked::of(request);
        match asked.path.as_str() {
            "/v1/auth/userpass/login/gateway" => {
                let number = counted.logins.fetch_add(1, Ordering::SeqCst);
                let auth = format!(r#"{{"auth":{{"client_token":"t{number}","lease_duration":2,"renewable":true}}}}"#);
                answer("200 OK", "", &auth)
            }
            "/v1/auth/token/renew-self" => renewal(counted.renewals.fetch_add(1, Ordering::SeqCst)),
            "/v1/secret/hello" if asked.header("x-vault-token").is_some() => {
                answer("200 OK", "", &format!(r#"{{"data":{VALUE}}}"#))
            }
            _ => answer("403 Forbidden", "", r#"{"errors":["permission denied"]}"#),
        }
    });
    (fake.await.expect("a loopback port"), counts)
}

fn user(port: u16) -> Arc<dyn Backend> {
    let port = port.to_string();
    let options = [("port", port.as_str()), ("auth_method", "userpass"), ("userpass_username", "gateway")];
    build(&[options[0], options[1], options[2], ("userpass_password", "p4ss")]).expect("a backend")
}

/// A vault, by what it answers to each path and how often it was asked that before.
async fn counting(answers: impl Fn(&str, usize) -> (&'static str, String) + Send + Sync + 'static) -> (Fake, Asks) {
    let asks = Asks::default();
    let noted = asks.clone();
    let fake = Fake::lasting("127.0.0.1:0", move |request| {
        let path = Asked::of(request).path;
        let mut noted = noted.0.lock().unwrap();
        let before = noted.iter().filter(|one| **one == path).count();
        noted.push(path.clone());
        let (status, body) = answers(&path, before);
        answer(status, "", &body)
    });
    (fake.await.expect("a loopback port"), asks)
}

#[derive(Clone, Default)]
struct Asks(Arc<Mutex<Vec<String>>>);

impl Asks {
    fn of(&self, end: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|path| path.ends_with(end)).count()
    }
}

fn given(port: u16) -> Arc<dyn Backend> {
    build(&[("port", &port.to_string()), ("token", "t"), ("token_renew", "true")]).expect("a backend")
}

async fn read_for(vault: &Arc<dyn Backend>, lasts: Duration) {
    let start = Instant::now();
    while start.elapsed() < lasts {
        assert_eq!(reads(vault, "hello").await, VALUE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_while_the_token_serves() {
    let renewed = r#"{"auth":{"client_token":"t0","lease_duration":2,"renewable":true}}"#;
    let (fake, counts) = vault("127.0.0.1:0", move |number| match number {
        0 | 1 => answer("503 Service Unavailable", "", r#"{"errors":["s3cret"]}"#),
        _ => answer("200 OK", "", renewed),
    })
    .await;
    read_for(&user(fake.port()), Duration::from_secs(3)).await;
    assert_eq!(counts.logins.load(Ordering::SeqCst), 1);
    assert!((3..=4).contains(&counts.renewals.load(Ordering::SeqCst)), "{:?}", counts.renewals);
}

#[tokio::test]
async fn a_token_that_will_not_be_renewed_is_replaced() {
    let (fake, counts) =
        vault("127.0.0.1:0", |_| answer("403 Forbidden", "", r#"{"errors":["permission denied"]}"#)).await;
    read_for(&user(fake.port()), Duration::from_secs(3)).await;
    assert_eq!(counts.logins.load(Ordering::SeqCst), 3, "one every 1.3 seconds");
    assert_eq!(counts.renewals.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_vault_that_is_away_at_login_is_asked_again_at_once_when_it_is_back() {
    let port = closed_port();
    let user = user(port);
    for _ in 0..3 {
        fails_with(&user, Kind::Unavailable, &["connection refused"]).await;
    }
    let (_fake, counts) = vault(&format!("127.0.0.1:{port}"), |_| Vec::new()).await;
    assert_eq!(reads(&user, "hello").await, VALUE);
    assert_eq!(counts.logins.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_no_answer_to_a_login_is_told_as_that() {
    for (status, body, kind, part) in [
        ("200 OK", "s3cret", Kind::Invalid, "not the JSON of a vault"),
        ("200 OK", r#"{"auth":{"client_token":"s3cret with blanks"}}"#, Kind::Invalid, "returned no token"),
        (
            "200 OK",
            r#"{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"s3cret"}}}"#,
            Kind::Denied,
            "second factor",
        ),
        ("200 OK", r#"{"data":{"client_token":"s3cret"}}"#, Kind::Invalid, "not the JSON of a vault"),
        (
            "400 Bad Request",
            "Client sent an HTTP request to an HTTPS server.",
            Kind::Invalid,
            "not the JSON of a vault",
        ),
        (
            "404 Not Found",
            r#"{"errors":["no handler for route \"s3cret\""]}"#,
            Kind::Denied,
            "no auth method is mounted at",
        ),
        (
            "429 Too Many Requests",
            r#"{"errors":["s3cret"]}"#,
            Kind::Throttled,
            "the login by userpass failed: too many",
        ),
        ("503 Service Unavailable", r#"{"errors":["Vault is sealed"]}"#, Kind::Unavailable, "the vault is sealed"),
        ("307 Temporary Redirect", "", Kind::Invalid, "redirects"),
    ] {
        let fake = Fake::start(move |_| answer(status, "location: http://evil.example/\r\n", body)).await;
        let error = fails(&user(fake.port()), "hello").await;
        assert!(error.kind() == kind && error.to_string().contains(part), "{status} {body}: {error:?}");
    }
}

#[tokio::test]
async fn a_given_token_is_looked_up_again_where_the_vault_could_not_say() {
    let (fake, asks) = counting(|path, before| match path {
        "/v1/auth/token/lookup-self" if before == 0 => ("503 Service Unavailable", "<html>".to_owned()),
        "/v1/auth/token/lookup-self" => {
            let end = r#""expire_time":"2018-05-19T11:35:54.466476215-04:00""#;
            ("200 OK", format!(r#"{{"data":{{"ttl":1,"renewable":true,{end}}}}}"#))
        }
        "/v1/auth/token/renew-self" => {
            ("200 OK", r#"{"auth":{"client_token":"t","lease_duration":60,"renewable":true}}"#.to_owned())
        }
        _ => ("200 OK", format!(r#"{{"data":{VALUE}}}"#)),
    })
    .await;
    let (vault, start) = (given(fake.port()), Instant::now());
    while asks.of("/renew-self") == 0 {
        assert!(start.elapsed() < Duration::from_secs(15), "never renewed, {} look-ups", asks.of("/lookup-self"));
        read_for(&vault, Duration::from_millis(100)).await;
    }
    assert_eq!(asks.of("/lookup-self"), 2);
}

#[tokio::test]
async fn a_given_token_that_is_over_costs_one_request_for_each_read() {
    for lines in [r#""permission denied","invalid token""#, r#""permission denied""#] {
        let (fake, asks) = counting(move |_, _| ("403 Forbidden", format!(r#"{{"errors":[{lines}]}}"#))).await;
        let vault = given(fake.port());
        for _ in 0..10 {
            fails_with(&vault, Kind::Denied, &["403"]).await;
        }
        assert_eq!((asks.of("/hello"), asks.of("/lookup-self")), (10, 1), "{lines}");
    }
}

#[tokio::test]
async fn a_vault_that_refuses_its_new_tokens_is_not_asked_for_more_by_each_read() {
    for lines in [r#""permission denied","invalid token""#, r#""permission denied""#] {
        let (fake, asks) = counting(move |path, before| match path {
            "/v1/auth/userpass/login/gateway" => {
                ("200 OK", r#"{"auth":{"client_token":"s3cret","lease_duration":60,"renewable":true}}"#.to_owned())
            }
            // The first token is good for a while.
            "/v1/secret/hello" if before == 0 => ("200 OK", format!(r#"{{"data":{VALUE}}}"#)),
            _ => ("403 Forbidden", format!(r#"{{"errors":[{lines}]}}"#)),
        })
        .await;
        let (vault, start) = (user(fake.port()), Instant::now());
        assert_eq!(reads(&vault, "hello").await, VALUE);
        for _ in 0..20 {
            let error = fails(&vault, "hello").await;
            assert!(error.kind() == Kind::Denied && error.is_outage(), "{error:?}");
            assert!(error.to_string().contains("does not know the token that it has just given"), "{error}");
        }
        assert_eq!((asks.of("/login/gateway"), asks.of("/hello")), (2, 3), "{lines}: the refusal stands");
        assert!(asks.of("/lookup-self") <= 2, "{lines}");
        // And then is found anew, once more for all.
        while start.elapsed() < Duration::from_secs(5) {
            fails(&vault, "hello").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!((3..=5).contains(&asks.of("/login/gateway")), "{lines}: {} logins", asks.of("/login/gateway"));
    }
}
