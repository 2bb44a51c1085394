//! Reads the document from a successful answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use crate::identity::json::Text;
use crate::secret::Secret;

/// The part of an answer that is used.
#[derive(Deserialize)]
struct AccessResponse<'a> {
    #[serde(borrow)]
    payload: Option<Payload<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    /// Missing if it is empty.
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(default, deserialize_with = "checksum")]
    data_crc32c: Option<u32>,
}

/// Returns the document, or a clause that says what is wrong. The parser's error is dropped, as it may quote the answer.
pub fn document(body: &[u8]) -> Result<Secret, &'static str> {
    let value: AccessResponse<'_> = serde_json::from_slice(body).map_err(
        |_| "the answer is not the JSON of a secret's version: check that endpoint_url is that of Secret Manager",
    )?;
    let payload =
        value.payload.ok_or("the answer holds no payload: check that endpoint_url is that of Secret Manager")?;
    let document = match payload.data {
        None => Secret::new(""),
        Some(data) => {
            let decoded = STANDARD.decode(data.as_bytes());
            Secret::new(
                decoded
                    .map_err(|_| "the answer's data is no base64: check that endpoint_url is that of Secret Manager")?,
            )
        }
    };
    match payload.data_crc32c {
        Some(sum) if sum != crc32c(document.as_bytes()) => Err(
            "the value is not the one that was stored (its checksum dataCrc32c differs): try again, and check what \
                 stands between here and Google",
        ),
        _ => Ok(document),
    }
}

/// Reads a 64-bit number, which protobuf's JSON writes as a text.
fn checksum<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum WrittenChecksum {
        Number(u32),
        Text(String),
    }
    Ok(match Option::<WrittenChecksum>::deserialize(deserializer)? {
        None => None,
        Some(WrittenChecksum::Number(sum)) => Some(sum),
        Some(WrittenChecksum::Text(text)) => {
            Some(text.parse().map_err(|_| serde::de::Error::custom("dataCrc32c is no number of 32 bits"))?)
        }
    })
}

/// The table of CRC-32C (Castagnoli).
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (if crc & 1 == 1 { 0x82F6_3B78 } else { 0 });
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b"two"), 1_389_933_475);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn a_value_is_its_bytes_as_they_were_stored() {
        for (payload, value) in [
            (r#"{"data":"dHdv","dataCrc32c":"1389933475"}"#, &b"two"[..]),
            (r#"{"data":"dHdv","dataCrc32c":1389933475}"#, b"two"),
            (r#"{"data":"dHdv"}"#, b"two"),
            (r#"{"data":"AP8AaGk="}"#, b"\x00\xff\x00hi"),
            (r#"{"data":"","dataCrc32c":"0"}"#, b""),
            (r#"{"dataCrc32c":"0"}"#, b""),
            ("{}", b""),
        ] {
            let body = format!(r#"{{"name":"projects/1/secrets/db/versions/2","payload":{payload}}}"#);
            assert_eq!(document(body.as_bytes()), Ok(Secret::new(value)), "{payload}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_quotes_nothing() {
        for (body, part) in [
            ("", "not the JSON"),
            ("<html>hunter2</html>", "not the JSON"),
            (r#"{"name":"hunter2"}"#, "no payload"),
            (r#"{"payload":null}"#, "no payload"),
            (r#"{"payload":"hunter2"}"#, "not the JSON"),
            (r#"{"payload":{"data":"hunter2!"}}"#, "no base64"),
            (r#"{"payload":{"data":["hunter2"]}}"#, "not the JSON"),
            (r#"{"payload":{"data":"dHdv","dataCrc32c":"1"}}"#, "checksum"),
            (r#"{"payload":{"dataCrc32c":"1"}}"#, "checksum"),
            (r#"{"payload":{"data":"dHdv","dataCrc32c":"hunter2"}}"#, "not the JSON"),
            (r#"{"payload":{"data":"dHdv","dataCrc32c":"-1"}}"#, "not the JSON"),
            (r#"{"payload":{"data":"dHdv","dataCrc32c":"4294967296"}}"#, "not the JSON"),
        ] {
            let reason = document(body.as_bytes()).unwrap_err();
            assert!(reason.contains(part) && !reason.contains("hunter2"), "{body}: {reason}");
        }
    }
}
