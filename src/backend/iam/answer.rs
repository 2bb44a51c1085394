//! Credentials in JSON, as metadata services, containers' agents and processes give them.

use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::login::Keys;

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "AccessKeyId")]
    id: Option<Wiped>,
    #[serde(rename = "SecretAccessKey")]
    key: Option<Wiped>,
    #[serde(rename = "Token", alias = "SessionToken")]
    token: Option<Wiped>,
    #[serde(rename = "Expiration")]
    expiration: Option<String>,
}

/// A text that is wiped also where the rest turns out to be malformed.
#[derive(Clone)]
pub struct Wiped(pub Zeroizing<String>);

impl<'de> Deserialize<'de> for Wiped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Wiped(Zeroizing::new(text)))
    }
}

impl Serialize for Wiped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The credentials, or a clause that says what is wrong. The parser's own error stays here: it may quote.
pub fn keys(json: &[u8]) -> Result<Keys, &'static str> {
    let written: Written = serde_json::from_slice(json).map_err(|_| "what it gives is not the JSON of credentials")?;
    if written.code.is_some_and(|code| code != "Success") {
        return Err("it has no credentials at the moment");
    }
    let (Some(Wiped(id)), Some(Wiped(key))) = (written.id, written.key) else {
        return Err("what it gives has no AccessKeyId and SecretAccessKey");
    };
    let token = written.token.map(|Wiped(token)| token).filter(|token| !token.is_empty());
    let expiry = match written.expiration.as_deref() {
        None | Some("") => None,
        Some(text) => Some(time(text).ok_or("what it gives has an Expiration that is no time (RFC 3339)")?),
    };
    Ok(Keys { id, key, token, expiry })
}

/// A time as RFC 3339 writes it.
pub fn time(text: &str) -> Option<SystemTime> {
    // A cached token of older command lines has its zone as a name.
    let text = text.strip_suffix("UTC").map_or(text.to_owned(), |bare| format!("{bare}Z"));
    SystemTime::try_from(DateTime::from_str(&text, Format::DateTimeWithOffset).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn credentials_of_every_source() {
        let keys_of = |json: &str| keys(json.as_bytes()).ok().unwrap();
        let metadata = keys_of(
            r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"B","Token":"C","Expiration":"2015-08-30T12:36:00Z"}"#,
        );
        assert_eq!((metadata.id.as_str(), metadata.key.as_str()), ("A", "B"));
        assert_eq!(metadata.token.as_ref().unwrap().as_str(), "C");
        assert_eq!(metadata.expiry, Some(UNIX_EPOCH + Duration::from_secs(1_440_938_160)));
        let process = keys_of(
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"B","SessionToken":"C","Expiration":"2015-08-30T14:36:00+02:00"}"#,
        );
        assert_eq!(process.token.as_ref().unwrap().as_str(), "C");
        assert_eq!(process.expiry, metadata.expiry);
        let endless = keys_of(r#"{"AccessKeyId":"A","SecretAccessKey":"B","SessionToken":""}"#);
        assert!(endless.token.is_none() && endless.expiry.is_none());
        assert_eq!(time("2015-08-30T12:36:00UTC"), metadata.expiry);
    }

    #[test]
    fn what_is_wrong_is_a_clause_that_quotes_nothing() {
        for (json, part) in [
            ("hunter2", "not the JSON"),
            (r#"{"Code":"hunter2"}"#, "no credentials at the moment"),
            (r#"{"AccessKeyId":"hunter2"}"#, "no AccessKeyId and SecretAccessKey"),
            (r#"{"AccessKeyId":"A","SecretAccessKey":"B","Expiration":"hunter2"}"#, "no time (RFC 3339)"),
            (r#"{"AccessKeyId":"A","SecretAccessKey":7}"#, "not the JSON"),
        ] {
            let reason = keys(json.as_bytes()).err().unwrap();
            assert!(reason.contains(part) && !reason.contains("hunter2"), "{reason}");
        }
    }
}
