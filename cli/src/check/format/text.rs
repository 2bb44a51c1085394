//! The table of results, with one row for each thing that was checked.

use std::fmt::Write;

use super::finding::{LONGEST, summary};
use crate::check::rule::Severity;
use crate::check::table::{Row, Verdict};
use crate::colour::{self, Painted};
use kong_vault::redact::{line, quote};

/// Up to which width columns are aligned: one long cell must not push all others off the screen.
const ALIGNED: usize = 56;

pub fn render(rows: &[Row], colour: bool) -> String {
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let (style, verdict, why) = match &row.verdict {
                Verdict::Good => (colour::GOOD, "ok", String::new()),
                Verdict::Found(rule, why) => {
                    let style = match rule.severity() {
                        Severity::Note => colour::NOTE,
                        Severity::Warning => colour::WARNING,
                        Severity::Error => colour::ERROR,
                    };
                    (style, rule.severity().name(), format!(": {}", line(why.as_bytes(), LONGEST)))
                }
            };
            let verdict = format!("{}{why}", Painted::new(verdict, style, colour));
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
    let _ = writeln!(out, "{}", summary(rows));
    out
}
