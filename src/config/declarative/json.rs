//! JSON as steps for a tree. Texts and numbers are read by `serde_json`; here is only what finds them, without recursion.

use serde::de::IgnoredAny;

use super::tree::{Builder, Event, Flaw, Place};

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum State {
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

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    /// How much was left where the line began.
    left: usize,
    /// What is open: whether it is an object.
    open: Vec<bool>,
}

pub fn read(text: &str, builder: &mut Builder) -> Result<(), Flaw> {
    let rest = text.trim_start_matches('\u{feff}');
    let mut reader = Reader { rest, line: 1, left: rest.len(), open: Vec::new() };
    let mut state = State::Value;
    loop {
        reader.skip_blanks();
        let Some(first) = reader.rest.bytes().next() else {
            let is_done = state == State::After && reader.open.is_empty();
            return if is_done { Ok(()) } else { Err(reader.flaw()) };
        };
        state = match (state, first) {
            (State::Value | State::FirstItem, b'{') => reader.start(builder, Event::Map)?,
            (State::Value | State::FirstItem, b'[') => reader.start(builder, Event::List)?,
            (State::FirstKey | State::Key, b'"') => reader.text(builder, State::Colon)?,
            (State::Value | State::FirstItem, b'"') => reader.text(builder, State::After)?,
            (State::Colon, b':') => reader.pass(State::Value),
            (State::FirstItem, b']') | (State::FirstKey, b'}') => reader.end(builder)?,
            (State::After, b',') => match reader.open.last() {
                Some(true) => reader.pass(State::Key),
                Some(false) => reader.pass(State::Value),
                None => return Err(reader.flaw()),
            },
            (State::After, b']') if reader.open.last() == Some(&false) => reader.end(builder)?,
            (State::After, b'}') if reader.open.last() == Some(&true) => reader.end(builder)?,
            (State::Value | State::FirstItem, _) => reader.word(builder)?,
            _ => return Err(reader.flaw()),
        };
    }
}

impl Reader<'_> {
    fn place(&self) -> Place {
        Place { line: self.line, column: self.left - self.rest.len() + 1 }
    }

    fn flaw(&self) -> Flaw {
        let Place { line, column } = self.place();
        Flaw { line, column, why: "no JSON".to_owned(), is_syntax: true }
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

    fn pass(&mut self, next: State) -> State {
        self.rest = &self.rest[1..];
        next
    }

    fn start(&mut self, builder: &mut Builder, event: Event<'_>) -> Result<State, Flaw> {
        let is_map = matches!(event, Event::Map);
        builder.take(event, self.place())?;
        self.open.push(is_map);
        Ok(self.pass(if is_map { State::FirstKey } else { State::FirstItem }))
    }

    fn end(&mut self, builder: &mut Builder) -> Result<State, Flaw> {
        self.open.pop();
        builder.take(Event::End, self.place())?;
        Ok(self.pass(State::After))
    }

    fn text(&mut self, builder: &mut Builder, next: State) -> Result<State, Flaw> {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let (written, rest) = self.rest.split_at(end.ok_or_else(|| self.flaw())? + 2);
        let text: String = serde_json::from_str(written).map_err(|_| self.flaw())?;
        builder.take(Event::Text { text: &text, plain: false }, self.place())?;
        self.rest = rest;
        Ok(next)
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self, builder: &mut Builder) -> Result<State, Flaw> {
        let is_over = |c: char| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
        let (word, rest) = self.rest.split_at(self.rest.find(is_over).unwrap_or(self.rest.len()));
        let is_word = word.starts_with(|c: char| c == '-' || c.is_ascii_alphanumeric());
        if !is_word || serde_json::from_str::<IgnoredAny>(word).is_err() {
            return Err(self.flaw());
        }
        builder.take(Event::Text { text: word, plain: true }, self.place())?;
        self.rest = rest;
        Ok(State::After)
    }
}
