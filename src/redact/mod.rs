//! Decides what may be shown of a user's text: in errors and logs, in what `doctor` and `check` print, and in the Admin
//! API's answers. Whoever shows an option's value, a path, a URL or a name asks here.
//!
//! It uses the declarations of options. It must never show what it does not recognise.

#![expect(
    clippy::disallowed_methods,
    reason = "`path` asks it: for `doctor`, and for errors made on the threads of `pool`"
)]

mod near;
mod pattern;
pub mod pem;

use std::borrow::Cow;
use std::path::Path;

use crate::options::{Holds, Opt, Type};
pub use near::nearest;

/// What answers show instead of a secret. Sent back, it stands for the value that is stored.
pub const MASK: &str = "********";

/// The same in other texts.
pub const HIDDEN: &str = "***";

/// The longest path that Linux takes: none is cut.
const LONGEST_PATH: usize = 4096;

/// The longest name that DNS has, and the longest part of one.
const LONGEST_HOST: usize = 255;
const LONGEST_LABEL: usize = 63;

/// A rejected value of more characters is not shown: it may be a credential, and so long a quotation would not help
/// anybody to find the mistake.
const LONGEST_MISTAKE: usize = 32;

/// A part of a text with so few characters is always shown.
pub const SHORT: usize = 3;

/// An option's value for an answer. Nothing is shown of an unknown option, such as one of another version.
pub fn answer<'a>(opt: Option<&Opt>, text: &'a str) -> Cow<'a, str> {
    opt.and_then(|opt| visible(opt, text, MASK)).unwrap_or(Cow::Borrowed(MASK))
}

/// An option's value for other texts, at most `limit` characters of it; `None` where nothing of it may be shown.
pub fn value(opt: &Opt, text: &str, limit: usize) -> Option<String> {
    visible(opt, text, HIDDEN).map(|text| line(text.as_bytes(), limit))
}

/// The same for a value that the option does not accept: it may have been meant for any other option. A secret may look
/// like a path that leads nowhere.
pub fn mistake(opt: &Opt, text: &str, limit: usize) -> Option<String> {
    if opt.holds == Holds::File {
        return None;
    }
    let shown = visible(opt, text, HIDDEN)?;
    let is_plain = text.chars().count() <= LONGEST_MISTAKE && !text.contains('@') && !pattern::is_random(text);
    (is_plain && shown == text).then(|| line(shown.as_bytes(), limit))
}

/// The same for what stands in the place of a name.
pub fn word(text: &str, limit: usize) -> String {
    const NAME: Opt = Opt::new("", Type::Text, "");
    mistake(&NAME, text, limit).unwrap_or_else(|| format!("({})", length(text)))
}

/// What may be shown of an option's value, with `mask` instead of the rest.
fn visible<'a>(opt: &Opt, text: &'a str, mask: &str) -> Option<Cow<'a, str>> {
    let whole = |may: bool| may.then_some(Cow::Borrowed(text));
    match opt.holds {
        _ if opt.sensitive => None,
        Holds::Pem => whole(pattern::is_path(text) || pem::is_public(text)),
        Holds::File => whole(pattern::is_path(text) || pattern::is_address(text)),
        _ if pattern::is_key(text) => None,
        Holds::Url => Some(url(text, mask)),
        Holds::Plain if text.contains("://") || pattern::has_user(text) => Some(url(text, mask)),
        Holds::Plain => whole(true),
    }
}

/// A URL with its user, query and fragment masked. It may be malformed: a password may hold any character.
pub fn url<'a>(text: &'a str, mask: &str) -> Cow<'a, str> {
    let start = text.find("://").filter(|at| pattern::is_scheme(&text[..*at])).map_or(0, |at| at + "://".len());
    let (scheme, rest) = text.split_at(start);
    let (user, rest) = match rest.rfind('@') {
        Some(at) => (mask, &rest[at..]),
        None => ("", rest),
    };
    let (place, end) = match rest.find(['?', '#']) {
        Some(at) if at + 1 < rest.len() => (&rest[..=at], mask),
        _ => (rest, ""),
    };
    if user.is_empty() && end.is_empty() { Cow::Borrowed(text) } else { format!("{scheme}{user}{place}{end}").into() }
}

