//! Reads a kong.conf as Kong does: lines as Penlight's `pl.config` reads them with the options that Kong gives it, and
//! comments are cut off the values afterwards. `tests.rs` has a table.
//!
//! A line is `key = value`. In a key, each character but letters and digits becomes `_`. A line that starts with `#` or
//! `;` is a comment, and so is the rest of a value from a `#` on; `\#` is a `#` in a value. A `\` at the end joins the
//! next line. Quotes stay part of a value, and a value that is a number is rewritten as one. If a key is set twice, the
//! last one counts. Lines without `=`, and all lines below a `[section]`, are skipped.

#![expect(clippy::disallowed_methods, reason = "the command line has no engine")]

mod number;
pub mod setting;
pub mod surprise;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use kong_vault::config::{KONGS_FILE, is_own};
use setting::Setting;
use surprise::surprises;

/// The largest file that is read, in bytes: far above any kong.conf.
pub const LIMIT: u64 = 4 * 1024 * 1024;

/// How many warnings about a file are shown.
const TOLD: usize = 20;

/// The error about a file that has lines, but no key.
pub const NO_CONF: &str = "no line is `key = value`: name a kong.conf";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What a line means to Kong.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Key(Setting),
    /// Kong skips it.
    Skipped {
        number: usize,
        key: Option<String>,
        why: &'static str,
    },
    /// Kong does not start with it.
    Fatal {
        number: usize,
        why: &'static str,
    },
}

/// The keys of a kong.conf that kong-vault reads, and warnings about them.
pub struct Conf {
    pub keys: BTreeMap<String, String>,
    pub surprises: Vec<String>,
}

/// Reads a file. An error quotes nothing of it: a value may be a token.
pub fn read(path: &Path) -> Result<Conf, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|err| format!("can't be read ({err})"))?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("is larger than {LIMIT} bytes"));
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Conf, String> {
    let (mut keys, mut told, mut is_conf, mut is_empty) = (BTreeMap::new(), Vec::new(), false, true);
    for line in lines(bytes) {
        is_empty = false;
        match line {
            Line::Fatal { number, why } => return Err(format!("line {number} {why}")),
            Line::Skipped { number, key, why } => {
                is_conf |= key.is_some();
                told.push((number, key, why));
            }
            Line::Key(setting) => {
                is_conf = true;
                let is_read = is_ours(&setting.key) || setting.key == KONGS_FILE;
                if !is_read && !setting.swallows {
                    continue;
                }
                if is_read && !is_text(&setting.value) {
                    return Err(format!("line {}: {} is no UTF-8 text", setting.number, setting.key));
                }
                let surprises = surprises(&setting);
                told.extend(surprises.map(|why| (setting.number, Some(setting.key.clone()), why)));
                if is_read {
                    keys.insert(setting.key, setting.value);
                }
            }
        }
    }
    if !is_conf && !is_empty {
        return Err(NO_CONF.to_owned());
    }
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    let tell = |(number, key, why): (usize, Option<String>, &str)| match key {
        Some(key) => format!("line {number}: {} {why}", kong_vault::error::quote(key.as_bytes(), 96)),
        None => format!("line {number} {why}"),
    };
    let mut surprises: Vec<_> = told.into_iter().map(tell).collect();
    if more > 0 {
        surprises.push(format!("{more} more lines are such: `kong-vault check` names them all"));
    }
    Ok(Conf { keys, surprises })
}

pub fn is_ours(key: &str) -> bool {
    is_own(key) || key.starts_with("vault_")
}

/// Whether a value was UTF-8: U+FFFD has replaced any other bytes.
pub fn is_text(value: &str) -> bool {
    !value.contains(char::REPLACEMENT_CHARACTER)
}

