//! What Secrets Manager's refusals mean, and what to do about them.

use std::borrow::Cow;

use crate::error::{Error, Kind};
use crate::http::HttpResponse;
use crate::identity::aws::{ServiceError, throttled, unavailable};
use crate::identity::clock::Clock;

/// The request that an error is about.
pub struct AwsErrorContext<'a> {
    /// Such as `aws vault (mine) at secretsmanager.us-east-1.amazonaws.com:443`.
    pub place: String,
    pub region: &'a str,
    /// The secret's name, as errors may show it.
    pub secret: Cow<'a, str>,
    /// Whether the previous version was requested.
    pub previous: bool,
    /// Where the credentials came from.
    pub login: &'a str,
    /// The clock that it was signed by.
    pub clock: &'a Clock,
}

impl AwsErrorContext<'_> {
    pub fn error(&self, kind: Kind, reason: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{}: {reason}", self.place))
    }
}

/// The error for an answer that is not a success.
pub fn from_response(asked: &AwsErrorContext<'_>, answer: &HttpResponse) -> Error {
    let status = answer.status;
    if (300..400).contains(&status) {
        let reason = format!("redirects elsewhere (status {status}), which is never followed: correct endpoint_url");
        return asked.error(Kind::Invalid, reason);
    }
    from_refusal(asked, &ServiceError::from_response(answer))
}

/// The error for a refusal, of a request or of one secret of many.
pub fn from_refusal(asked: &AwsErrorContext<'_>, refusal: &ServiceError) -> Error {
    let known = of_type(asked, refusal).or_else(|| refusal.reason(asked.login, asked.region, asked.clock));
    let (kind, reason) = known.unwrap_or_else(|| of_status(asked, refusal));
    asked.error(kind, reason + &refusal.mark())
}

fn of_type(asked: &AwsErrorContext<'_>, refusal: &ServiceError) -> Option<(Kind, String)> {
    let AwsErrorContext { secret, region, login, .. } = asked;
    Some(match refusal.name.as_deref()? {
        "ResourceNotFoundException" => (Kind::NotFound, missing(asked, refusal)),
        "InvalidRequestException" if refusal.says("delet") => (
            Kind::NotFound,
            format!("the secret {secret} is marked for deletion: restore it (RestoreSecret) or change the reference"),
        ),
        "InvalidRequestException" => (
            Kind::NotFound,
            format!(
                "the secret {secret} cannot be read in its present state: check that it is not being deleted and has a value"
            ),
        ),
        "AccessDeniedException" if refusal.says("KMS") => (Kind::Denied, kms(asked)),
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => (
            Kind::Denied,
            format!(
                "the credentials from {login} may not read the secret {secret}: allow secretsmanager:GetSecretValue on it in \
                 {region}, in the IAM policy and in the secret's own"
            ),
        ),
        "KMSThrottlingException" => (Kind::Throttled, throttled()),
        "KMSInternalException" | "DependencyTimeoutException" => (Kind::Unavailable, unavailable()),
        "DecryptionFailure" | "DecryptionFailureException" => (Kind::Denied, kms(asked)),
        name if name.starts_with("KMS") => (Kind::Denied, kms(asked)),
        "ValidationException" | "ValidationError" | "InvalidParameterException" | "InvalidParameterValue" => (
            Kind::Invalid,
            format!(
                "the name {secret} is not accepted: give a secret's name (letters, digits and /_+=.@-) or its whole ARN"
            ),
        ),
        _ => return None,
    })
}

fn of_status(asked: &AwsErrorContext<'_>, refusal: &ServiceError) -> (Kind, String) {
    match refusal.status {
        429 => (Kind::Throttled, throttled()),
        500.. => (Kind::Unavailable, unavailable()),
        401 | 403 => (Kind::Denied, format!("the request with the credentials from {} is refused", asked.login)),
        _ if refusal.name.is_some() => (Kind::Invalid, "the request is refused".to_owned()),
        _ => (Kind::Invalid, "the answer is not one of Secrets Manager: check endpoint_url".to_owned()),
    }
}

fn missing(asked: &AwsErrorContext<'_>, refusal: &ServiceError) -> String {
    let AwsErrorContext { secret, region, .. } = asked;
    let has_no_version = refusal.says("staging label");
    match (asked.previous, has_no_version) {
        (true, true) => format!("the secret {secret} has no previous version (AWSPREVIOUS): ask for it without #2"),
        (true, false) => format!("no secret {secret} with a previous version (AWSPREVIOUS) in {region}: check both"),
        (false, true) => format!("the secret {secret} has no current version (AWSCURRENT): give it a value"),
        (false, false) => format!("no secret {secret} in {region}: check its name, the region and the account"),
    }
}

