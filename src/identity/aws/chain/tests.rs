mod table;

use aws_credential_types::Credentials;

use super::*;
use crate::environment::Environment;

/// A chain that never asks a metadata service.
fn chain(variables: &[(&str, &str)]) -> Result<Chain> {
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    let environment = Environment::from_variables(off.into_iter().chain(variables.iter().copied()));
    let transport = Transport::new("aws vault (mine)".to_owned(), &environment, Duration::from_secs(5));
    Chain::new(wanted(&transport), Clock::default())
}

pub fn wanted<'a>(transport: &'a Transport<'a>) -> Wanted<'a> {
    Wanted {
        transport,
        region: None,
        region_option: "the option region",
        keys: None,
        role: None,
        sts: None,
        fips: None,
        dualstack: None,
        metadata_v1: None,
    }
}

async fn login(variables: &[(&str, &str)]) -> Result<Login> {
    chain(variables)?.login("eu-west-1").await
}

fn keys(login: &Login) -> (String, String, Option<String>) {
    let keys = login.identity.data::<Credentials>().unwrap();
    let token = keys.session_token().map(str::to_owned);
    (keys.access_key_id().to_owned(), keys.secret_access_key().to_owned(), token)
}

#[tokio::test]
async fn the_environment_is_enough_and_loses_its_line_breaks() {
    let login = login(&[
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE\n"),
        ("AWS_SECRET_ACCESS_KEY", " wJalr/+\n"),
        ("AWS_SESSION_TOKEN", "token=="),
        ("HOME", "/nonexistent"),
    ])
    .await
    .unwrap();
    assert_eq!(keys(&login), ("AKIDEXAMPLE".into(), "wJalr/+".into(), Some("token==".into())));
    assert_eq!(&*login.origin, "the environment");
}

#[tokio::test]
async fn an_empty_token_is_none() {
    let variables = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_SESSION_TOKEN", "")];
    let login = login(&variables).await.unwrap();
    assert_eq!(keys(&login).2, None);
    assert!(!format!("{login:?}").contains("hunter2"), "{login:?}");
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_without_being_shown() {
    for (id, token) in [("AKI\u{7}D", "t"), ("AKID", "hunter2\r\nX: y"), ("AKID", "hunter2 é")] {
        let variables = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", "s3cr3t"), ("AWS_SESSION_TOKEN", token)];
        let error = chain(&variables).err().unwrap();
        assert_eq!(error.kind(), Kind::Config);
        let text = error.to_string();
        assert!(text.starts_with("aws vault (mine): access key or session token from the environment"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("s3cr3t") && !text.contains("AKI"), "{text}");
    }
}

#[tokio::test]
async fn without_credentials_the_error_names_every_place_looked_at() {
    let error = login(&[("AWS_ACCESS_KEY_ID", "A"), ("HOME", "/nonexistent")]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let text = error.to_string();
    for part in [
        "aws vault (mine): no AWS credentials: ",
        "AWS_SECRET_ACCESS_KEY is not set, though AWS_ACCESS_KEY_ID is; ",
        "profile default: not found",
        "/nonexistent/.aws/credentials does not exist",
        "/nonexistent/.aws/config does not exist; ",
        "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set; ",
        "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set; ",
        "AWS_EC2_METADATA_DISABLED disables EC2's metadata",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn a_source_that_is_set_up_and_fails_ends_the_search() {
    let named = login(&[("AWS_PROFILE", "prod"), ("HOME", "/nonexistent")]).await.unwrap_err().to_string();
    assert!(named.starts_with("aws vault (mine): profile prod (AWS_PROFILE) is not found (/nonexistent/"), "{named}");
    let container = login(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://elsewhere.example/")]).await.unwrap_err();
    assert!(container.to_string().contains("names a host without TLS that is neither this machine"), "{container}");
    let token = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")];
    let token = login(&token).await.unwrap_err().to_string();
    assert!(token.contains("AWS_WEB_IDENTITY_TOKEN_FILE: /nonexistent/token does not exist"), "{token}");
}

#[tokio::test]
async fn fips_and_dual_stack_come_from_the_environment_or_the_profile() {
    let (off, region) = (Variant::default(), ("AWS_REGION", "us-east-1"));
    let variant = async |chain: Result<Chain>| chain.unwrap().context().await.unwrap().variant;
    assert_eq!(variant(chain(&[region])).await, off);
    let both = [region, ("AWS_USE_FIPS_ENDPOINT", "True"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")];
    assert_eq!(variant(chain(&both)).await, Variant { fips: true, dualstack: true });
    let (sts, _) = chain(&both).unwrap().sts("us-east-1").await.unwrap();
    assert_eq!(sts, "https://sts-fips.us-east-1.api.aws/");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint=true\n").unwrap();
    let config = config.to_str().unwrap();
    let half = [region, ("AWS_CONFIG_FILE", config), ("AWS_USE_DUALSTACK_ENDPOINT", "false")];
    assert_eq!(variant(chain(&half)).await, Variant { fips: true, dualstack: false });
}
