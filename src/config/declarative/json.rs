//! Reads JSON into a tree, without recursion. `serde_json` reads texts and numbers. Like Kong's reader of JSON, this
//! one also accepts line breaks and tabs in texts, and numbers as C writes them.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::tree::build::{Builder, ParseEvent};
use super::tree::{Position, SyntaxFlaw};

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum JsonState {
    Value,
    /// A value, or the end of the list that was just opened.
    FirstItem,
    Key,
    /// A key, or the end of the object that was just opened.
    FirstKey,
    Colon,
    /// A comma, or the end of what is open.
    After,
}

struct JsonEvents<'a> {
    rest: &'a str,
    line: usize,
    /// The bytes that were left where the line began.
    left: usize,
    /// The lists and objects that are open; true for an object.
    open: Vec<bool>,
}

pub fn parse(text: &str, builder: &mut Builder) -> Result<(), SyntaxFlaw> {
    let rest = text.trim_start_matches('\u{feff}');
    let mut reader = JsonEvents { rest, line: 1, left: rest.len(), open: Vec::new() };
    let mut state = JsonState::Value;
    loop {
        reader.skip_blanks();
        let Some(first) = reader.rest.bytes().next() else {
            let is_done = state == JsonState::After && reader.open.is_empty();
            return if is_done { Ok(()) } else { Err(reader.flaw("it ends too early")) };
        };
        state = match (state, first) {
            (JsonState::Value | JsonState::FirstItem, b'{') => reader.start(builder, ParseEvent::Map)?,
            (JsonState::Value | JsonState::FirstItem, b'[') => reader.start(builder, ParseEvent::List)?,
            (JsonState::FirstKey | JsonState::Key, b'"') => reader.text(builder, JsonState::Colon)?,
            (JsonState::Value | JsonState::FirstItem, b'"') => reader.text(builder, JsonState::After)?,
            (JsonState::Colon, b':') => reader.pass(JsonState::Value),
            (JsonState::FirstItem, b']') | (JsonState::FirstKey, b'}') => reader.end(builder)?,
            (JsonState::After, b',') => match reader.open.last() {
                Some(true) => reader.pass(JsonState::Key),
                Some(false) => reader.pass(JsonState::Value),
                None => return Err(reader.flaw(state.wants())),
            },
            (JsonState::After, b']') if reader.open.last() == Some(&false) => reader.end(builder)?,
            (JsonState::After, b'}') if reader.open.last() == Some(&true) => reader.end(builder)?,
            (JsonState::Value | JsonState::FirstItem, _) => reader.word(builder)?,
            _ => return Err(reader.flaw(state.wants())),
        };
    }
}

impl JsonState {
    /// The error where something else follows.
    fn wants(self) -> &'static str {
        match self {
            JsonState::Value | JsonState::FirstItem => "a value is missing here",
            JsonState::Key | JsonState::FirstKey => "a name in double quotes is missing here",
            JsonState::Colon => "a colon is missing here",
            JsonState::After => "a comma or an end is missing here",
        }
    }
}

