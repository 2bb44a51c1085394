//! Reads the fields of a secret that is a JSON object as lua-cjson does, which Kong uses. Text may hold raw line
//! breaks, tabs and any other byte but NUL, numbers are all that C's `strtod` takes, a NUL ends the text, and 1000
//! levels may be nested. `tests/json.rs` has the table.

use std::ffi::CStr;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// How many objects and arrays may be open at once, the outermost included.
const DEPTH: usize = 1000;

#[derive(Debug)]
pub enum Field {
    Text(Arc<Secret>),
    /// Not a string; the name of its type, as Lua's users know it.
    Other(&'static str),
}

/// The top level of an object, in the order of the names: most secrets have few fields, and of each document that a worker
/// takes from the node's cache one of them is asked for.
#[derive(Debug)]
pub struct Fields(Vec<(Vec<u8>, Field)>);

impl Fields {
    /// Of a name that occurs twice, the last counts.
    fn new(mut fields: Vec<(Vec<u8>, Field)>) -> Self {
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        fields.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                std::mem::swap(later, earlier);
            }
            is_same
        });
        Self(fields)
    }

    pub fn get(&self, name: &[u8]) -> Option<&Field> {
        let found = self.0.binary_search_by(|(known, _)| known.as_slice().cmp(name)).ok()?;
        Some(&self.0[found].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Field)> {
        self.0.iter().map(|(name, field)| (name.as_slice(), field))
    }
}

/// Why a text is no JSON object. Of the text, it shows only the place of the error and the kind of character there.
#[derive(Debug, PartialEq, Eq)]
pub enum JsonFlaw {
    /// It is something else: a plain text, a number, an array.
    NoObject,
    Broken {
        line: usize,
        /// In characters, from 1 on.
        column: usize,
        what: String,
    },
}

impl fmt::Display for JsonFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonFlaw::NoObject => f.write_str("the secret is no JSON object"),
            JsonFlaw::Broken { line, column, what } => {
                write!(f, "the secret is no JSON at line {line}, column {column}: {what}")
            }
        }
    }
}

/// Reads the fields of an object, and skips nested values.
pub fn fields(text: &[u8]) -> Result<Fields, JsonFlaw> {
    let until_nul = CStr::from_bytes_until_nul(text).map_or(text, CStr::to_bytes);
    let mut reader = JsonReader { text: until_nul, at: 0 };
    reader.object().map_err(|fault| match fault {
        Fault::NoObject => JsonFlaw::NoObject,
        Fault::At(at, what) => {
            let before = &text[..at];
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            JsonFlaw::Broken {
                line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
                // Continuation bytes of UTF-8 are no further columns.
                column: before[start..].iter().filter(|byte| *byte & 0xC0 != 0x80).count() + 1,
                what,
            }
        }
    })
}

/// What is wrong, by its place.
enum Fault {
    NoObject,
    At(usize, String),
}

struct JsonReader<'a> {
    text: &'a [u8],
    at: usize,
}

