//! Who a `gcp` vault is to Google: each kind of credentials, from each place and in each order, against servers that refuse
//! what Google's own refuse.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use serde_json::{Value, json};
use support::certs;
use support::gcp::{Google, fails, fetch, reads};
use support::google::EMAIL;
use support::{Fake, answer, closed_port};

const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const READER: &str = "reader@p.iam.gserviceaccount.com";

async fn google() -> Option<Google> {
    if certs::available() {
        return Some(Google::start().await);
    }
    support::skip("there is no openssl command");
    None
}

/// A vault with a credentials file.
fn with_file(google: &Google, json: &Value, more: &[(&str, &str)]) -> Arc<dyn Backend> {
    let path = google.file(&format!("{}.json", fastrand::u64(..)), &json.to_string());
    let mut environment = vec![(FILE, path.as_str())];
    environment.extend(more);
    google.vault(&[("project_id", "p")], &environment)
}

#[tokio::test]
async fn a_key_signs_its_own_token_or_has_one_for_its_signature() {
    let Some(google) = google().await else { return };
    let key = google.key().to_string();
    let adc = ("GCP_AUTH_METHOD_ORDER", "adc");
    for vault in [
        google.vault(&[], &[("GCP_SERVICE_ACCOUNT", &key), adc]),
        google.vault(&[], &[(FILE, &google.file("key.json", &key))]),
    ] {
        assert_eq!(reads(&vault, "good#1").await, "one");
    }
    assert_eq!(google.given("token"), 0, "nobody was asked for a token");
    let exchanging = google.vault(&[("token_exchange", "true")], &[(FILE, &google.file("key.json", &key))]);
    assert_eq!(reads(&exchanging, "good#1").await, "one");
    assert_eq!(google.given("token"), 1);
}

#[tokio::test]
async fn a_signature_that_google_does_not_take_is_exchanged() {
    let Some(google) = google().await else { return };
    google.world().takes_self_signed = false;
    let vault = google.vault(&[], &[(FILE, &google.file("key.json", &google.key().to_string()))]);
    assert_eq!(reads(&vault, "good#1").await, "one");
    assert_eq!(reads(&vault, "good#1").await, "one");
    assert_eq!(google.given("token"), 1);
}

