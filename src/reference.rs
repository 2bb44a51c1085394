//! The grammar of `{vault://name/resource/key?options#version}`, with the error texts that Kong's users know.
//!
//! A reference is bytes: it may hold anything that a Lua string holds. Parsing is linear in its length.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

use crate::backend::registry::ALL;
use crate::error::{Error, Kind, Result};
use crate::options::own::OWN;
use crate::options::{COMMON, Opt, in_keys};
use crate::redact;

/// How much of a reference an error quotes, in characters.
const QUOTED: usize = 256;

/// The same for an option's name.
const OPTION: usize = 64;

/// How many of a query's options are checked by name. The rest is not quoted.
const LOOKED_AT: usize = 32;

/// Characters that people write in the place of a query's `?` or `&`.
const SEPARATORS: &[u8] = b"&;,|#/ ";

/// How many separators are checked: each check searches the option tables.
const LOOKS: usize = 128;

/// What is encoded in a reference that is put together.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'&').add(b'+').add(b'?').add(b'{').add(b'}');

/// Replaces the part of a reference that was not checked. No option has this name, so it is not shown.
const UNREAD: &[u8] = b"-";

/// A parsed reference. `Debug` shows no option's value.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| redact::quote(bytes, QUOTED);
        let option = |name: &Vec<u8>| option(&String::from_utf8_lossy(name), true);
        let options: Vec<_> = self.options.iter().take(LOOKED_AT).map(|(name, _)| option(name)).collect();
        let (name, resource, key) =
            (redact::vault(&self.name, QUOTED), text(&self.resource), self.key.as_deref().map(text));
        write!(f, "Reference({name}, {resource}, {key:?}, {options:?}, {:?})", self.version)
    }
}

/// Whether it looks like a reference: `{vault://` at the start, `}` at the end.
pub fn is_reference(text: &[u8]) -> bool {
    text.starts_with(b"{vault://") && text.ends_with(b"}")
}

/// A piece of a text with references inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    Plain(&'a [u8]),
    Reference(&'a [u8]),
}

/// Splits a text with references inside, as `text.lua` does: each ends at the first `}`. `None` where one does not end.
pub fn pieces(text: &[u8]) -> Option<Vec<Piece<'_>>> {
    const START: &[u8] = b"{vault://";
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(start) = rest.windows(START.len()).position(|bytes| bytes == START) {
        let (plain, from) = rest.split_at(start);
        let (reference, after) = from.split_at(from.iter().position(|byte| *byte == b'}')? + 1);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        pieces.push(Piece::Reference(reference));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest));
    }
    Some(pieces)
}

/// Parses a reference. Splitting comes before decoding: an escape never makes a separator.
pub fn parse(text: &[u8]) -> Result<Reference> {
    let wrong = |what: &str| Error::new(Kind::Reference, format!("{what} [{}]", quote(text)));
    let inner = text.strip_prefix(b"{vault://").and_then(|text| text.strip_suffix(b"}"));
    let inner = inner.ok_or_else(|| wrong("not a reference"))?;
    let (inner, fragment) = cut(inner, b'#');
    let (name, path) = cut(inner, b'/');
    if !has_host(name) {
        return Err(wrong("reference url is missing host"));
    }
    let path = path.filter(|_| !name.contains(&b'?')).ok_or_else(|| wrong("reference url is missing path"))?;
    let (path, query) = cut(path, b'?');
    if path.is_empty() {
        return Err(wrong("reference url has empty path"));
    }
    let version = fragment.map(|digits| version(digits).ok_or_else(|| wrong("reference url has invalid version")));
    let version = version.transpose()?;
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
        version,
    })
}

/// Whether a host is left of the name without user and port, as Kong reads a URL's authority. Here user and port are a
/// part of the name, and no vault has such a name, so a host in this place causes an error.
fn has_host(authority: &[u8]) -> bool {
    let host = cut(authority, b'@').1.unwrap_or(authority);
    !host.is_empty() && (host[0] != b':' || host[1..].contains(&b':') || host.contains(&b']'))
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
        .filter(|pair| !cut(pair, b'=').0.is_empty())
        .map(|pair| {
            let (name, value) = cut(pair, b'=');
            (form_decode(name), value.map(form_decode))
        })
        .collect()
}

/// Whether this refers to a variable of the environment: a vault entity may have such a reference in place of a
/// credential.
pub fn is_of_environment(reference: &str) -> bool {
    parse(reference.as_bytes()).is_ok_and(|reference| reference.name == b"env")
}

