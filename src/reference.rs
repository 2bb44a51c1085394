//! The grammar of `{vault://name/resource/key?options#version}`, with the error texts that Kong's users know.
//!
//! A reference is bytes: it may hold anything that a Lua string holds. Parsing is linear in its length.

use percent_encoding::percent_decode;

use crate::error::{Error, Kind, Result};

/// How much of a reference an error quotes, in characters.
const QUOTED: usize = 256;

/// A query's values that an error does not quote: those of options that sound like credentials. None of them may be set
/// by a reference anyway, but who tries has written one down.
const CREDENTIALS: [&str; 5] = ["token", "secret", "password", "key", "credential"];

/// A parsed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// A backend's name, or the prefix of a vault entity.
    pub name: Vec<u8>,
    pub resource: Vec<u8>,
    /// The field of the secret.
    pub key: Option<Vec<u8>>,
    /// The query's options in the order written; a bare name has no value.
    pub options: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub version: Option<u32>,
}

/// Whether it looks like a reference: `{vault://` at the start, `}` at the end.
pub fn is_reference(text: &[u8]) -> bool {
    text.starts_with(b"{vault://") && text.ends_with(b"}")
}

/// Parses a reference. Splitting comes before decoding: an escape never makes a separator.
pub fn parse(text: &[u8]) -> Result<Reference> {
    let wrong = |what: &str| Error::new(Kind::Reference, format!("{what} [{}]", quote(text)));
    let inner = text.strip_prefix(b"{vault://").and_then(|text| text.strip_suffix(b"}"));
    let inner = inner.ok_or_else(|| wrong("not a reference"))?;
    let (inner, fragment) = cut(inner, b'#');
    let version = fragment.map(|digits| version(digits).ok_or_else(|| wrong("reference url has invalid version")));
    let (name, path) = cut(inner, b'/');
    if name.is_empty() || name.starts_with(b"?") {
        return Err(wrong("not a reference"));
    }
    let path = path.filter(|_| !name.contains(&b'?')).ok_or_else(|| wrong("reference url is missing path"))?;
    let (path, query) = cut(path, b'?');
    if path.is_empty() {
        return Err(wrong("reference url has empty path"));
    }
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let key = if parts.len() > 1 && !path.ends_with(b"/") { parts.pop() } else { None };
    if parts.is_empty() {
        return Err(wrong("reference url has invalid path"));
    }
    Ok(Reference {
        name: name.to_vec(),
        resource: decode(&parts.join(&b'/')),
        key: key.map(decode),
        options: query.map(options).unwrap_or_default(),
        version: version.transpose()?,
    })
}

fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn version(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    // `parse` alone would take a sign.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn decode(text: &[u8]) -> Vec<u8> {
    percent_decode(text).collect()
}

fn form_decode(text: &[u8]) -> Vec<u8> {
    decode(&text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<_>>())
}

fn options(query: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = cut(pair, b'=');
            (form_decode(name), value.map(form_decode))
        })
        .collect()
}

/// Quotes a reference in an error: bounded, on one line, without what looks like a credential.
pub fn quote(text: &[u8]) -> String {
    let (shown, query) = cut(text, b'?');
    let mut shown = shown.to_vec();
    for (index, pair) in query.into_iter().flat_map(|query| query.split(|byte| *byte == b'&')).enumerate() {
        let (name, value) = cut(pair, b'=');
        let lower = String::from_utf8_lossy(&form_decode(name)).to_lowercase();
        let hidden = value.is_some() && CREDENTIALS.iter().any(|word| lower.contains(word));
        shown.push(if index == 0 { b'?' } else { b'&' });
        shown.extend_from_slice(if hidden { name } else { pair });
        if hidden {
            shown.extend_from_slice(b"=***");
        }
    }
    crate::error::quote(&shown, QUOTED)
}
