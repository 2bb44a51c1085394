//! The vault entities of a declarative file, each by itself.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::declarative::Checking;
use super::tree::{Id, Kind, Tree};
use crate::backend::{ALL, find};
use crate::config::entity::{self, Flaw};
use crate::error::quote;
use crate::reference::{is_reference, parse};

pub const ENDLESS: &str = "its alias (`*name`) stands within what it means";

/// Says all that is wrong with an entity. `lines` are those of the prefixes before it.
pub fn check(checking: &mut Checking<'_>, index: usize, item: Id, lines: &mut HashMap<String, usize>) {
    let tree = checking.tree;
    let Some(entity) = tree.meant(item) else { return checking.wrong(item, format!("vaults[{index}]"), ENDLESS) };
    // What is broken off is not wrong by itself.
    if !tree.is_whole(entity) {
        return;
    }
    let prefix = tree.find(entity, "prefix").and_then(|(_, value)| tree.text(value)).unwrap_or_default();
    let label = match prefix {
        "" => format!("vaults[{index}]"),
        prefix => format!("vault {}", quote(prefix.as_bytes(), 64)),
    };
    let value = match value(tree, entity) {
        Ok(value) => value,
        Err((id, why)) => return checking.wrong(id, label, why),
    };
    let (mut flaws, mut good) = match entity::read(&value, ALL) {
        Ok(entity) => (entity::option_flaws(&entity), Some(entity)),
        Err(mut flaws) => {
            let more = option_flaws(&value, &flaws);
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
fn option_flaws(written: &Value, flaws: &[Flaw]) -> Vec<Flaw> {
    let Some(name) = written.get("name").and_then(Value::as_str).filter(|name| find(name).is_some()) else {
        return Vec::new();
    };
    let mut config = written.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    config.retain(|option, _| {
        let path = format!("config.{}", quote(option.as_bytes(), 64));
        !flaws.iter().any(|flaw| flaw.path == path)
    });
    let rest = json!({"prefix": "rest", "name": name, "config": config});
    let flaws = entity::read(&rest, ALL).map(|entity| entity::option_flaws(&entity));
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

/// The tag that makes a text of whatever it is.
const TEXT: &str = "tag:yaml.org,2002:str";

/// An entity as it will be read: merges done, aliases written out.
fn value(tree: &Tree, id: Id) -> Result<Value, (Id, &'static str)> {
    let Some(id) = tree.meant(id) else { return Err((id, ENDLESS)) };
    let node = tree.node(id);
    Ok(match &node.kind {
        _ if !matches!(node.tag.as_deref(), None | Some(TEXT)) => {
            return Err((id, "has a tag (`!name`), which is not read"));
        }
        Kind::Text { text, plain } => {
            let plain = *plain && node.tag.is_none();
            scalar(text, plain).ok_or((id, "has a number that is too large to be read"))?
        }
        Kind::List(items) => Value::Array(items.iter().map(|item| value(tree, *item)).collect::<Result<_, _>>()?),
        Kind::Map(pairs) => {
            let mut fields = Map::new();
            for (key, written) in pairs.iter().filter(|(key, _)| !tree.is_merge(*key)) {
                let name = match value(tree, *key)? {
                    Value::String(name) => name,
                    _ => return Err((*key, "the names in a vault entity have to be texts")),
                };
                fields.insert(name, value(tree, *written)?);
            }
            for map in tree.merged(id) {
                if let Value::Object(merged) = value(tree, map)? {
                    for (name, value) in merged {
                        fields.entry(name).or_insert(value);
                    }
                }
            }
            Value::Object(fields)
        }
        Kind::Alias(_) => return Err((id, ENDLESS)),
    })
}

/// A text, or what YAML takes it for; `None` for a number that has no place anywhere.
fn scalar(text: &str, plain: bool) -> Option<Value> {
    // All that is no text is short and made of these.
    let may_be_other = text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'~'))
        && !text.starts_with("--");
    if !plain || !may_be_other {
        return Some(Value::String(text.to_owned()));
    }
    match serde_yaml_ng::from_str::<serde_yaml_ng::Value>(if text.is_empty() { "~" } else { text }) {
        Ok(value) => serde_yaml_ng::from_value(value).ok(),
        Err(_) => Some(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What reads the file in the end has the last word.
    fn theirs(text: &str) -> Option<Value> {
        let mut value: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).ok()?;
        value.apply_merge().ok()?;
        serde_yaml_ng::from_value(value).ok()
    }

    fn ours(text: &str) -> Option<Value> {
        let tree = Tree::read(text);
        tree.flaw.is_none().then(|| value(&tree, tree.root?).ok()).flatten()
    }

    #[test]
    fn values_are_those_that_will_be_read() {
        for text in [
            "[1, -1, +1, 0x1f, 0o17, 0b1, 017, 1.5, 1e3, .5, 1_000, 12:30:45, 2001-01-01]",
            "[true, True, yes, on, No, null, ~, Null, '', \"1\", '~', '---']",
            "- -1\n- --\n- -\n- - --1\n- ---1\n-\n",
            "[!!str 1]",
            "[! 1]",
            "[!x 1]",
            "[!x {a: 1}]",
            "{a: , b: }",
            "a: |\n  x\n  y\nb: >-\n  x\n  y\nc: x\n  y\n",
            "x: &x {a: 1, b: 2}\ny: &y {a: 3, c: 4}\nz: {<<: [*x, *y], b: 5}\nw:\n  <<: *x\n  d: *y\n",
            "{\"a\": \"\\u00e9\\/\", \"b\": [1.50, 1e400]}",
        ] {
            assert_eq!(ours(text), theirs(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_scalar_is_what_will_be_read(text in "[0-9a-fA-FxorutnlyesNO+.~_:-]{1,8}") {
            if let (Some(ours), Some(theirs)) = (ours(&format!("- {text}\n")), theirs(&format!("- {text}\n"))) {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
