//! Checks a declarative file: its vault entities, and whatever looks like a reference anywhere in it.

use std::collections::{HashMap, HashSet};

use super::context::{Checked, Checking};
use super::entities;
use super::finding::{FoundReference, is_of_plugin, look_alike};
use super::keys::Settings;
use super::rule::Rule;
use super::table::{Mistakes, Place};
use kong_vault::config::declarative::{Id, NodeKind, SyntaxFlaw, Tree, kongs};
use kong_vault::error::quote;
use kong_vault::reference::{Piece, is_reference, pieces};

pub fn check(name: &str, text: &str, settings: &Settings) -> Checked {
    let tree = Tree::parse(name, text);
    let (checked, told) = (Checked { whole: tree.flaw.is_none(), ..Checked::default() }, HashSet::new());
    let Settings { ref others, verification, everywhere, .. } = *settings;
    let mut checking =
        Checking { tree: &tree, name, others, verification, everywhere, checked, told, mistakes: Mistakes::default() };
    match tree.vaults() {
        Ok(Some(list)) => checking.vaults(list),
        Ok(None) if tree.flaw.is_none() && tree.root.is_none_or(|root| tree.kind(root) != NodeKind::Map) => {
            checking.checked.rows.push(Place::new(name, 1).found(Rule::EmptyFile, "file", "the file is empty"));
        }
        Ok(None) => {}
        // The syntax error cuts this value off: only that error is reported.
        Err((id, _)) if tree.flaw.is_some() && !tree.is_whole(id) => {}
        Err((id, why)) => {
            let is_list = tree.key(id).is_some();
            checking.found(Rule::InvalidVaults, id, if is_list { "vaults" } else { "file" }, why);
        }
    }
    if let Some(id) = kongs::version(&tree).filter(|_| tree.flaw.is_none()) {
        let why = "is not a version that Kong 3.9 accepts: write \"3.0\", \"2.1\" or \"1.1\", in quotes";
        checking.found(Rule::FormatVersion, id, "_format_version", why);
    }
    checking.duplicates();
    checking.references();
    let Checking { mut checked, mistakes, .. } = checking;
    checked.rows.extend(mistakes.finish());
    if let Some(flaw) = &tree.flaw {
        let rule = if flaw.is_syntax { Rule::Syntax } else { Rule::FileTooLarge };
        checked.rows.push(Place::new(name, flaw.line).found(rule, "syntax", unreadable(flaw)));
    } else if let Some(flaw) = &tree.no_json {
        let why = format!(
            "is YAML, not JSON, but Kong expects JSON in a file with this name ({}): rename the file",
            flaw.why
        );
        checked.rows.push(Place::new(name, flaw.line).found(Rule::NoJson, "syntax", why));
    }
    if let Some(line) = tree.further.filter(|_| tree.flaw.is_none()) {
        let why = "a second YAML document begins here: only the first one is used, as in Kong";
        checked.rows.push(Place::new(name, line).found(Rule::SecondDocument, "file", why));
    }
    checked
}

fn unreadable(flaw: &SyntaxFlaw) -> String {
    let what = if flaw.is_syntax { "is not YAML or JSON" } else { "is too large" };
    format!("{what} ({}); the rest of the file is not checked", flaw.why)
}

impl Checking<'_> {
    fn vaults(&mut self, list: Id) {
        let (tree, mut lines) = (self.tree, entities::Lines::default());
        for (index, item) in tree.items(list).enumerate() {
            entities::check(self, index, item, &mut lines);
        }
    }

    /// Reports keys that are set twice: the last one counts, as in Kong.
    fn duplicates(&mut self) {
        let tree = self.tree;
        for id in tree.ids() {
            let mut lines = HashMap::new();
            // A map may have several `<<`: all of them are merged.
            for (key, _) in tree.pairs(id).filter(|(key, _)| !tree.is_merge(*key)) {
                let Some(text) = tree.text(key) else { continue };
                let line = tree.place(key).line;
                let Some(first) = lines.insert(text, line) else { continue };
                let shown = quote(text.as_bytes(), 64);
                let what = match tree.path(id) {
                    path if path.is_empty() => shown,
                    path => format!("{path}.{shown}"),
                };
                let why = format!("this key is set twice: this line is used, line {first} is not");
                self.found(Rule::DuplicateKey, key, what, why);
            }
        }
    }

    fn take(&mut self, id: Id, what: String, reference: &str) {
        // Only operators write vault entities.
        let (place, of_operator) = (self.place(id), what.starts_with("vaults["));
        self.checked.references.push(FoundReference { place, what, reference: reference.to_owned(), of_operator });
    }

    /// A text with a reference inside is one where plugins may have such.
    fn mentioned(&mut self, id: Id, text: &str, why: &str) {
        let what = self.tree.path(id);
        let takes_references = self.everywhere && is_of_plugin(&what);
        match pieces(text.as_bytes()).filter(|_| takes_references) {
            Some(all) if all.iter().any(|piece| matches!(piece, Piece::Reference(_))) => {
                for piece in all {
                    if let Piece::Reference(reference) = piece {
                        self.take(id, what.clone(), &String::from_utf8_lossy(reference));
                    }
                }
            }
            None if takes_references => {
                self.found(Rule::MalformedReference, id, what, "a reference in this text does not end: add a \"}\"");
            }
            _ => self.found(Rule::LookAlike, id, what, why),
        }
    }

    /// Collects the references. Each value is looked at once, where it is written, however many aliases it has.
    fn references(&mut self) {
        let tree = self.tree;
        for id in tree.ids() {
            match tree.kind(id) {
                NodeKind::Text { .. } if self.told.contains(&id) => {}
                NodeKind::Text { .. } => {
                    let Some(text) = tree.text(id) else { continue };
                    if is_reference(text.as_bytes()) {
                        self.take(id, tree.path(id), text);
                    } else if let Some(why) = look_alike(text).filter(|_| !tree.is_key(id)) {
                        self.mentioned(id, text, why);
                    }
                }
                NodeKind::Map => {
                    let bare = |key: Id| tree.text(key).is_some_and(|key| key.starts_with("vault:/"));
                    if tree.pairs(id).any(|(key, _)| bare(key)) {
                        let why = "a reference must be in quotes: without them, YAML reads its braces as a mapping";
                        self.found(Rule::UnquotedReference, id, tree.path(id), why);
                    }
                }
                NodeKind::List | NodeKind::Alias => {}
            }
        }
    }
}
