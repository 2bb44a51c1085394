//! A declarative file: its vault entities, and what looks like a reference anywhere in it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::de::IgnoredAny;

use super::entities;
use super::references::{Found, look_alike};
use super::table::{Place, Row};
use super::tree::{Flaw, Id, Kind, Slot, Tree};
use crate::config::entity::Entity;
use crate::error::quote;
use crate::reference::is_reference;

/// How much the entities may weigh with their aliases written out: some bytes per value, and its text.
const HEAVIEST: u64 = 64 * 1024 * 1024;

/// What a file came to before its references are looked at.
#[derive(Debug, Default)]
pub struct Checked {
    pub rows: Vec<Row>,
    pub references: Vec<Found>,
    /// The prefixes of vault entities, with the entity where it is right.
    pub entities: BTreeMap<String, Option<Entity>>,
    /// Whether the file was read to its end.
    pub whole: bool,
}

/// What a file is being checked with.
pub struct Checking<'a> {
    pub tree: &'a Tree,
    pub name: &'a str,
    pub checked: Checked,
    /// Values about which everything is said.
    pub told: HashSet<Id>,
}

pub fn check(name: &str, text: &str) -> Checked {
    let tree = Tree::read(text);
    let mut checking = Checking { tree: &tree, name, checked: Checked::default(), told: HashSet::new() };
    let flaw = match &tree.flaw {
        Some(flaw) => Some((flaw.line, unreadable(text, flaw))),
        None => judge(text),
    };
    checking.checked.whole = flaw.is_none();
    let root = tree.root.map(|root| (root, &tree.node(root).kind));
    match root {
        Some((root, Kind::Map(_))) => checking.vaults(root),
        Some((root, _)) if !tree.is_whole(root) => {}
        Some((root, _)) => {
            checking.wrong(root, "file", "holds no `vaults` and nothing else of Kong's: it is one value")
        }
        None if flaw.is_none() => {
            checking.checked.rows.push(Place::new(name, 1).odd("file", "there is nothing in it"));
        }
        None => {}
    }
    checking.duplicates();
    checking.references();
    if let Some((line, what)) = flaw {
        checking.checked.rows.push(Place::new(name, line).wrong("syntax", what));
    } else if name.ends_with(".json")
        && let Err(error) = serde_json::from_str::<IgnoredAny>(text)
    {
        let why = "is YAML, but no JSON, which Kong expects in a file of this name";
        checking.checked.rows.push(Place::new(name, error.line()).odd("syntax", why));
    }
    checking.checked
}

/// How many brackets what reads a file in the end is trusted with unseen: it is slow where many stay open.
const BRACKETS: usize = 2000;

/// Kong's reader, and ours, let some things pass that are no YAML 1.2, such as flow values that are not indented.
fn unreadable(text: &str, flaw: &Flaw) -> String {
    let is_safe = || text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).take(BRACKETS + 1).count() <= BRACKETS;
    let what = match flaw.is_syntax {
        false => "is more than is read",
        true if is_safe() && serde_yaml_ng::from_str::<IgnoredAny>(text).is_ok() => {
            "Kong may read it, but this is no YAML 1.2"
        }
        true => "is no YAML or JSON",
    };
    format!("{what} ({}); nothing after this line can be judged", flaw.why)
}

/// The last word on syntax has what reads the file in the end.
fn judge(text: &str) -> Option<(usize, String)> {
    let error = serde_yaml_ng::from_str::<IgnoredAny>(text).err()?;
    let says_something = |line: &str| !matches!(line.trim(), "" | "---" | "...") && !line.trim().starts_with('#');
    if !text.trim_start_matches('\u{feff}').lines().any(says_something) {
        return None;
    }
    let line = error.location().map_or(1, |at| at.line());
    Some((line, "is no YAML or JSON that Kong reads; nothing after this line can be judged".to_owned()))
}