/// A host's name; only its length where it is too long for one. It may be a token that was given by mistake: that is in
/// lower case by now, and hard to recognise.
pub fn host(text: &str) -> String {
    let may_be_name = text.len() <= LONGEST_HOST && text.split('.').all(|label| label.len() <= LONGEST_LABEL);
    if may_be_name { quote(text.as_bytes(), LONGEST_HOST) } else { format!("({})", length(text)) }
}

/// A path for an error about it; `None` where nothing is there: then it may be a secret that was given instead. It asks
/// the file system.
pub fn path(path: &Path) -> Option<String> {
    path.symlink_metadata().is_ok().then(|| known_path(path))
}

/// A path at which something was found. It can't forge a line of a log.
pub fn known_path(path: &Path) -> String {
    line(path.as_os_str().as_encoded_bytes(), LONGEST_PATH)
}

/// A path that was not looked for, if it looks like one.
pub fn likely(path: &Path) -> Option<String> {
    path.to_str().is_some_and(pattern::is_path).then(|| known_path(path))
}

/// The same, with the text's length where it does not look like a path.
pub fn likely_path(path: &Path) -> String {
    likely(path).unwrap_or_else(|| format!("({})", length(&path.to_string_lossy())))
}

/// A path of kong-vault's own options. It asks the file system.
pub fn own_path(path: &Path) -> String {
    self::path(path).unwrap_or_else(|| likely_path(path))
}

/// What may be said of a text that may be a secret.
pub fn length(text: &str) -> String {
    format!("a value of {} characters", text.chars().count())
}

/// A user's text that is not meant to be secret: a name, a field, a reference. It has at most `limit` characters, and
/// none that could forge a line of a log. Of a key or a token, only its length is shown.
pub fn quote(text: &[u8], limit: usize) -> String {
    let whole = String::from_utf8_lossy(text);
    if pattern::is_key(&whole) { format!("({})", length(&whole)) } else { line(text, limit) }
}

/// Whether a text holds a key or a token.
pub fn is_secret(text: &[u8]) -> bool {
    pattern::is_key(&String::from_utf8_lossy(text))
}

/// Whether a name is an option's, or a misspelling of one, or too short to be a secret.
pub fn is_option<'a>(name: &str, options: impl IntoIterator<Item = &'a Opt>) -> bool {
    if name.chars().count() <= SHORT {
        return true;
    }
    let names = options.into_iter().flat_map(|opt| std::iter::once(opt.name).chain(opt.aliases.iter().copied()));
    nearest(&near::folded(name), names).is_some()
}

/// The name of a variable that was made of several texts, such as an option's and a reference's. Only its length is
/// shown, where one of these, or all together, look like a secret.
pub fn variable(made_of: &[&str], name: &str, limit: usize) -> String {
    let is_secret = |text: &&str| pattern::is_key(text) || pattern::has_user(text) || text.contains(':');
    if made_of.iter().any(is_secret) { format!("({})", length(name)) } else { line(name.as_bytes(), limit) }
}

/// A vault's name in a reference. No vault's name has an `@` or a `:`. What stands before an `@` may be a user and a
/// password, as in a URL. What stands behind a `:` may be a password, unless a scheme stands before it.
pub fn vault(name: &[u8], limit: usize) -> String {
    match name.iter().rposition(|byte| *byte == b'@') {
        Some(at) => format!("{HIDDEN}{}", quote(&name[at..], limit)),
        None => {
            let text = String::from_utf8_lossy(name);
            let is_user = text.split_once(':').is_some_and(|(before, _)| !pattern::is_scheme(before));
            if is_user { format!("({})", length(&text)) } else { quote(name, limit) }
        }
    }
}

/// A text that may be shown, on one line. `limit` counts the characters that are shown.
pub fn line(text: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let (mut shown, mut left) = (String::new(), limit);
    for character in text.chars() {
        let (escaped, one) = (character.escape_default(), if character == '\u{fffd}' { '?' } else { character });
        let width = if one.is_control() { escaped.len() } else { 1 };
        if width > left {
            shown.push('…');
            break;
        }
        left -= width;
        if one.is_control() { shown.extend(escaped) } else { shown.push(one) }
    }
    shown
}

#[cfg(test)]
mod tests;
