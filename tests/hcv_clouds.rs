//! Logins by what a cloud says of its machine: metadata services and vaults that are fakes, and refuse what the real ones
//! refuse.

mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use kong_vault::backend::Backend;
use kong_vault::environment::Environment;
use kong_vault::error::Kind;
use serde_json::{Value, json};
use support::certs;
use support::clouds::{self, claims};
use support::gcp::Google;
use support::google::EMAIL;
use support::login::{Signer, now};
use support::moto::{Moto, element};
use support::vault::{build_in, fails, fails_with, reads};
use support::{Fake, answer, closed_port};

const VALUE: &str = r#"{"foo":"bar"}"#;

/// A backend in an environment.
fn vault(at: &Fake, method: &str, options: &[(&str, &str)], environment: &[(&str, &str)]) -> Arc<dyn Backend> {
    let port = at.port().to_string();
    let mut given = vec![("port", port.as_str()), ("auth_method", method)];
    given.extend(options);
    build_in(&Environment::from_variables(environment.iter().copied()), &given).expect("a backend")
}

fn is(value: &Value, expected: &str) -> Result<(), String> {
    if value == expected { Ok(()) } else { Err(format!("{value} is not {expected}")) }
}

#[tokio::test]
async fn gce_by_the_machines_identity() {
    let at = clouds::vault("/v1/auth/gcp/login", |body| {
        is(&body["role"], "gateway")?;
        let claims = claims(body["jwt"].as_str().unwrap_or_default());
        is(&claims["aud"], "http://vault/gateway")?;
        if claims["full"] == true { Ok(()) } else { Err("the token must be in the full format".to_owned()) }
    })
    .await;
    let metadata = clouds::gce().await;
    let host = metadata.address.to_string();
    let gce =
        |role: &str, host: &str| vault(&at, "gcp_gce", &[("gcp_auth_role", role)], &[("GCE_METADATA_HOST", host)]);
    assert_eq!(reads(&gce("gateway", &host), "hello").await, VALUE);
    let refused = gce("other", &host);
    fails_with(&refused, Kind::Denied, &["login by gcp_gce at auth/gcp/login was refused", "`gcp_auth_role`"]).await;
    let anybody = Fake::start(|_| answer("200 OK", "", "s3cret")).await;
    fails_with(&gce("gateway", &anybody.address.to_string()), Kind::Denied, &["not from Google's metadata server"])
        .await;
    let nobody = gce("gateway", &format!("127.0.0.1:{}", closed_port()));
    fails_with(&nobody, Kind::Unavailable, &["getting credentials at 127.0.0.1:", "connection refused"]).await;
}

