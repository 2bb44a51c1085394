//! `kong-vault doctor` on vaults that are well, and on those that are ill in each of the usual ways.

mod support;

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use http::Method;
use support::bao::{self, Bao, ROOT};
use support::certs::{self, Ca, VALID};
use support::moto::{self, Moto};
use support::{Fake, answer, closed_port};

/// What is printed, whatever the status.
struct Told {
    status: i32,
    text: String,
}

impl Told {
    /// The line of a step. Whatever it is, no credential is in it.
    #[track_caller]
    fn line(&self, verdict: &str, step: &str) -> &str {
        let found =
            self.text.lines().find(|line| line.starts_with(verdict) && line[8..].trim_start().starts_with(step));
        found.unwrap_or_else(|| panic!("no line `{verdict} {step}` in\n{}", self.text))
    }

    #[track_caller]
    fn says(&self, verdict: &str, step: &str, text: &str) {
        let line = self.line(verdict, step);
        assert!(line.contains(text), "{text:?} is not in {line:?}");
    }

    fn steps(&self) -> Vec<&str> {
        let is_step = |line: &&str| ["ok ", "look at ", "WRONG "].iter().any(|verdict| line.starts_with(verdict));
        self.text.lines().filter(is_step).filter_map(|line| line[8..].split_whitespace().next()).collect()
    }
}

async fn doctor(vault: &str, variables: &[(&str, &str)]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-vault"));
    command.args(["doctor", vault, "--timeout", "5"]).env_clear();
    command.envs(variables.iter().copied()).env("AWS_EC2_METADATA_DISABLED", "true").env("NO_GCE_CHECK", "true");
    let output: Output =
        tokio::task::spawn_blocking(move || command.output().expect("the command")).await.expect("a run");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for (name, value) in variables {
        let is_secret = ["TOKEN", "PASSWORD", "SECRET_ID", "SECRET_ACCESS_KEY"].iter().any(|word| name.ends_with(word));
        assert!(!is_secret || !text.contains(value), "{name} is in\n{text}");
    }
    Told { status: output.status.code().expect("a status"), text }
}

fn at(port: u16) -> String {
    port.to_string()
}