impl JsonEvents<'_> {
    fn place(&self) -> Position {
        Position { line: self.line, column: self.left - self.rest.len() + 1 }
    }

    fn flaw(&self, why: &str) -> SyntaxFlaw {
        let Position { line, column } = self.place();
        SyntaxFlaw { line, column, why: format!("as JSON: {why}"), is_syntax: true }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let blanks = &self.rest.as_bytes()[..self.rest.len() - rest.len()];
        self.line += blanks.iter().filter(|byte| **byte == b'\n').count();
        if let Some(last) = blanks.iter().rposition(|byte| *byte == b'\n') {
            self.left = self.rest.len() - last - 1;
        }
        self.rest = rest;
    }

    fn pass(&mut self, next: JsonState) -> JsonState {
        self.rest = &self.rest[1..];
        next
    }

    fn start(&mut self, builder: &mut Builder, event: ParseEvent<'_>) -> Result<JsonState, SyntaxFlaw> {
        let is_map = matches!(event, ParseEvent::Map);
        builder.take(event, self.place())?;
        self.open.push(is_map);
        Ok(self.pass(if is_map { JsonState::FirstKey } else { JsonState::FirstItem }))
    }

    fn end(&mut self, builder: &mut Builder) -> Result<JsonState, SyntaxFlaw> {
        self.open.pop();
        builder.take(ParseEvent::End, self.place())?;
        Ok(self.pass(JsonState::After))
    }

    fn text(&mut self, builder: &mut Builder, next: JsonState) -> Result<JsonState, SyntaxFlaw> {
        let (mut escaped, mut is_raw, mut is_wrong) = (false, false, false);
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            is_raw |= byte < b' ';
            is_wrong |= byte < b' ' && escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.ok_or_else(|| self.flaw("a text begins here and has no end"))?;
        let (written, rest) = self.rest.split_at(end + 2);
        let strict = if is_raw { Cow::Owned(escaped_controls(written)) } else { Cow::Borrowed(written) };
        let text: Option<String> = serde_json::from_str(&strict).ok().filter(|_| !is_wrong);
        let text = text.ok_or_else(|| self.flaw("the text that begins here has an escape that is none"))?;
        builder.take(ParseEvent::Text { text: &text, plain: false }, self.place())?;
        if is_raw {
            self.line += written.matches('\n').count();
            self.left = written.rfind('\n').map_or(self.left, |last| self.rest.len() - last - 1);
        }
        self.rest = rest;
        Ok(next)
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self, builder: &mut Builder) -> Result<JsonState, SyntaxFlaw> {
        let is_over = |c: char| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
        let (word, rest) = self.rest.split_at(self.rest.find(is_over).unwrap_or(self.rest.len()));
        let is_word = word.starts_with(|c: char| c == '-' || c.is_ascii_alphanumeric());
        let is_strict = is_word && serde_json::from_str::<IgnoredAny>(word).is_ok();
        let number = if is_strict { Some(Cow::Borrowed(word)) } else { number(word).map(Cow::Owned) };
        let text = number.ok_or_else(|| self.flaw(JsonState::Value.wants()))?;
        builder.take(ParseEvent::Text { text: &text, plain: true }, self.place())?;
        self.rest = rest;
        Ok(JsonState::After)
    }
}

/// Returns a text with its control characters escaped, as JSON requires.
fn escaped_controls(text: &str) -> String {
    let mut strict = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0'..='\x1f' => strict.push_str(&format!("\\u{:04x}", c as u32)),
            c => strict.push(c),
        }
    }
    strict
}

/// A number that Kong's reader of JSON accepts and JSON does not allow: `+1`, `012`, `2.`, `0x1`, `NaN`, `-Infinity`.
fn number(word: &str) -> Option<String> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    let minus = if word.starts_with('-') { "-" } else { "" };
    let small = digits.to_ascii_lowercase();
    if small == "nan" {
        return Some(".nan".to_owned());
    }
    if matches!(small.as_str(), "inf" | "infinity") {
        return Some(format!("{minus}.inf"));
    }
    if let Some(hex) = small.strip_prefix("0x") {
        let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        return u64::from_str_radix(hex, 16).ok().filter(|_| is_hex).map(|number| format!("{minus}{number}"));
    }
    let is_number = small.starts_with(|c: char| c.is_ascii_digit() || (c == '.' && digits.len() < word.len()));
    let whole = small.trim_start_matches('0');
    match small.parse::<f64>().ok().filter(|_| is_number)? {
        number if !number.is_finite() => Some(format!("{minus}.inf")),
        _ if small.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("{minus}{}", if whole.is_empty() { "0" } else { whole }))
        }
        number => Some(format!("{minus}{number:?}")),
    }
}
