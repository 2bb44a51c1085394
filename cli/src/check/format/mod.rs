//! What `check` writes: a table for people, or findings for machines.

mod github;
mod json;
mod location;
mod region;
mod sarif;
mod text;

use clap::ValueEnum;

use super::input::{Input, STDIN};
use super::rule::{Rule, Severity};
use super::table::{Row, Verdict};
use kong_vault::redact::{line, quote};
use location::Locations;
use region::{Lines, Region};
pub use text::render as text;

/// The longest text of a finding, in characters.
const LONGEST: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Text,
    /// One JSON object: docs/check.md describes it
    Json,
    /// Workflow commands of GitHub Actions, which become annotations
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// What was checked: rows, and the files, the ones of the command line first.
pub struct Results {
    pub rows: Vec<Row>,
    pub files: Vec<Input>,
}

/// A row that is not good. All texts are on one line, and may be shown.
struct Finding<'a> {
    rule: Rule,
    /// As the user wrote it; `None` for the environment.
    file: Option<&'a str>,
    /// 0 where there are no lines.
    line: usize,
    region: Option<Region>,
    what: String,
    why: String,
}

impl Results {
    pub fn render(&self, format: Format, colour: bool) -> String {
        match format {
            Format::Text => text(&self.rows, colour),
            Format::Json => json::render(&self.findings(), self.rows.len()),
            Format::Github => github::render(&self.findings(), &Locations::of(&self.files), &summary(&self.rows)),
            Format::Sarif => {
                let first = self.files.first().map_or(STDIN, |file| &file.name);
                sarif::render(&self.findings(), &Locations::of(&self.files), first)
            }
        }
    }

    pub fn wrong(&self) -> usize {
        count(self.rows.iter().filter_map(Row::severity), Severity::Error)
    }

    fn findings(&self) -> Vec<Finding<'_>> {
        let lines = Lines::of(self.files.iter().map(|file| (file.name.as_str(), file.text.as_str())));
        self.rows.iter().filter_map(|row| Finding::of(row, &lines)).collect()
    }
}

impl<'a> Finding<'a> {
    fn of(row: &'a Row, lines: &Lines<'_>) -> Option<Self> {
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

fn count(severities: impl Iterator<Item = Severity>, wanted: Severity) -> usize {
    severities.filter(|severity| *severity == wanted).count()
}

/// The last line of what people read.
fn summary(rows: &[Row]) -> String {
    let of = |severity| count(rows.iter().filter_map(Row::severity), severity);
    format!("{} checked, {} wrong, {} with a warning", rows.len(), of(Severity::Error), of(Severity::Warning))
}
