//! Every source of AWS credentials, each with a session that a server of AWS's API knows and whose signatures it checks.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use kong_vault::error::Kind;
use serde_json::json;
use support::amazon::{Session, agent, center, header, metadata, rfc3339};
use support::moto::{Moto, element, program};
use support::resolve::Process;
use support::{Fake, answer, closed_port};

const REGION: &str = "eu-central-1";
const SECRET: &str = "{vault://aws/team/db/user}";
const READ: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}"#;
const ASSUME: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}"#;
const TRUST: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
const TRUST_WITH_ID: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"shop-7"}}}]}"#;
const HOUR: Duration = Duration::from_secs(3600);

/// A server that checks signatures, a session of a role that may read, and a user who may only assume roles.
struct Aws {
    moto: Moto,
    session: Session,
    user: (String, String),
}

impl Aws {
    async fn start() -> Option<Aws> {
        let moto = Moto::start(&program()?).await;
        let secret = json!({ "Name": "team/db", "SecretString": r#"{"user":"kong"}"# });
        moto.secrets(REGION, "CreateSecret", secret).await;
        for (role, trust) in [("gateway", TRUST), ("guarded", TRUST_WITH_ID)] {
            moto.iam("CreateRole", &[("RoleName", role), ("AssumeRolePolicyDocument", trust)]).await;
            for (name, policy) in [("read", READ), ("assume", ASSUME)] {
                let policy = [("RoleName", role), ("PolicyName", name), ("PolicyDocument", policy)];
                moto.iam("PutRolePolicy", &policy).await;
            }
        }
        moto.iam("CreateUser", &[("UserName", "assumer")]).await;
        let policy = [("UserName", "assumer"), ("PolicyName", "assume"), ("PolicyDocument", ASSUME)];
        moto.iam("PutUserPolicy", &policy).await;
        let key = moto.iam("CreateAccessKey", &[("UserName", "assumer")]).await;
        let user = (element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"));
        let session = Session::of_role(&moto, "gateway").await;
        moto.check_signatures().await;
        Some(Aws { moto, session, user })
    }

    /// A process without any credentials.
    fn nobody(&self) -> Process {
        let endpoint = self.moto.endpoint();
        let environment = [
            ("KONG_VAULT_AWS_ENDPOINT_URL", endpoint.as_str()),
            ("KONG_VAULT_AWS_REGION", REGION),
            ("HOME", "/nonexistent"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("PATH", "/usr/bin:/bin"),
        ];
        Process::new(&environment, &["hunter2", "123456789012"])
    }

    /// The user's process, which asks this server for roles as well.
    fn assumer(&self) -> Process {
        let (id, key) = &self.user;
        self.nobody().with(&[
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", key),
            ("AWS_ENDPOINT_URL_STS", &self.moto.endpoint()),
        ])
    }
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

/// A process whose profiles are these.
fn with_config(process: &Process, home: &tempfile::TempDir, config: &str) -> Process {
    std::fs::create_dir_all(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    process.with(&[("HOME", home.path().to_str().unwrap())])
}

#[tokio::test]
async fn roles_on_top_of_each_source() {
    let Some(aws) = Aws::start().await else { return };
    let assumer = aws.assumer();
    assumer.fails(SECRET, Kind::Denied, "allow secretsmanager:GetSecretValue on it").await;
    let gateway = assumer.with(&[("KONG_VAULT_AWS_ASSUME_ROLE_ARN", &role("gateway"))]);
    assert_eq!(gateway.reads(SECRET).await, "kong");
    let guarded = assumer.with(&[("KONG_VAULT_AWS_ASSUME_ROLE_ARN", &role("guarded"))]);
    // This server asks nobody for an external id, but knows a wrong one.
    let other = guarded.with(&[("KONG_VAULT_AWS_EXTERNAL_ID", "shop-8")]);
    let text = other.fails(SECRET, Kind::Denied, "the environment may not assume the role guarded").await;
    assert!(text.contains("external id") && text.contains("AccessDenied"), "{text}");
    assert_eq!(guarded.with(&[("KONG_VAULT_AWS_EXTERNAL_ID", "shop-7")]).reads(SECRET).await, "kong");

    // The option is stronger than the variable, and the vault's own address is never asked for roles.
    let nowhere = format!("http://127.0.0.1:{}", closed_port());
    let elsewhere = gateway.with(&[("AWS_ENDPOINT_URL_STS", &nowhere)]);
    let text = elsewhere.fails(SECRET, Kind::Unavailable, "connection refused").await;
    assert!(text.starts_with("aws vault (aws) getting credentials at 127.0.0.1:"), "{text}");
    let option = [("KONG_VAULT_AWS_STS_ENDPOINT_URL", aws.moto.endpoint())];
    assert_eq!(elsewhere.with(&option.each_ref().map(|(name, url)| (*name, url.as_str()))).reads(SECRET).await, "kong");

    let wrong = gateway.with(&[("AWS_SECRET_ACCESS_KEY", "hunter2")]);
    wrong.fails(SECRET, Kind::Denied, "the secret access key from the environment does not belong").await;
    let unknown = gateway.with(&[("AWS_ACCESS_KEY_ID", "AKIANOBODY")]);
    unknown.fails(SECRET, Kind::Denied, "getting credentials at").await;

    let home = tempfile::tempdir().unwrap();
    let (id, key) = &aws.user;
    let keys = format!("[profile base]\naws_access_key_id={id}\naws_secret_access_key={key}\n");
    let roles = format!(
        "[default]\nrole_arn={}\nsource_profile=middle\nexternal_id=shop-7\n[profile middle]\nrole_arn={}\nsource_profile=base\n",
        role("guarded"),
        role("gateway")
    );
    let bare = assumer.without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    assert_eq!(with_config(&bare, &home, &(roles + &keys)).reads(SECRET).await, "kong");
    let of_environment = format!("[default]\nrole_arn={}\ncredential_source=Environment\n", role("gateway"));
    let unset = with_config(&bare, &home, &of_environment);
    unset.fails(SECRET, Kind::Config, "profile default takes credentials of Environment: AWS_ACCESS_KEY_ID").await;
}

#[tokio::test]
async fn no_reference_says_who_we_are() {
    let process = Process::new(&[("KONG_VAULT_AWS_REGION", REGION)], &["hunter2"]);
    for option in [
        "assume_role_arn",
        "role_session_name",
        "external_id",
        "sts_endpoint_url",
        "use_fips",
        "use_dualstack",
        "metadata_v1",
    ] {
        let reference = format!("{{vault://aws/a?{option}=hunter2}}");
        process.fails(&reference, Kind::Config, "is not allowed in a reference").await;
    }
}

#[tokio::test]
async fn a_program_that_writes_them() {
    let Some(aws) = Aws::start().await else { return };
    let home = tempfile::tempdir().unwrap();
    let run =
        |command: &str| with_config(&aws.nobody(), &home, &format!("[default]\ncredential_process = {command}\n"));
    let json = home.path().join("keys.json");
    std::fs::write(&json, aws.session.of_process(HOUR)).unwrap();
    let path = json.display();
    assert_eq!(run(&format!("cat \"{path}\"")).reads(SECRET).await, "kong");
    // The captured environment is its environment, and nothing else of this process is.
    let env = format!("test \"$KONG_VAULT_AWS_REGION\" = {REGION} && test -z \"$CARGO_MANIFEST_DIR\" && cat {path}");
    assert_eq!(run(&env).reads(SECRET).await, "kong");
    let odd = format!("sed 's/Expiration\":.*}}/Expiration\":\"2099-08-30 12:36:00+0000\"}}/' {path}");
    assert_eq!(run(&odd).reads(SECRET).await, "kong");
    for (command, kind, part) in [
        ("echo hunter2 >&2; exit 3", Kind::Unavailable, "the program failed with status 3"),
        ("/nonexistent/program", Kind::Config, "is not found or may not be run (status 127)"),
        ("echo hunter2", Kind::Invalid, "not the JSON of credentials"),
        ("echo '{\"Version\":1}'", Kind::Invalid, "no AccessKeyId and SecretAccessKey"),
        ("echo '{}'", Kind::Invalid, "no Version"),
        (&format!("sed 's/\"Version\":1/\"Version\":2/' {path}"), Kind::Invalid, "not of Version 1"),
        (&format!("sed 's/\"Version\":1,//' {path}"), Kind::Invalid, "no Version"),
        (
            &format!("sed 's/Expiration\":.*}}/Expiration\":4070908800}}/' {path}"),
            Kind::Invalid,
            "a number as Expiration",
        ),
        (
            &format!("sed 's/Expiration\":.*}}/Expiration\":\"2015-08-30 12:36:00+0000\"}}/' {path}"),
            Kind::Invalid,
            "credentials have expired",
        ),
        ("kill -9 $$", Kind::Unavailable, "status 137"),
        ("head -c 200000 /dev/zero", Kind::Invalid, "too long"),
    ] {
        let text = run(command).fails(SECRET, kind, part).await;
        assert!(text.contains("credential_process of profile default: "), "{text}");
    }
    let pid = home.path().join("pid");
    let stubborn = format!("trap '' TERM; echo $$ > {}; sleep 60; sleep 60", pid.display());
    let slow = run(&stubborn).with(&[("KONG_VAULT_FETCH_TIMEOUT", "0.5")]);
    let text = slow.fails(SECRET, Kind::Timeout, "from credential_process of profile default").await;
    assert!(text.contains("no credentials within 0.45 seconds"), "{text}");
    let pid = std::fs::read_to_string(pid).unwrap();
    let status = format!("/proc/{}/status", pid.trim());
    let start = Instant::now();
    while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
        assert!(start.elapsed() < Duration::from_secs(20), "the program runs on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// STS for web identities, as it refuses them.
async fn identities(session: Session) -> Fake {
    Fake::start(move |request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        let form: std::collections::BTreeMap<_, _> =
            url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let refuse = |status, name| {
            let xml = format!(
                "<E><Error><Code>{name}</Code><Message>hunter2 arn:aws:iam::123456789012:x</Message></Error></E>"
            );
            answer(status, "content-type: text/xml\r\n", &xml)
        };
        let is_anonymous = header(request, "authorization").is_none();
        match form.get("WebIdentityToken").map(String::as_str) {
            _ if form.get("Action").map(String::as_str) != Some("AssumeRoleWithWebIdentity") || !is_anonymous => {
                refuse("400 Bad Request", "InvalidAction")
            }
            _ if form.get("RoleArn") != Some(&role("gateway")) => refuse("403 Forbidden", "AccessDenied"),
            Some("hunter2.good.jwt") if form["RoleSessionName"] == "pod-1" => answer("200 OK", "", &session.xml(HOUR)),
            Some("hunter2.good.jwt") => refuse("400 Bad Request", "ValidationError"),
            Some("hunter2.late.jwt") => refuse("400 Bad Request", "ExpiredTokenException"),
            Some("hunter2.busy.jwt") => refuse("400 Bad Request", "IDPCommunicationError"),
            _ => refuse("400 Bad Request", "InvalidIdentityToken"),
        }
    })
    .await
}

#[tokio::test]
async fn a_web_identity() {
    let Some(aws) = Aws::start().await else { return };
    let sts = identities(aws.session.clone()).await;
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    let write = |text: &str| std::fs::write(&token, text).unwrap();
    let pod = aws.nobody().with(&[
        ("AWS_ENDPOINT_URL_STS", &format!("http://{}", sts.address)),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", &role("gateway")),
        ("AWS_ROLE_SESSION_NAME", "pod-1"),
    ]);
    pod.fails(SECRET, Kind::Config, "AWS_WEB_IDENTITY_TOKEN_FILE: ").await;
    write("hunter2.good.jwt\n");
    assert_eq!(pod.reads(SECRET).await, "kong");
    let stranger = pod.with(&[("AWS_ROLE_ARN", &role("other"))]);
    stranger.fails(SECRET, Kind::Denied, "may not assume the role other").await;
    let unnamed = pod.without(&["AWS_ROLE_SESSION_NAME"]);
    unnamed.fails(SECRET, Kind::Config, "its session's name or its duration is not accepted").await;
    for (text, kind, part) in [
        ("hunter2.late.jwt", Kind::Denied, "it has expired: check that the program that writes it renews it"),
        ("hunter2.other.jwt", Kind::Denied, "check its audience (sts.amazonaws.com)"),
        ("hunter2.busy.jwt", Kind::Unavailable, "failed: try again"),
        (" \n", Kind::Config, "is empty"),
    ] {
        write(text);
        pod.fails(SECRET, kind, part).await;
    }
    write("hunter2.good.jwt");
    let config = format!(
        "[default]\nrole_arn={}\nrole_session_name=pod-1\nweb_identity_token_file={}\n",
        role("gateway"),
        token.display()
    );
    let bare = pod.without(&["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"]);
    assert_eq!(with_config(&bare, &home, &config).reads(SECRET).await, "kong");
}

#[tokio::test]
async fn a_containers_agent() {
    let Some(aws) = Aws::start().await else { return };
    let agent = agent(aws.session.clone(), "hunter2-of-the-pod").await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    let url = format!("http://{}/v1/credentials", agent.address);
    let bare = aws.nobody().with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
    bare.fails(
        SECRET,
        Kind::Denied,
        "refuses its authorization token: check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE (status 401)",
    )
    .await;
    let with = |token| bare.with(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)]);
    assert_eq!(with("hunter2-of-the-pod").reads(SECRET).await, "kong");
    with("hunter2-other").fails(SECRET, Kind::Denied, "(status 403)").await;
    with("hunter2\r\nx: y").fails(SECRET, Kind::Config, "it holds a line break").await;

    let pod = bare.with(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap())]);
    pod.fails(SECRET, Kind::Config, "token does not exist").await;
    std::fs::write(&file, "hunter2-of-the-pod\n").unwrap();
    assert_eq!(pod.reads(SECRET).await, "kong");
    let misled = pod.with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url.replace("/v1/", "/v2/"))]);
    misled.fails(SECRET, Kind::Denied, "check the task's or pod's role and AWS_CONTAINER_CREDENTIALS_FULL_URI").await;
    let config = format!("[default]\nrole_arn={}\ncredential_source=EcsContainer\n", role("gateway"));
    let on_top = with_config(&pod, &home, &config).with(&[("AWS_ENDPOINT_URL_STS", &aws.moto.endpoint())]);
    assert_eq!(on_top.reads(SECRET).await, "kong");
}