fn kms(asked: &AwsErrorContext<'_>) -> String {
    format!(
        "the key that encrypts the secret {} cannot be used: allow kms:Decrypt on it to the credentials from {}, and check \
         that it is enabled",
        asked.secret, asked.login
    )
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::secret::Secret;

    const PRIVATE: &str = "arn:aws:iam::123456789012:user/alice";

    fn refuse(status: u16, header: Option<&str>, body: &str, previous: bool) -> Error {
        let mut headers = HeaderMap::new();
        if let Some(name) = header {
            headers.insert("x-amzn-errortype", HeaderValue::from_str(name).unwrap());
        }
        let asked = AwsErrorContext {
            place: "aws vault (mine) at sm.example:443".to_owned(),
            region: "eu-west-1",
            secret: "db/password".into(),
            previous,
            login: "the environment",
            clock: &Clock::default(),
        };
        from_response(&asked, &HttpResponse { status, headers, body: Secret::new(body) })
    }

    fn typed(name: &str, message: &str, previous: bool) -> Error {
        refuse(400, None, &format!(r#"{{"__type":"{name}","Message":"{message} {PRIVATE}"}}"#), previous)
    }

    #[test]
    fn each_type_says_what_to_do() {
        let label = "Secrets Manager can't find the specified secret value for staging label: ";
        for (name, message, previous, kind, part) in [
            ("ResourceNotFoundException", "can't find", false, Kind::NotFound, "no secret db/password in eu-west-1"),
            ("ResourceNotFoundException", label, true, Kind::NotFound, "has no previous version (AWSPREVIOUS)"),
            ("ResourceNotFoundException", label, false, Kind::NotFound, "has no current version (AWSCURRENT)"),
            ("ResourceNotFoundException", "can't find", true, Kind::NotFound, "with a previous version"),
            ("InvalidRequestException", "was marked for deletion.", false, Kind::NotFound, "RestoreSecret"),
            ("InvalidRequestException", "other", false, Kind::NotFound, "present state"),
            ("AccessDeniedException", "not authorized", false, Kind::Denied, "secretsmanager:GetSecretValue"),
            ("AccessDeniedException", "Access to KMS is not allowed", false, Kind::Denied, "kms:Decrypt"),
            ("UnrecognizedClientException", "", false, Kind::Denied, "from the environment is not known"),
            ("InvalidClientTokenId", "", false, Kind::Denied, "is not known"),
            ("InvalidSignatureException", "does not match", false, Kind::Denied, "secret access key"),
            ("InvalidSignatureException", "Signature expired: 2", false, Kind::Denied, "clock"),
            ("SignatureDoesNotMatch", "Signature not yet current", false, Kind::Denied, "clock"),
            ("RequestExpired", "", false, Kind::Denied, "clock"),
            ("ExpiredTokenException", "", false, Kind::Denied, "has expired: refresh it and restart nginx"),
            ("ExpiredToken", "", false, Kind::Denied, "has expired"),
            ("ThrottlingException", "Rate exceeded", false, Kind::Throttled, "too many requests: raise `ttl`"),
            ("TooManyRequestsException", "", false, Kind::Throttled, "too many requests: raise `ttl`"),
            ("KMSThrottlingException", "", false, Kind::Throttled, "too many requests: raise `ttl`"),
            ("DecryptionFailure", "", false, Kind::Denied, "kms:Decrypt"),
            ("KMSAccessDeniedException", "", false, Kind::Denied, "kms:Decrypt"),
            ("InternalServiceError", "", false, Kind::Unavailable, "try again"),
            ("ValidationException", "", false, Kind::Invalid, "is not accepted"),
            ("InvalidParameterException", "", false, Kind::Invalid, "is not accepted"),
            ("BrandNewException", "", false, Kind::Invalid, "the request is refused (status 400, BrandNewException)"),
        ] {
            let error = typed(name, message, previous);
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.starts_with("aws vault (mine) at sm.example:443: "), "{text}");
            assert!(text.contains(part), "{part:?} is not in {text:?}");
            assert!(text.ends_with(&format!("(status 400, {name})")), "{text}");
            assert!(!text.contains("alice") && !text.contains("123456789012"), "{text}");
        }
    }

    #[test]
    fn namespace_and_address_are_no_part_of_a_type() {
        for name in
            ["com.amazonaws.secretsmanager#ThrottlingException", "ThrottlingException:http://internal.amazon.com/"]
        {
            assert_eq!(typed(name, "", false).kind(), Kind::Throttled, "{name}");
            assert_eq!(refuse(400, Some(name), "<xml/>", false).kind(), Kind::Throttled, "{name}");
        }
    }

    #[test]
    fn a_type_that_is_no_name_is_not_shown() {
        for name in ["hunter2 hunter2", "hunter2!", "", "hunter2-x"] {
            let text = refuse(400, None, &format!(r#"{{"__type":"{name}"}}"#), false).to_string();
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.ends_with("(status 400)"), "{text}");
        }
        let endless = "a".repeat(65);
        assert!(!typed(&endless, "", false).to_string().contains(&endless));
    }

    #[test]
    fn an_error_in_xml_is_told_apart_as_well() {
        for (name, message, part) in [
            ("SignatureDoesNotMatch", "hunter2", "the signature is wrong"),
            ("SignatureDoesNotMatch", "Signature expired: hunter2", "correct this machine's clock"),
            ("InvalidClientTokenId", "", "is not known"),
            ("AccessDenied", "", "secretsmanager:GetSecretValue"),
        ] {
            let xml = format!("<E><Error><Code>{name}</Code><Message>{message}</Message></Error></E>");
            let error = refuse(403, None, &xml, false);
            assert_eq!(error.kind(), Kind::Denied, "{error}");
            let text = error.to_string();
            assert!(text.contains(part) && text.ends_with(&format!("(status 403, {name})")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(refuse(403, None, "<Code>hunter2", false).to_string().ends_with("is refused (status 403)"));
    }

    #[test]
    fn without_a_type_the_status_decides() {
        for (status, kind) in [
            (429, Kind::Throttled),
            (500, Kind::Unavailable),
            (503, Kind::Unavailable),
            (403, Kind::Denied),
            (404, Kind::Invalid),
            (204, Kind::Invalid),
        ] {
            assert_eq!(refuse(status, None, "<html>hunter2</html>", false).kind(), kind, "{status}");
            assert_eq!(refuse(status, None, "[{}]", false).kind(), kind, "{status}");
        }
    }

    #[test]
    fn a_redirect_is_an_error_whatever_its_body_says() {
        let error = refuse(307, Some("ThrottlingException"), "", false);
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("status 307"), "{error}");
    }
}