impl Checking<'_> {
    pub fn place(&self, id: Id) -> Place {
        Place::new(self.name, self.tree.line(id))
    }

    pub fn wrong(&mut self, id: Id, what: impl Into<String>, why: impl Into<String>) {
        let row = self.place(id).wrong(what, why);
        self.checked.rows.push(row);
    }

    fn odd(&mut self, id: Id, what: impl Into<String>, why: impl Into<String>) {
        let row = self.place(id).odd(what, why);
        self.checked.rows.push(row);
    }

    fn vaults(&mut self, root: Id) {
        let Some((_, list)) = self.tree.find(root, "vaults") else { return };
        let Some(meant) = self.tree.meant(list) else { return self.wrong(list, "vaults", entities::ENDLESS) };
        let node = self.tree.node(meant);
        match &node.kind {
            _ if node.endless => self.wrong(list, "vaults", entities::ENDLESS),
            Kind::List(_) if node.weight > HEAVIEST || node.height > super::tree::DEEPEST => {
                self.wrong(list, "vaults", "is too large with its aliases (`*name`) written out");
            }
            Kind::List(items) => {
                let mut lines = HashMap::new();
                items.iter().enumerate().for_each(|(index, item)| entities::check(self, index, *item, &mut lines));
            }
            Kind::Text { text, plain: true } if matches!(text.as_str(), "" | "~" | "null") => {}
            _ if !self.tree.is_whole(meant) => {}
            _ => self.wrong(list, "vaults", "has to be a list of vault entities"),
        }
    }

    /// Of a key that is there twice, Kong takes the last; in vault entities, we take neither.
    fn duplicates(&mut self) {
        let tree = self.tree;
        for (id, node) in tree.nodes.iter().enumerate() {
            let Kind::Map(pairs) = &node.kind else { continue };
            let mut lines = HashMap::new();
            for (key, _) in pairs {
                let Some(text) = tree.text(*key) else { continue };
                let Some(first) = lines.insert(text, tree.node(*key).line) else { continue };
                let what = match tree.path(id) {
                    path if path.is_empty() => quote(text.as_bytes(), 64),
                    path => format!("{path}.{}", quote(text.as_bytes(), 64)),
                };
                if self.is_ours(*key) {
                    self.wrong(*key, what, format!("this key is there twice: line {first} has it too"));
                } else {
                    self.odd(
                        *key,
                        what,
                        format!("this key is there twice: this line counts, and line {first} doesn't"),
                    );
                }
            }
        }
    }

    /// Whether it is the list of vault entities, or in it.
    fn is_ours(&self, id: Id) -> bool {
        let mut at = id;
        while let Some((parent, slot)) = self.tree.node(at).parent {
            if Some(parent) == self.tree.root {
                let key = if let Slot::Of(key) = slot { key } else { at };
                return self.tree.text(key) == Some("vaults");
            }
            at = parent;
        }
        false
    }

    /// Each value once, where it is written: an alias is no further one.
    fn references(&mut self) {
        let tree = self.tree;
        for (id, node) in tree.nodes.iter().enumerate() {
            let is_told = self.told.contains(&id);
            match &node.kind {
                Kind::Text { text, .. } if is_reference(text.as_bytes()) && !is_told => {
                    let found = Found { place: self.place(id), what: tree.path(id), reference: text.clone() };
                    self.checked.references.push(found);
                }
                Kind::Text { text, .. } if !is_told && !matches!(node.parent, Some((_, Slot::Key))) => {
                    if let Some(why) = look_alike(text) {
                        self.odd(id, tree.path(id), why);
                    }
                }
                Kind::Map(pairs) => {
                    let bare = |(key, _): &&(Id, Id)| tree.text(*key).is_some_and(|key| key.starts_with("vault:/"));
                    if pairs.iter().any(|pair| bare(&pair)) {
                        let why =
                            "a reference has to stand in quotes: without them, YAML takes its braces for a mapping";
                        self.wrong(id, tree.path(id), why);
                    }
                }
                _ => {}
            }
        }
    }
}
