//! Errors for Secret Manager's refusals: what they mean and what to do.

use std::time::Duration;

use serde::Deserialize;

use super::request::AccessRequest;
use crate::error::{Error, Kind};
use crate::http::HttpResponse;

/// The longest accepted wait, in seconds.
const LONGEST_WAIT: f64 = 86_400.0;

/// The context of a request, for errors.
pub struct GcpErrorContext<'a> {
    /// Such as `gcp vault (mine) at secretmanager.googleapis.com:443`.
    pub place: String,
    pub question: &'a AccessRequest<'a>,
    /// The origin of the credentials.
    pub login: &'a str,
    pub quota_project: Option<&'a str>,
    /// By how much this machine's clock is wrong.
    pub clock: String,
}

impl GcpErrorContext<'_> {
    pub fn error(&self, kind: Kind, reason: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{}: {reason}", self.place))
    }
}

/// An error of Google's APIs. Its message is only searched for known parts.
#[derive(Default)]
struct ApiError {
    status: Option<&'static str>,
    reason: Option<&'static str>,
    message: String,
    wait: Option<Duration>,
}

/// The known statuses and reasons. Others are not shown.
const STATUSES: &[&str] = &[
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "UNKNOWN",
];
const REASONS: &[&str] = &[
    "ACCESS_TOKEN_EXPIRED",
    "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    "CREDENTIALS_MISSING",
    "JWT_TOKEN_INVALID",
    "SERVICE_DISABLED",
    "BILLING_DISABLED",
    "CONSUMER_INVALID",
    "CONSUMER_SUSPENDED",
    "RESOURCE_PROJECT_INVALID",
    "USER_PROJECT_DENIED",
    "IAM_PERMISSION_DENIED",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    "ACCOUNT_STATE_INVALID",
    "SECURITY_POLICY_VIOLATED",
    "RATE_LIMIT_EXCEEDED",
    "LOCATION_POLICY_VIOLATED",
];

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorStatus,
}

#[derive(Deserialize)]
struct ErrorStatus {
    status: Option<String>,
    message: Option<String>,
    #[serde(default)]
    details: Vec<ErrorDetail>,
}

/// google.rpc.ErrorInfo, google.rpc.RetryInfo and other details.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorDetail {
    reason: Option<String>,
    retry_delay: Option<String>,
}

impl ApiError {
    fn of(body: &[u8]) -> Self {
        let Ok(ErrorBody { error }) = serde_json::from_slice(body) else { return Self::default() };
        let known = |all: &[&'static str], text: &str| all.iter().copied().find(|known| *known == text);
        let reason = error.details.iter().find_map(|detail| known(REASONS, detail.reason.as_deref()?));
        let wait = error.details.iter().find_map(|detail| seconds(detail.retry_delay.as_deref()?));
        Self {
            status: error.status.and_then(|status| known(STATUSES, &status)),
            reason,
            message: error.message.unwrap_or_default(),
            wait,
        }
    }

    /// The end of an error's sentence.
    fn mark(&self, status: u16) -> String {
        match self.reason.or(self.status) {
            Some(name) => format!(" (status {status}, {name})"),
            None => format!(" (status {status})"),
        }
    }
}

/// Reads a duration such as `7s` or `1.5s`.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok().filter(|seconds: &f64| !seconds.is_nan())?;
    Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT)).ok()
}

/// The error for an answer that is not a success.
pub fn of(asked: &GcpErrorContext<'_>, answer: &HttpResponse) -> Error {
    let status = answer.status;
    if (300..400).contains(&status) {
        let reason = format!("redirects elsewhere (status {status}), which is never followed: correct endpoint_url");
        return asked.error(Kind::Invalid, reason);
    }
    let refusal = ApiError::of(answer.body.as_bytes());
    let (kind, reason) = reason(asked, &refusal, status);
    let wait = answer.retry_after().or(refusal.wait);
    let error = asked.error(kind, reason + &refusal.mark(status)).with_retry_after(wait);
    if status == 401 { error.of_login() } else { error }
}

/// Whether the only problem is that the account may not read the secret.
pub fn is_of_rights(answer: &HttpResponse) -> bool {
    let refusal = ApiError::of(answer.body.as_bytes());
    answer.status == 403
        && refusal.status == Some("PERMISSION_DENIED")
        && matches!(refusal.reason, None | Some("IAM_PERMISSION_DENIED"))
}

