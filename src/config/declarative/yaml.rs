//! Reads YAML into a tree, with a port of the parser that Kong uses.

use std::cell::Cell;
use std::io::{BufRead, Read, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

use libyaml_safer::{Error, EventData, Parser, ScalarStyle};

use super::tree::build::{Builder, ParseEvent};
use super::tree::{Position, SyntaxFlaw};

/// How many `%TAG` lines a file may have: the parser compares each with all others. And how long one may be, in bytes:
/// each tag that uses it becomes as long.
const DIRECTIVES: usize = 64;
const LONGEST_DIRECTIVE: usize = 128;

/// What ends a line for the parser.
const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// How many bytes the parser is given at a time.
const CHUNK: usize = 4096;

pub fn parse(text: &str, builder: &mut Builder) -> std::result::Result<(), SyntaxFlaw> {
    // A defect of the parser may panic, and no file may end the process that reads it.
    let lines_read = Cell::new(0);
    catch_unwind(AssertUnwindSafe(|| steps(text, &lines_read, builder))).unwrap_or_else(|_| {
        let line = lines_read.get().max(1);
        let in_it = text.split_inclusive('\n').nth(line - 1).unwrap_or_default();
        let why =
            if has_tag_at_comma(in_it) { "a blank is missing between a tag and a comma" } else { "the parser gave up" };
        Err(SyntaxFlaw { line, column: 0, why: why.to_owned(), is_syntax: true })
    })
}

/// Whether a tag is followed by a comma, which the parser doesn't take.
fn has_tag_at_comma(line: &str) -> bool {
    line.split_whitespace().any(|word| word.split_once('!').is_some_and(|(_, tag)| tag.contains(',')))
}

fn steps(text: &str, lines_read: &Cell<usize>, builder: &mut Builder) -> std::result::Result<(), SyntaxFlaw> {
    let flaw = |line, why: &str, is_syntax| SyntaxFlaw { line, column: 0, why: why.to_owned(), is_syntax };
    let lines = text.split(BREAKS).map(|line| line.trim_start_matches('\u{feff}'));
    for (count, line) in lines.filter(|line| line.starts_with("%TAG")).enumerate() {
        if count >= DIRECTIVES {
            return Err(flaw(1, "it has too many `%TAG` lines", false));
        }
        if line.len() > LONGEST_DIRECTIVE {
            return Err(flaw(1, "a `%TAG` line is too long", false));
        }
    }
    let mut parser = Parser::new();
    // The parser panics where a file ends within a line of a block, so the last line is ended.
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    parser.set_input(YamlLines { rest: text.as_bytes(), read: lines_read, in_one: false }.chain(end.as_bytes()));
    let mut documents = 0;
    loop {
        let event = parser.parse().map_err(|error| unreadable(text, &error))?;
        if documents > 1 && !matches!(event.data, EventData::StreamEnd) {
            continue;
        }
        let line = event.start_mark.line as usize + 1;
        let at = Position { line, column: event.start_mark.column as usize + 1 };
        let (event, anchor, tag) = match event.data {
            EventData::StreamEnd => return Ok(()),
            EventData::DocumentStart { .. } => {
                documents += 1;
                // As in Kong, only the first document counts, but a syntax error in any of them is an error of the
                // file.
                if documents > 1 {
                    builder.tree.further = Some(line);
                }
                continue;
            }
            EventData::StreamStart { .. } | EventData::DocumentEnd { .. } => continue,
            EventData::Scalar { value, style, anchor, tag, .. } => {
                let plain = style == ScalarStyle::Plain;
                builder.take_with(ParseEvent::Text { text: &value, plain }, at, anchor, tag)?;
                continue;
            }
            EventData::SequenceStart { anchor, tag, .. } => (ParseEvent::List, anchor, tag),
            EventData::MappingStart { anchor, tag, .. } => (ParseEvent::Map, anchor, tag),
            EventData::SequenceEnd | EventData::MappingEnd => (ParseEvent::End, None, None),
            EventData::Alias { anchor } => (ParseEvent::Alias(anchor), None, None),
        };
        builder.take_with(event, at, anchor, tag)?;
    }
}

/// Converts an error of the parser. Its texts quote nothing of the file.
fn unreadable(text: &str, error: &Error) -> SyntaxFlaw {
    let why = match error.context() {
        Some(context) => format!("{context}: {}", error.problem()),
        None => error.problem().to_owned(),
    };
    let (mut line, mut column) = (0, 0);
    match error.problem_mark() {
        Some(mark) => (line, column) = (mark.line as usize + 1, mark.column as usize + 1),
        // Without a mark, the error is about a character that YAML forbids.
        None => {
            let forbidden = text.find(is_forbidden).unwrap_or_default();
            line = line.max(breaks(&text[..forbidden]) + 1);
        }
    }
    // What is missing at the end of a file is reported in its last line, not after it.
    let last = breaks(text) + 1;
    if line > last {
        (line, column) = (last, 0);
    }
    SyntaxFlaw { line, column, why, is_syntax: true }
}

/// How many line breaks the parser counts.
fn breaks(text: &str) -> usize {
    text.matches(BREAKS).count() - text.matches("\r\n").count()
}

/// Whether the parser refuses a character wherever it stands.
fn is_forbidden(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

/// Gives the parser a text line by line, so that the line is known in which it panics.
struct YamlLines<'a> {
    rest: &'a [u8],
    /// How many lines have been begun.
    read: &'a Cell<usize>,
    in_one: bool,
}

impl BufRead for YamlLines<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        let mut end = CHUNK.min(self.rest.len());
        // A chunk ends between two characters.
        while self.rest.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        let chunk = &self.rest[..end];
        Ok(chunk.iter().position(|byte| *byte == b'\n').map_or(chunk, |at| &chunk[..=at]))
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.rest.len());
        let (read, rest) = self.rest.split_at(amount);
        self.read.set(self.read.get() + usize::from(!self.in_one && !read.is_empty()));
        self.in_one = if read.is_empty() { self.in_one } else { !read.ends_with(b"\n") };
        self.rest = rest;
    }
}

impl Read for YamlLines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.fill_buf()?.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.consume(count);
        Ok(count)
    }
}
