//! Many secrets of AWS with one request, against a stand-in and against moto, which checks rights.

mod support;

use std::sync::Arc;
use std::time::Duration;

use kong_vault::backend::{Backend, Fetched, SecretId};
use kong_vault::error::{Error, Kind, Result};
use serde_json::json;
use support::amazon::{build, harmless};
use support::moto::{Moto, element, program};
use support::secrets_manager::{Held, Other, SecretsManager, arn};

fn vault(endpoint: &str, key: (&str, &str)) -> Arc<dyn Backend> {
    let environment = [
        ("AWS_ACCESS_KEY_ID", key.0),
        ("AWS_SECRET_ACCESS_KEY", key.1),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    build(&[("endpoint_url", endpoint)], &environment)
}

fn at(server: &SecretsManager) -> Arc<dyn Backend> {
    vault(&server.endpoint(), ("AKIDEXAMPLE", "hunter2-key"))
}

fn ids(names: &[&str]) -> Vec<SecretId> {
    names.iter().map(|name| SecretId { resource: (*name).to_owned(), version: None }).collect()
}

async fn batch(vault: &Arc<dyn Backend>, names: &[&str]) -> Vec<Option<Result<Fetched>>> {
    vault.fetch_batch(&ids(names)).await
}

fn text(outcome: &Option<Result<Fetched>>) -> &str {
    outcome.as_ref().expect("an outcome").as_ref().expect("a secret").document.as_str().expect("text")
}

fn error(outcome: &Option<Result<Fetched>>) -> &Error {
    outcome.as_ref().expect("an outcome").as_ref().expect_err("no secret")
}

/// Whether a plain name may go into a batch now.
fn may_ask(vault: &Arc<dyn Backend>) -> bool {
    vault.takes_in_batch(&ids(&["a"])[0])
}

#[tokio::test]
async fn one_signed_request_brings_all_in_the_order_in_which_they_were_asked_for() {
    let server = SecretsManager::start(&[
        ("a", Held::Text(r#"{"user":"é\n"}"#)),
        ("team/b", Held::Text("of b")),
        ("bytes", Held::Bytes("AP8AaGk=")),
        ("empty", Held::Text("")),
    ])
    .await;
    let vault = at(&server);
    let (whole, part) = (arn("team/b"), arn("team/b").replace("-AbCdEf", ""));
    let outcomes = batch(&vault, &["a", "team/b", &whole, &part, "bytes", "empty", "a"]).await;
    assert_eq!(
        [0, 1, 2, 3, 5, 6].map(|at| text(&outcomes[at])),
        [r#"{"user":"é\n"}"#, "of b", "of b", "of b", "", r#"{"user":"é\n"}"#]
    );
    assert_eq!(outcomes[4].as_ref().unwrap().as_ref().unwrap().document.as_bytes(), b"\x00\xff\x00hi");
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].0, "BatchGetSecretValue");
    assert_eq!(requests[0].1, json!({ "SecretIdList": ["a", "team/b", whole, part, "bytes", "empty"] }));
}

#[tokio::test]
async fn all_pages_are_read() {
    const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    let server = SecretsManager::start(&NAMES.map(|name| (name, Held::Text(name)))).await;
    server.page(Some(3));
    let outcomes = batch(&at(&server), &NAMES).await;
    assert_eq!(outcomes.iter().map(text).collect::<Vec<_>>(), NAMES);
    let tokens: Vec<_> = server.requests().into_iter().map(|(_, body)| body["NextToken"].clone()).collect();
    assert_eq!(tokens, [json!(null), json!("3"), json!("6")]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_has_the_error_of_a_single_request() {
    let refused = [
        ("missing", Kind::NotFound, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        (
            "unlabelled",
            Kind::NotFound,
            "ResourceNotFoundException",
            "can't find the specified secret value for staging label: AWSCURRENT",
        ),
        ("deleted", Kind::NotFound, "InvalidRequestException", "it was marked for deletion. 123456789012"),
        ("sealed", Kind::Denied, "DecryptionFailure", "hunter2"),
        ("odd", Kind::Invalid, "InvalidParameterException", "hunter2"),
        ("later", Kind::Unavailable, "InternalServiceError", "hunter2"),
        ("crowded", Kind::Throttled, "ThrottlingException", "hunter2"),
        ("new", Kind::Invalid, "NobodyKnowsException", "hunter2"),
    ];
    let mut secrets = refused.map(|(name, _, code, message)| (name, Held::Refused(code, message))).to_vec();
    secrets.extend([("good", Held::Text("good")), ("valueless", Held::Nothing), ("bent", Held::Bytes("hunter2!"))]);
    let server = SecretsManager::start(&secrets).await;
    let vault = at(&server);
    let mut names: Vec<_> = secrets.iter().map(|(name, _)| *name).collect();
    names.push("nobodys");
    let outcomes = batch(&vault, &names).await;
    let kind_of = |name: &str| refused.iter().find(|it| it.0 == name).map(|it| it.1);
    for (secret_id, outcome) in ids(&names).iter().zip(&outcomes) {
        let single = vault.fetch(secret_id).await;
        match single {
            Ok(single) => assert_eq!(text(outcome), single.document.as_str().unwrap()),
            Err(single) => {
                let error = error(outcome);
                assert_eq!(harmless(error), harmless(&single));
                assert_eq!(error.kind(), single.kind(), "{error}");
                assert_eq!(error.kind(), kind_of(&secret_id.resource).unwrap_or(error.kind()), "{error}");
            }
        }
    }
    assert!(may_ask(&vault), "the request as a whole was answered");
}

#[tokio::test]
async fn who_may_not_read_a_secret_in_a_batch_may_ask_for_its_current_version_alone() {
    let denied = Held::Refused("AccessDeniedException", "not authorized");
    let server = SecretsManager::start(&[("good", Held::Text("good")), ("denied", denied)]).await;
    let outcomes = batch(&at(&server), &["denied", "good"]).await;
    assert!(outcomes[0].is_none());
    assert_eq!(text(&outcomes[1]), "good");
}

#[tokio::test]
async fn where_a_batch_fails_there_are_no_outcomes_and_no_further_batch_for_a_while() {
    let body = |name: &'static str| -> &'static str {
        Box::leak(format!(r#"{{"__type":"{name}","Message":"hunter2"}}"#).into_boxed_str())
    };
    let answers: [Other; 12] = [
        ("400 Bad Request", "", body("AccessDeniedException")),
        ("403 Forbidden", "", body("AccessDenied")),
        ("400 Bad Request", "", body("UnknownOperationException")),
        ("400 Bad Request", "", body("ThrottlingException")),
        ("400 Bad Request", "", body("InvalidParameterException")),
        ("500 Oh", "", body("InternalServiceError")),
        ("501 Not Implemented", "", body("InternalFailure")),
        ("404 Not Found", "", "<html>hunter2</html>"),
        ("405 Not Allowed", "", ""),
        ("200 OK", "", "<html>hunter2</html>"),
        ("200 OK", "", r#"{"Name":"a","SecretString":"hunter2"}"#),
        ("307 Elsewhere", "location: /\r\n", ""),
    ];
    let server = SecretsManager::start(&[("a", Held::Text("of a")), ("b", Held::Text("of b"))]).await;
    for other in answers {
        server.answer_batches(other);
        let vault = at(&server);
        assert!(may_ask(&vault));
        let outcomes = batch(&vault, &["a", "b"]).await;
        assert!(outcomes.iter().all(Option::is_none), "{other:?}");
        assert!(!may_ask(&vault), "{other:?}");
        assert_eq!(server.counts(), (1, 0), "{other:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_says_nothing_of_batches() {
    let vault = vault(&format!("http://127.0.0.1:{}", support::closed_port()), ("AKIDEXAMPLE", "hunter2-key"));
    assert!(batch(&vault, &["a", "b"]).await.iter().all(Option::is_none));
    assert!(may_ask(&vault));
}

#[tokio::test]
async fn credentials_that_are_refused_fail_all_without_a_request_for_each() {
    let body = r#"{"__type":"UnrecognizedClientException","Message":"hunter2"}"#;
    let server = SecretsManager::start(&[]).await;
    server.answer_batches(("400 Bad Request", "", body));
    let vault = at(&server);
    for outcome in batch(&vault, &["a", "b"]).await {
        assert_eq!(error(&outcome).kind(), Kind::Denied);
        assert!(harmless(error(&outcome)).contains("from the environment is not known"));
    }
    assert!(may_ask(&vault));
    assert_eq!(server.counts(), (1, 0));
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_kept_for_all() {
    let server = SecretsManager::start(&[]).await;
    server.answer_batches(("503 Busy", "retry-after: 7\r\n", r#"{"__type":"ServiceUnavailable"}"#));
    for outcome in batch(&at(&server), &["a", "b"]).await {
        let error = error(&outcome);
        assert_eq!((error.kind(), error.retry_after()), (Kind::Unavailable, Some(Duration::from_secs(7))), "{error}");
    }
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_not_followed_by_another() {
    let server = support::Fake::silent().await;
    let vault = vault(&format!("http://{}", server.address), ("AKIDEXAMPLE", "hunter2-key"));
    let ids = ids(&["a", "b"]);
    assert!(tokio::time::timeout(Duration::from_millis(100), vault.fetch_batch(&ids)).await.is_err());
    assert!(!may_ask(&vault));
}

const BOTH: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"secretsmanager:BatchGetSecretValue","Resource":"*"},
    {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}"#;
const SINGLE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}"#;

/// A user's access key.
async fn user(moto: &Moto, name: &str, policy: &str) -> (String, String) {
    moto.iam("CreateUser", &[("UserName", name)]).await;
    moto.iam("PutUserPolicy", &[("UserName", name), ("PolicyName", "read"), ("PolicyDocument", policy)]).await;
    let key = moto.iam("CreateAccessKey", &[("UserName", name)]).await;
    (element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"))
}

#[tokio::test]
async fn a_server_that_checks_signatures_and_rights() {
    let Some(program) = program() else { return };
    let moto = Moto::start(&program).await;
    let create = async |body: serde_json::Value| moto.secrets("eu-west-1", "CreateSecret", body).await;
    let arn = create(json!({ "Name": "team/a", "SecretString": "of a" })).await["ARN"].as_str().unwrap().to_owned();
    create(json!({ "Name": "b", "SecretBinary": "AP8AaGk=" })).await;
    create(json!({ "Name": "gone", "SecretString": "hunter2" })).await;
    moto.secrets("eu-west-1", "DeleteSecret", json!({ "SecretId": "gone" })).await;
    let (id, key) = user(&moto, "reader", BOTH).await;
    let (single, single_key) = user(&moto, "single", SINGLE).await;
    moto.check_signatures().await;

    let reader = vault(&moto.endpoint(), (&id, &key));
    let outcomes = batch(&reader, &["team/a", &arn, "b", "gone", "missing"]).await;
    assert_eq!([text(&outcomes[0]), text(&outcomes[1])], ["of a", "of a"]);
    assert_eq!(outcomes[2].as_ref().unwrap().as_ref().unwrap().document.as_bytes(), b"\x00\xff\x00hi");
    assert!(harmless(error(&outcomes[3])).contains("restore it (RestoreSecret)"), "{}", error(&outcomes[3]));
    assert!(harmless(error(&outcomes[4])).contains("no secret missing in eu-west-1"), "{}", error(&outcomes[4]));
    assert!(may_ask(&reader));

    let single = vault(&moto.endpoint(), (&single, &single_key));
    assert!(batch(&single, &["team/a", "b"]).await.iter().all(Option::is_none));
    assert!(!may_ask(&single));
    assert_eq!(single.fetch(&ids(&["team/a"])[0]).await.unwrap().document.as_str(), Some("of a"));

    let forger = vault(&moto.endpoint(), (&id, "hunter2"));
    for outcome in batch(&forger, &["team/a", "b"]).await {
        assert!(harmless(error(&outcome)).contains("does not belong to its access key id"), "{}", error(&outcome));
    }
}
