//! The keys of a kong.conf that are ours: `vaults` and `vault_…`.
//!
//! The format is Kong's: a line is `key = value`; a line that starts with `#` is a comment, and so is the rest of a line
//! from a `#` on, which in a value is written `\#`; a value may stand in single or double quotes, within which a `#` is
//! no comment; of a key that is there twice, the last counts.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Far above any kong.conf.
pub const LIMIT: u64 = 4 * 1024 * 1024;

/// `key = value`.
pub struct Line {
    /// From 1 on.
    pub number: usize,
    pub key: String,
    pub value: String,
}

/// Reads a file, or says why not. The error quotes nothing: a value may be a token.
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|err| format!("can't be read ({err})"))?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("is larger than {LIMIT} bytes"));
    }
    parse(&String::from_utf8(bytes).map_err(|_| "is no UTF-8 text")?)
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut keys = BTreeMap::new();
    for line in lines(text) {
        let line = line.map_err(|number| format!("line {number} is not `key = value`: it has to be a kong.conf"))?;
        if is_ours(&line.key) {
            keys.insert(line.key, line.value);
        }
    }
    Ok(keys)
}

pub fn is_ours(key: &str) -> bool {
    key == "vaults" || key.starts_with("vault_")
}

/// All lines that are neither empty nor a comment; of one that is no `key = value`, its number.
pub fn lines(text: &str) -> impl Iterator<Item = Result<Line, usize>> {
    text.trim_start_matches('\u{feff}').lines().zip(1..).filter_map(|(line, number)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            return None;
        }
        let Some((key, value)) = line.split_once('=') else { return Some(Err(number)) };
        Some(Ok(Line { number, key: key.trim().replace('-', "_"), value: self::value(value.trim()) }))
    })
}

fn value(text: &str) -> String {
    if let Some(quoted) = quoted(text) {
        return quoted.replace(r"\#", "#");
    }
    let mut value = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('#') {
        match rest[..at].strip_suffix('\\') {
            Some(before) => {
                value.push_str(before);
                value.push('#');
                rest = &rest[at + 1..];
            }
            None => {
                rest = &rest[..at];
                break;
            }
        }
    }
    value.push_str(rest);
    value.trim_end().to_owned()
}

/// What stands between quotes, if nothing but a comment follows them.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let inner = &text[1..];
    let (end, _) = inner.match_indices(quote).find(|(end, _)| {
        let after = inner[end + 1..].trim_start();
        after.is_empty() || after.starts_with('#')
    })?;
    Some(&inner[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_escapes_and_quotes_are_those_of_kong() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a b  ", "a b"),
            ("a # comment", "a"),
            ("a#b", "a"),
            (r"a\#b", "a#b"),
            (r"\#a\#\# b \# # comment", "#a## b #"),
            ("# comment", ""),
            ("", ""),
            ("\"a b\"", "a b"),
            ("' a # b '", " a # b "),
            (r#""a\#b""#, "a#b"),
            ("\"a\" # comment", "a"),
            ("\"a\" # it's \"quoted\"", "a"),
            ("\"a\"b\"", "a\"b"),
            ("\"a", "\"a"),
            ("it's", "it's"),
            ("\"\"", ""),
            ("'\"'", "\""),
            ("{vault://env/a}", "{vault://env/a}"),
            ("é\\#é", "é#é"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn our_keys_are_taken_and_others_left() {
        let text = "\u{feff}# a comment\n\n  ; another\r\ndatabase = off\r\n vaults=env, hcv\r\nvault_hcv_token = a=b\n\
                    vault-env-prefix = A_\nvault_env_prefix = B_\nvault_aws_region =\n";
        let keys = parse(text).unwrap();
        let expected =
            [("vault_aws_region", ""), ("vault_env_prefix", "B_"), ("vault_hcv_token", "a=b"), ("vaults", "env, hcv")];
        assert_eq!(keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_that_is_none_is_named_and_not_shown() {
        let error = parse("a = b\nhunter2\n").unwrap_err();
        assert!(error.starts_with("line 2 is not `key = value`") && !error.contains("hunter2"), "{error}");
    }
}
