//! Requests to token endpoints and their answers (RFC 6749, RFC 8693), as far as clouds have them in common.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected};
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::json::Text;

pub const FORM: &str = "application/x-www-form-urlencoded";

/// The error codes that may be shown: those of RFC 6749 (5.2) and RFC 8693 (2.2.2), and the clouds' own.
const CODES: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "access_denied",
    "interaction_required",
    "internal_failure",
    "server_error",
    "temporarily_unavailable",
];

/// A token from a token endpoint.
pub struct OauthToken {
    pub token: Zeroizing<String>,
    /// Its lifetime.
    pub life: Option<Duration>,
}

#[derive(Deserialize)]
struct TokenResponse<'a> {
    #[serde(borrow)]
    access_token: Option<Text<'a>>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct TokenRefusal<'a> {
    #[serde(borrow)]
    error: Option<Text<'a>>,
    #[serde(borrow)]
    error_description: Option<Text<'a>>,
}

/// Reads the token from an answer. The error is a clause; the parser's error is dropped, as it may quote the answer.
pub fn granted(body: &[u8]) -> Result<OauthToken, &'static str> {
    let given: TokenResponse<'_> =
        serde_json::from_slice(body).map_err(|_| "the answer is not the JSON of a token endpoint")?;
    let token = given.access_token.filter(|token| !token.is_empty()).ok_or("the answer holds no access token")?;
    Ok(OauthToken { token: Zeroizing::new(token.to_owned()), life: given.expires_in.map(Duration::from_secs) })
}

/// The error code of a refusal, if it is known.
pub fn code(body: &[u8]) -> Option<&'static str> {
    let refused: TokenRefusal<'_> = serde_json::from_slice(body).ok()?;
    let code = refused.error?;
    CODES.iter().copied().find(|known| *known == &*code)
}

/// Whether a refusal's description contains a text in lower case. The description is never shown.
pub fn says(body: &[u8], part: &str) -> bool {
    let refused: Option<TokenRefusal<'_>> = serde_json::from_slice(body).ok();
    let description = refused.and_then(|refused| refused.error_description);
    description.is_some_and(|text| text.to_ascii_lowercase().contains(part))
}

/// The body of a form, wiped when dropped.
pub fn form(pairs: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    // With enough capacity, the body is not reallocated, which would leave copies in memory.
    let length: usize = pairs.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut form = Serializer::new(String::with_capacity(length));
    form.extend_pairs(pairs);
    Zeroizing::new(form.finish().into_bytes())
}

/// Reads seconds, from a number or a text.
pub fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum WrittenSeconds {
        Number(u64),
        Fraction(f64),
        Text(String),
    }
    let unfit = || D::Error::invalid_value(Unexpected::Other("no number"), &"seconds");
    Ok(match Option::<WrittenSeconds>::deserialize(deserializer)? {
        None => None,
        Some(WrittenSeconds::Number(seconds)) => Some(seconds),
        Some(WrittenSeconds::Fraction(seconds)) if seconds >= 0.0 => Some(seconds as u64),
        Some(WrittenSeconds::Fraction(_)) => Some(0),
        Some(WrittenSeconds::Text(text)) => Some(text.trim().parse().map_err(|_| unfit())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_its_life_as_a_number_or_a_text() {
        for (json, life) in [
            (r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#, Some(3599)),
            (r#"{"access_token":"t","expires_in":"3599"}"#, Some(3599)),
            (r#"{"access_token":"t","expires_in":3599.5}"#, Some(3599)),
            (r#"{"access_token":"t","expires_in":-1}"#, Some(0)),
            (r#"{"access_token":"t","expires_in":null}"#, None),
            (r#"{"access_token":"t"}"#, None),
        ] {
            let granted = granted(json.as_bytes()).unwrap();
            assert!(*granted.token == "t" && granted.life == life.map(Duration::from_secs), "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_a_clause_that_quotes_nothing() {
        for json in [
            "hunter2",
            r#"{"access_token":""}"#,
            r#"{"access_token":["hunter2"]}"#,
            r#"{"x":"hunter2"}"#,
            r#"{"access_token":"hunter2","expires_in":"soon"}"#,
            "[]",
            "null",
        ] {
            let reason = granted(json.as_bytes()).err().unwrap();
            assert!(!reason.contains("hunter2"), "{json}: {reason}");
        }
    }

    #[test]
    fn only_known_codes_are_told() {
        assert_eq!(code(br#"{"error":"invalid_grant","error_description":"x"}"#), Some("invalid_grant"));
        assert_eq!(code(br#"{"error":"hunter2"}"#), None);
        assert_eq!(code(br#"{"error":{"code":403}}"#), None);
        assert!(says(br#"{"error":"x","error_description":"Must be a SHORT-lived token"}"#, "short-lived"));
    }

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(&*form(&[("a", "x y&z"), ("b", "é+")]), b"a=x+y%26z&b=%C3%A9%2B");
    }
}
