//! What no real vault does, or not on demand: the `hcv` backend against a server made of bytes.

mod support;

use std::sync::Arc;

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::vault::{TOKEN, build, fails, reads};
use support::{Fake, answer, closed_port};

const SECRET: &str = r#"{"data":{"data":{"foo":"s3cret"},"metadata":{"version":1}}}"#;

fn vault(port: u16, more: &[(&str, &str)]) -> Arc<dyn Backend> {
    let port = port.to_string();
    let mut options = vec![("port", port.as_str()), ("kv", "v2"), ("token", TOKEN)];
    options.extend(more);
    build(&options).expect("a backend")
}

/// A node that has the secret, and wants to be asked for it properly.
async fn active() -> Fake {
    Fake::start(|head| {
        let asked = head.to_ascii_lowercase();
        let proper = asked.starts_with("get /v1/secret/data/a%40b?version=2 http/1.1\r\n")
            && asked.contains(&format!("x-vault-token: {}\r\n", TOKEN.to_ascii_lowercase()))
            && asked.contains("x-vault-request: true\r\n");
        if proper { answer("200 OK", "", SECRET) } else { answer("418 Improper", "", "") }
    })
    .await
}

async fn standby(status: &'static str, location: String) -> Fake {
    Fake::start(move |_| answer(status, &format!("location: {location}\r\n"), "")).await
}