/// All lines that are neither empty nor a comment.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Line> {
    let mut section = false;
    joined(bytes).filter_map(move |Joined { number, line, swallows }| {
        let Some(line) = line else {
            let why = "ends with a `\\`, and no line follows, so Kong skips it: remove the `\\`";
            return Some(Line::Skipped { number, key: None, why });
        };
        if line.first() == Some(&b'[') {
            if !is_section(&line) {
                let why = "begins with `[` and names no section: Kong does not start with it";
                return Some(Line::Fatal { number, why });
            }
            section = true;
            let why = "begins a section: Kong skips it, and all keys below it: remove it";
            return Some(Line::Skipped { number, key: None, why });
        }
        let line = trim_start(&line);
        let Some(at) = line.iter().position(|byte| *byte == b'=') else {
            // A byte order mark with nothing, or only a comment, behind it.
            let is_mark = number == 1
                && line
                    .strip_prefix(BYTE_ORDER_MARK)
                    .is_some_and(|rest| matches!(trim(rest).first(), None | Some(b'#' | b';')));
            let why = "has no `=`, so Kong skips it: write `key = value`";
            return (!is_mark).then_some(Line::Skipped { number, key: None, why });
        };
        let (written, value) = (trim(&line[..at]), trim_start(&line[at + 1..]));
        let key = key(written);
        let skipped = |key: String, why| Some(Line::Skipped { number, key: Some(key), why });
        if number == 1
            && let Some(rest) = written.strip_prefix(BYTE_ORDER_MARK)
        {
            let why = "is after a byte order mark, so Kong does not know the key: save the file without the mark";
            return if rest.starts_with(b"#") || rest.starts_with(b";") { None } else { skipped(self::key(rest), why) };
        }
        if section {
            return skipped(key, "is below a `[section]`, so Kong skips it: remove the section's line");
        }
        if let Some(meant) = meant(&key) {
            let why = "is not known to Kong, which skips it: write the key in lower case, as `vault_hcv_host`";
            return skipped(meant, why);
        }
        Some(Line::Key(Setting { swallows, ..setting(number, key, value) }))
    })
}

/// A line with those that a `\` joins to it.
struct Joined {
    number: usize,
    /// `None` where the file ends with a `\`, so that no line follows.
    line: Option<Vec<u8>>,
    swallows: bool,
}

/// Returns the lines that are neither empty nor a comment, joined at each `\`.
fn joined(bytes: &[u8]) -> impl Iterator<Item = Joined> {
    let mut physical = bytes.split(|byte| *byte == b'\n').zip(1..);
    std::iter::from_fn(move || {
        let (mut begun, mut swallows): (Option<(usize, Vec<u8>)>, bool) = (None, false);
        for (line, number) in physical.by_ref() {
            let dense = trim(line);
            if dense.is_empty() || dense.starts_with(b"#") || dense.starts_with(b";") {
                continue;
            }
            if begun.is_some()
                && let Some(at) = dense.iter().position(|byte| *byte == b'=')
            {
                swallows |= is_ours(&key(trim(&dense[..at])));
            }
            let (number, text) = begun.get_or_insert_with(|| (number, Vec::new()));
            match trim_end(line).strip_suffix(b"\\") {
                Some(before) => text.extend_from_slice(before),
                None => {
                    text.extend_from_slice(line);
                    return Some(Joined { number: *number, line: Some(std::mem::take(text)), swallows });
                }
            }
        }
        begun.map(|(number, _)| Joined { number, line: None, swallows })
    })
}

/// Whether there is a text within the brackets of a section's line.
fn is_section(line: &[u8]) -> bool {
    // Any pair of brackets will do. Each part ends before a `]`, and may hold the `[` and the text.
    line.split(|byte| *byte == b']')
        .rev()
        .skip(1)
        .any(|part| part.iter().position(|byte| *byte == b'[').is_some_and(|at| at + 1 < part.len()))
}

fn key(written: &[u8]) -> String {
    written.iter().map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte) } else { '_' }).collect()
}

/// Returns the key that was meant by one in the form of the environment or a shell, such as `export KONG_VAULTS`.
fn meant(key: &str) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    let rest = lower.strip_prefix("export_").unwrap_or(&lower);
    let rest = rest.strip_prefix("kong_").unwrap_or(rest);
    (rest != key && is_ours(rest)).then(|| rest.to_owned())
}

fn setting(number: usize, key: String, value: &[u8]) -> Setting {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(read) = number::read(value) {
        let written = Some(text(trim(value))).filter(|written| *written != read);
        return Setting { number, key, value: read, written, is_cut: false, swallows: false };
    }
    let without_unit;
    let mut value = value;
    if number::has_unit(value) {
        without_unit = text(value).replace(" kB", "").into_bytes();
        value = &without_unit;
    }
    let value = trim(value);
    let end = (0..value.len()).find(|at| value[*at] == b'#' && (*at == 0 || value[at - 1] != b'\\'));
    let is_cut = end.is_some_and(|end| end > 0 && !is_space(value[end - 1]));
    let value = trim_end(&value[..end.unwrap_or(value.len())]);
    Setting { number, key, value: text(trim(value)).replace(r"\#", "#"), written: None, is_cut, swallows: false }
}

/// White space as C's `isspace` and Lua's patterns have it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[start..]
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |at| at + 1);
    &text[..end]
}

fn trim(text: &[u8]) -> &[u8] {
    trim_start(trim_end(text))
}

#[cfg(test)]
mod tests;
