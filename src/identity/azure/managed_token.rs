//! What a place with managed identities answers: a token, and how long it lives, which each writes in its own way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};
use crate::http::HttpResponse;
use crate::identity::external::ExternalClient;
use crate::identity::json::Text;
use crate::identity::oauth::OauthToken;

/// How long a token is used of which nobody says how long it lives.
const UNKNOWN: Duration = Duration::from_secs(300);

const REFUSED: &str = "it gives no token: assign a managed identity to the machine; if it has several, check the client id \
                       (`client_id`; `azure_client_id` of hcv); check the resource";

/// A token, and whose it is.
pub struct Facts {
    pub granted: OauthToken,
    pub client_id: Option<String>,
    pub object_id: Option<String>,
    pub resource_id: Option<String>,
}

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    access_token: Text<'a>,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    expires_on: Value,
    client_id: Option<String>,
    object_id: Option<String>,
    #[serde(alias = "mi_res_id")]
    msi_res_id: Option<String>,
}

/// The token of an answer.
pub fn read(external: &ExternalClient, url: &Url, answer: &HttpResponse) -> Result<Facts> {
    if answer.status != 200 {
        return Err(refusal(external, url, answer));
    }
    let given: Option<Given<'_>> = serde_json::from_slice(answer.body.as_bytes()).ok();
    let Some(given) = given.filter(|given| !given.access_token.is_empty()) else {
        return Err(external.error(url, Kind::Invalid, "the answer is not the JSON that it should be"));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = || number(&given.expires_on).map(|end| Duration::from_secs(end).saturating_sub(now));
    let life = number(&given.expires_in).map(Duration::from_secs).or_else(left).unwrap_or(UNKNOWN);
    Ok(Facts {
        granted: OauthToken { token: Zeroizing::new(given.access_token.to_owned()), life: Some(life) },
        client_id: given.client_id,
        object_id: given.object_id,
        resource_id: given.msi_res_id,
    })
}

/// What a status other than 200 means.
pub fn refusal(external: &ExternalClient, url: &Url, answer: &HttpResponse) -> Error {
    match answer.status {
        404 | 410 => {
            let text = format!("it is not ready: try again (status {})", answer.status);
            external.error(url, Kind::Unavailable, &text)
        }
        _ => external.refusal(url, answer, REFUSED),
    }
}

/// Seconds, as a number or as a text.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A certificate's thumbprint, as people write it: hex digits, perhaps with colons or spaces between.
pub fn thumbprint(text: &str) -> Option<[u8; 20]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n')).collect();
    let mut bytes = [0; 20];
    if digits.len() != 40 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_forty_hex_digits() {
        let plain = "0123456789abcdefABCDEF000102030405060708";
        let bytes = thumbprint(plain).unwrap();
        assert_eq!((bytes[0], bytes[9], bytes[19]), (0x01, 0xcd, 0x08));
        let pairs: Vec<_> = plain.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        assert_eq!(thumbprint(&pairs.join(":")), Some(bytes));
        for bad in ["", "01", &plain[1..], &plain.replace('0', "g")] {
            assert_eq!(thumbprint(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_numbers_or_texts() {
        for (json, seconds) in
            [("3599", Some(3599)), ("\"3599\"", Some(3599)), ("3599.5", Some(3599)), ("null", None), ("\"soon\"", None)]
        {
            assert_eq!(number(&serde_json::from_str(json).unwrap()), seconds, "{json}");
        }
    }
}
