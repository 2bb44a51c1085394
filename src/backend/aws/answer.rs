//! The document in a successful answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::secret::{Secret, WipedText};

/// The part of an answer that is used. The rest (names, ARNs, labels, dates) is skipped.
#[derive(Deserialize)]
struct SecretValue {
    #[serde(rename = "SecretString")]
    text: Option<WipedText>,
    #[serde(rename = "SecretBinary")]
    binary: Option<WipedText>,
}

/// The document, or a clause that says what is wrong with the answer. The parser's own error is dropped, as it may
/// quote the secret.
pub fn document(body: &[u8]) -> Result<Secret, &'static str> {
    let value: SecretValue = serde_json::from_slice(body).map_err(
        |_| "the answer is not the JSON of a GetSecretValue: check that endpoint_url is that of Secrets Manager",
    )?;
    secret(value.text, value.binary)
}

/// The secret of an answer's `SecretString` or `SecretBinary`, or what is wrong with them.
pub fn secret(text: Option<WipedText>, binary: Option<WipedText>) -> Result<Secret, &'static str> {
    match (text, binary) {
        (Some(WipedText(mut text)), _) => Ok(Secret::new(std::mem::take(&mut *text))),
        (_, Some(WipedText(encoded))) => STANDARD
            .decode(encoded.as_bytes())
            .map(Secret::new)
            .map_err(|_| "the answer's SecretBinary is no base64: check that endpoint_url is that of Secrets Manager"),
        _ => Err("the answer holds neither SecretString nor SecretBinary: give the secret a value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_the_document_as_it_was_stored() {
        let body =
            br#"{"ARN":"arn:x","Name":"n","SecretString":"{\"a\":\"\u00e9\ud83d\ude00\\n\"}","CreatedDate":1.5e9}"#;
        assert_eq!(document(body), Ok(Secret::new("{\"a\":\"é😀\\n\"}")));
        assert_eq!(document(br#"{"SecretString":""}"#), Ok(Secret::new("")));
    }

    #[test]
    fn a_binary_is_its_bytes() {
        assert_eq!(
            document(br#"{"SecretBinary":"AP8AaGk=","SecretString":null}"#),
            Ok(Secret::new(*b"\x00\xff\x00hi"))
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_quotes_nothing() {
        for (body, part) in [
            (&b""[..], "not the JSON"),
            (b"<html>hunter2</html>", "not the JSON"),
            (b"[1]", "not the JSON"),
            (br#"{"SecretString":"hunter2","SecretBinary":7}"#, "not the JSON"),
            (b"{\"SecretString\":\"hunter2\xff\"}", "not the JSON"),
            (br#"{"SecretString":{"a":"hunter2"}}"#, "not the JSON"),
            (br#"{"SecretBinary":"hunter2!"}"#, "no base64"),
            (br#"{"Name":"hunter2"}"#, "neither SecretString nor SecretBinary"),
            (br#"{"SecretString":null}"#, "neither SecretString nor SecretBinary"),
        ] {
            let reason = document(body).unwrap_err();
            assert!(reason.contains(part) && !reason.contains("hunter2"), "{reason}");
        }
    }
}