#[tokio::test]
async fn a_standby_leads_to_the_active_node_of_the_same_host() {
    let active = active().await;
    for status in ["307 Temporary Redirect", "308 Permanent Redirect", "301 Moved", "302 Found"] {
        let location = format!("http://{}/v1/secret/data/a@b?version=2", active.address);
        let standby = standby(status, location).await;
        assert_eq!(reads(&vault(standby.port(), &[]), "a@b#2").await, r#"{"foo":"s3cret"}"#);
    }
}

#[tokio::test]
async fn another_host_gets_nothing_unless_it_is_named() {
    let other = active().await;
    let standby =
        standby("307 Standby", format!("http://localhost:{}/v1/secret/data/a@b?version=2", other.port())).await;
    let error = fails(&vault(standby.port(), &[]), "a@b#2").await;
    assert!(error.to_string().contains(&format!("redirects to localhost:{}", other.port())), "{error}");
    assert!(error.to_string().contains("`redirect_hosts`"), "{error}");
    let wrong_port = format!("localhost:{}", closed_port());
    fails(&vault(standby.port(), &[("redirect_hosts", &wrong_port)]), "a@b#2").await;
    assert_eq!(other.connections(), 0, "not one byte");

    let right_port = format!("node.example,localhost:{}", other.port());
    for named in ["localhost", &right_port] {
        assert_eq!(reads(&vault(standby.port(), &[("redirect_hosts", named)]), "a@b#2").await, r#"{"foo":"s3cret"}"#);
    }
}

#[tokio::test]
async fn another_scheme_path_or_user_gets_nothing() {
    let other = active().await;
    let at = other.address;
    for location in [
        format!("https://{at}/v1/secret/data/a@b?version=2"),
        format!("http://{at}/v1/secret/data/other?version=2"),
        format!("http://{at}/v1/secret/data/a@b?version=3"),
        format!("http://{at}/v1/secret/data/a@b"),
        format!("http://{at}/v1/sys/../secret/data/a@b?version=2#"),
        format!("http://{at}/"),
        format!("http://me@{at}/v1/secret/data/a@b?version=2"),
        format!("ftp://{at}/v1/secret/data/a@b?version=2"),
    ] {
        let standby = standby("307 Standby", location.clone()).await;
        let vault = vault(standby.port(), &[]);
        if location.ends_with('#') {
            reads(&vault, "a@b#2").await;
            continue;
        }
        let before = other.connections();
        let error = fails(&vault, "a@b#2").await;
        assert!(error.to_string().contains("which is not followed"), "{location}: {error}");
        assert_eq!(other.connections(), before, "{location}");
    }
    let standby = Fake::start(|_| answer("307 Standby", "", "")).await;
    let error = fails(&vault(standby.port(), &[]), "a@b#2").await;
    assert!(error.to_string().contains("no valid address"), "{error}");
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let standby = standby("307 Standby", "/v1/secret/data/a".to_owned()).await;
    let error = fails(&vault(standby.port(), &[]), "a").await;
    assert!(error.to_string().contains("more than 3 times"), "{error}");
    assert_eq!(standby.connections(), 4);
}

#[tokio::test]
async fn a_bad_path_or_version_is_refused_before_anything_is_sent() {
    let server = active().await;
    let v2 = vault(server.port(), &[]);
    for resource in ["../sys/health", "a/../../sys", "a//b", "/a", "a/", ".", "a\0b", "a\r\nx-vault-token: b", ""] {
        assert_eq!(fails(&v2, resource).await.kind(), Kind::Reference, "{resource:?}");
    }
    let error = fails(&vault(server.port(), &[("kv", "v1")]), "a#2").await;
    assert!(error.kind() == Kind::NotFound && error.to_string().contains("set `kv` to v2"), "{error}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn faults_of_the_exchange_are_told_apart() {
    let server =
        Fake::start(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":{\"foo\":\"s3cret".to_vec()).await;
    assert_eq!(fails(&vault(server.port(), &[]), "a").await.kind(), Kind::Unavailable);

    let server = Fake::start(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n{".to_vec()).await;
    let error = fails(&vault(server.port(), &[]), "a").await;
    assert!(error.kind() == Kind::Invalid && error.to_string().contains("larger than 4194304 bytes"), "{error}");

    let server = Fake::start(|_| answer("200 OK", "", "<html>s3cret</html>")).await;
    let error = fails(&vault(server.port(), &[]), "a").await;
    assert!(error.kind() == Kind::Invalid && error.to_string().contains("not the JSON of a vault"), "{error}");

    let server = Fake::start(|_| answer("429 Slow down", "retry-after: 7\r\n", r#"{"errors":["s3cret"]}"#)).await;
    let error = fails(&vault(server.port(), &[]), "a").await;
    assert!(error.kind() == Kind::Throttled && error.to_string().contains("wait 7 seconds"), "{error}");

    let server = Fake::start(|_| answer("200 OK", &format!("x: {}\r\n", "s3cret".repeat(200_000)), SECRET)).await;
    assert_eq!(fails(&vault(server.port(), &[]), "a").await.kind(), Kind::Invalid);

    assert_eq!(fails(&vault(closed_port(), &[]), "a").await.kind(), Kind::Unavailable);
    let error = fails(&vault(8200, &[("host", "nosuchhost.invalid")]), "a").await;
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("cannot resolve"), "{error}");
}

#[tokio::test]
async fn a_megabyte_is_a_secret_like_any_other() {
    let value = "x".repeat(1 << 20);
    let body = format!(r#"{{"data":{{"data":{{"foo":"{value}"}},"metadata":{{}}}}}}"#);
    let server = Fake::start(move |_| answer("200 OK", "", &body)).await;
    assert_eq!(reads(&vault(server.port(), &[]), "a").await, format!(r#"{{"foo":"{value}"}}"#));
}

#[test]
fn a_bad_option_is_refused_by_name_and_not_shown_if_sensitive() {
    for (name, value) in [
        ("host", "a/b"),
        ("host", "u@a"),
        ("host", "a:1"),
        ("host", ""),
        ("mount", "../sys"),
        ("mount", "/"),
        ("namespace", "a\r\nb"),
        ("token", "s3cret\r\nx-vault-namespace: a"),
        ("redirect_hosts", "http://a/"),
        ("ca_cert", "/no/such/file.pem"),
    ] {
        let error = build(&[(name, value)]).err().unwrap_or_else(|| panic!("{name} = {value:?} is taken"));
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    assert!(build(&[("host", "::1"), ("redirect_hosts", "a,[::1]:8200"), ("namespace", "a/b/")]).is_ok());
}