#[tokio::test]
async fn an_instances_metadata() {
    let Some(aws) = Aws::start().await else { return };
    let (modern, old) = (metadata(aws.session.clone(), false).await, metadata(aws.session.clone(), true).await);
    let at = |port: u16| {
        let url = format!("http://127.0.0.1:{port}");
        let enabled = aws.nobody().without(&["AWS_EC2_METADATA_DISABLED"]);
        enabled.with(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)])
    };
    assert_eq!(at(modern.port()).reads(SECRET).await, "kong");
    let off = at(modern.port()).with(&[("AWS_EC2_METADATA_DISABLED", "TRUE")]);
    off.fails(SECRET, Kind::Config, "AWS_EC2_METADATA_DISABLED disables").await;
    at(old.port()).fails(SECRET, Kind::Config, "IMDSv1 is not allowed").await;
    for allowed in [("KONG_VAULT_AWS_METADATA_V1", "true"), ("AWS_EC2_METADATA_V1_DISABLED", "false")] {
        assert_eq!(at(old.port()).with(&[allowed]).reads(SECRET).await, "kong");
    }
    let contrary =
        at(old.port()).with(&[("KONG_VAULT_AWS_METADATA_V1", "off"), ("AWS_EC2_METADATA_V1_DISABLED", "false")]);
    contrary.fails(SECRET, Kind::Config, "IMDSv1 is not allowed").await;
    at(closed_port()).fails(SECRET, Kind::Config, "no metadata service of EC2 answers at 127.0.0.1:").await;
    let silent = Fake::silent().await;
    at(silent.port()).fails(SECRET, Kind::Config, "no metadata service of EC2 answers at 127.0.0.1:").await;
    let broken = Fake::start(|_| answer("500 Oh", "", "hunter2")).await;
    at(broken.port()).fails(SECRET, Kind::Unavailable, "EC2's metadata service failed: try again").await;
}