#[tokio::test]
async fn a_service_account_signs_with_its_key() {
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::new(directory.path());
    let key = json!({"type": "service_account", "client_email": "gateway@p.iam.gserviceaccount.com",
        "private_key_id": "k1", "private_key": std::fs::read_to_string(&signer.private).unwrap()});
    let file = directory.path().join("key.json");
    std::fs::write(&file, key.to_string()).unwrap();
    let (file, key) = (file.to_str().unwrap().to_owned(), key.to_string());
    let at = clouds::vault("/v1/auth/team/gcp/login", move |body| {
        let jwt = body["jwt"].as_str().unwrap_or_default();
        signer.verify(jwt, "k1")?;
        let claims = claims(jwt);
        is(&claims["aud"], "vault/gateway")?;
        is(&claims["sub"], "gateway@p.iam.gserviceaccount.com")?;
        let left = claims["exp"].as_u64().unwrap_or_default() as i64 - now() as i64;
        if (100..=120).contains(&left) { Ok(()) } else { Err(format!("it is good for {left} s")) }
    })
    .await;
    let usual = [("gcp_auth_role", "gateway"), ("gcp_login_path", "team/gcp"), ("gcp_jwt_exp", "120")];
    let iam = |more: &[(&str, &str)], environment: &[(&str, &str)]| {
        let mut options = usual.to_vec();
        options.extend(more);
        vault(&at, "gcp_iam", &options, environment)
    };
    let account = ("gcp_service_account", "gateway@p.iam.gserviceaccount.com");
    for given in [
        iam(&[("gcp_service_account", &file)], &[]),
        iam(&[account], &[("GCP_SERVICE_ACCOUNT", &key)]),
        iam(&[account], &[("GOOGLE_APPLICATION_CREDENTIALS", &file)]),
        iam(&[], &[("GCP_SERVICE_ACCOUNT", &key)]),
    ] {
        assert_eq!(reads(&given, "hello").await, VALUE);
    }
    let other = iam(&[("gcp_service_account", "other@p.iam.gserviceaccount.com")], &[("GCP_SERVICE_ACCOUNT", &key)]);
    fails_with(&other, Kind::Config, &["the key of another account than `gcp_service_account`"]).await;
    for (text, part) in [("{}", "no service account's key"), (r#"{"type":"x"}"#, "no service account's key")] {
        fails_with(&iam(&[], &[("GCP_SERVICE_ACCOUNT", text)]), Kind::Config, &[part]).await;
    }
    let broken = key.replace("BEGIN PRIVATE", "BEGIN PRIVATES");
    fails_with(&iam(&[], &[("GCP_SERVICE_ACCOUNT", &broken)]), Kind::Config, &["no usable private_key"]).await;
}

#[tokio::test]
async fn google_signs_for_a_service_account_that_the_machine_may_stand_for() {
    let at = clouds::vault("/v1/auth/gcp/login", |body| {
        is(&claims(body["jwt"].as_str().unwrap_or_default())["sub"], "gateway@p.iam.gserviceaccount.com")
    })
    .await;
    let (metadata, api) = (clouds::gce().await, clouds::iam_credentials().await);
    let (host, api) = (metadata.address.to_string(), format!("http://{}/", api.address));
    let environment = [("GCE_METADATA_HOST", host.as_str()), ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", &api)];
    let iam = |account: &[(&str, &str)]| {
        let mut options = vec![("gcp_auth_role", "gateway")];
        options.extend(account);
        vault(&at, "gcp_iam", &options, &environment)
    };
    let account = [("gcp_service_account", "gateway@p.iam.gserviceaccount.com")];
    assert_eq!(reads(&iam(&account), "hello").await, VALUE);
    // The machine's own account may not sign.
    fails_with(&iam(&[]), Kind::Denied, &["roles/iam.serviceAccountTokenCreator", "(status 403)"]).await;
    // No token goes over the network without TLS.
    let port = at.port().to_string();
    let options = [("port", port.as_str()), ("auth_method", "gcp_iam"), ("gcp_auth_role", "gateway"), account[0]];
    for evil in ["http://iamcredentials.googleapis.com/", "http://10.0.0.1/", "ftp://127.0.0.1/", "iamcredentials"] {
        let environment = Environment::from_variables([("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", evil)]);
        let text = build_in(&environment, &options).map(drop).expect_err(evil).to_string();
        assert!(text.contains("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS") && text.contains("https"), "{text}");
    }
}

#[tokio::test]
async fn google_signs_for_who_comes_by_federation() {
    if !certs::available() {
        support::skip("there is no openssl command");
        return;
    }
    let google = Google::start().await;
    google.world().may_stand_for.insert(EMAIL.to_owned(), vec!["principal".to_owned()]);
    let at =
        clouds::vault("/v1/auth/gcp/login", |body| is(&claims(body["jwt"].as_str().unwrap_or_default())["sub"], EMAIL))
            .await;
    let source = json!({ "file": google.file("token", "eyJ.subject.sig") });
    let file = google.file("external.json", &google.external(source).to_string());
    let api = google.url("/");
    let environment =
        [("GOOGLE_APPLICATION_CREDENTIALS", file.as_str()), ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", &api)];
    let iam = |more: &[(&str, &str)]| {
        let mut options = vec![("gcp_auth_role", "gateway")];
        options.extend(more);
        vault(&at, "gcp_iam", &options, &environment)
    };
    let signing = iam(&[("gcp_service_account", EMAIL)]);
    assert_eq!(reads(&signing, "hello").await, VALUE);
    fails_with(&iam(&[]), Kind::Config, &["no account to sign for", "set `gcp_service_account`"]).await;
    let other = iam(&[("gcp_service_account", "other@p.iam.gserviceaccount.com")]);
    fails_with(&other, Kind::Denied, &["roles/iam.serviceAccountTokenCreator", "(status 403)"]).await;
}

#[tokio::test]
async fn azure_by_the_machines_managed_identity() {
    let at = clouds::vault("/v1/auth/azure/login", |body| {
        is(&body["role"], "gateway")?;
        is(&claims(body["jwt"].as_str().unwrap_or_default())["aud"], "https://vault.test/")?;
        match body["vm_name"].as_str() {
            Some("vm7") => {
                is(&body["resource_group_name"], "group")?;
                is(&body["subscription_id"], "sub-1")
            }
            vm => {
                if vm.is_none() && body["subscription_id"].is_null() {
                    Ok(())
                } else {
                    Err(format!("{vm:?}"))
                }
            }
        }
    })
    .await;
    let (metadata, app) = (clouds::azure().await, clouds::app_service().await);
    let (imds, app) = (format!("http://{}", metadata.address), format!("http://{}/msi/token", app.address));
    let azure = |more: &[(&str, &str)], environment: &[(&str, &str)]| {
        let mut options = vec![("azure_auth_role", "gateway"), ("azure_resource", "https://vault.test/")];
        options.extend(more);
        vault(&at, "azure", &options, environment)
    };
    let machine = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str())];
    assert_eq!(reads(&azure(&[], &machine), "hello").await, VALUE);
    let of_app = [("IDENTITY_ENDPOINT", app.as_str()), ("IDENTITY_HEADER", "app-s3cret")];
    assert_eq!(reads(&azure(&[("azure_client_id", "id-1")], &of_app), "hello").await, VALUE);
    let wrong = [("IDENTITY_ENDPOINT", app.as_str()), ("IDENTITY_HEADER", "other")];
    fails_with(&azure(&[], &wrong), Kind::Denied, &["asking App Service's managed identity at", "(status 401)"]).await;
    fails_with(&azure(&[("azure_client_id", "unknown")], &machine), Kind::Denied, &["`azure_client_id`"]).await;
    let elsewhere = azure(&[("azure_resource", "https://other.test/")], &machine);
    fails_with(&elsewhere, Kind::Denied, &["login by azure at auth/azure/login was refused", "`azure_resource`"]).await;
}

#[tokio::test]
async fn ec2_by_the_instances_signed_document() {
    let at = clouds::vault("/v1/auth/aws/login", |body| {
        is(&body["role"], "gateway")?;
        is(&body["pkcs7"], "MIAGCSqGSIb3DQEH")?;
        is(&body["nonce"], "n0nce-s3cret")
    })
    .await;
    let metadata = clouds::ec2().await;
    let place = format!("http://{}/", metadata.address);
    let ec2 = |nonce: &str, place: &str| {
        let options = [("aws_auth_role", "gateway"), ("aws_auth_nonce", nonce)];
        vault(&at, "aws_ec2", &options, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", place)])
    };
    assert_eq!(reads(&ec2("n0nce-s3cret", &place), "hello").await, VALUE);
    fails_with(&ec2("other", &place), Kind::Denied, &["login by aws_ec2 at auth/aws/login", "`aws_auth_nonce`"]).await;
    let elsewhere = Fake::start(|_| answer("404 Not Found", "", "s3cret")).await;
    let elsewhere = ec2("n0nce-s3cret", &format!("http://{}", elsewhere.address));
    fails_with(&elsewhere, Kind::Denied, &["it gives no session (IMDSv2)", "(status 404)"]).await;
}

#[tokio::test]
async fn ldap_by_name_and_password() {
    let at = clouds::vault("/v1/auth/ldap/login/gate.way%2Fx", |body| is(&body["password"], "p4ss")).await;
    let ldap =
        |password: &str| vault(&at, "ldap", &[("ldap_username", "gate.way/x"), ("ldap_password", password)], &[]);
    assert_eq!(reads(&ldap("p4ss"), "hello").await, VALUE);
    let error = fails(&ldap("wrong"), "hello").await;
    assert!(error.to_string().contains("check `ldap_username` and `ldap_password`"), "{error}");
}

/// Sends on what a login asks the vault to ask, as the vault does: to an STS of its own, with the host that was signed.
/// Returns STS's answer.
fn ask_sts(body: &Value, port: u16) -> Result<String, String> {
    let url = url::Url::parse(&clouds::decoded(&body["iam_request_url"])).map_err(|_| "no URL")?;
    let headers: Value =
        serde_json::from_str(&clouds::decoded(&body["iam_request_headers"])).map_err(|_| "no headers")?;
    let question = clouds::decoded(&body["iam_request_body"]);
    if question != "Action=GetCallerIdentity&Version=2011-06-15" || body["iam_http_request_method"] != "POST" {
        return Err(format!("another question: {question}"));
    }
    let port_of_url = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut request =
        format!("POST {} HTTP/1.1\r\nhost: {}{port_of_url}\r\n", url.path(), url.host_str().unwrap_or_default());
    for (name, values) in headers.as_object().ok_or("no headers")? {
        for value in values.as_array().ok_or("no list of values")? {
            request += &format!("{name}: {}\r\n", value.as_str().unwrap_or_default());
        }
    }
    request += &format!("content-length: {}\r\nconnection: close\r\n\r\n{question}", question.len());
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut told = String::new();
    stream.read_to_string(&mut told).map_err(|error| error.to_string())?;
    if told.starts_with("HTTP/1.1 200") { Ok(told) } else { Err(told) }
}

#[tokio::test]
async fn aws_by_a_signed_question_to_sts() {
    let Some(program) = support::moto::program() else { return };
    let moto = Moto::start(&program).await;
    moto.iam("CreateUser", &[("UserName", "gateway")]).await;
    let key = moto.iam("CreateAccessKey", &[("UserName", "gateway")]).await;
    let (id, secret) = (element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"));
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let parameters = [("UserName", "gateway"), ("PolicyName", "all"), ("PolicyDocument", policy)];
    moto.iam("PutUserPolicy", &parameters).await;
    let role = [("RoleName", "reader"), ("AssumeRolePolicyDocument", policy)];
    moto.iam("CreateRole", &role).await;
    moto.iam("PutRolePolicy", &[("RoleName", "reader"), parameters[1], parameters[2]]).await;
    moto.check_signatures().await;
    let port = moto.port;
    let at = clouds::vault("/v1/auth/aws/login", move |body| {
        let told = ask_sts(body, port)?;
        let headers = clouds::decoded(&body["iam_request_headers"]);
        match body["role"].as_str() {
            Some("user") if told.contains(":user/gateway<") => Ok(()),
            Some("assumed") if told.contains("assumed-role/reader/gw-1") => Ok(()),
            Some("meant") if headers.contains(r#""x-vault-aws-iam-server-id":["vault.test"]"#) => {
                // What is not signed, anybody could have added.
                if headers.contains(";x-vault-aws-iam-server-id") { Ok(()) } else { Err(headers) }
            }
            role => Err(format!("{role:?}: {told}")),
        }
    })
    .await;
    let endpoint = moto.endpoint();
    let iam = |role: &str, more: &[(&str, &str)], environment: &[(&str, &str)]| {
        let mut options = vec![("aws_auth_role", role), ("aws_auth_region", "us-east-1")];
        options.extend(more);
        vault(&at, "aws_iam", &options, environment)
    };
    let keys = [("aws_access_key_id", id.as_str()), ("aws_secret_access_key", secret.as_str())];
    let variables = [("AWS_ACCESS_KEY_ID", id.as_str()), ("AWS_SECRET_ACCESS_KEY", secret.as_str())];
    assert_eq!(reads(&iam("user", &keys, &[]), "hello").await, VALUE);
    assert_eq!(reads(&iam("user", &[], &variables), "hello").await, VALUE);
    assert_eq!(reads(&iam("user", &[("aws_sts_endpoint_url", endpoint.as_str())], &variables), "hello").await, VALUE);
    assert_eq!(reads(&iam("meant", &[("aws_iam_server_id", "vault.test")], &variables), "hello").await, VALUE);
    let assume = [
        ("aws_assume_role_arn", "arn:aws:iam::123456789012:role/reader"),
        ("aws_role_session_name", "gw-1"),
        ("aws_sts_endpoint_url", endpoint.as_str()),
    ];
    assert_eq!(reads(&iam("assumed", &assume, &variables), "hello").await, VALUE);
    let wrong = [keys[0], ("aws_secret_access_key", "wr0ng-s3cret")];
    fails_with(
        &iam("user", &wrong, &[]),
        Kind::Denied,
        &["login by aws_iam at auth/aws/login was refused", "the keys"],
    )
    .await;
    let nothing = [("HOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "true")];
    fails_with(&iam("user", &[], &nothing), Kind::Config, &["no AWS credentials"]).await;
}
