//! Errors for Conjur's refusals: what they mean and what to do. Conjur gives few reasons: its own log has them.

use serde::Deserialize;

use super::address::shown;
use crate::error::{Error, Kind};
use crate::http::HttpResponse;

const LOG: &str = "Conjur's log has the reason";

/// A login, for errors.
pub struct LoginContext<'a> {
    /// Such as `conjur vault (mine) at conjur.example:443`.
    pub place: String,
    pub authenticator: &'a str,
    pub service: Option<&'a str>,
    pub login: Option<&'a str>,
    /// What was logged in with.
    pub origin: &'a str,
    /// By how much this machine's clock is wrong.
    pub clock: String,
}

/// A read, for errors.
pub struct ReadContext<'a> {
    pub place: String,
    pub account: &'a str,
    pub name: &'a str,
    pub version: Option<u32>,
    /// Who reads.
    pub who: String,
    pub clock: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorMessage,
}

#[derive(Deserialize)]
struct ErrorMessage {
    #[serde(default)]
    message: String,
}

/// Whether an error of Conjur's has a text. Its message is never shown.
fn says(answer: &HttpResponse, part: &str) -> bool {
    let body = serde_json::from_slice::<ErrorBody>(answer.body.as_bytes()).ok();
    body.is_some_and(|body| body.error.message.to_ascii_lowercase().contains(part))
}

/// Whether an error names a variable by its whole id.
pub fn names_variable(answer: &HttpResponse, id: &str) -> bool {
    let body = serde_json::from_slice::<ErrorBody>(answer.body.as_bytes()).ok();
    body.is_some_and(|body| body.error.message.contains(&format!(" {id} ")))
}

/// Whether an answer is an error of Conjur's, and not one of another server.
pub fn is_of_conjur(answer: &HttpResponse) -> bool {
    serde_json::from_slice::<ErrorBody>(answer.body.as_bytes()).is_ok()
}

/// The errors that logins and reads have in common.
fn common(answer: &HttpResponse) -> Option<(Kind, String)> {
    match answer.status {
        300..400 => {
            Some((Kind::Invalid, "redirects elsewhere, which is never followed: correct endpoint_url".to_owned()))
        }
        429 => Some((Kind::Throttled, "too many requests: raise `ttl`".to_owned())),
        500.. => Some((Kind::Unavailable, "failed: try again".to_owned())),
        _ => None,
    }
}

fn error(place: &str, (kind, reason): (Kind, String), answer: &HttpResponse) -> Error {
    Error::new(kind, format!("{place}: {reason} (status {})", answer.status)).with_retry_after(answer.retry_after())
}

impl LoginContext<'_> {
    /// Who logs in, for errors.
    pub fn who(&self) -> String {
        match self.login {
            Some(login) => format!("{} as {}", self.origin, shown(login)),
            None => self.origin.to_owned(),
        }
    }

    fn authenticator(&self) -> String {
        match self.service {
            Some(service) => format!("{}/{}", self.authenticator, shown(service)),
            None => self.authenticator.to_owned(),
        }
    }

    pub fn refusal(&self, answer: &HttpResponse) -> Error {
        let reason = common(answer).unwrap_or_else(|| self.reason(answer));
        error(&self.place, reason, answer).of_login()
    }

    fn reason(&self, answer: &HttpResponse) -> (Kind, String) {
        let (who, authenticator) = (self.who(), self.authenticator());
        match answer.status {
            401 if says(answer, "expired") => (
                Kind::Denied,
                format!(
                    "{who} has expired: check that the program that writes it renews it, and the clocks{}",
                    self.clock
                ),
            ),
            401 => (Kind::Denied, format!("{who} is not accepted by {authenticator}: {}; {LOG}", self.remedy())),
            403 => (
                Kind::Denied,
                format!(
                    "{who} may not log in by {authenticator}: grant its host the privilege `authenticate` on the webservice, \
                     and check `restricted_to`"
                ),
            ),
            400 => (Kind::Denied, format!("the login by {authenticator} with {who} is malformed: {}", self.remedy())),
            404 => (
                Kind::Invalid,
                format!("there is no login by {authenticator}: check endpoint_url, `account` and `service_id`"),
            ),
            _ => (
                Kind::Invalid,
                "the answer to the login is not one of Conjur: check endpoint_url and what stands before it".to_owned(),
            ),
        }
    }

    fn remedy(&self) -> String {
        let clock = &self.clock;
        match self.authenticator {
            "authn" => {
                let is_host = self.login.is_some_and(|login| login.starts_with("host/"));
                let hint = if is_host { "" } else { " (a host's begins with host/)" };
                format!("check `login`{hint}, `api_key` and `account`, and the host's `restricted_to`")
            }
            "authn-iam" => format!(
                "check that `login` ends with the number of the AWS account and the role's name, that the credentials are a \
                 role's, `service_id` and `account`, and this machine's clock{clock}"
            ),
            "authn-gcp" => "check `login` and `account`, that the authenticator is enabled, and the host's annotations \
                            authn-gcp/…"
                .to_owned(),
            "authn-azure" => "check `login`, `service_id` and `account`, the authenticator's provider-uri, and the host's \
                              annotations authn-azure/…"
                .to_owned(),
            _ => "check the JWT's issuer, audience and claims, the host's annotations, `service_id`, `account` and `login`"
                .to_owned(),
        }
    }
}

