//! Credentials in JSON, as metadata services, containers' agents and programs return them.

use std::sync::LazyLock;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use regex::{Match, Regex};
use serde::Deserialize;

use super::credentials::AccessKeys;
use crate::secret::WipedText;

#[derive(Deserialize)]
struct WrittenKeys {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "AccessKeyId")]
    id: Option<WipedText>,
    #[serde(rename = "SecretAccessKey")]
    key: Option<WipedText>,
    #[serde(rename = "Token", alias = "SessionToken")]
    token: Option<WipedText>,
    #[serde(rename = "Expiration")]
    expiration: Option<serde_json::Value>,
    #[serde(rename = "Version")]
    version: Option<serde_json::Value>,
}

/// The credentials, or a clause that says what is wrong. The parser's own error is dropped, as it may quote a secret.
pub fn keys(json: &[u8]) -> Result<AccessKeys, &'static str> {
    taken(written(json)?)
}

/// The same for a program's output, which names the version of its format.
pub fn keys_of_program(json: &[u8]) -> Result<AccessKeys, &'static str> {
    let written = written(json)?;
    match &written.version {
        Some(version) if version.as_f64() == Some(1.0) => taken(written),
        Some(_) => Err("its output is not of Version 1: make it print \"Version\": 1"),
        None => Err("its output has no Version: make it print \"Version\": 1"),
    }
}

fn written(json: &[u8]) -> Result<WrittenKeys, &'static str> {
    serde_json::from_slice(json).map_err(|_| "its output is not the JSON of credentials")
}

fn taken(written: WrittenKeys) -> Result<AccessKeys, &'static str> {
    if written.code.is_some_and(|code| code != "Success") {
        return Err("it has no credentials at the moment");
    }
    let (Some(WipedText(id)), Some(WipedText(key))) = (written.id, written.key) else {
        return Err("its output has no AccessKeyId and SecretAccessKey");
    };
    let token = written.token.map(|WipedText(token)| token).filter(|token| !token.is_empty());
    let no_time = "its output has an Expiration that is not a time: write it as 2015-08-30T12:36:00Z (RFC 3339)";
    let expiry = match written.expiration {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) if text.is_empty() => None,
        Some(serde_json::Value::String(text)) => Some(time(&text).ok_or(no_time)?),
        Some(serde_json::Value::Number(_)) => {
            return Err("its output has a number as Expiration: write it as 2015-08-30T12:36:00Z (RFC 3339)");
        }
        Some(_) => return Err(no_time),
    };
    Ok(AccessKeys { id, key, token, expiry })
}

/// A date, a time and a zone: in RFC 3339, and in the other forms that programs are known to write.
const TIME: &str = r"^([0-9]{4})-?([0-9][0-9])-?([0-9][0-9])(?:[Tt]|[[:space:]]+)([0-9][0-9]):?([0-9][0-9])(?::?([0-9][0-9])(?:[.,]([0-9]{1,9})[0-9]*)?)?[[:space:]]*(?:([Zz]|UTC|GMT)|([+-][0-9][0-9])(?::?([0-9][0-9]))?)$";

/// A time in RFC 3339, or in another form that AWS's own clients read. `None` where it has no zone.
pub fn time(text: &str) -> Option<SystemTime> {
    if let Ok(date) = DateTime::from_str(text.trim(), Format::HttpDate) {
        return SystemTime::try_from(date).ok();
    }
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(TIME).ok());
    let parts = PATTERN.as_ref()?.captures(text.trim())?;
    let part = |index, usual| parts.get(index).map_or(usual, |part: Match<'_>| part.as_str());
    let zone = match parts.get(9) {
        Some(hours) => format!("{}:{}", hours.as_str(), part(10, "00")),
        None => "Z".to_owned(),
    };
    let date = format!("{}-{}-{}T", part(1, ""), part(2, ""), part(3, ""));
    let text = format!("{date}{}:{}:{}.{}{zone}", part(4, ""), part(5, ""), part(6, "00"), part(7, "0"));
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
        for text in [
            "2015-08-30T12:36:00UTC",
            "2015-08-30T12:36:00+00:00",
            "2015-08-30T12:36:00+0000",
            "2015-08-30T12:36:00+00",
            "2015-08-30T12:36:00-0000",
            "2015-08-30T14:36:00+0200",
            "2015-08-30T07:06:00-0530",
            "2015-08-30 12:36:00Z",
            "2015-08-30 12:36:00 +0000",
            "2015-08-30  12:36:00 GMT",
            "2015-08-30t12:36:00z",
            "2015-08-30T12:36:00.000000Z",
            "2015-08-30T12:36:00.000000000000+00:00",
            "2015-08-30T12:36Z",
            "20150830T123600Z",
            "Sun, 30 Aug 2015 12:36:00 GMT",
            " 2015-08-30T12:36:00Z\n",
        ] {
            assert_eq!(time(text), metadata.expiry, "{text}");
        }
    }

    #[test]
    fn a_program_says_by_which_version_it_writes() {
        let of = |version: &str| {
            let json = format!(r#"{{{version}"AccessKeyId":"A","SecretAccessKey":"hunter2"}}"#);
            keys_of_program(json.as_bytes())
        };
        for good in [r#""Version":1,"#, r#""Version":1.0,"#] {
            assert!(of(good).is_ok(), "{good}");
        }
        for (bad, part) in [
            (r#""Version":2,"#, "not of Version 1"),
            (r#""Version":0,"#, "not of Version 1"),
            (r#""Version":"1","#, "not of Version 1"),
            (r#""Version":null,"#, "no Version"),
            ("", "no Version"),
        ] {
            let reason = of(bad).err().unwrap();
            assert!(reason.contains(part) && !reason.contains("hunter2"), "{bad}: {reason}");
        }
    }

    #[test]
    fn what_is_wrong_is_a_clause_that_quotes_nothing() {
        for (json, part) in [
            ("hunter2", "not the JSON"),
            (r#"{"Code":"hunter2"}"#, "no credentials at the moment"),
            (r#"{"AccessKeyId":"hunter2"}"#, "no AccessKeyId and SecretAccessKey"),
            (r#"{"AccessKeyId":"A","SecretAccessKey":"B","Expiration":"hunter2"}"#, "not a time: write it as"),
            (
                r#"{"AccessKeyId":"A","SecretAccessKey":"B","Expiration":"2015-08-30T12:36:00"}"#,
                "not a time: write it as",
            ),
            (
                r#"{"AccessKeyId":"A","SecretAccessKey":"B","Expiration":"2015-13-30T12:36:00Z"}"#,
                "not a time: write it as",
            ),
            (r#"{"AccessKeyId":"A","SecretAccessKey":"B","Expiration":true}"#, "not a time: write it as"),
            (r#"{"AccessKeyId":"A","SecretAccessKey":"B","Expiration":1440938160}"#, "a number as Expiration"),
            (r#"{"AccessKeyId":"A","SecretAccessKey":"B","Expiration":1440938160.5}"#, "a number as Expiration"),
            (r#"{"AccessKeyId":"A","SecretAccessKey":7}"#, "not the JSON"),
        ] {
            let reason = keys(json.as_bytes()).err().unwrap();
            assert!(reason.contains(part) && !reason.contains("hunter2"), "{reason}");
        }
    }
}
