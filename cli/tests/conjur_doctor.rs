//! `kong-vault get`, `check` and `doctor` on a Conjur that is well, and on one that is ill in each of the usual ways.

mod support;

use std::process::Command;

use support::clouds;
use support::conjur::Conjur;
use support::cyberark::{ACCOUNT, AWS_ID, AWS_KEY, AWS_SESSION, INSTANCE, KEY, LOGIN, MACHINE, POD, ROLE, pod_token};

struct Told {
    status: i32,
    text: String,
}

async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-vault"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = tokio::task::spawn_blocking(move || command.output().expect("the command")).await.expect("a run");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("hunter2") && !text.contains("eyJ"), "{text}");
    Told { status: output.status.code().expect("a status"), text }
}

#[tokio::test]
async fn every_way_to_log_in_gets_a_value_and_is_told_by_doctor() {
    let Some(conjur) = Conjur::start().await else { return };
    let url = conjur.url();
    let jwt = conjur.file("jwt", &pod_token(&conjur.signer, "conjur", 600));
    let token = conjur.world().give("sidecar", POD);
    let token = conjur.file("token", &token);
    let google = clouds::gce().await.address.to_string();
    let azure = format!("http://{}", clouds::azure().await.address);
    let ways: [(&[(&str, &str)], &str); 6] = [
        (
            &[("KONG_VAULT_CONJUR_LOGIN", LOGIN), ("KONG_VAULT_CONJUR_API_KEY", KEY)],
            "the API key as host/BotApp/my app+1",
        ),
        (
            &[
                ("KONG_VAULT_CONJUR_AUTH_METHOD", "jwt"),
                ("KONG_VAULT_CONJUR_SERVICE_ID", "k8s"),
                ("KONG_VAULT_CONJUR_JWT_FILE", &jwt),
            ],
            "the JWT in /",
        ),
        (
            &[
                ("KONG_VAULT_CONJUR_AUTH_METHOD", "iam"),
                ("KONG_VAULT_CONJUR_SERVICE_ID", "prod"),
                ("KONG_VAULT_CONJUR_LOGIN", ROLE),
                ("AWS_ACCESS_KEY_ID", AWS_ID),
                ("AWS_SECRET_ACCESS_KEY", AWS_KEY),
                ("AWS_SESSION_TOKEN", AWS_SESSION),
            ],
            "the AWS credentials as host/apps/123456789012/gateway",
        ),
        (
            &[
                ("KONG_VAULT_CONJUR_AUTH_METHOD", "azure"),
                ("KONG_VAULT_CONJUR_SERVICE_ID", "prod"),
                ("KONG_VAULT_CONJUR_LOGIN", MACHINE),
                ("KONG_VAULT_CONJUR_AZURE_ENDPOINTS", &url),
                ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &azure),
            ],
            "the Azure token as host/apps/machine",
        ),
        (
            &[
                ("KONG_VAULT_CONJUR_AUTH_METHOD", "gcp"),
                ("KONG_VAULT_CONJUR_LOGIN", INSTANCE),
                ("GCE_METADATA_HOST", &google),
            ],
            "the identity token of Google's metadata server",
        ),
        (
            &[("KONG_VAULT_CONJUR_AUTH_METHOD", "token_file"), ("KONG_VAULT_CONJUR_TOKEN_FILE", &token)],
            "the access token in /",
        ),
    ];
    let place = [("KONG_VAULT_CONJUR_ENDPOINT_URL", url.as_str()), ("KONG_VAULT_CONJUR_ACCOUNT", ACCOUNT)];
    for (way, who) in ways {
        let variables = [&place[..], way].concat();
        let got = run(&["get", "conjur/BotApp%2FsecretVar/user"], &variables).await;
        assert_eq!((got.status, got.text.as_str()), (0, "two\n"), "{way:?}");
        let told = run(&["doctor", "conjur/plain"], &variables).await;
        let is_told = told.text.contains(&format!("an access token with {who}"));
        assert!(told.status == 0 && is_told && told.text.contains("the variable has 5 bytes"), "{}", told.text);
        let told = run(&["doctor", "conjur"], &variables).await;
        assert!(told.status == 0 && told.text.contains("Conjur accepts the token"), "{}", told.text);
    }
}

#[tokio::test]
async fn what_is_wrong_ends_doctor_with_what_to_do() {
    let Some(conjur) = Conjur::start().await else { return };
    let url = conjur.url();
    let with = |more: &[(&'static str, &'static str)]| {
        let mut variables: Vec<(&str, String)> = vec![
            ("KONG_VAULT_CONJUR_ENDPOINT_URL", url.clone()),
            ("KONG_VAULT_CONJUR_ACCOUNT", ACCOUNT.to_owned()),
            ("KONG_VAULT_CONJUR_LOGIN", LOGIN.to_owned()),
            ("KONG_VAULT_CONJUR_API_KEY", KEY.to_owned()),
        ];
        variables.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        variables
    };
    for (asked, more, part) in [
        ("conjur", &[("KONG_VAULT_CONJUR_API_KEY", "hunter2-other")][..], "check `login`, `api_key` and `account`"),
        ("conjur/none", &[], "no value of the variable none: check the name (with %2F"),
        ("conjur/BotApp/secretVar", &[], "no value of the variable BotApp"),
        ("conjur/denied", &[], "grant its host the privilege `execute`"),
        ("conjur/a%2F..%2Fb", &[], "cannot have the parts . and .."),
        ("conjur", &[("KONG_VAULT_CONJUR_ACCOUNT", "")], "no account: set account"),
        ("conjur", &[("KONG_VAULT_CONJUR_ENDPOINT_URL", "http://127.0.0.1:1")], "connection refused"),
        ("conjur", &[("KONG_VAULT_CONJUR_AUTH_METHOD", "jwt")], "no service id of the authenticator: set service_id"),
        ("conjur", &[("KONG_VAULT_CONJUR_AUTH_METHOD", "oidc")], "api_key, jwt, iam, azure, gcp or token_file"),
    ] {
        let variables = with(more);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let told = run(&["doctor", asked], &variables).await;
        assert!(told.status != 0 && told.text.contains(part), "{asked} {more:?}: {}", told.text);
    }
}

#[tokio::test]
async fn entities_and_references_are_checked() {
    let Some(conjur) = Conjur::start().await else { return };
    let (url, environment) = (conjur.url(), [("CONJUR_KEY", KEY)]);
    let file = conjur.file(
        "kong.yml",
        &format!(
            "_format_version: '3.0'\nvaults:\n- {{prefix: mine, name: conjur, config: {{endpoint_url: '{url}', account: {ACCOUNT}, \
             login: '{LOGIN}', api_key: '{{vault://env/conjur-key}}'}}}}\n- {{prefix: sly, name: conjur, config: \
             {{endpoint_url: '{url}', azure_endpoints: ['{url}']}}}}\na: '{{vault://mine/BotApp%2FsecretVar/user}}'\n\
             b: '{{vault://mine/none}}'\nc: '{{vault://mine/plain?login=x}}'\n"
        ),
    );
    let told = run(&["check", &file, "--resolve"], &environment).await;
    assert_eq!(told.status, 1, "{}", told.text);
    for part in [
        "a {vault://mine/BotApp%2FsecretVar/user} ok",
        "no value of the variable none",
        "option login of the conjur vault (mine) is not allowed in a reference",
        "azure_endpoints",
    ] {
        let text = told.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(part), "{part}:\n{}", told.text);
    }
}
