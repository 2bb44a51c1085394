//! The `gcp` vault against a server that speaks Secret Manager's protocol: what is read, and what each refusal says.

mod support;

use std::sync::Arc;

use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::certs;
use support::gcp::{Google, bare, build, build_in, fails, fetch, reads, try_build};
use support::google::refusal;
use support::resolve::Process;
use support::{Fake, answer, closed_port};

/// A vault that knows its machine.
fn machine(google: &Google, options: &[(&str, &str)]) -> Arc<dyn Backend> {
    google.vault(options, &[("GCE_METADATA_HOST", &google.host())])
}

async fn google() -> Option<Google> {
    if certs::available() {
        return Some(Google::start().await);
    }
    support::skip("there is no openssl command");
    None
}

#[tokio::test]
async fn values_versions_and_places() {
    let Some(google) = google().await else { return };
    let environment = bare(&[("GCE_METADATA_HOST", &google.host())]);
    let endpoint = google.url("");
    let vault = |options: &[(&str, &str)]| {
        let mut all = vec![("endpoint_url", endpoint.as_str())];
        all.extend(options);
        build_in(&environment, &all).expect("a backend")
    };
    let usual = vault(&[]);
    assert_eq!(reads(&usual, "good").await, r#"{"user":"two"}"#);
    assert_eq!(reads(&usual, "good#1").await, "one");
    assert_eq!(reads(&usual, "empty").await, "");
    assert_eq!(reads(&usual, "binary").await, "\u{0}\u{fffd}");
    assert_eq!(reads(&vault(&[("version", "prod")]), "good").await, "one");
    assert_eq!(reads(&vault(&[("version", "prod")]), "good#2").await, r#"{"user":"two"}"#);
    assert_eq!(reads(&vault(&[("project_id", "other")]), "good").await, "of another");
    assert_eq!(reads(&vault(&[("location", "europe-west3")]), "good").await, "regional");
    let asked = google.world().asked.clone();
    for path in [
        "/v1/projects/p/secrets/good/versions/latest:access",
        "/v1/projects/p/locations/europe-west3/secrets/good/versions/latest:access",
    ] {
        assert!(asked.contains(&format!("GET {path}")), "{asked:?}");
    }
    // All are of one vault: they share its login.
    assert_eq!(google.given("metadata"), 1);
}

#[tokio::test]
async fn what_is_not_there_disabled_or_denied_is_told_apart() {
    let Some(google) = google().await else { return };
    let vault = machine(&google, &[]);
    for (reference, kind, part) in [
        ("db", Kind::NotFound, "the version latest of the secret db is destroyed: add a new version"),
        ("db#3", Kind::NotFound, "the version 3 of the secret db is disabled"),
        ("db#9", Kind::NotFound, "the secret db in project p has no version 9"),
        ("db#0", Kind::NotFound, "versions count from 1"),
        ("none", Kind::NotFound, "no secret none with a version in project p"),
        (
            "denied",
            Kind::Denied,
            "the metadata server may not read the secret denied in project p, or it does not exist",
        ),
    ] {
        fails(&vault, reference, kind, part).await;
    }
    let place = format!("gcp vault (mine) at {}: ", google.host());
    let text = fails(&vault, "none", Kind::NotFound, "").await.to_string();
    assert!(text.starts_with(&place) && text.ends_with(" (status 404, NOT_FOUND)"), "{text}");
    fails(&machine(&google, &[("version", "Prod")]), "good", Kind::Invalid, "the version Prod is not accepted").await;
    let regional = machine(&google, &[("location", "europe-west3")]);
    fails(&regional, "db", Kind::NotFound, "in project p, location europe-west3").await;
}

#[tokio::test]
async fn a_value_with_another_checksum_is_refused() {
    let Some(google) = google().await else { return };
    let vault = machine(&google, &[]);
    google.world().checksum = Some("1");
    fails(&vault, "good", Kind::Invalid, "its checksum dataCrc32c differs").await;
    google.world().checksum = None;
    reads(&vault, "good").await;
}

#[tokio::test]
async fn names_that_are_none_are_refused_before_anything_is_sent() {
    let server = Fake::start(|_| answer("200 OK", "", "hunter2")).await;
    let address = format!("http://{}", server.address);
    let gcp = Process::new(
        &[
            ("KONG_VAULT_GCP_ENDPOINT_URL", &address),
            ("KONG_VAULT_GCP_PROJECT_ID", "p"),
            ("GCE_METADATA_HOST", &server.address.to_string()),
            ("HOME", "/nonexistent"),
        ],
        &["hunter2"],
    );
    let long = format!("{{vault://gcp/{}}}", "x".repeat(256));
    for (reference, kind, part) in [
        ("{vault://gcp/a%2Fb}", Kind::Reference, "cannot have a slash"),
        ("{vault://gcp/a/b/c}", Kind::Reference, "cannot have a slash"),
        ("{vault://gcp/a%3Faccess}", Kind::Reference, "only have letters, digits, _ and -"),
        ("{vault://gcp/..}", Kind::Reference, "only have letters"),
        ("{vault://gcp/a%0d%0ax-y:%20z}", Kind::Reference, "only have letters"),
        ("{vault://gcp/a.b}", Kind::Reference, "only have letters"),
        (&long, Kind::Reference, "1 to 255 characters"),
        // What would lead elsewhere.
        ("{vault://gcp/a?location=evil.example/}", Kind::Config, "option location"),
        ("{vault://gcp/a?location=x.evil.example%23}", Kind::Config, "option location"),
        ("{vault://gcp/a?project_id=p/secrets/b/versions/1:access%3F}", Kind::Config, "option project_id"),
        ("{vault://gcp/a?project_id=..}", Kind::Config, "option project_id"),
        ("{vault://gcp/a?version=1:access?x=}", Kind::Config, "option version"),
        ("{vault://gcp/a?version=../../b}", Kind::Config, "option version"),
        ("{vault://gcp/a?endpoint_url=http://127.0.0.1:1}", Kind::Config, "endpoint_url"),
        ("{vault://gcp/a?impersonate_service_account=a@b.iam.gserviceaccount.com}", Kind::Config, "impersonate"),
        ("{vault://gcp/a?quota_project_id=q}", Kind::Config, "quota_project_id"),
        ("{vault://gcp/a?token_exchange=true}", Kind::Config, "token_exchange"),
        ("{vault://gcp/a?proxy=http://127.0.0.1:1}", Kind::Config, "proxy"),
    ] {
        gcp.fails(reference, kind, part).await;
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn each_refusal_says_what_to_do_and_only_what_may_pass_is_tried_again() {
    for (code, status, reason, kind, part, attempts) in [
        (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", Kind::Throttled, "raise `ttl`", 3),
        (500, "INTERNAL", "", Kind::Unavailable, "failed: try again", 3),
        (503, "UNAVAILABLE", "", Kind::Unavailable, "failed: try again", 3),
        (403, "PERMISSION_DENIED", "SERVICE_DISABLED", Kind::Denied, "gcloud services enable", 1),
        (403, "PERMISSION_DENIED", "USER_PROJECT_DENIED", Kind::Denied, "serviceUsageConsumer", 1),
        (400, "INVALID_ARGUMENT", "", Kind::Invalid, "is not accepted", 1),
    ] {
        let server = Fake::start(move |request| match request.contains("/computeMetadata/") {
            true => answer(
                "200 OK",
                "metadata-flavor: Google\r\n",
                r#"{"access_token":"hunter2","expires_in":3599,"token_type":"Bearer"}"#,
            ),
            false => refusal(code, status, "hunter2", reason, ""),
        })
        .await;
        let gcp = Process::new(
            &[
                ("KONG_VAULT_GCP_ENDPOINT_URL", &format!("http://{}/base", server.address)),
                ("KONG_VAULT_GCP_PROJECT_ID", "p"),
                ("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "googleapis.com"),
                ("GCE_METADATA_HOST", &server.address.to_string()),
                ("HOME", "/nonexistent"),
            ],
            &["hunter2"],
        );
        gcp.fails("{vault://gcp/db/user}", kind, part).await;
        // The token once.
        assert_eq!(server.connections(), attempts + 1, "{status}");
    }
}

#[tokio::test]
async fn a_throttled_read_keeps_away_for_as_long_as_it_is_asked_to() {
    let Some(google) = google().await else { return };
    let vault = machine(&google, &[]);
    google.world().next = vec![refusal(429, "RESOURCE_EXHAUSTED", "", "RATE_LIMIT_EXCEEDED", "retry-after: 7\r\n")];
    let error = fails(&vault, "good", Kind::Throttled, "the quota of project p is used up").await;
    assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7));
}

#[tokio::test]
async fn who_is_no_secret_manager_and_who_redirects_is_told() {
    let Some(google) = google().await else { return };
    let vault = machine(&google, &[]);
    let other = Fake::start(|_| answer("200 OK", "", "hunter2")).await;
    let location = format!("location: http://{}/\r\n", other.address);
    for (bytes, kind, part) in [
        (
            answer("404 Not Found", "", "<html>hunter2</html>"),
            Kind::Invalid,
            "not one of Secret Manager: check endpoint_url",
        ),
        (answer("200 OK", "", "<html>hunter2</html>"), Kind::Invalid, "not the JSON of a secret's version"),
        (answer("307 Elsewhere", &location, ""), Kind::Invalid, "which is never followed: correct endpoint_url"),
        (answer("200 OK", "", r#"{"payload":{"data":"hunter2!"}}"#), Kind::Invalid, "no base64"),
    ] {
        google.world().next = vec![bytes];
        fails(&vault, "good", kind, part).await;
    }
    assert_eq!(other.connections(), 0);
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let vault = build(&[("endpoint_url", &nobody)], &[("GCE_METADATA_HOST", &google.host())]);
    fails(&vault, "good", Kind::Unavailable, "connection refused").await;
}

#[tokio::test]
async fn the_project_comes_from_the_nearest_who_names_one() {
    let Some(google) = google().await else { return };
    let host = google.host();
    let with = |more: &[(&str, &str)]| {
        let mut environment = vec![("GCE_METADATA_HOST", host.as_str())];
        environment.extend(more);
        google.vault(&[], &environment)
    };
    assert_eq!(reads(&with(&[]), "good").await, r#"{"user":"two"}"#, "the machine's");
    assert_eq!(reads(&with(&[("GCLOUD_PROJECT", "other")]), "good").await, "of another");
    let both = with(&[("GCLOUD_PROJECT", "p"), ("GOOGLE_CLOUD_PROJECT", "other")]);
    assert_eq!(reads(&both, "good").await, "of another");
    let broken = with(&[("GOOGLE_CLOUD_PROJECT", "hunter2/../x")]);
    fails(&broken, "good", Kind::Config, "the project from GOOGLE_CLOUD_PROJECT is not a project's id").await;
    let key = google.key().to_string();
    assert_eq!(
        reads(&google.vault(&[], &[("GCP_SERVICE_ACCOUNT", &key), ("GCP_AUTH_METHOD_ORDER", "adc")]), "good#1").await,
        "one"
    );
    let user = serde_json::json!({"type": "authorized_user", "client_id": "c", "client_secret": "hunter2-client",
        "refresh_token": "hunter2-refresh", "token_uri": google.url("/token")});
    let nowhere =
        google.vault(&[], &[("GOOGLE_APPLICATION_CREDENTIALS", &google.file("user.json", &user.to_string()))]);
    fails(&nowhere, "good", Kind::Config, "no project: set the option project_id").await;
}

#[tokio::test]
async fn the_quota_project_is_sent_from_the_nearest_who_names_one() {
    let Some(google) = google().await else { return };
    let mut key = google.key();
    key["quota_project_id"] = "of-the-file".into();
    let key = key.to_string();
    let usual = [("GCP_SERVICE_ACCOUNT", key.as_str()), ("GCP_AUTH_METHOD_ORDER", "adc")];
    let with = [usual[0], usual[1], ("GOOGLE_CLOUD_QUOTA_PROJECT", "of-the-environment")];
    for (vault, payer) in [
        (google.vault(&[], &usual), "of-the-file"),
        (google.vault(&[], &with), "of-the-environment"),
        (google.vault(&[("quota_project_id", "of-the-option")], &with), "of-the-option"),
    ] {
        reads(&vault, "good").await;
        let last = google.world().asked.last().cloned().unwrap_or_default();
        assert!(last.ends_with(&format!(" for {payer}")), "{last}");
    }
}

#[tokio::test]
async fn a_variable_of_gclouds_leads_to_another_endpoint() {
    let Some(google) = google().await else { return };
    let endpoint = google.url("/");
    let environment =
        [("GCE_METADATA_HOST", google.host()), ("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", endpoint)];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(reads(&build(&[], &environment), "good#1").await, "one");
    let broken = build(
        &[],
        &[("GCE_METADATA_HOST", &google.host()), ("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", "hunter2")],
    );
    let error = fetch(&broken, "good").await.unwrap_err().to_string();
    assert!(
        error.contains("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER is no URL") && !error.contains("hunter2"),
        "{error}"
    );
    for (name, value) in [("GCP_AUTH_METHOD_ORDER", "hunter2"), ("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "hunter2/x")] {
        let error = try_build(&[], &[(name, value)]).err().expect("an error").to_string();
        assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
    }
}
