//! The results, with one row for each thing that was checked.

use super::rule::{Rule, Severity};
use kong_vault::redact::quote;

/// The longest name of a file that is shown, in characters.
const LONGEST: usize = 1024;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path of a file as the user wrote it; `None` for the environment.
    pub file: Option<String>,
    /// From 1 on; 0 where there are no lines.
    pub line: usize,
    pub column: Column,
}

/// Where something begins in its line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Column {
    #[default]
    Unknown,
    /// From 1 on. JSON's reader counts bytes, YAML's characters.
    Bytes(usize),
    Characters(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// What it breaks, and why.
    Found(Rule, String),
}

#[derive(Debug, Clone)]
pub struct Row {
    pub place: Place,
    /// The key, field or reference. Never a value.
    pub what: String,
    pub verdict: Verdict,
}

/// How many mistakes, and how many notes, of one file are shown: a short text can cause a long row.
const MOST: usize = 1000;

/// Rows of one kind; those above `MOST` are only counted.
#[derive(Debug, Default)]
struct Few {
    rows: Vec<Row>,
    /// The place of the first one that is only counted, and their number.
    more: Option<(Place, usize)>,
}

/// Rows about mistakes.
#[derive(Debug, Default)]
pub struct Mistakes(Few);

/// Rows about what kong-vault can't judge, such as strategies of others.
#[derive(Debug, Default)]
pub struct Notes(Few);

impl Few {
    fn push(&mut self, row: Row) {
        if self.rows.len() < MOST {
            self.rows.push(row);
        } else {
            self.more.get_or_insert((row.place, 0)).1 += 1;
        }
    }

    /// Returns the rows. If more were counted, `last` makes a last row of the file and their number.
    fn finish(mut self, last: impl Fn(Place, usize) -> Row) -> Vec<Row> {
        if let Some((place, more)) = self.more {
            self.rows.push(last(Place { line: 0, column: Column::Unknown, ..place }, more));
        }
        self.rows
    }
}

impl Mistakes {
    pub fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Whether further mistakes are only counted, so that they need no text.
    pub fn is_full(&self) -> bool {
        self.0.rows.len() >= MOST
    }

    pub fn finish(self) -> Vec<Row> {
        self.0.finish(|file, more| {
            let what = format!("at least {more} more mistakes are not shown: fix these first");
            file.found(Rule::MoreErrors, "file", what)
        })
    }
}

impl Notes {
    pub fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    pub fn finish(self) -> Vec<Row> {
        let why = |more| format!("there are {more} notes more, which are not shown");
        self.0.finish(|file, more| file.found(Rule::MoreNotes, "file", why(more)))
    }
}

impl Place {
    pub const ENVIRONMENT: Self = Self { file: None, line: 0, column: Column::Unknown };

    pub fn new(file: &str, line: usize) -> Self {
        Self { file: Some(file.to_owned()), line, column: Column::Unknown }
    }

    pub fn at(self, column: Column) -> Self {
        Self { column, ..self }
    }

    pub fn good(&self, what: impl Into<String>) -> Row {
        Row { place: self.clone(), what: what.into(), verdict: Verdict::Good }
    }

    pub fn found(&self, rule: Rule, what: impl Into<String>, why: impl Into<String>) -> Row {
        Row { place: self.clone(), what: what.into(), verdict: Verdict::Found(rule, why.into()) }
    }
}

impl Row {
    pub fn severity(&self) -> Option<Severity> {
        match &self.verdict {
            Verdict::Good => None,
            Verdict::Found(rule, _) => Some(rule.severity()),
        }
    }

    /// What tells rows apart for people: two in one line that say the same are one.
    pub fn shown(&self) -> (Option<String>, usize, String, Option<(Severity, String)>) {
        let found = match &self.verdict {
            Verdict::Good => None,
            Verdict::Found(rule, why) => Some((rule.severity(), why.clone())),
        };
        (self.place.file.clone(), self.place.line, self.what.clone(), found)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quote(self.file.as_deref().unwrap_or("environment").as_bytes(), LONGEST))?;
        if self.line > 0 { write!(f, ":{}", self.line) } else { Ok(()) }
    }
}