#[tokio::test]
async fn a_vault_that_is_well_is_gone_to_step_by_step() {
    let Some(binary) = bao::binary() else { return };
    if !certs::available() {
        return support::skip("there is no openssl command");
    }
    let directory = tempfile::tempdir().unwrap();
    let ca = Ca::new(directory.path(), "ca");
    let server = Bao::start(&binary, &[&ca.issue("bao", "DNS:localhost", VALID)]).await;
    server.write("secret/data/db", r#"{"data":{"password":"s3cret-value"}}"#).await;
    let port = at(server.tls_ports[0]);
    let options = [
        ("KONG_VAULT_HCV_PROTOCOL", "https"),
        ("KONG_VAULT_HCV_HOST", "localhost"),
        ("KONG_VAULT_HCV_PORT", &port),
        ("KONG_VAULT_HCV_CA_CERT", ca.pair.path()),
        ("KONG_VAULT_HCV_KV", "v2"),
        ("KONG_VAULT_HCV_TOKEN", ROOT),
    ];
    let told = doctor("hcv", &options).await;
    assert_eq!(told.status, 0, "{}", told.text);
    assert_eq!(
        told.steps(),
        ["resolve", "connect", "TLS", "server", "credentials", "login", "token", "mount"],
        "{}",
        told.text
    );
    assert!(told.text.starts_with("hcv vault (hcv)\n"), "{}", told.text);
    told.says("ok", "resolve", "localhost is ");
    told.says("ok", "connect", &format!(":{port} accepts connections"));
    told.says("ok", "TLS", "TLS 1.3, HTTP/2, a certificate that `ca_cert` vouches for");
    told.says("ok", "server", "unsealed, active");
    told.says("ok", "credentials", "`auth_method` token, by `token`");
    told.says("look at", "token", "the policies root");
    told.says("ok", "mount", "secret is a kv v2 mount");

    let told = doctor("hcv/db/password", &options).await;
    assert_eq!(told.status, 0, "{}", told.text);
    told.says("ok", "capability", "secret/data/db");
    told.says("ok", "read", "the secret has");
    assert!(!told.text.contains("s3cret-value"), "{}", told.text);

    let mut older = options;
    older[4].1 = "v1";
    let told = doctor("hcv", &older).await;
    assert_eq!(told.status, 1);
    told.says("WRONG", "mount", "set `kv` to v2");
    let plain: Vec<_> = options.into_iter().filter(|(name, _)| *name != "KONG_VAULT_HCV_CA_CERT").collect();
    let told = doctor("hcv", &plain).await;
    assert_eq!((told.status, told.steps().last().copied()), (1, Some("TLS")), "{}", told.text);
    told.says("WRONG", "TLS", "from a CA that is not trusted: set `ca_cert`");
    let told = doctor("hcv", &[options.as_slice(), &[("KONG_VAULT_HCV_MOUNT", "nowhere")]].concat()).await;
    told.says("WRONG", "mount", "there is no nowhere");
}

#[tokio::test]
async fn a_wrong_token_and_rights_that_are_missing_are_told_apart() {
    let Some(binary) = bao::binary() else { return };
    let server = Bao::start(&binary, &[]).await;
    server.write("secret/data/db", r#"{"data":{"password":"s3cret-value"}}"#).await;
    let policy = r#"{"policy":"path \"secret/data/mine\" { capabilities = [\"read\"] }"}"#;
    server.write("sys/policies/acl/mine", policy).await;
    let created =
        server.write("auth/token/create", r#"{"id":"t0ken-of-the-gateway","policies":["mine"],"ttl":"1h"}"#).await;
    assert_eq!(created.status, 200);
    let port = at(server.port);
    let with = |token: &'static str| {
        [
            ("KONG_VAULT_HCV_PORT", port.clone()),
            ("KONG_VAULT_HCV_KV", "v2".to_owned()),
            ("KONG_VAULT_HCV_TOKEN", token.to_owned()),
        ]
    };
    let run = async |vault: &str, token| {
        let variables = with(token);
        doctor(vault, &variables.each_ref().map(|(name, value)| (*name, value.as_str()))).await
    };
    let told = run("hcv", "hvs.wr0ng").await;
    assert_eq!((told.status, told.steps().last().copied()), (1, Some("token")), "{}", told.text);
    told.says("WRONG", "token", "the vault does not know the token (status 403)");
    told.says("look at", "TLS", "set https");

    let told = run("hcv/mine", "t0ken-of-the-gateway").await;
    // An hour, or what is left of it.
    told.says("ok", "token", "the policies default, mine, and has ");
    told.says("ok", "token", " min left");
    told.says("ok", "capability", "read with secret/data/mine");
    told.says("WRONG", "read", "there is no secret/data/mine");
    let told = run("hcv/db/password", "t0ken-of-the-gateway").await;
    assert_eq!(told.status, 1);
    told.says("WRONG", "capability", r#"add `path "secret/data/db" { capabilities = ["read"] }`"#);
    told.says("WRONG", "read", "secret/data/db");
}

#[tokio::test]
async fn a_login_that_fails_ends_the_way() {
    let Some(binary) = bao::binary() else { return };
    let server = Bao::start(&binary, &[]).await;
    server.write("sys/auth/userpass", r#"{"type":"userpass"}"#).await;
    server.write("auth/userpass/users/gateway", r#"{"password":"right-passw0rd","token_policies":"default"}"#).await;
    let port = at(server.port);
    let mut options = [
        ("KONG_VAULT_HCV_PORT", port.as_str()),
        ("KONG_VAULT_HCV_KV", "v2"),
        ("KONG_VAULT_HCV_AUTH_METHOD", "userpass"),
        ("KONG_VAULT_HCV_USERPASS_USERNAME", "gateway"),
        ("KONG_VAULT_HCV_USERPASS_PASSWORD", "wr0ng-passw0rd"),
    ];
    let told = doctor("hcv", &options).await;
    assert_eq!((told.status, told.steps().last().copied()), (1, Some("login")), "{}", told.text);
    told.says("ok", "credentials", "`auth_method` userpass, by `userpass_username` gateway, `userpass_password`");
    told.says("WRONG", "login", "userpass");
    options[4].1 = "right-passw0rd";
    let told = doctor("hcv", &options).await;
    told.says("ok", "login", "the vault gave a token");
    told.says("ok", "token", "default");
    options[4].0 = "UNRELATED_PASSWORD";
    let told = doctor("hcv", &options).await;
    assert_eq!((told.status, told.steps()), (1, vec!["options"]), "{}", told.text);
    told.says("WRONG", "options", "userpass_password");
}

#[tokio::test]
async fn a_sealed_vault_says_so() {
    let Some(binary) = bao::binary() else { return };
    let server = Bao::start(&binary, &[]).await;
    server.send(Method::PUT, "", "sys/seal", "").await;
    let port = at(server.port);
    let told = doctor("hcv", &[("KONG_VAULT_HCV_PORT", &port), ("KONG_VAULT_HCV_TOKEN", ROOT)]).await;
    assert_eq!((told.status, told.steps().last().copied()), (1, Some("server")), "{}", told.text);
    told.says("WRONG", "server", "it is sealed: unseal it");
}

#[tokio::test]
async fn what_is_on_the_way_is_told_of() {
    let port = at(closed_port());
    let told = doctor("hcv", &[("KONG_VAULT_HCV_PORT", &port)]).await;
    assert_eq!((told.status, told.steps()), (1, vec!["resolve", "connect"]), "{}", told.text);
    told.says("ok", "resolve", "127.0.0.1 is an IP address");
    told.says("WRONG", "connect", "connection refused: check that the server runs and listens there");

    let told = doctor("hcv", &[("KONG_VAULT_HCV_HOST", "vault.invalid")]).await;
    told.says("WRONG", "resolve", "cannot resolve vault.invalid: check its spelling");

    let proxy = format!("http://user:hunter2@127.0.0.1:{port}");
    let told = doctor("hcv", &[("KONG_VAULT_HCV_HOST", "vault.invalid"), ("HTTP_PROXY", &proxy)]).await;
    told.says("ok", "resolve", &format!("the proxy 127.0.0.1:{port}, which resolves the vault's own host"));
    told.says("WRONG", "connect", &format!("vault.invalid:8200: the proxy 127.0.0.1:{port}: connection refused"));
    assert!(!told.text.contains("hunter2"), "{}", told.text);

    let told = doctor("hcv", &[("KONG_VAULT_HCV_HOST", "unix:///nowhere/agent.sock")]).await;
    told.says("WRONG", "connect", "unix:///nowhere/agent.sock: there is no such socket");

    let other = Fake::lasting("127.0.0.1:0", |_| answer("200 OK", "", "<html>")).await.unwrap();
    let port = at(other.port());
    let told = doctor("hcv", &[("KONG_VAULT_HCV_PORT", &port)]).await;
    told.says("WRONG", "server", "the server is not a vault");
    let plain = Fake::greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let port = at(plain.port());
    let told = doctor("hcv", &[("KONG_VAULT_HCV_PORT", &port), ("KONG_VAULT_HCV_PROTOCOL", "https")]).await;
    told.says("WRONG", "TLS", "does not speak TLS there: set the protocol to http");
}

#[tokio::test]
async fn clocks_that_differ_are_told_of() {
    let server = Fake::lasting("127.0.0.1:0", |head| {
        if head.starts_with("GET /v1/sys/health?") {
            let body =
                r#"{"initialized":true,"sealed":false,"standby":false,"server_time_utc":1000000000,"version":"1.0"}"#;
            return answer("200 OK", "", body);
        }
        answer("403 Forbidden", "", r#"{"errors":["permission denied"]}"#)
    });
    let server = server.await.unwrap();
    let port = at(server.port());
    let told = doctor("hcv", &[("KONG_VAULT_HCV_PORT", &port), ("KONG_VAULT_HCV_TOKEN", "hvs.any-token")]).await;
    told.says("look at", "clock", "days ahead of the vault's");

    let aws = Fake::lasting("127.0.0.1:0", |_| {
        let headers = "date: Sun, 09 Sep 2001 01:46:40 GMT\r\n";
        answer("400 Bad Request", headers, r#"{"__type":"InvalidSignatureException","message":"Signature expired"}"#)
    });
    let url = format!("http://127.0.0.1:{}", aws.await.unwrap().port());
    let told = doctor("aws", &of_aws(&url)).await;
    assert_eq!(told.status, 1, "{}", told.text);
    told.says("look at", "clock", "this machine's clock is wrong (it is ");
    told.says("WRONG", "login", "correct this machine's clock");
}

fn of_aws(url: &str) -> [(&str, &str); 4] {
    [
        ("KONG_VAULT_AWS_REGION", "us-east-1"),
        ("KONG_VAULT_AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ]
}

#[tokio::test]
async fn secrets_manager_is_gone_to_step_by_step() {
    let Some(program) = moto::program() else { return };
    let server = Moto::start(&program).await;
    let url = format!("http://127.0.0.1:{}", server.port);
    let told = doctor("aws", &of_aws(&url)).await;
    assert_eq!(told.status, 0, "{}", told.text);
    assert_eq!(
        told.steps(),
        ["region", "resolve", "connect", "TLS", "credentials", "login", "read", "batch"],
        "{}",
        told.text
    );
    told.says("ok", "region", &format!("us-east-1, so that {url}/ is asked"));
    told.says("ok", "credentials", "from the environment");
    told.says("ok", "login", "AWS takes the signature");
    told.says("ok", "batch", "one request may read many secrets");
    let told = doctor("aws/nowhere/field", &of_aws(&url)).await;
    assert_eq!(told.status, 1, "{}", told.text);
    told.says("WRONG", "read", "nowhere");
    let told = doctor("aws", &of_aws(&url)[..2]).await;
    assert_eq!((told.status, told.steps().last().copied()), (1, Some("credentials")), "{}", told.text);
    let refusing = Fake::lasting("127.0.0.1:0", |_| {
        answer("400 Bad Request", "", r#"{"__type":"UnrecognizedClientException","message":"no"}"#)
    });
    let url = format!("http://127.0.0.1:{}", refusing.await.unwrap().port());
    let told = doctor("aws", &of_aws(&url)).await;
    assert_eq!(told.status, 1, "{}", told.text);
    told.says("WRONG", "login", "the access key or session token from the environment is not known");
}

#[tokio::test]
async fn a_missing_right_to_read_many_secrets_at_once_is_told_and_fails_nothing() {
    for (name, part) in [
        ("AccessDeniedException", "allow secretsmanager:BatchGetSecretValue on *"),
        ("UnknownOperationException", "BatchGetSecretValue is refused (status 400, UnknownOperationException)"),
    ] {
        let aws = Fake::lasting("127.0.0.1:0", move |request| {
            if request.contains("secretsmanager.BatchGetSecretValue") {
                return answer("400 Bad Request", "", &format!(r#"{{"__type":"{name}","Message":"hunter2"}}"#));
            }
            answer("200 OK", "", r#"{"Name":"db","SecretString":"hunter2"}"#)
        });
        let url = format!("http://127.0.0.1:{}", aws.await.unwrap().port());
        let told = doctor("aws/db", &of_aws(&url)).await;
        assert_eq!(told.status, 0, "{}", told.text);
        told.says("ok", "read", "the secret has 7 bytes");
        told.says("look at", "batch", part);
    }
}

#[tokio::test]
async fn what_a_profile_says_is_told_with_its_file_and_line() {
    let asked = Arc::new(Mutex::new(String::new()));
    let record = asked.clone();
    let aws = Fake::lasting("127.0.0.1:0", move |request| {
        record.lock().unwrap().push_str(request);
        answer("400 Bad Request", "", r#"{"__type":"ResourceNotFoundException","message":"no"}"#)
    });
    let host = format!("127.0.0.1:{}", aws.await.unwrap().port());
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config");
    let path = config.to_str().unwrap();
    let keys = "  aws_access_key_id = AKIDOFPROFILE\n  aws_secret_access_key: hunter2\n";
    let good = format!("[profile \"prod\"] # ours\n  region = eu-west-1\n  endpoint_url = http://{host}\n{keys}");
    let told = async |text: &str, name: &str| {
        std::fs::write(&config, text).unwrap();
        let told = doctor("aws", &[("AWS_CONFIG_FILE", path), ("AWS_PROFILE", name)]).await;
        assert!(!told.text.contains("hunter2"), "{}", told.text);
        told
    };
    let well = told(&good, "prod").await;
    assert_eq!(well.status, 0, "{}", well.text);
    well.says("ok", "profile", &format!("profile prod in {path}"));
    let by = format!("by region of profile prod ({path}, line 2) and endpoint_url of profile prod ({path}, line 3)");
    well.says("ok", "region", &format!("eu-west-1, so that http://{host}/ is asked, {by}"));
    well.says("ok", "credentials", "from profile prod");
    let asked = asked.lock().unwrap().to_lowercase();
    assert!(asked.contains(&format!("host: {host}")) && asked.contains("credential=akidofprofile/"), "{asked}");

    for (text, name, part) in [
        (good.as_str(), "prd", format!("profile prd (AWS_PROFILE) is not found ({path}, line 1, has prod")),
        ("[profile prod]\nhunter2\n", "prod", format!("{path} is malformed: line 2 has no `=`")),
        ("[profile prod]\noutput = json\n", "prod", format!("or region for profile prod in {path}")),
        ("[profile prod]\nregion = nowhere\n", "prod", format!("region of profile prod ({path}, line 2)")),
    ] {
        let ill = told(text, name).await;
        assert_eq!(ill.status, 1, "{}", ill.text);
        ill.says("WRONG", "region", &part);
    }
}

#[tokio::test]
async fn misuse_is_status_2_and_env_needs_no_way() {
    for vault in ["nowhere", "hcv@x", "{vault://hcv}", "hcv?host=evil"] {
        let told = doctor(vault, &[]).await;
        assert_eq!(told.status, 2, "{vault}: {}", told.text);
    }
    let told = doctor("env/some-name", &[("SOME_NAME", "s3cret-value")]).await;
    assert!(told.status == 0 && !told.text.contains("s3cret-value"), "{}", told.text);
    let told = doctor("hcv/a/b?host=127.0.0.2", &[]).await;
    assert_eq!((told.status, told.steps()), (1, vec!["options"]), "{}", told.text);
}
