//! The state of the check of one declarative file: its input, and the findings so far.

use std::collections::HashSet;

use super::finding::{Entities, FoundReference};
use super::rule::Rule;
use super::table::{Column, Mistakes, Place, Row};
use kong_vault::config::declarative::{Id, Tree};
use kong_vault::config::{Others, Verification};

/// The findings of a file before its references are checked.
#[derive(Debug, Default)]
pub struct Checked {
    pub rows: Vec<Row>,
    pub references: Vec<FoundReference>,
    pub entities: Entities,
    /// Whether the file was read to its end.
    pub whole: bool,
}

/// The check of one file while it runs.
pub struct Checking<'a> {
    pub tree: &'a Tree,
    pub name: &'a str,
    /// Strategies that kong-vault does not provide.
    pub others: &'a Others,
    pub verification: Verification,
    /// Whether texts of plugins may hold references.
    pub everywhere: bool,
    pub checked: Checked,
    /// Texts that are reported already, so that `references` skips them.
    pub told: HashSet<Id>,
    pub mistakes: Mistakes,
}

impl Checking<'_> {
    /// The line is that of the key, and so is the column, unless the value stands in the same line.
    pub fn place(&self, id: Id) -> Place {
        let line = self.tree.line(id);
        let own = self.tree.place(id);
        let at = if own.line == line { own } else { self.tree.place(self.tree.key(id).unwrap_or(id)) };
        let column = match at.column {
            // As far as the tree counts.
            column if column >= u16::MAX.into() => Column::Unknown,
            column if self.tree.merges => Column::Characters(column),
            column => Column::Bytes(column),
        };
        Place::new(self.name, line).at(column)
    }

    pub fn found(&mut self, rule: Rule, id: Id, what: impl Into<String>, why: impl Into<String>) {
        let row = self.place(id).found(rule, what, why);
        self.mistakes.push(row);
    }
}