/// Quotes a reference for an error: bounded, on one line, and without the parts of its query that may not be shown.
pub fn quote(text: &[u8]) -> String {
    let text = with_signs(text);
    let (shown, pairs) = parts(&text);
    let mut shown = without_user(shown);
    let mut follows_secret = false;
    for (separator, pair) in pairs {
        let (name, value) = cut(pair, b'=');
        shown.push(separator);
        // The version and the brace follow the last option and are not part of it.
        let bare = form_decode(cut(name.strip_suffix(b"}").unwrap_or(name), b'#').0);
        match value {
            _ if !std::str::from_utf8(&bare).is_ok_and(|name| may_name(name, follows_secret)) => {
                shown.extend_from_slice(redact::HIDDEN.as_bytes())
            }
            Some(value) if !is_shown(name, value) => {
                shown.extend_from_slice(&[name, b"=", redact::HIDDEN.as_bytes()].concat());
            }
            _ => shown.extend_from_slice(pair),
        }
        follows_secret |= std::str::from_utf8(&bare).map_or(true, may_take_secret);
    }
    quoted(&shown)
}

/// The reference that these make, as an error quotes it.
pub fn shown(vault: &str, path: &str, options: &[(Vec<u8>, Option<Vec<u8>>)], version: Option<u32>) -> String {
    let encoded = |bytes| percent_encode(bytes, ENCODED).collect::<Cow<'_, str>>();
    let mut text = format!("{{vault://{vault}/").into_bytes();
    text.extend_from_slice(encoded(path.as_bytes()).as_bytes());
    for (at, (name, value)) in options.iter().enumerate() {
        text.push(if at == 0 { b'?' } else { b'&' });
        text.extend_from_slice(encoded(name).as_bytes());
        if let Some(value) = value {
            text.push(b'=');
            text.extend_from_slice(encoded(value).as_bytes());
        }
    }
    if let Some(version) = version {
        text.extend_from_slice(format!("#{version}").as_bytes());
    }
    text.push(b'}');
    quote(&text)
}

/// Decodes the part before the query where this reveals a query: a reference with `%3F` in place of `?` has none, but
/// was meant to have one.
fn with_signs(text: &[u8]) -> Cow<'_, [u8]> {
    let head = parts(text).0;
    let decoded = decode(head);
    if decoded == head || parts(&decoded).1.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned([&decoded, &text[head.len()..]].concat())
}

