//! The `aws` vault against a real server of AWS's API, which checks the signature where it is told to. It is started by
//! the tests; where `TEST_MOTO` does not name its program, they are skipped.

mod support;

use kong_vault::error::Kind;
use serde_json::json;
use support::moto::{Moto, element, program};
use support::resolve::Process;

const REGION: &str = "eu-central-1";

/// A process with some credentials, in `REGION`.
fn process(moto: &Moto) -> Process {
    let environment = [
        ("KONG_VAULT_AWS_ENDPOINT_URL", moto.endpoint().as_str()),
        ("KONG_VAULT_AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-key"),
        ("HOME", "/nonexistent"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Process::new(&environment, &["hunter2", "123456789012"])
}

#[tokio::test]
async fn secrets() {
    let Some(program) = program() else { return };
    let moto = Moto::start(&program).await;
    strings_and_fields(&moto).await;
    binaries(&moto).await;
    versions(&moto).await;
    names_and_arns(&moto).await;
    what_is_not_there(&moto).await;
    regions(&moto).await;
    profiles(&moto).await;
}

async fn create(moto: &Moto, name: &str, value: &str) -> String {
    let created = moto.secrets(REGION, "CreateSecret", json!({ "Name": name, "SecretString": value })).await;
    created["ARN"].as_str().expect("an ARN").to_owned()
}

async fn strings_and_fields(moto: &Moto) {
    create(moto, "plain", "a value\nof two lines é").await;
    create(moto, "db", r#"{"user":"kong","password":"p\u00e4ss","port":5432,"encoded":"aGVsbG8=","empty":""}"#).await;
    let aws = process(moto);
    assert_eq!(aws.reads("{vault://aws/plain}").await, "a value\nof two lines é");
    assert_eq!(aws.reads("{vault://aws/db/user}").await, "kong");
    assert_eq!(aws.reads("{vault://aws/db/password}").await, "päss");
    assert_eq!(aws.reads("{vault://aws/db/empty}").await, "");
    assert_eq!(aws.reads("{vault://aws/db/encoded?base64_decode=true}").await, "hello");
    assert!(aws.reads("{vault://aws/db}").await.starts_with(r#"{"user":"kong""#));
    aws.fails("{vault://aws/db/nope}", Kind::NotFound, "subfield nope not found in JSON secret").await;
    aws.fails("{vault://aws/db/port}", Kind::Invalid, "unexpected number value in JSON secret for subfield port").await;
    aws.fails("{vault://aws/plain/user}", Kind::Invalid, "unable to json decode value").await;
    let large = "x".repeat(60_000);
    create(moto, "large", &large).await;
    assert_eq!(aws.reads("{vault://aws/large}").await, large);
}

async fn binaries(moto: &Moto) {
    let create = async |name: &str, base64: &str| {
        moto.secrets(REGION, "CreateSecret", json!({ "Name": name, "SecretBinary": base64 })).await;
    };
    create("bytes", "AP8AaGk=").await;
    create("document", "eyJhIjoiZmllbGQifQ==").await;
    let aws = process(moto);
    assert_eq!(aws.bytes("{vault://aws/bytes}").await, b"\x00\xff\x00hi");
    assert_eq!(aws.reads("{vault://aws/document/a}").await, "field");
    aws.fails("{vault://aws/bytes/a}", Kind::Invalid, "unable to json decode value").await;
}

async fn versions(moto: &Moto) {
    create(moto, "rotated", r#"{"n":"one"}"#).await;
    let aws = process(moto);
    aws.fails("{vault://aws/rotated#2}", Kind::NotFound, "AWSPREVIOUS").await;
    for value in [r#"{"n":"two"}"#, r#"{"n":"three"}"#] {
        moto.secrets(REGION, "PutSecretValue", json!({ "SecretId": "rotated", "SecretString": value })).await;
    }
    assert_eq!(aws.reads("{vault://aws/rotated}").await, r#"{"n":"three"}"#);
    assert_eq!(aws.reads("{vault://aws/rotated/n#1}").await, "three");
    assert_eq!(aws.reads("{vault://aws/rotated/n#2}").await, "two");
    aws.fails("{vault://aws/rotated/n#3}", Kind::NotFound, "no version 3: use #1 for AWSCURRENT, #2 for AWSPREVIOUS")
        .await;
}

async fn names_and_arns(moto: &Moto) {
    let arn = create(moto, "team/prod/db", r#"{"user":"nested"}"#).await;
    create(moto, "odd_+=.@-name", "odd").await;
    let aws = process(moto);
    assert_eq!(aws.reads("{vault://aws/team/prod/db/user}").await, "nested");
    assert_eq!(aws.reads("{vault://aws/team/prod/db/}").await, r#"{"user":"nested"}"#);
    assert_eq!(aws.reads("{vault://aws/team%2Fprod%2Fdb}").await, r#"{"user":"nested"}"#);
    assert_eq!(aws.reads(&format!("{{vault://aws/{arn}/user}}")).await, "nested");
    assert_eq!(aws.reads(&format!("{{vault://aws/{}/user}}", arn.replace('/', "%2F"))).await, "nested");
    assert_eq!(aws.reads("{vault://aws/odd_+=.@-name}").await, "odd");
}

async fn what_is_not_there(moto: &Moto) {
    create(moto, "gone", "hunter2").await;
    moto.secrets(REGION, "DeleteSecret", json!({ "SecretId": "gone", "RecoveryWindowInDays": 7 })).await;
    let aws = process(moto);
    let text = aws.fails("{vault://aws/nope}", Kind::NotFound, "no secret nope in eu-central-1").await;
    assert!(text.starts_with(&format!("aws vault (aws) at 127.0.0.1:{}: ", moto.port)), "{text}");
    assert!(text.contains("ResourceNotFoundException"), "{text}");
    aws.fails("{vault://aws/gone}", Kind::NotFound, "restore it (RestoreSecret)").await;
}

async fn regions(moto: &Moto) {
    let secret = json!({ "Name": "regional", "SecretString": "of the west" });
    moto.secrets("us-west-2", "CreateSecret", secret).await;
    let aws = process(moto);
    aws.fails("{vault://aws/regional}", Kind::NotFound, "no secret regional in eu-central-1").await;
    assert_eq!(aws.reads("{vault://aws/regional?region=us-west-2}").await, "of the west");
    let unset = aws.without(&["KONG_VAULT_AWS_REGION"]);
    assert_eq!(unset.with(&[("AWS_REGION", "us-west-2")]).reads("{vault://aws/regional}").await, "of the west");
    assert_eq!(unset.with(&[("AWS_DEFAULT_REGION", "us-west-2")]).reads("{vault://aws/regional}").await, "of the west");
    let text = unset.fails("{vault://aws/regional}", Kind::Config, "no region: set the option region").await;
    for part in ["vault_aws_region", "KONG_VAULT_AWS_REGION", "?region=", "AWS_REGION", "AWS_DEFAULT_REGION"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let elsewhere = aws.without(&["KONG_VAULT_AWS_ENDPOINT_URL"]);
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
        assert_eq!(elsewhere.with(&[(variable, &moto.endpoint())]).reads("{vault://aws/db/user}").await, "kong");
    }
}

async fn profiles(moto: &Moto) {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(".aws").join(name), text).unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let of_a_profile = process(moto)
        .without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "KONG_VAULT_AWS_REGION"])
        .with(&[("HOME", home.path().to_str().unwrap())]);
    let text =
        of_a_profile.fails("{vault://aws/db/user?region=eu-central-1}", Kind::Config, "no AWS credentials").await;
    assert!(text.contains("AWS_ACCESS_KEY_ID") && text.contains(".aws/credentials does not exist"), "{text}");

    write(
        "credentials",
        "[default]\naws_access_key_id = A\naws_secret_access_key = hunter2\n\n[prod]\naws_access_key_id = B\naws_secret_access_key = hunter2\naws_session_token = hunter2\n",
    );
    write("config", "[default]\nregion = us-west-2\n\n[profile prod]\nregion = eu-central-1\n");
    assert_eq!(of_a_profile.reads("{vault://aws/regional}").await, "of the west");
    let prod = of_a_profile.with(&[("AWS_PROFILE", "prod")]);
    assert_eq!(prod.reads("{vault://aws/db/user}").await, "kong");
    let nobody = of_a_profile.with(&[("AWS_PROFILE", "nobody"), ("AWS_REGION", REGION)]);
    nobody.fails("{vault://aws/db/user}", Kind::Config, "profile nobody (AWS_PROFILE) is not found").await;
}

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}"#;
const TRUST: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;

/// A user's access key.
async fn user(moto: &Moto, name: &str) -> (String, String) {
    moto.iam("CreateUser", &[("UserName", name)]).await;
    let key = moto.iam("CreateAccessKey", &[("UserName", name)]).await;
    (element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"))
}

#[tokio::test]
async fn a_server_that_checks_signatures() {
    let Some(program) = program() else { return };
    let moto = Moto::start(&program).await;
    create(&moto, "team/db", r#"{"user":"kong"}"#).await;
    let (id, key) = user(&moto, "reader").await;
    moto.iam("PutUserPolicy", &[("UserName", "reader"), ("PolicyName", "read"), ("PolicyDocument", POLICY)]).await;
    let (stranger, strangers_key) = user(&moto, "stranger").await;
    moto.iam("CreateRole", &[("RoleName", "gateway"), ("AssumeRolePolicyDocument", TRUST)]).await;
    moto.iam("PutRolePolicy", &[("RoleName", "gateway"), ("PolicyName", "read"), ("PolicyDocument", POLICY)]).await;
    let role = ("RoleArn", "arn:aws:iam::123456789012:role/gateway");
    let session = moto.query("sts", "2011-06-15", "AssumeRole", &[role, ("RoleSessionName", "kong")]).await;
    let (temporary, temporary_key) = (element(&session, "AccessKeyId"), element(&session, "SecretAccessKey"));
    let token = element(&session, "SessionToken");
    moto.check_signatures().await;

    let with = |id: &str, key: &str| process(&moto).with(&[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", key)]);
    let reference = "{vault://aws/team/db/user}";
    assert_eq!(with(&id, &key).reads(reference).await, "kong");
    assert_eq!(with(&id, &key).reads("{vault://aws/team%2Fdb?ttl=1}").await, r#"{"user":"kong"}"#);
    with(&id, "hunter2")
        .fails(reference, Kind::Denied, "the secret access key from the environment does not belong")
        .await;
    with(&id, &strangers_key).fails(reference, Kind::Denied, "the signature is wrong").await;
    with("AKIANOBODY", &key).fails(reference, Kind::Denied, "from the environment is not known").await;
    with(&stranger, &strangers_key).fails(reference, Kind::Denied, "allow secretsmanager:GetSecretValue on it").await;

    let in_session = with(&temporary, &temporary_key);
    assert_eq!(in_session.with(&[("AWS_SESSION_TOKEN", &token)]).reads(reference).await, "kong");
    in_session.with(&[("AWS_SESSION_TOKEN", "hunter2")]).fails(reference, Kind::Denied, "is not known").await;
    in_session.fails(reference, Kind::Denied, "is not known").await;

    let home = tempfile::tempdir().unwrap();
    let credentials = home.path().join("keys");
    std::fs::write(&credentials, format!("[prod]\naws_access_key_id={id}\naws_secret_access_key={key}\n")).unwrap();
    let of_a_profile = process(&moto)
        .without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
        .with(&[("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()), ("AWS_PROFILE", "prod")]);
    assert_eq!(of_a_profile.reads(reference).await, "kong");
    std::fs::write(&credentials, format!("[prod]\naws_access_key_id={id}\naws_secret_access_key=hunter2\n")).unwrap();
    of_a_profile.fails(reference, Kind::Denied, "the secret access key from profile prod does not belong").await;
}