#[tokio::test]
async fn a_key_that_is_none_and_one_that_google_does_not_know() {
    let Some(google) = google().await else { return };
    let key = google.key();
    let change = |name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    for (json, part) in [
        (json!({}), "has no type"),
        (json!("hunter2"), "is not the JSON of Google's credentials"),
        (change("type", "hunter2".into()), "is of a type that is not known"),
        (change("type", "gdch_service_account".into()), "gdch_service_account"),
        (change("private_key", "hunter2".into()), "holds no usable private_key"),
        (change("private_key", Value::Null), "is no service account's key in JSON"),
        (change("token_uri", "http://idp.example/hunter2".into()), "has a token_uri without TLS"),
        (change("token_uri", "hunter2".into()), "has a token_uri that is no URL"),
        (change("universe_domain", "hunter2/x".into()), "has a universe_domain that is no domain"),
    ] {
        let text = fails(&with_file(&google, &json, &[]), "good", Kind::Config, part).await.to_string();
        assert!(text.starts_with("gcp vault (mine) getting credentials: /"), "{text}");
    }
    let missing = google.vault(&[], &[(FILE, "/nonexistent/key.json")]);
    fails(&missing, "good", Kind::Config, "GOOGLE_APPLICATION_CREDENTIALS: /nonexistent/key.json does not exist").await;
    let elsewhere = with_file(
        &google,
        &change("universe_domain", "s3nsapis.fr".into()),
        &[("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "googleapis.com")],
    );
    fails(&elsewhere, "good", Kind::Config, "is for another universe than GOOGLE_CLOUD_UNIVERSE_DOMAIN").await;
    // Another's key: the signature is refused, and so is the exchange.
    let stranger = with_file(&google, &change("client_email", "other@p.iam.gserviceaccount.com".into()), &[]);
    for _ in 0..2 {
        let part = "the token endpoint does not take the key of other@";
        let text = fails(&stranger, "good", Kind::Denied, part).await.to_string();
        assert!(text.ends_with("(status 400, invalid_grant)"), "{text}");
    }
}

#[tokio::test]
async fn the_metadata_server_and_who_is_none() {
    let Some(google) = google().await else { return };
    let host = google.host();
    let at = |host: &str| google.vault(&[("project_id", "p")], &[("GCE_METADATA_HOST", host)]);
    assert_eq!(reads(&at(&host), "good#1").await, "one");
    assert_eq!(reads(&at(&format!("http://{host}")), "good#1").await, "one");
    google.world().universe = None;
    assert_eq!(reads(&at(&host), "good#1").await, "one", "an old one, which knows no universe");
    let anybody = Fake::start(|_| answer("200 OK", "", r#"{"access_token":"hunter2"}"#)).await;
    let text = fails(&at(&anybody.address.to_string()), "good", Kind::Config, "is not Google's metadata server").await;
    assert!(text.to_string().contains("no Google credentials: GCP_SERVICE_ACCOUNT is not set; "), "{text}");
    let nobody = at(&format!("127.0.0.1:{}", closed_port()));
    fails(&nobody, "good", Kind::Config, "no metadata server of Google's answers at 127.0.0.1:").await;
    let without = Fake::start(|_| answer("404 Not Found", "metadata-flavor: Google\r\n", "hunter2")).await;
    fails(&at(&without.address.to_string()), "good", Kind::Config, "knows no service account of this machine").await;
    let off = google.vault(&[], &[("GCE_METADATA_HOST", &host), ("NO_GCE_CHECK", "true")]);
    fails(&off, "good", Kind::Config, "NO_GCE_CHECK forbids").await;
    for broken in ["user:hunter2@host", "host/hunter2", "ho st"] {
        fails(&at(broken), "good", Kind::Config, "GCE_METADATA_HOST is no host").await;
    }
    let failing = Fake::start(|_| answer("503 Oh", "metadata-flavor: Google\r\n", "hunter2")).await;
    fails(&at(&failing.address.to_string()), "good", Kind::Unavailable, "the metadata server failed: try again").await;
    assert_eq!(failing.connections(), 3, "it may be starting");
}

#[tokio::test]
async fn googles_order_and_kongs() {
    let Some(google) = google().await else { return };
    let (host, key) = (google.host(), google.key().to_string());
    let metadata = ("GCE_METADATA_HOST", host.as_str());
    let kongs = ("GCP_SERVICE_ACCOUNT", key.as_str());
    let path = google.file("key.json", &key);
    let file = (FILE, path.as_str());
    let order = |order| ("GCP_AUTH_METHOD_ORDER", order);
    let nowhere = format!("127.0.0.1:{}", closed_port());
    for (environment, of_machine) in [
        (vec![metadata, kongs], true),
        (vec![metadata, kongs, order("legacy")], true),
        (vec![metadata, kongs, order("adc")], false),
        (vec![metadata, file], false),
        (vec![metadata, file, order("legacy")], true),
        (vec![("GCE_METADATA_HOST", nowhere.as_str()), kongs], false),
    ] {
        let before = google.given("metadata");
        assert_eq!(reads(&google.vault(&[("project_id", "p")], &environment), "good#1").await, "one");
        let names: Vec<_> = environment.iter().map(|(name, _)| *name).collect();
        assert_eq!(google.given("metadata") > before, of_machine, "{names:?}");
    }
    // What gcloud writes.
    let folder = std::path::Path::new(&path).parent().unwrap();
    std::fs::write(folder.join("application_default_credentials.json"), &key).unwrap();
    let gclouds = google.vault(&[], &[("CLOUDSDK_CONFIG", folder.to_str().unwrap())]);
    assert_eq!(reads(&gclouds, "good#1").await, "one");
}

#[tokio::test]
async fn a_person_by_a_refresh_token() {
    let Some(google) = google().await else { return };
    let user = |secret: &str, refresh: &str| {
        json!({"type": "authorized_user", "client_id": "c", "client_secret": secret, "refresh_token": refresh,
            "token_uri": google.url("/token"), "quota_project_id": "payer"})
    };
    let vault = with_file(&google, &user("hunter2-client", "hunter2-refresh"), &[]);
    assert_eq!(reads(&vault, "good#1").await, "one");
    assert!(google.world().asked.last().unwrap().ends_with(" for payer"));
    let other = with_file(&google, &user("hunter2-client", "hunter2-old"), &[]);
    fails(&other, "good", Kind::Denied, "does not take the user's login").await;
    let other = with_file(&google, &user("hunter2-other", "hunter2-refresh"), &[]);
    fails(&other, "good", Kind::Denied, "does not know the client").await;
    fails(&with_file(&google, &json!({"type": "authorized_user"}), &[]), "good", Kind::Config, "lacks client_id").await;
}

#[tokio::test]
async fn federation_by_a_file_that_is_read_for_each_exchange() {
    let Some(google) = google().await else { return };
    let token = google.file("token", "eyJ.subject.sig\n");
    let vault = with_file(&google, &google.external(json!({ "file": token })), &[]);
    assert_eq!(reads(&vault, "good#1").await, "one");
    google.world().subject = "eyJ.next.sig";
    google.world().revoke();
    google.file("token", "eyJ.next.sig");
    assert_eq!(reads(&vault, "good#1").await, "one");
    assert_eq!(google.given("sts"), 2);
    let format = json!({"type": "json", "subject_token_field_name": "token"});
    let token = google.file("token.json", r#"{"token":"eyJ.next.sig"}"#);
    let in_json = with_file(&google, &google.external(json!({"file": token, "format": format})), &[]);
    assert_eq!(reads(&in_json, "good#1").await, "one");
    google.file("token.json", r#"{"token":"hunter2"}"#);
    let other = with_file(&google, &google.external(json!({"file": token, "format": format})), &[]);
    fails(&other, "good", Kind::Denied, "Google's STS does not take the subject token").await;
    let missing = with_file(&google, &google.external(json!({ "file": "/nonexistent/token" })), &[]);
    fails(&missing, "good", Kind::Config, "no subject token: /nonexistent/token does not exist").await;
    let mut elsewhere = google.external(json!({ "file": token, "format": format }));
    google.file("token.json", r#"{"token":"eyJ.next.sig"}"#);
    elsewhere["audience"] = "//iam.googleapis.com/projects/2/x".into();
    let text = fails(&with_file(&google, &elsewhere, &[]), "good", Kind::Denied, "does not know the audience").await;
    assert!(text.to_string().ends_with("(status 400, invalid_target)"), "{text}");
}

#[tokio::test]
async fn federation_by_a_url_with_headers() {
    let Some(google) = google().await else { return };
    let format = json!({"type": "json", "subject_token_field_name": "access_token"});
    let source =
        |header: &str| json!({"url": google.url("/subject"), "headers": {"Metadata": header}, "format": format});
    let vault = with_file(&google, &google.external(source("hunter2-header")), &[]);
    assert_eq!(reads(&vault, "good#1").await, "one");
    let refused = with_file(&google, &google.external(source("hunter2-other")), &[]);
    fails(&refused, "good", Kind::Denied, "the source of subject tokens gives none").await;
    for (source, part) in [
        (json!({"url": "http://idp.example/token"}), "has a credential_source url without TLS"),
        (json!({}), "is not one of file, url, aws and executable"),
        (json!({"file": "/x", "url": "https://idp.example/"}), "is not one of file, url, aws and executable"),
        (json!({"file": "/x", "format": {"type": "json"}}), "without subject_token_field_name"),
        (
            json!({"certificate": {"use_default_certificate_config": true}}),
            "of type certificate, which is not supported",
        ),
    ] {
        fails(&with_file(&google, &google.external(source), &[]), "good", Kind::Config, part).await;
    }
    let mut plain = google.external(source("x"));
    plain["token_url"] = "http://sts.example/v1/token".into();
    fails(&with_file(&google, &plain, &[]), "good", Kind::Config, "has a token_url without TLS").await;
    plain["token_url"] = google.url("/v1/token").into();
    plain["service_account_impersonation_url"] = "http://iam.example/x:generateAccessToken".into();
    let part = "has a service_account_impersonation_url without TLS";
    fails(&with_file(&google, &plain, &[]), "good", Kind::Config, part).await;
}

#[tokio::test]
async fn federation_by_aws_credentials() {
    let Some(google) = google().await else { return };
    let mut external = google.external(json!({"environment_id": "aws1",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}));
    external["subject_token_type"] = "urn:ietf:params:aws:token-type:aws4_request".into();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-key"),
        ("AWS_SESSION_TOKEN", "hunter2-token"),
        ("AWS_REGION", "eu-central-1"),
    ];
    assert_eq!(reads(&with_file(&google, &external, &keys), "good#1").await, "one");
    // Nobody else can use it for another pool.
    let signed = google.world().signed_headers.clone();
    assert_eq!(signed, "host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource");
    fails(&with_file(&google, &external, &[]), "good", Kind::Config, "no AWS region: set AWS_REGION").await;
    fails(
        &with_file(&google, &external, &keys[3..]),
        "good",
        Kind::Config,
        "no AWS credentials: set AWS_ACCESS_KEY_ID",
    )
    .await;
    // EC2, where the file says that its metadata is: with a session, as the file wants it.
    let ec2 = Fake::start(|request| {
        let line = request.lines().next().unwrap_or_default();
        let has_session = request.to_ascii_lowercase().contains("x-aws-ec2-metadata-token: hunter2-session");
        match line.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["PUT", "/latest/api/token"] => answer("200 OK", "", "hunter2-session"),
            _ if !has_session => answer("401 Unauthorized", "", "hunter2"),
            ["GET", "/latest/meta-data/placement/availability-zone"] => answer("200 OK", "", "eu-central-1b"),
            ["GET", "/latest/meta-data/iam/security-credentials"] => answer("200 OK", "", "gateway"),
            ["GET", "/latest/meta-data/iam/security-credentials/gateway"] => {
                let keys = json!({"Code": "Success", "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "hunter2-key",
                    "Token": "hunter2-token", "Expiration": "2099-01-01T00:00:00Z"});
                answer("200 OK", "", &keys.to_string())
            }
            _ => answer("404 Not Found", "", ""),
        }
    })
    .await;
    let place = |path: &str| format!("http://{}/latest/{path}", ec2.address);
    external["credential_source"]["region_url"] = place("meta-data/placement/availability-zone").into();
    external["credential_source"]["url"] = place("meta-data/iam/security-credentials").into();
    fails(&with_file(&google, &external, &[]), "good", Kind::Denied, "EC2's metadata service refused").await;
    external["credential_source"]["imdsv2_session_token_url"] = place("api/token").into();
    assert_eq!(reads(&with_file(&google, &external, &[]), "good#1").await, "one");
}

#[tokio::test]
async fn federation_by_a_program_only_where_that_is_allowed() {
    let Some(google) = google().await else { return };
    let seen = google.file("seen", "");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{seen}\nenv | grep GOOGLE_EXTERNAL | sort >>{seen}\necho '{{\"version\":1,\"success\":true,\
         \"token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\"id_token\":\"eyJ.subject.sig\"}}'\n"
    );
    let program = google.file("program", &script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let external = |command: &str| google.external(json!({"executable": {"command": command, "timeout_millis": 5000}}));
    let command = format!("{program} --x=1 $(touch;{seen}2)");
    let refused = with_file(&google, &external(&command), &[]);
    fails(&refused, "good", Kind::Config, "set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1").await;
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "", "it did not run");
    let allowed = [("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1"), ("PATH", "/usr/bin:/bin")];
    assert_eq!(reads(&with_file(&google, &external(&command), &allowed), "good#1").await, "one");
    let told = std::fs::read_to_string(&seen).unwrap();
    for line in [
        format!("--x=1 $(touch;{seen}2)").as_str(),
        &format!("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE={}", support::google::POOL),
        "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0",
        "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=urn:ietf:params:oauth:token-type:jwt",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} is not in {told}");
    }
    for (text, kind, part) in [
        ("#!/bin/sh\necho hunter2\n", Kind::Invalid, "not the JSON of Google's protocol"),
        ("#!/bin/sh\nexit 7\n", Kind::Unavailable, "failed with status 7"),
        (
            r#"#!/bin/sh
echo '{"version":1,"success":false,"code":"401","message":"hunter2"}'
"#,
            Kind::Invalid,
            "says that it has no token",
        ),
        (
            r#"#!/bin/sh
echo '{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"hunter2","expiration_time":1}'
"#,
            Kind::Invalid,
            "has expired",
        ),
    ] {
        google.file("program", text);
        fails(&with_file(&google, &external(&program), &allowed), "good", kind, part).await;
    }
    fails(&with_file(&google, &external("/nonexistent/program"), &allowed), "good", Kind::Config, "not found").await;
    // What an earlier run wrote serves while it is good.
    let written = json!({"version": 1, "success": true, "token_type": support::google::JWT,
        "id_token": "eyJ.subject.sig", "expiration_time": 4_102_444_800_u64});
    let output = google.file("output.json", &written.to_string());
    let cached = json!({"executable": {"command": "/nonexistent/program", "output_file": output}});
    assert_eq!(reads(&with_file(&google, &google.external(cached), &allowed), "good#1").await, "one");
}

#[tokio::test]
async fn an_account_is_stood_for_with_those_between() {
    let Some(google) = google().await else { return };
    let between = "between@p.iam.gserviceaccount.com";
    {
        let mut world = google.world();
        world.may_stand_for.insert(READER.to_owned(), vec![between.to_owned()]);
        world.may_stand_for.insert(between.to_owned(), vec![EMAIL.to_owned(), "machine".to_owned()]);
        world.may_stand_for.insert("direct@p.iam.gserviceaccount.com".to_owned(), vec!["principal".to_owned()]);
    }
    let file = |delegates: &[&str]| {
        json!({"type": "impersonated_service_account", "source_credentials": google.key(), "delegates": delegates,
            "service_account_impersonation_url": google.impersonation(READER)})
    };
    let resource = format!("projects/-/serviceAccounts/{between}");
    for delegates in [&[between][..], &[resource.as_str()]] {
        assert_eq!(reads(&with_file(&google, &file(delegates), &[]), "good#1").await, "one");
    }
    let denied = with_file(&google, &file(&[]), &[]);
    fails(
        &denied,
        "good",
        Kind::Denied,
        "stand for reader@p.iam.gserviceaccount.com: grant them roles/iam.serviceAccountTokenCreator",
    )
    .await;
    let endless = json!({"type": "impersonated_service_account", "source_credentials": file(&[]),
        "service_account_impersonation_url": google.impersonation(READER)});
    fails(&with_file(&google, &endless, &[]), "good", Kind::Config, "list the accounts between in `delegates`").await;
    // By options, with whatever is found.
    let (host, api) = (google.host(), google.url("/"));
    let environment = [("GCE_METADATA_HOST", host.as_str()), ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", &api)];
    let options = [("project_id", "p"), ("impersonate_service_account", READER), ("impersonate_delegates", between)];
    assert_eq!(reads(&google.vault(&options, &environment), "good#1").await, "one");
    fails(&google.vault(&options[..2], &environment), "good", Kind::Denied, "(status 403)").await;
    // Behind a federation.
    let token = google.file("token", "eyJ.subject.sig");
    let mut external = google.external(json!({ "file": token }));
    external["service_account_impersonation_url"] = google.impersonation("direct@p.iam.gserviceaccount.com").into();
    external["service_account_impersonation"] = json!({"token_lifetime_seconds": 1800});
    assert_eq!(reads(&with_file(&google, &external, &[]), "good#1").await, "one");
    external["service_account_impersonation"] = json!({"token_lifetime_seconds": 7200});
    let text = fetch(&with_file(&google, &external, &[]), "good").await.unwrap_err().to_string();
    assert!(text.contains("allowServiceAccountCredentialLifetimeExtension"), "{text}");
}