/// Splits a reference into the part before its query and the query's options, each with the byte before it. The query
/// begins with its `?`, or with the first option's name where another separator stands before it.
fn parts(text: &[u8]) -> (&[u8], Vec<(u8, &[u8])>) {
    let mut starts: Vec<usize> = Vec::new();
    let (mut has_mark, mut looks) = (false, 0);
    for (at, byte) in text.iter().enumerate().filter(|(_, byte)| **byte == b'?' || SEPARATORS.contains(byte)) {
        let begins = match byte {
            b'?' => !has_mark,
            b'&' if !starts.is_empty() => true,
            _ => {
                looks += 1;
                looks > LOOKS || begins_option(&text[at + 1..])
            }
        };
        has_mark |= *byte == b'?';
        if begins {
            starts.push(at);
        }
        if starts.len() > LOOKED_AT || looks > LOOKS {
            break;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let mut pairs: Vec<_> = starts.iter().zip(ends).map(|(start, end)| (text[*start], &text[start + 1..end])).collect();
    if let Some(rest) = pairs.last_mut().filter(|_| starts.len() > LOOKED_AT || looks > LOOKS) {
        rest.1 = UNREAD;
    }
    (&text[..starts.first().copied().unwrap_or(text.len())], pairs)
}

/// Whether a text begins with `name=` of an option.
fn begins_option(text: &[u8]) -> bool {
    let name = &text[..text.len().min(OPTION)];
    let Some(end) = name.iter().position(|byte| *byte == b'=') else { return false };
    std::str::from_utf8(&name[..end]).is_ok_and(names_option)
}

/// Quotes the part that may be shown. An encoded secret is decoded first, so that `redact::quote` recognizes it.
fn quoted(shown: &[u8]) -> String {
    let decoded = decode(shown);
    redact::quote(if redact::is_secret(&decoded) { &decoded } else { shown }, QUOTED)
}

/// An option's name for an error. `follows_secret`: an option that may hold a secret stands before it. Then a name that
/// resembles no option's may be the end of that value, after an `&` in it.
pub fn option(name: &str, follows_secret: bool) -> String {
    if may_name(name, follows_secret) {
        redact::quote(name.as_bytes(), OPTION)
    } else {
        format!("({})", redact::length(name))
    }
}

/// Whether a text in the place of an option's name may be shown.
fn may_name(name: &str, follows_secret: bool) -> bool {
    let is_word = !name.is_empty()
        && name.len() <= OPTION
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && !redact::is_secret(name.as_bytes());
    names_option(name) || (is_word && !follows_secret)
}

/// Whether the value of an option with this name may be a secret. An unknown name may have one.
fn may_take_secret(name: &str) -> bool {
    let mut known = options_of_all().filter(|opt| opt.is_called(name)).peekable();
    known.peek().is_none() || known.any(|opt| opt.may_hold_secret())
}

/// Whether this is the name of any backend's option, or close to one, also as kong.conf or an entity writes it.
fn names_option(name: &str) -> bool {
    let of_backend = |key: &str| {
        ALL.iter().find_map(|it| key.strip_prefix(&*in_keys(it.name))?.strip_prefix('_').map(str::to_owned))
    };
    let in_conf = || name.strip_prefix("vault_").and_then(of_backend);
    let whole = name.strip_prefix("config.").map(str::to_owned).or_else(in_conf);
    redact::is_option(whole.as_deref().unwrap_or(name), options_of_all()) || redact::is_option(name, OWN)
}

fn options_of_all() -> impl Iterator<Item = &'static Opt> {
    ALL.iter().flat_map(|backend| backend.options).chain(COMMON)
}

/// A reference for a log, without its options.
pub fn name(text: &[u8]) -> String {
    let text = with_signs(text);
    let (shown, pairs) = parts(&text);
    let mut shown = without_user(shown);
    shown.extend_from_slice(if pairs.is_empty() { b"" } else { "?…}".as_bytes() });
    quoted(&shown)
}

/// Whether an option's value may be shown, by the option tables. The vault's backend is not known here, so all options
/// of that name must allow it.
fn is_shown(name: &[u8], value: &[u8]) -> bool {
    // The version and the brace follow the last option.
    let value = cut(value, b'#').0;
    let (name, value) = (form_decode(name), form_decode(value.strip_suffix(b"}").unwrap_or(value)));
    let (Ok(name), Ok(value)) = (std::str::from_utf8(&name), std::str::from_utf8(&value)) else { return false };
    let mut known = options_of_all().filter(|opt| opt.is_called(name)).peekable();
    // An unknown name may be misspelt, and its value a token.
    if known.peek().is_none() {
        return value.chars().count() <= redact::SHORT;
    }
    known.all(|opt| match opt.parse(value) {
        Some(_) => redact::answer(Some(opt), value) == value,
        None => redact::mistake(opt, value, QUOTED).is_some(),
    })
}

/// Whether a colon in the vault's name is followed by something other than a port.
fn holds_password(rest: &[u8]) -> bool {
    let name = rest.split(|byte| b"/}".contains(byte)).next().unwrap_or_default();
    let after = cut(name, b':').1.unwrap_or_default();
    !name.starts_with(b"[") && !after.iter().all(u8::is_ascii_digit)
}

/// Hides a user and a password, or a whole URL, in the place of the vault's name. The names of secrets may have an `@`.
fn without_user(text: &[u8]) -> Vec<u8> {
    let slashes = |text: &[u8]| text.windows(3).position(|part| part == b"://");
    let start = slashes(text).map_or(0, |at| at + 3);
    let (before, rest) = text.split_at(start);
    match rest.iter().rposition(|byte| *byte == b'@') {
        Some(at) if slashes(&rest[..at]).is_some() || !rest[..at].contains(&b'/') => {
            [before, redact::HIDDEN.as_bytes(), &rest[at..]].concat()
        }
        _ if slashes(rest).is_some() => [before, redact::HIDDEN.as_bytes()].concat(),
        _ if holds_password(rest) => {
            let end = rest.iter().position(|byte| b"/}".contains(byte)).unwrap_or(rest.len());
            [before, redact::HIDDEN.as_bytes(), &rest[end..]].concat()
        }
        _ => text.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_is_put_together_hides_what_a_quoted_one_hides() {
        let options = [(&b"region"[..], Some(&b"eu"[..])), (b"token", Some(b"hunter2"))];
        let options = options.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
        let text = shown("hcv", "a/b c", &options, Some(2));
        assert!(text.starts_with("{vault://hcv/a/b%20c?region=eu&token="), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(shown("hcv", "api", &[], None), "{vault://hcv/api}");
        assert_eq!(shown("aws", "a", &[], Some(2)), "{vault://aws/a#2}");
    }
}
