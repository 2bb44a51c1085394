//! The `conjur` vault against a server that speaks Conjur's protocol: what is read, and what each refusal says.

mod support;

use std::sync::Arc;

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::certs::{Ca, VALID};
use support::conjur::{Conjur, build, fails, fetch, harmless, reads, try_build};
use support::cyberark::{ACCOUNT, KEY, LOGIN, refusal};
use support::resolve::Process;
use support::{Fake, answer, closed_port};

#[tokio::test]
async fn values_versions_and_names() {
    let Some(conjur) = Conjur::start().await else { return };
    let vault = conjur.usual();
    assert_eq!(reads(&vault, "BotApp/secretVar").await, r#"{"user":"two"}"#);
    assert_eq!(reads(&vault, "BotApp/secretVar#1").await, "one");
    assert_eq!(reads(&vault, "BotApp/secretVar#2").await, r#"{"user":"two"}"#);
    assert_eq!(fetch(&vault, "bin").await.unwrap(), b"\x00\xff");
    assert_eq!(reads(&vault, "a b+c,d?e#f%2F").await, "odd");
    let asked = conjur.world().asked.clone();
    let login = "POST /authn/acct/host%2FBotApp%2Fmy%20app%2B1/authenticate";
    assert_eq!(asked.iter().filter(|line| *line == login).count(), 1, "{asked:?}");
    assert!(asked.contains(&"GET /secrets/acct/variable/BotApp%2FsecretVar".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn references_as_kong_documents_them() {
    let Some(conjur) = Conjur::start().await else { return };
    let process = Process::new(
        &[
            ("KONG_VAULT_CONJUR_ENDPOINT_URL", &conjur.url()),
            ("KONG_VAULT_CONJUR_AUTH_METHOD", "api_key"),
            ("KONG_VAULT_CONJUR_ACCOUNT", ACCOUNT),
            ("KONG_VAULT_CONJUR_LOGIN", LOGIN),
            ("KONG_VAULT_CONJUR_API_KEY", KEY),
        ],
        &["hunter2"],
    );
    for (reference, value) in [
        ("{vault://conjur/BotApp%2FsecretVar}", r#"{"user":"two"}"#),
        ("{vault://conjur/BotApp%2FsecretVar/user}", "two"),
        ("{vault://conjur/BotApp/secretVar/}", r#"{"user":"two"}"#),
        ("{vault://conjur/BotApp%2FsecretVar#1}", "one"),
        ("{vault://conjur/plain}", "plain"),
        ("{vault://conjur/bin?base64_decode=false}", "\u{0}"),
    ] {
        if reference.contains("/bin") {
            assert_eq!(process.bytes(reference).await, b"\x00\xff");
        } else {
            assert_eq!(process.reads(reference).await, value, "{reference}");
        }
    }
    // A policy's slash that is not encoded makes the last part a field.
    process.fails("{vault://conjur/BotApp/secretVar}", Kind::NotFound, "with %2F for the slashes of policies").await;
}

#[tokio::test]
async fn what_is_missing_denied_or_wrong_is_told_apart() {
    let Some(conjur) = Conjur::start().await else { return };
    let vault = conjur.usual();
    for (reference, kind, part) in [
        ("none", Kind::NotFound, "no value of the variable none: check the name"),
        ("empty", Kind::NotFound, "no value of the variable empty"),
        ("invisible", Kind::NotFound, "may see it (`read`)"),
        ("BotApp/secretVar#9", Kind::NotFound, "no version 9 of the variable BotApp/secretVar"),
        ("BotApp/secretVar#0", Kind::NotFound, "versions count from 1"),
        ("denied", Kind::Denied, "may not read the variable denied: grant its host the privilege `execute`"),
    ] {
        fails(&vault, reference, kind, part).await;
    }
    let place = format!("conjur vault (mine) at {}: ", conjur.host());
    let text = fails(&vault, "none", Kind::NotFound, "").await.to_string();
    assert!(text.starts_with(&place) && text.ends_with(" (status 404)"), "{text}");
    for (bytes, kind, part) in [
        (refusal(422, "argument_error", "hunter2"), Kind::Invalid, "is not accepted: check the reference"),
        (answer("404 Not Found", "", "<html>hunter2</html>"), Kind::Invalid, "not one of Conjur: check endpoint_url"),
        (answer("405 Method Not Allowed", "", "hunter2"), Kind::Invalid, "not one of Conjur"),
    ] {
        conjur.world().next = vec![bytes];
        fails(&vault, "plain", kind, part).await;
    }
}

#[tokio::test]
async fn refused_logins_are_told_apart() {
    let Some(conjur) = Conjur::start().await else { return };
    let with = |options: &[(&str, &str)]| {
        let mut all = vec![("login", LOGIN), ("api_key", KEY)];
        all.extend(options);
        conjur.vault(&all, &[])
    };
    for options in [[("api_key", "hunter2-other")], [("login", "host/none")], [("account", "none")]] {
        let error = fails(&with(&options), "plain", Kind::Denied, "is not accepted by authn: check `login`").await;
        assert!(error.is_of_login(), "{error}");
        assert!(error.to_string().contains("Conjur's log has the reason (status 401)"), "{error}");
    }
    for (bytes, kind, part) in [
        (answer("403 Forbidden", "", "hunter2"), Kind::Denied, "`authenticate` on the webservice"),
        (answer("404 Not Found", "", "<html>hunter2"), Kind::Invalid, "there is no login by authn: check endpoint_url"),
        (answer("429 Slow", "retry-after: 7\r\n", "hunter2"), Kind::Throttled, "too many requests"),
        (answer("503 Later", "", "hunter2"), Kind::Unavailable, "failed: try again"),
        (answer("200 OK", "", "<html>hunter2"), Kind::Invalid, "the answer to the login is not a token of Conjur"),
        (answer("200 OK", "", "{}"), Kind::Invalid, "not a token of Conjur: check endpoint_url"),
    ] {
        conjur.world().next_login = vec![bytes];
        let error = fails(&with(&[]), "plain", kind, part).await;
        assert!(error.is_of_login(), "{error}");
        let wait = (kind == Kind::Throttled).then_some(7);
        assert_eq!(error.retry_after().map(|wait| wait.as_secs()), wait);
    }
}

#[tokio::test]
async fn who_redirects_or_does_not_answer_is_told() {
    let Some(conjur) = Conjur::start().await else { return };
    let other = Fake::start(|_| answer("200 OK", "", "hunter2")).await;
    let location = format!("location: http://{}/\r\n", other.address);
    let vault = conjur.usual();
    conjur.world().next = vec![answer("307 Elsewhere", &location, "")];
    fails(&vault, "plain", Kind::Invalid, "never followed: correct endpoint_url").await;
    conjur.world().next_login = vec![answer("302 Elsewhere", &location, "")];
    fails(&conjur.usual(), "plain", Kind::Invalid, "never followed").await;
    assert_eq!(other.connections(), 0);
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let vault = build(&[("endpoint_url", &nobody), ("account", ACCOUNT), ("login", LOGIN), ("api_key", KEY)], &[]);
    fails(&vault, "plain", Kind::Unavailable, "connection refused").await;
}

#[tokio::test]
async fn only_what_may_pass_is_tried_again() {
    for (status, kind, attempts) in [
        ("429 Slow", Kind::Throttled, 3),
        ("500 Oh", Kind::Unavailable, 3),
        ("503 Later", Kind::Unavailable, 3),
        ("403 Forbidden", Kind::Denied, 1),
        ("404 Not Found", Kind::Invalid, 1),
    ] {
        let server = Fake::start(move |request| match request.starts_with("POST /authn/") {
            // The login's connection is closed and not to be used for what follows at once.
            true => {
                answer("200 OK", "connection: close\r\n", r#"{"protected":"x","payload":"x","signature":"hunter2"}"#)
            }
            false => answer(status, "", "hunter2"),
        })
        .await;
        let process = Process::new(
            &[
                ("KONG_VAULT_CONJUR_ENDPOINT_URL", &format!("http://{}/", server.address)),
                ("KONG_VAULT_CONJUR_ACCOUNT", ACCOUNT),
                ("KONG_VAULT_CONJUR_LOGIN", LOGIN),
                ("KONG_VAULT_CONJUR_API_KEY", KEY),
            ],
            &["hunter2"],
        );
        process.fails("{vault://conjur/plain}", kind, "conjur vault (conjur)").await;
        // The login once.
        assert_eq!(server.connections(), attempts + 1, "{status}");
    }
}

#[tokio::test]
async fn names_that_could_lead_elsewhere_are_refused_before_anything_is_sent() {
    let server = Fake::start(|_| answer("200 OK", "", "hunter2")).await;
    let address = format!("http://{}", server.address);
    let process = Process::new(
        &[
            ("KONG_VAULT_CONJUR_ENDPOINT_URL", &address),
            ("KONG_VAULT_CONJUR_ACCOUNT", ACCOUNT),
            ("KONG_VAULT_CONJUR_LOGIN", LOGIN),
            ("KONG_VAULT_CONJUR_API_KEY", KEY),
        ],
        &["hunter2"],
    );
    let long = format!("{{vault://conjur/{}}}", "x".repeat(2049));
    for (reference, kind, part) in [
        ("{vault://conjur/..%2F..%2Fauthn}", Kind::Reference, "the parts . and .."),
        ("{vault://conjur/..}", Kind::Reference, "the parts . and .."),
        ("{vault://conjur/a%2F..%2Fb}", Kind::Reference, "the parts . and .."),
        ("{vault://conjur/a%5C..%5Cb}", Kind::Reference, "the parts . and .."),
        ("{vault://conjur/a%0d%0ax-y:%20z}", Kind::Reference, "control characters"),
        ("{vault://conjur/a%00}", Kind::Reference, "control characters"),
        (&long, Kind::Reference, "1 to 2048 bytes"),
        ("{vault://conjur/a?endpoint_url=http://127.0.0.1:1}", Kind::Config, "endpoint_url"),
        ("{vault://conjur/a?account=b}", Kind::Config, "account"),
        ("{vault://conjur/a?login=host/b}", Kind::Config, "login"),
        ("{vault://conjur/a?api_key=b}", Kind::Config, "api_key"),
        ("{vault://conjur/a?auth_method=jwt}", Kind::Config, "auth_method"),
        ("{vault://conjur/a?jwt_file=/etc/passwd}", Kind::Config, "jwt_file"),
        ("{vault://conjur/a?token_file=/etc/passwd}", Kind::Config, "token_file"),
        ("{vault://conjur/a?service_id=b}", Kind::Config, "service_id"),
        ("{vault://conjur/a?proxy=http://127.0.0.1:1}", Kind::Config, "proxy"),
        ("{vault://conjur/a?version=2}", Kind::Config, "version"),
    ] {
        process.fails(reference, kind, part).await;
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_path_before_all_others_and_cyberarks_variables() {
    let Some(conjur) = Conjur::start().await else { return };
    conjur.world().base = "/api";
    let url = format!("{}/api/", conjur.url());
    let variables = [
        ("CONJUR_APPLIANCE_URL", url.as_str()),
        ("CONJUR_ACCOUNT", ACCOUNT),
        ("CONJUR_AUTHN_LOGIN", LOGIN),
        ("CONJUR_AUTHN_API_KEY", KEY),
    ];
    assert_eq!(reads(&build(&[], &variables), "plain").await, "plain");
    // The same address in an option.
    let same = format!("{}/api", conjur.url());
    assert_eq!(reads(&build(&[("endpoint_url", &same)], &variables), "plain").await, "plain");
    // Another address gets none of them, also where no variable has one.
    for variables in [&variables[..], &variables[1..]] {
        let other = [("endpoint_url", "http://127.0.0.1:1"), ("account", ACCOUNT)];
        let error = try_build(&other, variables).err().expect("no login");
        harmless(&error, "no host or user that logs in: set login");
        harmless(&error, "CONJUR_AUTHN_LOGIN is only used for the Conjur of CONJUR_APPLIANCE_URL");
    }
    for (options, environment, part) in [
        (vec![], vec![], "no address of Conjur: set endpoint_url"),
        (vec![], vec![("CONJUR_APPLIANCE_URL", "hunter2")], "CONJUR_APPLIANCE_URL is no URL"),
        (vec![], vec![("CONJUR_APPLIANCE_URL", "https://u:hunter2@x/")], "CONJUR_APPLIANCE_URL is no URL"),
        (
            vec![],
            variables[..1].to_vec(),
            "no account: set account (vault_conjur_account or KONG_VAULT_CONJUR_ACCOUNT)",
        ),
        (vec![], variables[..2].to_vec(), "no host or user that logs in"),
        (vec![], variables[..3].to_vec(), "no API key: set api_key"),
        (vec![("auth_method", "jwt")], variables.to_vec(), "no service id of the authenticator: set service_id"),
        (vec![("auth_method", "iam")], variables.to_vec(), "no service id of the authenticator"),
        (vec![("auth_method", "token_file")], variables.to_vec(), "no file with an access token: set token_file"),
        (vec![("auth_method", "gcp"), ("login", "Dave@BotApp")], variables.to_vec(), "must be a host"),
    ] {
        let error = try_build(&options, &environment).err().expect(part);
        harmless(&error, part);
        assert_eq!(error.kind(), Kind::Config);
    }
}

#[tokio::test]
async fn tls_with_a_private_ca() {
    let Some(conjur) = Conjur::start().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Ca::new(directory.path(), "ours"), Ca::new(directory.path(), "theirs"));
    let port = conjur.secure(&ours.issue("server", "DNS:localhost,DNS:conjur.internal", VALID));
    let (url, other) = (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    let with = |url: &str, options: &[(&str, &str)], variables: &[(&str, &str)]| {
        let mut all = vec![("endpoint_url", url), ("account", ACCOUNT), ("login", LOGIN), ("api_key", KEY)];
        all.extend(options);
        build(&all, &[variables, &[("CONJUR_APPLIANCE_URL", url)]].concat())
    };
    let (path, pem) = (ours.pair.path(), ours.pair.pem());
    for vault in [
        with(&url, &[("ca_cert", path)], &[]),
        with(&url, &[("ca_cert", &pem)], &[("CONJUR_CERT_FILE", theirs.pair.path())]),
        with(&url, &[], &[("CONJUR_CERT_FILE", path)]),
        with(&url, &[], &[("CONJUR_SSL_CERTIFICATE", &pem)]),
        with(&url, &[("ssl_verify", "false")], &[]),
        with(&other, &[("ca_cert", path), ("tls_server_name", "conjur.internal")], &[]),
    ] {
        assert_eq!(reads(&vault, "plain").await, "plain");
    }
    fails(&with(&url, &[], &[]), "plain", Kind::Tls, "from a CA that is not trusted").await;
    fails(&with(&url, &[], &[("CONJUR_CERT_FILE", theirs.pair.path())]), "plain", Kind::Tls, "not trusted").await;
    fails(&with(&other, &[("ca_cert", path)], &[]), "plain", Kind::Tls, "").await;
}

#[tokio::test]
async fn doctor_checks_each_step() {
    let Some(conjur) = Conjur::start().await else { return };
    let findings = |vault: Arc<dyn Backend>, name: Option<&'static str>| async move {
        let id = name.map(|name| kong_vault::backend::SecretId { resource: name.to_owned(), version: None });
        let found = vault.diagnose(id.as_ref()).await.0;
        found.iter().map(|it| format!("{} {:?} {}", it.step, it.verdict, it.text)).collect::<Vec<_>>().join("\n")
    };
    for (vault, name, part) in [
        (conjur.usual(), None, "read Good Conjur accepts the token"),
        (
            conjur.usual(),
            Some("plain"),
            "login Good an access token with the API key as host/BotApp/my app+1, for a time",
        ),
        (conjur.usual(), Some("plain"), "read Good the variable has 5 bytes"),
        (conjur.usual(), Some("denied"), "read Bad conjur vault (mine)"),
        (conjur.vault(&[("login", LOGIN), ("api_key", "hunter2-x")], &[]), None, "login Bad conjur vault (mine)"),
        (conjur.usual(), Some("a/../b"), "reference Bad"),
    ] {
        let text = findings(vault, name).await;
        assert!(text.contains(part) && !text.contains("hunter2"), "{part}: {text}");
    }
}
