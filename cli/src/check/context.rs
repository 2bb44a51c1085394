//! The state of the check of one declarative file: its input, and the findings so far.

use std::collections::HashSet;

use super::finding::{Entities, FoundReference};
use super::table::{Mistakes, Place, Row};
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
    pub checked: Checked,
    /// Texts that are reported already, so that `references` skips them.
    pub told: HashSet<Id>,
    pub mistakes: Mistakes,
}

impl Checking<'_> {
    pub fn place(&self, id: Id) -> Place {
        Place::new(self.name, self.tree.line(id))
    }

    pub fn wrong(&mut self, id: Id, what: impl Into<String>, why: impl Into<String>) {
        let row = self.place(id).wrong(what, why);
        self.mistakes.push(row);
    }

    pub fn note(&mut self, id: Id, what: impl Into<String>, why: impl Into<String>) {
        let row = self.place(id).note(what, why);
        self.mistakes.push(row);
    }

    pub fn odd(&mut self, id: Id, what: impl Into<String>, why: impl Into<String>) {
        let row = self.place(id).odd(what, why);
        self.mistakes.push(row);
    }
}