impl ReadContext<'_> {
    pub fn refusal(&self, answer: &HttpResponse) -> Error {
        let reason = common(answer).unwrap_or_else(|| self.reason(answer));
        let error = error(&self.place, reason, answer);
        if answer.status == 401 { error.of_login() } else { error }
    }

    fn reason(&self, answer: &HttpResponse) -> (Kind, String) {
        let Self { who, account, clock, .. } = self;
        let name = shown(self.name);
        match answer.status {
            401 => (
                Kind::Denied,
                format!(
                    "the access token from {who} is not accepted: check that it is of this Conjur and of the account {}, and \
                     the clocks{clock}",
                    shown(account)
                ),
            ),
            403 => (
                Kind::Denied,
                format!("{who} may not read the variable {name}: grant its host the privilege `execute` on it"),
            ),
            404 if is_of_conjur(answer) => (
                Kind::NotFound,
                match self.version {
                    Some(version) => format!(
                        "no version {version} of the variable {name}: check the name and the version, which are kept for the \
                         last 20 values, and that {who} may see it (`read`)"
                    ),
                    None => format!(
                        "no value of the variable {name}: check the name (with %2F for the slashes of policies), that it has a \
                         value, and that {who} may see it (`read`)"
                    ),
                },
            ),
            422 if is_of_conjur(answer) => {
                (Kind::Invalid, format!("the name {name} or the version is not accepted: check the reference"))
            }
            _ => (
                Kind::Invalid,
                "the answer is not one of Conjur: check endpoint_url and what stands before it".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::secret::Secret;

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse { status, headers: HeaderMap::new(), body: Secret::new(body) }
    }

    fn json(message: &str) -> String {
        serde_json::json!({"error": {"code": "x", "message": format!("hunter2 {message}")}}).to_string()
    }

    #[test]
    fn each_refusal_of_a_login_says_what_to_do() {
        let context = |authenticator, service| LoginContext {
            place: "conjur vault (mine) at conjur:443".to_owned(),
            authenticator,
            service,
            login: Some("host/app"),
            origin: "the JWT in /token",
            clock: String::new(),
        };
        for (status, body, kind, part) in [
            (401, "", Kind::Denied, "is not accepted by authn-jwt/prod: check the JWT's issuer"),
            (401, &*json("CONJ00016E Token expired"), Kind::Denied, "the JWT in /token as host/app has expired"),
            (403, "", Kind::Denied, "the privilege `authenticate`"),
            (400, "", Kind::Denied, "is malformed"),
            (404, "<html>hunter2", Kind::Invalid, "no login by authn-jwt/prod: check endpoint_url"),
            (302, "hunter2", Kind::Invalid, "never followed"),
            (429, "", Kind::Throttled, "too many requests"),
            (503, "hunter2", Kind::Unavailable, "try again"),
            (418, "hunter2", Kind::Invalid, "not one of Conjur"),
        ] {
            let error = context("authn-jwt", Some("prod")).refusal(&answer(status, body));
            let text = error.to_string();
            assert!(text.contains(part) && error.kind() == kind && error.is_of_login(), "{status}: {text}");
            assert!(!text.contains("hunter2") && text.ends_with(&format!("(status {status})")), "{text}");
        }
        let user = LoginContext { login: Some("app"), ..context("authn", None) };
        assert!(user.refusal(&answer(401, "")).to_string().contains("`login` (a host's begins with host/), `api_key`"));
        for (authenticator, part) in [
            ("authn", "check `login`, `api_key`"),
            ("authn-iam", "number of the AWS account"),
            ("authn-gcp", "authn-gcp/…"),
            ("authn-azure", "provider-uri"),
        ] {
            let text = context(authenticator, None).refusal(&answer(401, "")).to_string();
            assert!(text.contains(part) && text.contains("Conjur's log"), "{text}");
        }
    }

    #[test]
    fn each_refusal_of_a_read_says_what_to_do() {
        let context = |version| ReadContext {
            place: "conjur vault (mine) at conjur:443".to_owned(),
            account: "org",
            name: "BotApp/secretVar",
            version,
            who: "the API key as host/app".to_owned(),
            clock: String::new(),
        };
        let missing = json("CONJ00076E Variable org:variable:x is empty or not found.");
        for (version, status, body, kind, part) in [
            (None, 401, "hunter2", Kind::Denied, "of the account org"),
            (None, 403, "", Kind::Denied, "the API key as host/app may not read the variable BotApp/secretVar"),
            (
                None,
                404,
                &*missing,
                Kind::NotFound,
                "no value of the variable BotApp/secretVar: check the name (with %2F",
            ),
            (Some(3), 404, &*missing, Kind::NotFound, "no version 3 of the variable BotApp/secretVar"),
            (None, 404, "<html>hunter2", Kind::Invalid, "not one of Conjur"),
            (None, 422, &*missing, Kind::Invalid, "is not accepted: check the reference"),
            (None, 307, "", Kind::Invalid, "never followed"),
            (None, 429, "", Kind::Throttled, "raise `ttl`"),
            (None, 500, "hunter2", Kind::Unavailable, "try again"),
        ] {
            let error = context(version).refusal(&answer(status, body));
            let text = error.to_string();
            assert!(text.contains(part) && error.kind() == kind, "{status}: {text}");
            assert_eq!(error.is_of_login(), status == 401, "{text}");
            assert!(!text.contains("hunter2") && text.ends_with(&format!("(status {status})")), "{text}");
        }
    }
}
