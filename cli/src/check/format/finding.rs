//! A finding, and what several formats make of it.

use super::region::{Lines, Region};
use crate::check::rule::{Rule, Severity};
use crate::check::table::{Row, Verdict};
use kong_vault::redact::{line, quote};

/// The longest text of a finding, in characters.
pub const LONGEST: usize = 1024;

/// A row that is not good. All texts are on one line, and may be shown.
pub struct Finding<'a> {
    pub rule: Rule,
    /// As the user wrote it; `None` for the environment.
    pub file: Option<&'a str>,
    /// 0 where there are no lines.
    pub line: usize,
    pub region: Option<Region>,
    pub what: String,
    pub why: String,
}

impl<'a> Finding<'a> {
    pub fn of(row: &'a Row, lines: &Lines<'_>) -> Option<Self> {
        let Row { place, what, verdict: Verdict::Found(rule, why) } = row else { return None };
        Some(Finding {
            rule: *rule,
            file: place.file.as_deref(),
            line: place.line,
            region: lines.region(place),
            what: quote(what.as_bytes(), LONGEST),
            why: line(why.as_bytes(), LONGEST),
        })
    }
}

pub fn count(severities: impl Iterator<Item = Severity>, wanted: Severity) -> usize {
    severities.filter(|severity| *severity == wanted).count()
}

/// The last line of what people read.
pub fn summary(rows: &[Row]) -> String {
    let of = |severity| count(rows.iter().filter_map(Row::severity), severity);
    format!("{} checked, {} wrong, {} with a warning", rows.len(), of(Severity::Error), of(Severity::Warning))
}
