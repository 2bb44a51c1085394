//! What a declarative file is checked with, and what came of it by now.

use std::collections::HashSet;

use super::finding::{Entities, FoundReference};
use super::table::{Mistakes, Place, Row};
use kong_vault::config::Others;
use kong_vault::config::declarative::{Id, Tree};

/// What a file came to before its references are looked at.
#[derive(Debug, Default)]
pub struct Checked {
    pub rows: Vec<Row>,
    pub references: Vec<FoundReference>,
    pub entities: Entities,
    /// Whether the file was read to its end.
    pub whole: bool,
}

/// What a file is being checked with.
pub struct Checking<'a> {
    pub tree: &'a Tree,
    pub name: &'a str,
    /// The strategies that others bring.
    pub others: &'a Others,
    pub checked: Checked,
    /// Values about which everything is said.
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