/// A token as `aws sso login` leaves it, that ends in some seconds.
fn cached(token: &str, lasts: i64, renewable: bool) -> String {
    let ends = |seconds: i64| match u64::try_from(seconds) {
        Ok(later) => rfc3339(SystemTime::now() + Duration::from_secs(later)),
        Err(_) => rfc3339(SystemTime::now() - Duration::from_secs(seconds.unsigned_abs())),
    };
    let mut token =
        json!({ "accessToken": token, "expiresAt": ends(lasts), "region": REGION, "startUrl": "https://x/start" });
    if renewable {
        token["refreshToken"] = json!("hunter2-refresh");
        token["clientId"] = json!("client");
        token["clientSecret"] = json!("hunter2-client");
        token["registrationExpiresAt"] = json!(ends(100_000));
    }
    token.to_string()
}

#[tokio::test]
async fn who_signed_on_to_iam_identity_center() {
    let Some(aws) = Aws::start().await else { return };
    let known = Arc::new(Mutex::new("hunter2-first".to_owned()));
    let center = center(aws.session.clone(), known.clone()).await;
    let url = format!("http://{}", center.address);
    let process = aws.nobody().with(&[("AWS_ENDPOINT_URL_SSO", &url), ("AWS_ENDPOINT_URL_SSO_OIDC", &url)]);
    let home = tempfile::tempdir().unwrap();
    let config = "[default]\nsso_session=corp\nsso_account_id=123456789012\nsso_role_name=reader\n[sso-session corp]\nsso_region=eu-central-1\nsso_start_url=https://x/start\n";
    let person = with_config(&process, &home, config);
    let text = person.fails(SECRET, Kind::Config, "does not exist: run `aws sso login`").await;
    // The file's name is that of AWS's command line: the SHA-1 of the session's name.
    let path = home.path().join(".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    std::fs::create_dir_all(home.path().join(".aws/sso/cache")).unwrap();
    let write = |text: String| std::fs::write(&path, text).unwrap();

    write(cached("hunter2-first", 3600, false));
    assert_eq!(person.reads(SECRET).await, "kong");
    write(cached("hunter2-other", 3600, false));
    person
        .fails(SECRET, Kind::Denied, "no longer knows the session of profile default: run `aws sso login` again")
        .await;
    write(cached("hunter2-first", -10, false));
    person.fails(SECRET, Kind::Denied, "has expired: run `aws sso login` again").await;
    let other = with_config(&process, &home, &config.replace("reader", "admin"));
    write(cached("hunter2-first", 3600, false));
    other.fails(SECRET, Kind::Denied, "may not use the account and role of profile default").await;

    let person = with_config(&process, &home, config);
    write(cached("hunter2-first", -10, true));
    assert_eq!(person.reads(SECRET).await, "kong");
    let renewed: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((&renewed["accessToken"], &renewed["startUrl"]), (&json!("hunter2-renewed"), &json!("https://x/start")));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(person.reads(SECRET).await, "kong", "the renewed one is kept");
    write(cached("hunter2-first", -10, true).replace("hunter2-refresh", "hunter2-gone"));
    person.fails(SECRET, Kind::Denied, "no longer knows the session").await;
}