impl JsonReader<'_> {
    fn object(&mut self) -> Result<Fields, Fault> {
        if self.next() != Some(b'{') {
            return Err(match self.text.get(self.at..) {
                Some([0xEF, 0xBB, 0xBF, ..]) => self.unexpected("an opening brace"),
                _ => Fault::NoObject,
            });
        }
        self.at += 1;
        let mut fields = Vec::new();
        if self.next() != Some(b'}') {
            loop {
                self.next();
                let mut name = Vec::with_capacity(self.length_of_text());
                self.name(&mut name)?;
                let field = match self.next() {
                    Some(b'"') => {
                        let mut text = Zeroizing::new(Vec::with_capacity(self.length_of_text()));
                        self.read_text(&mut *text)?;
                        Field::Text(Arc::new(Secret::new(std::mem::take(&mut *text))))
                    }
                    _ => Field::Other(self.pass_over()?),
                };
                fields.push((name, field));
                if !self.goes_on(true)? {
                    break;
                }
            }
        } else {
            self.at += 1;
        }
        match self.next() {
            None => Ok(Fields::new(fields)),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// Skips one value, and returns its type.
    fn pass_over(&mut self) -> Result<&'static str, Fault> {
        // For each open object or array, from the outside in, whether it is an object. The outermost object is not in
        // the list.
        let mut open: Vec<bool> = Vec::new();
        let mut kind = None;
        loop {
            let this = match self.next() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() + 1 >= DEPTH {
                        return Err(Fault::At(self.at, format!("more than {DEPTH} objects and arrays in one another")));
                    }
                    self.at += 1;
                    let is_object = bracket == b'{';
                    if self.next() == Some(if is_object { b'}' } else { b']' }) {
                        self.at += 1;
                    } else {
                        open.push(is_object);
                        kind.get_or_insert("table");
                        if is_object {
                            self.name(&mut Ignored)?;
                        }
                        continue;
                    }
                    "table"
                }
                Some(b'"') => {
                    self.read_text(&mut Ignored)?;
                    "string"
                }
                _ => self.word()?,
            };
            kind.get_or_insert(this);
            // The value ends here, and perhaps the objects and arrays around it.
            loop {
                let Some(is_object) = open.last().copied() else { return Ok(kind.unwrap_or(this)) };
                if self.goes_on(is_object)? {
                    if is_object {
                        self.name(&mut Ignored)?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    /// A value that is neither text nor nested.
    fn word(&mut self) -> Result<&'static str, Fault> {
        let rest = &self.text[self.at..];
        let (kind, length) = match rest {
            [b't', b'r', b'u', b'e', ..] => ("boolean", 4),
            [b'f', b'a', b'l', b's', b'e', ..] => ("boolean", 5),
            [b'n', b'u', b'l', b'l', ..] => ("null", 4),
            [b'+' | b'-' | b'0'..=b'9' | b'i' | b'I' | b'n' | b'N', ..] => ("number", number(rest)),
            _ => ("", 0),
        };
        if length == 0 {
            return Err(self.unexpected("a value"));
        }
        self.at += length;
        Ok(kind)
    }

    /// A field's name, and the colon behind it.
    fn name(&mut self, into: &mut impl Extend<u8>) -> Result<(), Fault> {
        if self.next() != Some(b'"') {
            return Err(self.unexpected("a field's name in double quotes"));
        }
        self.read_text(into)?;
        if self.next() != Some(b':') {
            return Err(self.unexpected("a colon"));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether a comma follows, and not the end of the object or array.
    fn goes_on(&mut self, is_object: bool) -> Result<bool, Fault> {
        let next = self.next();
        let (end, wanted) =
            if is_object { (b'}', "a comma or a closing brace") } else { (b']', "a comma or a closing bracket") };
        if next != Some(b',') && next != Some(end) {
            return Err(self.unexpected(wanted));
        }
        self.at += 1;
        Ok(next == Some(b','))
    }

    /// Skips white space, and returns the byte after it.
    fn next(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// The number of bytes up to the closing quote: with this capacity, a secret is never moved while it is read.
    fn length_of_text(&self) -> usize {
        let mut at = self.at + 1;
        loop {
            at += self.plain(at).len();
            match self.text.get(at) {
                Some(b'\\') => at += 2,
                _ => return at.min(self.text.len()).saturating_sub(self.at),
            }
        }
    }

    /// The bytes from there on that stand for themselves in a text.
    fn plain(&self, at: usize) -> &[u8] {
        let rest = self.text.get(at..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        &rest[..end.unwrap_or(rest.len())]
    }

    /// What stands in double quotes, decoded.
    fn read_text(&mut self, into: &mut impl Extend<u8>) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            let plain = self.plain(self.at);
            into.extend(plain.iter().copied());
            self.at += plain.len();
            match self.text.get(self.at..) {
                Some([b'"', ..]) => {
                    self.at += 1;
                    return Ok(());
                }
                Some([b'\\', b'u', ..]) => self.read_unicode(into)?,
                Some([b'\\', escaped, ..]) => {
                    let meant = match escaped {
                        b'"' | b'\\' | b'/' => *escaped,
                        b'b' => 0x08,
                        b'f' => 0x0C,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        _ => return Err(Fault::At(self.at, "a backslash that begins no escape of JSON".to_owned())),
                    };
                    into.extend([meant]);
                    self.at += 2;
                }
                _ => return Err(Fault::At(start, "a text that begins here has no closing quote".to_owned())),
            }
        }
    }

    /// `\uXXXX`, or two of them that are a surrogate pair.
    fn read_unicode(&mut self, into: &mut impl Extend<u8>) -> Result<(), Fault> {
        let unit = |at: usize| -> Option<u32> {
            let [b'\\', b'u', digits @ ..] = self.text.get(at..at + 6)? else { return None };
            digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
        };
        let wrong = |what: &str| Fault::At(self.at, what.to_owned());
        let first = unit(self.at).ok_or_else(|| wrong("`\\u` without four hexadecimal digits"))?;
        let (code, length) = match first {
            0xD800..=0xDBFF => match unit(self.at + 6) {
                Some(second @ 0xDC00..=0xDFFF) => (0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), 12),
                _ => return Err(wrong("one half of a surrogate pair")),
            },
            _ => (first, 6),
        };
        let character = char::from_u32(code).ok_or_else(|| wrong("one half of a surrogate pair"))?;
        into.extend(character.encode_utf8(&mut [0; 4]).bytes());
        self.at += length;
        Ok(())
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.text.get(self.at..).unwrap_or_default() {
            [] => "the end",
            [0xEF, 0xBB, 0xBF, ..] => "a byte order mark",
            [b'{' | b'}', ..] => "a brace",
            [b'[' | b']', ..] => "a bracket",
            [b',', ..] => "a comma",
            [b':', ..] => "a colon",
            [b'"', ..] => "a double quote",
            [b'\'', ..] => "a single quote",
            [b'0'..=b'9', ..] => "a digit",
            [byte, ..] if byte.is_ascii_alphabetic() => "a letter",
            [byte, ..] if byte.is_ascii_control() => "a control character",
            [byte, ..] if byte.is_ascii() => "another character",
            _ => "a character beyond ASCII",
        };
        Fault::At(self.at, format!("{found} where {wanted} is expected"))
    }
}

/// Discards what it is given.
struct Ignored;

impl Extend<u8> for Ignored {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, _: I) {}
}

/// The length of the number at the beginning of a text, as C's `strtod` has it; 0 for none.
fn number(text: &[u8]) -> usize {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let rest = &text[sign..];
    let begins = |word: &[u8]| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let length = if begins(b"infinity") {
        8
    } else if begins(b"inf") {
        3
    } else if begins(b"nan") {
        3 + payload(&rest[3..])
    } else if begins(b"0x") {
        // Without a digit, only the zero is a number.
        match mantissa(&rest[2..], u8::is_ascii_hexdigit) {
            0 => 1,
            digits => 2 + digits + exponent(&rest[2 + digits..], b'p'),
        }
    } else {
        match mantissa(rest, u8::is_ascii_digit) {
            0 => return 0,
            digits => digits + exponent(&rest[digits..], b'e'),
        }
    };
    sign + length
}

/// The length of the parentheses that may follow `nan`.
fn payload(text: &[u8]) -> usize {
    let Some((b'(', inner)) = text.split_first() else { return 0 };
    let length = inner.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    if inner.get(length) == Some(&b')') { length + 2 } else { 0 }
}

fn count(text: &[u8], is_digit: fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_digit(byte)).count()
}

/// Digits with at most one point among or around them; 0 where there is no digit.
fn mantissa(text: &[u8], is_digit: fn(&u8) -> bool) -> usize {
    let whole = count(text, is_digit);
    if text.get(whole) != Some(&b'.') {
        return whole;
    }
    let part = count(&text[whole + 1..], is_digit);
    if whole + part == 0 { 0 } else { whole + 1 + part }
}

fn exponent(text: &[u8], letter: u8) -> usize {
    let Some((first, rest)) = text.split_first() else { return 0 };
    if !first.eq_ignore_ascii_case(&letter) {
        return 0;
    }
    let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
    match count(&rest[sign..], u8::is_ascii_digit) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}
