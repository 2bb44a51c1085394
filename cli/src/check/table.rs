//! The table of results, with one row for each thing that was checked.

use std::fmt::Write;

use kong_vault::redact::{line, quote};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// A path as the user wrote it, or `environment`.
    pub source: String,
    /// From 1 on; 0 where there are no lines.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    Good,
    /// Nothing is known to be wrong with it, but kong-vault can't judge all of it.
    Noted(String),
    /// It is accepted, but probably not intended.
    Odd(String),
    Wrong(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    more: Option<(String, usize)>,
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
            self.more.get_or_insert((row.place.source, 0)).1 += 1;
        }
    }

    /// Returns the rows. If more were counted, `last` makes a last row of the file and their number.
    fn finish(mut self, last: impl Fn(Place, usize) -> Row) -> Vec<Row> {
        if let Some((source, more)) = self.more {
            self.rows.push(last(Place::new(&source, 0), more));
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
            file.wrong("file", what)
        })
    }
}

impl Notes {
    pub fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    pub fn finish(self) -> Vec<Row> {
        self.0.finish(|file, more| file.note("file", format!("there are {more} notes more, which are not shown")))
    }
}

impl Place {
    pub fn new(source: &str, line: usize) -> Self {
        Self { source: source.to_owned(), line }
    }

    pub fn good(&self, what: impl Into<String>) -> Row {
        Row { place: self.clone(), what: what.into(), verdict: Verdict::Good }
    }

    pub fn note(&self, what: impl Into<String>, why: impl Into<String>) -> Row {
        Row { place: self.clone(), what: what.into(), verdict: Verdict::Noted(why.into()) }
    }

    pub fn odd(&self, what: impl Into<String>, why: impl Into<String>) -> Row {
        Row { place: self.clone(), what: what.into(), verdict: Verdict::Odd(why.into()) }
    }

    pub fn wrong(&self, what: impl Into<String>, why: impl Into<String>) -> Row {
        Row { place: self.clone(), what: what.into(), verdict: Verdict::Wrong(why.into()) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quote(self.source.as_bytes(), LONGEST))?;
        if self.line > 0 { write!(f, ":{}", self.line) } else { Ok(()) }
    }
}

/// The longest cell that is printed, in characters.
const LONGEST: usize = 1024;

/// Up to which width columns are aligned: one long cell must not push all others off the screen.
const ALIGNED: usize = 56;

/// The table as text, and how many rows are wrong.
pub fn render(rows: &[Row]) -> (String, usize) {
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let verdict = match &row.verdict {
                Verdict::Good => "ok".to_owned(),
                Verdict::Noted(why) => format!("note: {}", line(why.as_bytes(), LONGEST)),
                Verdict::Odd(why) => format!("warning: {}", line(why.as_bytes(), LONGEST)),
                Verdict::Wrong(why) => format!("error: {}", line(why.as_bytes(), LONGEST)),
            };
            (row.place.to_string(), quote(row.what.as_bytes(), LONGEST), verdict)
        })
        .collect();
    let width = |cell: fn(&(String, String, String)) -> &String| {
        let widths = cells.iter().map(|row| cell(row).chars().count());
        widths.filter(|width| *width <= ALIGNED).max().unwrap_or(0)
    };
    let (places, whats) = (width(|row| &row.0), width(|row| &row.1));
    let mut out = String::new();
    for (place, what, verdict) in &cells {
        let _ = writeln!(out, "{place:places$}  {what:whats$}  {verdict}");
    }
    let wrong = rows.iter().filter(|row| matches!(row.verdict, Verdict::Wrong(_))).count();
    let odd = rows.iter().filter(|row| matches!(row.verdict, Verdict::Odd(_))).count();
    let _ = writeln!(out, "{} checked, {wrong} wrong, {odd} with a warning", rows.len());
    (out, wrong)
}
