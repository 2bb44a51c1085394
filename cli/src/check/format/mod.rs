//! What `check` writes: a table for people, or findings for machines.

mod finding;
mod github;
mod json;
mod location;
mod region;
mod sarif;
mod text;

use clap::ValueEnum;

use super::input::{Input, STDIN};
use super::rule::Severity;
use super::table::Row;
use finding::{Finding, count, summary};
use location::Locations;
use region::Lines;
pub use text::render as text;

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
