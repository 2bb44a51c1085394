//! The vault entities of a declarative file, each by itself.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::declarative::Checking;
use crate::backend::{ALL, find};
use crate::config::declarative::{Id, Tree, value};
use crate::config::entity::{self, FLAWS, Flaw};
use crate::error::quote;
use crate::reference::{is_reference, parse};

/// Says all that is wrong with an entity. `lines` are those of the prefixes before it.
pub fn check(checking: &mut Checking<'_>, index: usize, item: Id, lines: &mut HashMap<String, usize>) {
    let tree = checking.tree;
    let entity = tree.meant(item).unwrap_or(item);
    // What is broken off is not wrong by itself.
    if !tree.is_whole(entity) {
        return;
    }
    let prefix = tree.find(entity, "prefix").and_then(|(_, value)| tree.text(value)).unwrap_or_default();
    let label = match prefix {
        "" => format!("vaults[{index}]"),
        prefix => format!("vault {}", quote(prefix.as_bytes(), 64)),
    };
    let value = match value(tree, item) {
        Ok(value) => value,
        Err((id, why)) => return checking.wrong(id, label, why),
    };
    let most = if checking.mistakes.is_full() { 1 } else { FLAWS };
    let (mut flaws, mut good) = match entity::read(&value, ALL, most) {
        Ok(entity) => (entity::option_flaws(&entity, most), Some(entity)),
        Err(mut flaws) => {
            let more = option_flaws(&value, &flaws, most);
            flaws.extend(more);
            (flaws, None)
        }
    };
    let line = tree.line(item);
    if !flaws.iter().any(|flaw| flaw.path == "prefix" || flaw.path.is_empty()) {
        if let Some(first) = lines.get(prefix) {
            let what = format!("this prefix is there twice: the entity in line {first} has it too");
            flaws.insert(0, Flaw { path: "prefix".to_owned(), what });
        } else {
            lines.insert(prefix.to_owned(), line);
        }
    }
    for flaw in &flaws {
        let (at, what) = (
            place(tree, entity, &flaw.path),
            match flaw.path.as_str() {
                "" => label.clone(),
                path => format!("{label}: {}", quote(path.as_bytes(), 96)),
            },
        );
        let written = at.and_then(|(_, value)| tree.meant(value));
        let reference = written.and_then(|value| tree.text(value)).filter(|text| is_reference(text.as_bytes()));
        let why = match reference.map(|text| parse(text.as_bytes())) {
            Some(Err(error)) => error.to_string(),
            _ => flaw.what.clone(),
        };
        checking.told.extend(written.filter(|_| reference.is_some()));
        // Of what is merged in from elsewhere, the line there says more.
        let id = match at {
            // An alias as a whole is what repeats a prefix.
            _ if flaw.path == "prefix" && entity != item => item,
            Some((key, _)) => key,
            None => nearest(tree, entity, &flaw.path).unwrap_or(item),
        };
        checking.wrong(id, what, why);
    }
    if !flaws.is_empty() {
        good = None;
    }
    if good.is_some() {
        let row = checking.place(item).good(label);
        checking.checked.rows.push(row);
    }
    let known = checking.checked.entities.entry(prefix.to_owned()).or_default();
    *known = known.take().or(good);
}

/// What is wrong with the options of an entity whose fields are wrong as well.
fn option_flaws(written: &Value, flaws: &[Flaw], most: usize) -> Vec<Flaw> {
    let Some(name) = written.get("name").and_then(Value::as_str).filter(|name| find(name).is_some()) else {
        return Vec::new();
    };
    let mut config = written.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    config.retain(|option, _| {
        let path = format!("config.{}", quote(option.as_bytes(), 64));
        !flaws.iter().any(|flaw| flaw.path == path)
    });
    let rest = json!({"prefix": "rest", "name": name, "config": config});
    let flaws = entity::read(&rest, ALL, 1).map(|entity| entity::option_flaws(&entity, most));
    flaws.unwrap_or_default()
}

/// Key and value of a flaw's field.
fn place(tree: &Tree, entity: Id, path: &str) -> Option<(Id, Id)> {
    let option = || {
        let (_, config) = tree.find(entity, "config")?;
        tree.find(config, path.strip_prefix("config.")?)
    };
    tree.find(entity, path).or_else(option)
}

/// Where a field would be that isn't there.
fn nearest(tree: &Tree, entity: Id, path: &str) -> Option<Id> {
    path.starts_with("config.").then(|| tree.find(entity, "config").map(|(key, _)| key)).flatten()
}