fn reason(asked: &GcpErrorContext<'_>, refusal: &ApiError, status: u16) -> (Kind, String) {
    let GcpErrorContext { question, login, .. } = asked;
    let (secret, project, version) = (question.shown(), question.project, question.version);
    match (status, refusal.status) {
        (429, _) => (
            Kind::Throttled,
            format!("the quota of project {project} is used up: raise `ttl`, or ask Google for more requests"),
        ),
        (500.., _) => (Kind::Unavailable, "failed: try again".to_owned()),
        (401, _) => (Kind::Denied, unauthenticated(asked, refusal)),
        (403, _) => (Kind::Denied, denied(asked, refusal)),
        (404, Some(_)) if refusal.message.contains("Secret Version") => (
            Kind::NotFound,
            format!("the secret {secret} in {} has no version {version}: check the version", question.where_is()),
        ),
        (404, Some(_)) => (
            Kind::NotFound,
            format!(
                "no secret {secret} with a version in {}: check its name, `project_id` and `location`",
                question.where_is()
            ),
        ),
        (400, Some("FAILED_PRECONDITION")) => (
            Kind::NotFound,
            match refusal.message.contains("DESTROYED") {
                true => format!("the version {version} of the secret {secret} is destroyed: add a new version"),
                false => format!(
                    "the version {version} of the secret {secret} is disabled or destroyed: enable it, or add a new \
                     version (`latest` is the one created last, enabled or not)"
                ),
            },
        ),
        (400, Some(_)) => (
            Kind::Invalid,
            format!(
                "the name {secret}, the project {project} or the version {version} is not accepted: check the reference; \
                 {version} must be a number, latest or an alias of the secret"
            ),
        ),
        (_, Some(_)) => (Kind::Invalid, format!("the request with the credentials from {login} is refused")),
        (_, None) => (
            Kind::Invalid,
            "the answer is not one of Secret Manager: check endpoint_url and what stands before it".to_owned(),
        ),
    }
}

fn unauthenticated(asked: &GcpErrorContext<'_>, refusal: &ApiError) -> String {
    let GcpErrorContext { login, clock, .. } = asked;
    match refusal.reason {
        Some("ACCESS_TOKEN_EXPIRED") => {
            format!("the token from {login} has expired: check this machine's clock{clock}")
        }
        Some("ACCESS_TOKEN_TYPE_UNSUPPORTED") => {
            format!("the kind of token from {login} is not accepted: use credentials that give access tokens")
        }
        Some("CREDENTIALS_MISSING") => {
            format!("no token arrived: check that no proxy removes the header Authorization of {login}")
        }
        _ => format!(
            "the token from {login} is not accepted: check that the account and its key exist, are enabled and belong to \
             this cloud, and this machine's clock{clock}"
        ),
    }
}

fn denied(asked: &GcpErrorContext<'_>, refusal: &ApiError) -> String {
    let GcpErrorContext { question, login, quota_project, .. } = asked;
    let (secret, project) = (question.shown(), question.project);
    let payer = quota_project.unwrap_or(project);
    match refusal.reason {
        Some("SERVICE_DISABLED") => format!(
            "the Secret Manager API is off for project {payer}: enable it (gcloud services enable \
             secretmanager.googleapis.com --project={payer})"
        ),
        Some("BILLING_DISABLED") => format!("billing is off for project {payer}: enable it"),
        Some("CONSUMER_INVALID" | "CONSUMER_SUSPENDED" | "RESOURCE_PROJECT_INVALID") => {
            format!("the project {payer} does not exist or is suspended: correct `project_id` or `quota_project_id`")
        }
        Some("USER_PROJECT_DENIED") => format!(
            "the credentials from {login} may not use the quota of project {payer}: grant them \
             roles/serviceusage.serviceUsageConsumer there, or correct `quota_project_id`"
        ),
        Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT") => format!(
            "the token from {login} lacks the scope cloud-platform: give the machine the access scope cloud-platform and \
             restart it"
        ),
        Some("ACCOUNT_STATE_INVALID") => {
            format!("the account of the credentials from {login} is disabled or deleted: enable it")
        }
        Some("SECURITY_POLICY_VIOLATED" | "LOCATION_POLICY_VIOLATED") => format!(
            "a policy of the organization (such as VPC Service Controls) forbids the credentials from {login} to read the \
             secret {secret} from here: allow it there"
        ),
        _ => format!(
            "the credentials from {login} may not read the secret {secret} in {}, or it does not exist: grant them \
             roles/secretmanager.secretAccessor on the secret",
            question.where_is()
        ),
    }
}

#[cfg(test)]
mod tests;
