use http::{HeaderMap, HeaderValue};

use super::*;
use crate::secret::Secret;

const PRIVATE: &str = "projects/123456789012/secrets/hunter2";

fn refuse(status: u16, body: &str) -> Error {
    let question = AccessRequest { project: "my-project", location: None, secret: "db", version: "3" };
    let asked = GcpErrorContext {
        place: "gcp vault (mine) at secretmanager.googleapis.com:443".to_owned(),
        question: &question,
        login: "the metadata server",
        quota_project: Some("payer"),
        clock: " (it is 3600 seconds behind)".to_owned(),
    };
    of(&asked, &HttpResponse { status, headers: HeaderMap::new(), body: Secret::new(body) })
}

fn typed(code: u16, status: &str, message: &str, reason: Option<&str>) -> Error {
    let info = reason.map(|reason| {
        format!(
            r#","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"googleapis.com","metadata":{{"x":"{PRIVATE}"}}}}]"#
        )
    });
    let info = info.unwrap_or_default();
    refuse(code, &format!(r#"{{"error":{{"code":{code},"status":"{status}","message":"{message} {PRIVATE}"{info}}}}}"#))
}

#[test]
fn each_refusal_says_what_to_do() {
    let state = "Secret Version [x] is in DISABLED state.";
    for (code, status, message, reason, kind, part) in [
        (400, "FAILED_PRECONDITION", state, None, Kind::NotFound, "the version 3 of the secret db is disabled"),
        (400, "FAILED_PRECONDITION", "is in DESTROYED state.", None, Kind::NotFound, "is destroyed: add a new version"),
        (400, "INVALID_ARGUMENT", "", None, Kind::Invalid, "is not accepted: check the reference"),
        (401, "UNAUTHENTICATED", "", None, Kind::Denied, "is not accepted: check that the account"),
        (401, "UNAUTHENTICATED", "", Some("ACCESS_TOKEN_EXPIRED"), Kind::Denied, "clock (it is 3600 seconds behind)"),
        (401, "UNAUTHENTICATED", "", Some("ACCESS_TOKEN_TYPE_UNSUPPORTED"), Kind::Denied, "the kind of token"),
        (401, "UNAUTHENTICATED", "", Some("CREDENTIALS_MISSING"), Kind::Denied, "no token arrived"),
        (401, "UNAUTHENTICATED", "", Some("JWT_TOKEN_INVALID"), Kind::Denied, "is not accepted"),
        (403, "PERMISSION_DENIED", "", None, Kind::Denied, "roles/secretmanager.secretAccessor"),
        (
            403,
            "PERMISSION_DENIED",
            "",
            Some("IAM_PERMISSION_DENIED"),
            Kind::Denied,
            "may not read the secret db in project my-project",
        ),
        (
            403,
            "PERMISSION_DENIED",
            "",
            Some("SERVICE_DISABLED"),
            Kind::Denied,
            "secretmanager.googleapis.com --project=payer",
        ),
        (403, "PERMISSION_DENIED", "", Some("BILLING_DISABLED"), Kind::Denied, "billing is off for project payer"),
        (403, "PERMISSION_DENIED", "", Some("CONSUMER_INVALID"), Kind::Denied, "does not exist or is suspended"),
        (403, "PERMISSION_DENIED", "", Some("RESOURCE_PROJECT_INVALID"), Kind::Denied, "correct `project_id`"),
        (
            403,
            "PERMISSION_DENIED",
            "",
            Some("USER_PROJECT_DENIED"),
            Kind::Denied,
            "roles/serviceusage.serviceUsageConsumer",
        ),
        (403, "PERMISSION_DENIED", "", Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), Kind::Denied, "scope cloud-platform"),
        (403, "PERMISSION_DENIED", "", Some("SECURITY_POLICY_VIOLATED"), Kind::Denied, "VPC Service Controls"),
        (
            404,
            "NOT_FOUND",
            "Secret [x] not found or has no versions.",
            None,
            Kind::NotFound,
            "no secret db with a version in project my-project",
        ),
        (404, "NOT_FOUND", "Secret Version [x] not found.", None, Kind::NotFound, "has no version 3"),
        (429, "RESOURCE_EXHAUSTED", "", Some("RATE_LIMIT_EXCEEDED"), Kind::Throttled, "raise `ttl`"),
        (500, "INTERNAL", "", None, Kind::Unavailable, "try again"),
        (503, "UNAVAILABLE", "", None, Kind::Unavailable, "try again"),
        (504, "DEADLINE_EXCEEDED", "", None, Kind::Unavailable, "try again"),
    ] {
        let error = typed(code, status, message, reason);
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(part), "{part}: {text}");
        assert!(text.ends_with(&format!(" (status {code}, {})", reason.unwrap_or(status))), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("123456789012"), "{text}");
        assert_eq!(error.is_of_login(), code == 401, "{text}");
    }
}

#[test]
fn what_is_not_of_secret_manager_is_told_apart_and_not_quoted() {
    for (status, kind, part) in [
        (404, Kind::Invalid, "not one of Secret Manager"),
        (403, Kind::Denied, "may not read"),
        (400, Kind::Invalid, "not one of Secret Manager"),
        (502, Kind::Unavailable, "try again"),
        (429, Kind::Throttled, "raise `ttl`"),
        (307, Kind::Invalid, "never followed"),
    ] {
        for body in ["<html>hunter2</html>", "[{}]", r#"{"error":"hunter2"}"#, ""] {
            let error = refuse(status, body);
            assert_eq!(error.kind(), kind, "{status} {body}");
            let text = error.to_string();
            assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
        }
    }
    let unknown = typed(403, "HUNTER2_hunter2", "", Some("hunter2")).to_string();
    assert!(unknown.ends_with(" (status 403)"), "{unknown}");
}

#[test]
fn a_wait_is_taken_from_the_header_or_the_details() {
    let details = |delay: &str| {
        refuse(429, &format!(
            r#"{{"error":{{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}]}}}}"#
        ))
        .retry_after()
    };
    assert_eq!(details("7s"), Some(Duration::from_secs(7)));
    assert_eq!(details("1.5s"), Some(Duration::from_millis(1500)));
    assert_eq!(details("1e300s"), Some(Duration::from_secs(86_400)));
    for none in ["-1s", "7", "soon", "NaNs", ""] {
        assert_eq!(details(none), None, "{none}");
    }
    let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("3"))]);
    let answer = HttpResponse { status: 429, headers, body: Secret::new("") };
    assert_eq!(answer.retry_after(), Some(Duration::from_secs(3)));
}
