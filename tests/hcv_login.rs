//! Each way to log in, at a real OpenBao. Where `TEST_BAO` does not name its binary, they are skipped.

mod support;

use std::sync::Arc;

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::Fake;
use support::bao::{Bao, ROOT, binary};
use support::certs;
use support::login::{self, By, Signer};
use support::vault::{build, fails_with, reads};

const VALUE: &str = r#"{"foo":"bar"}"#;

fn vault(bao: &Bao, more: &[(&str, &str)]) -> Arc<dyn Backend> {
    let port = bao.port.to_string();
    let mut options = vec![("port", port.as_str()), ("kv", "v2")];
    options.extend(more);
    build(&options).expect("a backend")
}

/// A bao with what all tests read.
async fn start() -> Option<Bao> {
    let bao = Bao::start(&binary()?, &[]).await;
    login::prepare(&bao).await;
    Some(bao)
}

#[tokio::test]
async fn a_token_from_a_file_is_read_again() {
    let Some(bao) = start().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sink");
    std::fs::write(&path, format!("{ROOT}\n")).unwrap();
    let vault = vault(&bao, &[("token_file", path.to_str().unwrap())]);
    assert_eq!(reads(&vault, "hello").await, VALUE);
    let new = bao.write("auth/token/create", r#"{"policies":["reader"],"ttl":"1h"}"#).await;
    let new = login::text(&login::data(&new)["auth"]["client_token"]);
    std::fs::write(&path, &new).unwrap();
    assert_eq!(reads(&vault, "hello").await, VALUE);
    bao.write("auth/token/revoke", &format!(r#"{{"token":"{new}"}}"#)).await;
    fails_with(&vault, Kind::Denied, &["the token is wrong or expired"]).await;
    std::fs::write(&path, ROOT).unwrap();
    assert_eq!(reads(&vault, "hello").await, VALUE);
}

#[tokio::test]
async fn approle_with_a_secret_id_as_value_in_a_file_and_wrapped() {
    let Some(bao) = start().await else { return };
    login::mount(&bao, "approle").await;
    let (role, secret) = login::approle(&bao, "gateway", "").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret-id");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let file = file.to_str().unwrap();
    let approle = |more: &[(&str, &str)]| {
        let mut options = vec![("auth_method", "approle"), ("approle_role_id", role.as_str())];
        options.extend(more);
        vault(&bao, &options)
    };
    assert_eq!(reads(&approle(&[("approle_secret_id", &secret)]), "hello").await, VALUE);
    assert_eq!(reads(&approle(&[("approle_secret_id_file", file)]), "hello").await, VALUE);
    let everything = [("approle_secret_id", secret.as_str()), ("approle_auth_path", "/v1/auth/approle/login")];
    assert_eq!(reads(&approle(&everything), "hello").await, VALUE);

    let refused = approle(&[("approle_secret_id", "s3cret")]);
    fails_with(
        &refused,
        Kind::Denied,
        &["login by approle at auth/approle/login was refused", "`approle_role_id`", "(status 400)"],
    )
    .await;
    let nowhere = approle(&[("approle_secret_id", &secret), ("approle_auth_path", "nowhere")]);
    fails_with(
        &nowhere,
        Kind::Denied,
        &["login by approle at auth/nowhere/login", "or no such method is mounted there"],
    )
    .await;
    let no_namespace = approle(&[("approle_secret_id", &secret), ("auth_namespace", "nobody")]);
    fails_with(&no_namespace, Kind::Denied, &["no such namespace", "`auth_namespace`"]).await;

    let wrapped = |path: &'static str| {
        let bao = &bao;
        async move { login::text(&login::data(&bao.wrap(path, "{}").await)["wrap_info"]["token"]) }
    };
    let token = wrapped("auth/approle/role/gateway/secret-id").await;
    std::fs::write(file, &token).unwrap();
    let options = [("approle_secret_id_file", file), ("approle_response_wrapping", "true")];
    assert_eq!(reads(&approle(&options), "hello").await, VALUE);
    // What was unwrapped is known from then on.
    assert_eq!(reads(&approle(&options), "hello").await, VALUE);
    let stolen = wrapped("auth/approle/role/gateway/secret-id").await;
    bao.write_as(&stolen, "sys/wrapping/unwrap").await;
    let options = [("approle_secret_id", stolen.as_str()), ("approle_response_wrapping", "true")];
    fails_with(&approle(&options), Kind::Denied, &["already used or has expired", "stolen"]).await;
    let foreign = wrapped("sys/wrapping/wrap").await;
    let options = [("approle_secret_id", foreign.as_str()), ("approle_response_wrapping", "true")];
    fails_with(&approle(&options), Kind::Denied, &["not created by this AppRole method"]).await;
}

#[tokio::test]
async fn approle_without_a_secret_id_where_the_role_wants_none() {
    let Some(bao) = start().await else { return };
    login::mount(&bao, "approle").await;
    let (wants, secret) = login::approle(&bao, "wants", "").await;
    let free = r#"{"bind_secret_id":false,"token_bound_cidrs":"127.0.0.1/32","token_policies":"reader"}"#;
    bao.write("auth/approle/role/free", free).await;
    let role = login::text(&bao.read("auth/approle/role/free/role-id").await["data"]["role_id"]);
    let approle = |role: &str, more: &[(&str, &str)]| {
        let mut options = vec![("auth_method", "approle"), ("approle_role_id", role)];
        options.extend(more);
        vault(&bao, &options)
    };
    assert_eq!(reads(&approle(&role, &[]), "hello").await, VALUE);
    assert_eq!(reads(&approle(&role, &[("approle_secret_id", "")]), "hello").await, VALUE);
    let parts =
        ["login by approle at", "set `approle_secret_id` or `approle_secret_id_file`", "`bind_secret_id=false`"];
    fails_with(&approle(&wants, &[]), Kind::Denied, &parts).await;
    // Its content has to come from somewhere.
    let wrapped = ("approle_response_wrapping", "true");
    let parts = ["`approle_response_wrapping` is on", "set `approle_secret_id` or"];
    let port = bao.port.to_string();
    let nothing = [("port", port.as_str()), ("auth_method", "approle"), ("approle_role_id", role.as_str()), wrapped];
    let error = build(&nothing).err().expect("an error");
    assert!(error.kind() == Kind::Config && parts.iter().all(|part| error.to_string().contains(part)), "{error}");
    let as_it_is = ["if it is a plain secret id", "set `approle_response_wrapping` to false"];
    fails_with(&approle(&wants, &[wrapped, ("approle_secret_id", &secret)]), Kind::Denied, &as_it_is).await;
    for custom in ["a custom secret id", "p\u{e4}ss"] {
        let parts = ["the value is not a wrapping token", "set `approle_response_wrapping` to false"];
        fails_with(&approle(&wants, &[wrapped, ("approle_secret_id", custom)]), Kind::Config, &parts).await;
    }
}

#[tokio::test]
async fn a_login_in_one_namespace_for_secrets_in_another() {
    let Some(bao) = start().await else { return };
    let send =
        async |namespace: &str, path: &str, body: &str| bao.send(http::Method::POST, namespace, path, body).await;
    send("", "sys/namespaces/department", "").await;
    send("department", "sys/namespaces/team", "").await;
    send("department/team", "sys/mounts/kv", r#"{"type":"kv","options":{"version":"1"}}"#).await;
    send("department/team", "kv/hello", VALUE).await;
    let policy = r#"{"policy":"path \"team/kv/*\" { capabilities = [\"read\"] }"}"#;
    send("department", "sys/policies/acl/reader", policy).await;
    send("department", "sys/auth/userpass", r#"{"type":"userpass"}"#).await;
    send("department", "auth/userpass/users/gateway", r#"{"password":"p","token_policies":"reader"}"#).await;
    let user = |namespaces: &[(&str, &str)]| {
        let mut options = vec![("kv", "v1"), ("mount", "kv"), ("auth_method", "userpass")];
        options.extend([("userpass_username", "gateway"), ("userpass_password", "p"), ("revoke_on_exit", "true")]);
        options.extend(namespaces);
        vault(&bao, &options)
    };
    let both = [("namespace", "department/team"), ("auth_namespace", "department")];
    let reader = user(&both);
    assert_eq!(reads(&reader, "hello").await, VALUE);
    reader.shutdown().expect("a token to give back").await;
    fails_with(&user(&both[..1]), Kind::Denied, &["login by userpass at auth/userpass/login/gateway was refused"])
        .await;
    let root = user(&[both[0], ("auth_namespace", "root")]);
    fails_with(&root, Kind::Denied, &["or no such method is mounted there"]).await;
}

#[tokio::test]
async fn a_user_with_a_password() {
    let Some(bao) = start().await else { return };
    login::mount(&bao, "userpass").await;
    bao.write("auth/userpass/users/gate.way", r#"{"password":"p\"w","token_policies":"reader"}"#).await;
    let user = |name: &str, password: &str| {
        vault(&bao, &[("auth_method", "userpass"), ("userpass_username", name), ("userpass_password", password)])
    };
    assert_eq!(reads(&user("gate.way", "p\"w"), "hello").await, VALUE);
    for (name, password) in [("gate.way", "s3cret"), ("nobody", "p\"w"), ("../gate.way", "p\"w")] {
        fails_with(&user(name, password), Kind::Denied, &["login by userpass at", "`userpass_password`"]).await;
    }
}

#[tokio::test]
async fn jwt_as_it_is_in_a_file_and_from_an_identity_provider() {
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let Some(bao) = start().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::new(directory.path());
    login::jwt(&bao, &signer, "").await;
    let jwt = |more: &[(&str, &str)]| {
        let mut options = vec![("auth_method", "jwt"), ("oauth2_role_name", "gateway")];
        options.extend(more);
        vault(&bao, &options)
    };
    let token = signer.sign(&login::claims());
    assert_eq!(reads(&jwt(&[("jwt", &token)]), "hello").await, VALUE);
    let file = directory.path().join("token");
    std::fs::write(&file, &token).unwrap();
    assert_eq!(reads(&jwt(&[("jwt_file", file.to_str().unwrap())]), "hello").await, VALUE);
    let mut wrong = login::claims();
    wrong["sub"] = "somebody".into();
    let refused = jwt(&[("jwt", &signer.sign(&wrong))]);
    fails_with(&refused, Kind::Denied, &["login by jwt at auth/jwt/login was refused", "subject"]).await;

    let provider = login::provider(signer).await;
    let endpoint = format!("http://{}/oauth2/token", provider.address);
    let client = |secret: &str, audience: &str, method: &str| {
        jwt(&[
            ("auth_method", method),
            ("oauth2_token_endpoint", &endpoint),
            ("oauth2_client_id", "gateway"),
            ("oauth2_client_secret", secret),
            ("oauth2_audiences", audience),
        ])
    };
    assert_eq!(reads(&client("cl1ent-s3cret&=", "vault", "jwt"), "hello").await, VALUE);
    assert_eq!(reads(&client("cl1ent-s3cret&=", "vault", "oauth2"), "hello").await, VALUE);
    let at = format!("at {}: ", provider.address);
    let wrong =
        ["asking the identity provider at", "it refused the client credentials (invalid_client)", "(status 401)", &at];
    fails_with(&client("wrong", "vault", "jwt"), Kind::Denied, &wrong).await;
    fails_with(&client("cl1ent-s3cret&=", "other", "jwt"), Kind::Denied, &["login by jwt at", "audience"]).await;
    fails_with(&client("cl1ent-s3cret&=", "opaque", "jwt"), Kind::Denied, &["opaque token"]).await;
}

#[tokio::test]
async fn an_identity_provider_that_takes_basic_alone_or_the_form_alone() {
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let Some(bao) = start().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::new(directory.path());
    login::jwt(&bao, &signer, "").await;
    // As RFC 6749 has it: both encoded as in a form, then joined.
    let known = "Z2F0ZSUzQXdheStvbmU6Y2wxZW50LXMzY3JldCUyNiUzRA==";
    let signer = Arc::new(signer);
    let basic = login::provider_by(Arc::clone(&signer), By::Basic(known)).await;
    let form = login::provider_by(signer, By::Form).await;
    let client = |provider: &Fake, id: &str, secret: &str, auth: &str| {
        vault(
            &bao,
            &[
                ("auth_method", "oauth2"),
                ("oauth2_role_name", "gateway"),
                ("oauth2_token_endpoint", &format!("http://{}/oauth2/token", provider.address)),
                ("oauth2_client_id", id),
                ("oauth2_client_secret", secret),
                ("oauth2_audiences", "vault"),
                ("oauth2_client_auth", auth),
            ],
        )
    };
    let (odd, secret) = ("gate:way one", "cl1ent-s3cret&=");
    for auth in ["", "client_secret_basic"] {
        let vault = client(&basic, odd, secret, auth);
        assert_eq!(reads(&vault, "hello").await, VALUE, "{auth}");
        fails_with(&client(&basic, odd, "wr0ng", auth), Kind::Denied, &["(invalid_client)", "(status 401)"]).await;
    }
    for auth in ["", "client_secret_post"] {
        assert_eq!(reads(&client(&form, "gateway", secret, auth), "hello").await, VALUE, "{auth}");
        fails_with(&client(&form, "gateway", "wr0ng", auth), Kind::Denied, &["(invalid_client)"]).await;
    }
    let refused = ["it refused the client credentials (invalid_client)", "`oauth2_client_auth`"];
    fails_with(&client(&basic, odd, secret, "client_secret_post"), Kind::Denied, &refused).await;
    fails_with(&client(&form, "gateway", secret, "client_secret_basic"), Kind::Denied, &refused).await;
}

#[tokio::test]
async fn kubernetes_by_the_pods_service_account() {
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let Some(bao) = start().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::new(directory.path());
    let token = login::service_account(&signer, "gateway");
    let reviewer = login::reviewer(token.clone()).await;
    let ca = certs::Ca::new(directory.path(), "cluster").pair.pem();
    login::kubernetes(&bao, &reviewer, &ca, "").await;
    let file = directory.path().join("token");
    std::fs::write(&file, token).unwrap();
    let pod = |role: &str| {
        let file = file.to_str().unwrap();
        vault(&bao, &[("auth_method", "kubernetes"), ("kube_role", role), ("kube_api_token_file", file)])
    };
    assert_eq!(reads(&pod("gateway"), "hello").await, VALUE);
    fails_with(&pod("other"), Kind::Denied, &["login by kubernetes at auth/kubernetes/login", "`kube_role`"]).await;
    std::fs::write(&file, login::service_account(&signer, "other")).unwrap();
    fails_with(&pod("gateway"), Kind::Denied, &["service accounts and namespaces"]).await;
    std::fs::remove_file(&file).unwrap();
    let error = support::vault::fetch(&pod("gateway"), "hello").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("`kube_api_token_file`"), "{error}");
}

#[tokio::test]
async fn a_certificate() {
    let Some(binary) = binary() else { return };
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let ca = certs::Ca::new(directory.path(), "ours");
    let server = ca.issue("server", "IP:127.0.0.1", certs::VALID);
    let ours = ca.issue("gateway", "DNS:gateway", certs::VALID);
    let theirs = certs::Ca::new(directory.path(), "theirs").issue("gateway", "DNS:gateway", certs::VALID);
    let bao = Bao::start(&binary, &[&server]).await;
    login::prepare(&bao).await;
    login::mount(&bao, "cert").await;
    let role =
        serde_json::json!({"certificate": ca.pair.pem(), "allowed_dns_sans": "gateway", "token_policies": "reader"});
    bao.write("auth/cert/certs/gateway", &role.to_string()).await;
    let port = bao.tls_ports[0].to_string();
    let cert = |more: &[(&str, &str)]| {
        let mut options = vec![("port", port.as_str()), ("protocol", "https"), ("ca_cert", ca.pair.path())];
        options.push(("auth_method", "cert"));
        options.extend(more);
        vault(&bao, &options)
    };
    let key = |pair: &certs::Pair| std::fs::read_to_string(&pair.key).unwrap();
    let files = [("cert_auth_cert", ours.path()), ("cert_auth_cert_key", ours.key.to_str().unwrap())];
    assert_eq!(reads(&cert(&files), "hello").await, VALUE);
    let texts =
        [("cert_auth_cert", &*ours.pem()), ("cert_auth_cert_key", &key(&ours)), ("cert_auth_role_name", "gateway")];
    assert_eq!(reads(&cert(&texts), "hello").await, VALUE);
    let texts = [("client_cert", &*ours.pem()), ("client_key", &key(&ours))];
    assert_eq!(reads(&cert(&texts), "hello").await, VALUE);
    let refused = cert(&[("cert_auth_cert", &theirs.pem()), ("cert_auth_cert_key", &key(&theirs))]);
    fails_with(&refused, Kind::Denied, &["login by cert at auth/cert/login was refused", "`cert_auth_cert`"]).await;
    let other_role = cert(&[files[0], files[1], ("cert_auth_role_name", "other")]);
    fails_with(&other_role, Kind::Denied, &["`cert_auth_role_name`"]).await;
}
