//! Reads PEM as users give it in an option: as in its file, with `\n` for line breaks, where a value can't have any, or
//! in base64, as Kubernetes encodes secrets.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";

/// Some programs write the padding, and some do not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The PEM in a value, with its lines; `None` where the value is none.
pub fn text(value: &str) -> Option<Zeroizing<String>> {
    if value.contains(BEGIN) {
        return Some(Zeroizing::new(value.replace("\\n", "\n")));
    }
    let decoded = decode(value)?;
    let text = std::str::from_utf8(&decoded).ok().filter(|text| text.contains(BEGIN))?;
    Some(Zeroizing::new(text.to_owned()))
}

/// Decodes base64 with lines of any length.
fn decode(value: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lines = Zeroizing::new(value.replace("\\n", "\n"));
    let mut packed = Zeroizing::new(Vec::with_capacity(lines.len()));
    packed.extend(lines.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(packed.len())]);
    let length = LENIENT.decode_slice(&*packed, &mut decoded).ok()?;
    decoded.truncate(length);
    Some(decoded)
}

/// Whether a value is PEM with certificates and nothing else, so that anybody may see it.
pub fn is_public(value: &str) -> bool {
    let Some(text) = text(value) else { return false };
    let (mut rest, mut found) = (text.trim(), false);
    while !rest.is_empty() {
        let Some((body, after)) = certificate(rest) else { return false };
        if !begins_as_certificate(body) {
            return false;
        }
        (rest, found) = (after.trim_start(), true);
    }
    found
}

/// The body of the certificate that a text begins with, and what follows it.
fn certificate(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix(BEGIN)?.strip_prefix(" CERTIFICATE-----")?;
    let (body, after) = text.split_once(END)?;
    Some((body, after.strip_prefix(" CERTIFICATE-----")?))
}

/// Whether a base64 text is a DER sequence that begins with a sequence whose first element is a version or a number:
/// certificates are, and keys are not.
fn begins_as_certificate(body: &str) -> bool {
    let Some(der) = decode(body) else { return false };
    let inner = |der: &[u8]| -> Option<usize> {
        let (0x30, length) = (*der.first()?, *der.get(1)?) else { return None };
        Some(if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) })
    };
    let first = inner(&der).and_then(|at| der.get(at..));
    let second = first.and_then(|first| first.get(inner(first)?..));
    second.and_then(<[u8]>::first).is_some_and(|tag| matches!(tag, 0xa0 | 0x02))
}
