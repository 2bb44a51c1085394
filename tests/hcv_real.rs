//! The `hcv` backend against a real OpenBao, which speaks HashiCorp Vault's API. It is started by the tests; where
//! `TEST_BAO` does not name its binary, they are skipped.

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::bao::{Bao, ROOT, binary};
use support::certs::{self, Ca, EXPIRED, VALID};
use support::vault::{build, fails, fetch, reads};

fn vault(port: u16, more: &[(&str, &str)]) -> Arc<dyn Backend> {
    let port = port.to_string();
    let mut options = vec![("port", port.as_str()), ("token", ROOT)];
    options.extend(more);
    build(&options).expect("a backend")
}

async fn fails_with(vault: &Arc<dyn Backend>, reference: &str, kind: Kind, text: &str) {
    let error = fails(vault, reference).await;
    assert!(error.kind() == kind && error.to_string().contains(text), "{reference}: {error:?}");
}

#[tokio::test]
async fn key_value_engines() {
    let Some(binary) = binary() else { return };
    let bao = Bao::start(&binary, &[]).await;
    version_1(&bao).await;
    version_2(&bao).await;
    mixed_up(&bao).await;
    namespaces(&bao).await;
    credentials(&bao).await;
}

async fn version_1(bao: &Bao) {
    bao.write("sys/mounts/old/kv", r#"{"type":"kv","options":{"version":"1"}}"#).await;
    bao.write("old/kv/hello", r#"{"foo":"b\u00e4r","n":1.50}"#).await;
    bao.write("old/kv/a/b/c", r#"{"foo":"nested"}"#).await;
    bao.write("old/kv/a%20b@c+d", r#"{"foo":"odd"}"#).await;
    bao.write("old/kv/short", r#"{"foo":"lived","ttl":"30s"}"#).await;
    let vault = vault(bao.port, &[("mount", "old/kv")]);
    assert_eq!(reads(&vault, "hello").await, r#"{"foo":"bär","n":1.50}"#);
    assert_eq!(reads(&vault, "hello#1").await, r#"{"foo":"bär","n":1.50}"#);
    assert_eq!(reads(&vault, "a/b/c").await, r#"{"foo":"nested"}"#);
    assert_eq!(reads(&vault, "a b@c+d").await, r#"{"foo":"odd"}"#);
    assert_eq!(fetch(&vault, "hello").await.unwrap().lease, None);
    assert_eq!(fetch(&vault, "short").await.unwrap().lease, Some(Duration::from_secs(30)));
    fails_with(&vault, "none", Kind::NotFound, "there is no old/kv/none").await;
}

async fn version_2(bao: &Bao) {
    bao.write("sys/mounts/team/kv", r#"{"type":"kv","options":{"version":"2"}}"#).await;
    // A new mount answers 400 until it is upgraded, which takes the server a moment.
    let vault = vault(bao.port, &[("mount", "/team/kv/"), ("kv", "v2")]);
    for _ in 0..200 {
        match fetch(&vault, "none").await {
            Err(error) if error.kind() == Kind::NotFound => break,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    for value in ["one", "two", "three", "four"] {
        bao.write("team/kv/data/a/b", &format!(r#"{{"data":{{"foo":"{value}","k":{{"x":[1]}}}}}}"#)).await;
    }
    assert_eq!(reads(&vault, "a/b").await, r#"{"foo":"four","k":{"x":[1]}}"#);
    assert_eq!(reads(&vault, "a/b#0").await, r#"{"foo":"four","k":{"x":[1]}}"#);
    assert_eq!(reads(&vault, "a/b#1").await, r#"{"foo":"one","k":{"x":[1]}}"#);
    bao.write("team/kv/delete/a/b", r#"{"versions":[2]}"#).await;
    bao.write("team/kv/destroy/a/b", r#"{"versions":[3]}"#).await;
    fails_with(&vault, "a/b#2", Kind::NotFound, "version 2 of team/kv/data/a/b is deleted: undelete it").await;
    fails_with(&vault, "a/b#3", Kind::NotFound, "version 3 of team/kv/data/a/b is destroyed for good").await;
    fails_with(&vault, "a/b#9", Kind::NotFound, "or no version 9 of it").await;
    fails_with(&vault, "a", Kind::NotFound, "there is no team/kv/data/a").await;
    bao.send(Method::DELETE, "", "team/kv/data/a/b", "").await;
    fails_with(&vault, "a/b", Kind::NotFound, "the current version of team/kv/data/a/b is deleted").await;
    assert_eq!(reads(&vault, "a/b#1").await, r#"{"foo":"one","k":{"x":[1]}}"#);
}

async fn mixed_up(bao: &Bao) {
    fails_with(&vault(bao.port, &[("mount", "team/kv")]), "a/b", Kind::NotFound, "set `kv` to v2").await;
    fails_with(
        &vault(bao.port, &[("mount", "old/kv"), ("kv", "v2")]),
        "hello",
        Kind::NotFound,
        "or `kv` if the mount is not v2",
    )
    .await;
    fails_with(&vault(bao.port, &[("mount", "nowhere")]), "a", Kind::NotFound, "correct `mount` or `namespace`").await;
}

async fn namespaces(bao: &Bao) {
    bao.write("sys/namespaces/department", "").await;
    bao.send(Method::POST, "department", "sys/mounts/kv", r#"{"type":"kv","options":{"version":"1"}}"#).await;
    bao.send(Method::POST, "department", "kv/hello", r#"{"foo":"of the department"}"#).await;
    let inside = vault(bao.port, &[("mount", "kv"), ("namespace", "department")]);
    assert_eq!(reads(&inside, "hello").await, r#"{"foo":"of the department"}"#);
    fails_with(&vault(bao.port, &[("mount", "kv")]), "hello", Kind::NotFound, "correct `mount` or `namespace`").await;
    let nowhere = vault(bao.port, &[("mount", "kv"), ("namespace", "nobody")]);
    fails_with(&nowhere, "hello", Kind::NotFound, "correct `namespace`").await;
}

async fn credentials(bao: &Bao) {
    let wrong = vault(bao.port, &[("mount", "old/kv"), ("token", "wrong-s3cret")]);
    fails_with(&wrong, "hello", Kind::Denied, "the token is wrong or expired").await;
    let none = vault(bao.port, &[("mount", "old/kv"), ("token", "")]);
    fails_with(&none, "hello", Kind::Denied, "set `token`").await;
}

#[tokio::test]
async fn a_sealed_vault_says_so() {
    let Some(binary) = binary() else { return };
    let bao = Bao::start(&binary, &[]).await;
    bao.write("sys/seal", "").await;
    fails_with(&vault(bao.port, &[]), "hello", Kind::Unavailable, "the vault is sealed: unseal it").await;
}

#[tokio::test]
async fn tls_with_a_private_ca() {
    let Some(binary) = binary() else { return };
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Ca::new(directory.path(), "ours"), Ca::new(directory.path(), "theirs"));
    let good = ours.issue("good", "DNS:localhost,IP:127.0.0.1", VALID);
    let expired = ours.issue("expired", "IP:127.0.0.1", EXPIRED);
    let named = ours.issue("named", "DNS:vault.internal", VALID);
    let bao = Bao::start(&binary, &[&good, &expired, &named]).await;
    bao.write("secret/data/hello", r#"{"data":{"foo":"over TLS"}}"#).await;
    let [good, expired, named] = bao.tls_ports[..] else { panic!("three listeners") };
    let over_tls = |port, more: &[(&str, &str)]| {
        let mut options = vec![("protocol", "https"), ("kv", "v2")];
        options.extend(more);
        vault(port, &options)
    };
    let ca = ours.pair.path();

    let document = r#"{"foo":"over TLS"}"#;
    assert_eq!(reads(&over_tls(good, &[("ca_cert", ca)]), "hello").await, document);
    assert_eq!(reads(&over_tls(good, &[("ca_cert", &ours.pair.pem())]), "hello").await, document);
    assert_eq!(reads(&over_tls(good, &[("ca_cert", ca), ("host", "localhost")]), "hello").await, document);
    assert_eq!(reads(&over_tls(good, &[("ca_cert", &ours.pair.pem().replace('\n', "\\n"))]), "hello").await, document);
    for unchecked in [("ssl_verify", "false"), ("tls_skip_verify", "true"), ("skip_verify", "true")] {
        assert_eq!(reads(&over_tls(expired, &[unchecked]), "hello").await, document);
    }
    assert_eq!(
        reads(&over_tls(named, &[("ca_cert", ca), ("tls_server_name", "vault.internal")]), "hello").await,
        document
    );

    fails_with(
        &over_tls(good, &[("ca_cert", theirs.pair.path())]),
        "hello",
        Kind::Tls,
        "set `ca_cert` or SSL_CERT_FILE to that CA",
    )
    .await;
    fails_with(&over_tls(good, &[]), "hello", Kind::Tls, "set `ca_cert` or SSL_CERT_FILE to that CA").await;
    fails_with(&over_tls(expired, &[("ca_cert", ca)]), "hello", Kind::Tls, "has expired").await;
    fails_with(&over_tls(named, &[("ca_cert", ca)]), "hello", Kind::Tls, "`tls_server_name`").await;
    fails_with(&over_tls(bao.port, &[("ca_cert", ca)]), "hello", Kind::Tls, "does not speak TLS").await;
    fails_with(&vault(good, &[("kv", "v2")]), "hello", Kind::Invalid, "set `protocol` to https").await;
}
