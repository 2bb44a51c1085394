//! Wrapped secret ids of AppRole: only what the role's own method gave out is opened.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::bao::{Bao, binary};
use support::clouds::Asked;
use support::vault::{build, fails_with, reads};
use support::{Fake, answer, login};

const VALUE: &str = r#"{"foo":"bar"}"#;
const ROLE: &str = "auth/approle/role/gateway/secret-id";

/// A vault that says that of a wrapping token, and gives that when it is opened. Counts how often it was.
async fn vault(look_up: &str, inside: &str) -> (Fake, Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>) {
    let (opened, logins) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (count, seen) = (Arc::clone(&opened), Arc::clone(&logins));
    let (look_up, inside) = (look_up.to_owned(), inside.to_owned());
    let fake = Fake::start(move |request| {
        let asked = Asked::of(request);
        match asked.path.as_str() {
            "/v1/sys/wrapping/lookup" => answer("200 OK", "", &look_up),
            "/v1/sys/wrapping/unwrap" => {
                count.fetch_add(1, Ordering::SeqCst);
                answer("200 OK", "", &inside)
            }
            "/v1/auth/approle/login" => {
                let body: serde_json::Value = serde_json::from_str(asked.body).expect("JSON");
                seen.lock().unwrap().push(body["secret_id"].as_str().unwrap_or_default().to_owned());
                answer(
                    "200 OK",
                    "",
                    r#"{"auth":{"client_token":"t\u0026o\/ken","lease_duration":60,"renewable":true}}"#,
                )
            }
            "/v1/secret/hello" if asked.header("x-vault-token") == Some("t&o/ken") => {
                answer("200 OK", "", &format!(r#"{{"data":{VALUE}}}"#))
            }
            _ => answer("403 Forbidden", "", r#"{"errors":["permission denied"]}"#),
        }
    });
    (fake.await, opened, logins)
}

/// Each test's wrapping token is another: what one held is known to all of a process.
fn approle(port: u16, token: &str) -> Arc<dyn Backend> {
    let port = port.to_string();
    let mut options = vec![("port", port.as_str()), ("auth_method", "approle"), ("approle_role_id", "id")];
    options.extend([("approle_secret_id", token), ("approle_response_wrapping", "true")]);
    build(&options).expect("a backend")
}

#[tokio::test]
async fn a_look_up_that_says_nothing_of_the_role_opens_nothing() {
    let inside = r#"{"data":{"secret_id":"p"}}"#;
    for (number, look_up) in [
        "",
        "<html>",
        "null",
        "[]",
        "{}",
        r#"{"data":null}"#,
        r#"{"data":{}}"#,
        r#"{"data":{"creation_path":null}}"#,
        r#"{"data":{"creation_path":7}}"#,
        r#"{"data":{"creation_path":"\ud800"}}"#,
        r#"{"data":{"creation_path":"auth/approle/role/gateway/secret-id"}"#,
        r#"{"data":{"creation_path":"auth/approle/role/gateway/secret-id","creation_path":"cubbyhole/a"}}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let (fake, opened, _) = vault(look_up, inside).await;
        let vault = approle(fake.port(), &format!("unread-{number}"));
        fails_with(&vault, Kind::Denied, &["the wrapping token", "which is not unwrapped", "(status 200)"]).await;
        assert_eq!(opened.load(Ordering::SeqCst), 0, "{look_up}");
    }
    for (number, path) in [
        "cubbyhole\\/auth\\/approle\\/role\\/g\\/secret-id",
        "cubbyhole/a\\u0026b",
        "kv1/auth/approle/role/x/secret-id",
        "auth/approle/role/x/secret-id\\u0000",
        "auth/approle/role/x\\u002fy/secret-id",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let (fake, opened, _) = vault(&format!(r#"{{"data":{{"creation_path":"{path}"}}}}"#), inside).await;
        let vault = approle(fake.port(), &format!("foreign-{number}"));
        fails_with(&vault, Kind::Denied, &["not created by this AppRole method", "is not unwrapped"]).await;
        assert_eq!(opened.load(Ordering::SeqCst), 0, "{path}");
    }
}

#[tokio::test]
async fn escapes_in_answers_are_read() {
    for (number, (path, inside, secret)) in [
        (ROLE.to_owned(), r#"p\u0026ss"#, "p&ss"),
        (ROLE.replace('/', "\\/"), r#"\/\u003c\u003e\""#, "/<>\""),
        (ROLE.replace("gateway", "gate\\u0026way"), "plain", "plain"),
        (ROLE.replace("secret-id", "custom-secret-id").replace('a', "\\u0061"), r#"\u00fc\ud83d\udd10"#, "ü🔐"),
    ]
    .into_iter()
    .enumerate()
    {
        let look_up = format!(r#"{{"request_id":"\u0026","data":{{"creation_path":"{path}","creation_ttl":60}}}}"#);
        let (fake, opened, logins) = vault(&look_up, &format!(r#"{{"data":{{"secret_id":"{inside}"}}}}"#)).await;
        let vault = approle(fake.port(), &format!("escaped-{number}"));
        assert_eq!(reads(&vault, "hello").await, VALUE);
        assert_eq!((opened.load(Ordering::SeqCst), logins.lock().unwrap().as_slice()), (1, &[secret.to_owned()][..]));
    }
}

#[tokio::test]
async fn a_real_vault_tells_what_made_a_token() {
    let Some(binary) = binary() else { return };
    let bao = Bao::start(&binary, &[]).await;
    login::prepare(&bao).await;
    login::mount(&bao, "approle").await;
    let (role, secret) = login::approle(&bao, "gateway", "").await;
    let wrapped = |token: &str| {
        let port = bao.port.to_string();
        let options = [
            ("port", port.as_str()),
            ("kv", "v2"),
            ("auth_method", "approle"),
            ("approle_role_id", role.as_str()),
            ("approle_secret_id", token),
            ("approle_response_wrapping", "true"),
        ];
        build(&options).expect("a backend")
    };
    // What anybody with a token of their own can make: a good secret id behind a path of theirs.
    bao.write("sys/mounts/kv1", r#"{"type":"kv","options":{"version":"1"}}"#).await;
    let good = format!(r#"{{"secret_id":"{secret}"}}"#);
    for path in [
        "cubbyhole/auth/approle/role/g/secret-id",
        "cubbyhole/a&b",
        "kv1/auth/approle/role/x/secret-id",
        "kv1/auth/approle/role/x/custom-secret-id",
    ] {
        bao.write(path, &good).await;
        let token = bao.wrap_read(path).await;
        fails_with(&wrapped(&token), Kind::Denied, &["not created by this AppRole method", "is not unwrapped"]).await;
        // It was not: somebody may look what is in it.
        assert_eq!(bao.write_as(&token, "sys/wrapping/unwrap").await.status, 200, "{path}");
    }
    // A custom secret id, which Go escapes.
    let answer = bao.wrap("auth/approle/role/gateway/custom-secret-id", r#"{"secret_id":"p&ss<>word"}"#).await;
    let token = login::text(&login::data(&answer)["wrap_info"]["token"]);
    assert_eq!(reads(&wrapped(&token), "hello").await, VALUE);
}
