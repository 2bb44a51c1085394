//! What Kong's schema refuses in a vault entity, and kong-vault accepts. In Kong, each value of a file has a type, and
//! none is converted; kong-vault reads every option from text.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::plain::{EXACT, boolean, is_whole, number};
use super::tree::{Id, NodeKind, Tree};
use crate::backend::{Descriptor, registry::find};
use crate::config::assignment::options_of;
use crate::config::entity::EntityFlaw;
use crate::config::error::accepted;
use crate::error::quote;
use crate::options::{Opt, Type};

/// The type that a value has in Kong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KongType {
    Null,
    Text,
    Number {
        whole: bool,
    },
    Boolean,
    List,
    Map,
    /// An empty list or mapping: Lua doesn't tell one from the other.
    Nothing,
}

/// The options of Kong's own `env` vault. In Kong, kong-vault does not replace that vault.
const OF_KONGS_ENV: &[Opt] = &[Opt::new("prefix", Type::Text, "")
    .pattern("[A-Za-z_-][A-Za-z0-9_-]*", "letters, digits, _ and -, with no digit at the beginning")];

/// The fields beside `config`, with their types in Kong's schema. Kong accepts any `updated_at`, which it sets itself.
const FIELDS: [(&str, Type); 7] = [
    ("prefix", Type::Text),
    ("name", Type::Text),
    ("id", Type::Text),
    ("description", Type::Text),
    ("tags", Type::List),
    ("created_at", WHOLE),
    ("_comment", Type::Text),
];

const WHOLE: Type = Type::Integer { min: 0, max: i64::MAX };

/// The versions of the format, in `_format_version`.
const VERSIONS: [&str; 3] = ["1.1", "2.1", "3.0"];

/// Returns where a file sets the version of its format, if Kong refuses that version.
pub fn version(tree: &Tree) -> Option<Id> {
    let (_, version) = tree.find(tree.root?, "_format_version")?;
    let is_known = tree.text(version).is_some_and(|text| VERSIONS.contains(&text));
    let is_taken = is_known && means(tree, version) == Some(KongType::Text);
    (!is_taken).then_some(version)
}

/// Returns what Kong refuses in an entity, at most `most` flaws.
pub fn flaws(tree: &Tree, entity: Id, backend: Option<&'static Descriptor>, most: usize) -> Vec<EntityFlaw> {
    let mut flaws = Vec::new();
    let mut wrong = |path: &str, what: String| flaws.push(EntityFlaw { path: path.to_owned(), what });
    for (field, kind) in FIELDS {
        let Some((_, value)) = tree.find(entity, field) else { continue };
        if let Some(what) = misfit(tree, value, kind).or_else(|| blank(tree, value)) {
            wrong(field, what);
        }
    }
    let tags = tree.find(entity, "tags").and_then(|(_, tags)| tree.meant(tags));
    let is_no_tag = |c: char| matches!(c, ',' | '/' | '\0'..='\x1f' | '\x7f');
    if tags.is_some_and(|tags| tree.items(tags).any(|tag| tree.text(tag).is_some_and(|tag| tag.contains(is_no_tag)))) {
        wrong("tags", "has a tag with a comma, a slash or a control character, which Kong refuses".to_owned());
    }
    let ignored = tree.find(entity, "_ignore").and_then(|(_, ignored)| means(tree, ignored));
    if ignored.is_some_and(|means| !matches!(means, KongType::Null | KongType::List | KongType::Nothing)) {
        wrong("_ignore", "must be a list in Kong".to_owned());
    }
    let config = tree.find(entity, "config");
    if config.and_then(|(_, config)| means(tree, config)) == Some(KongType::Null) {
        wrong("config", "is null, which Kong refuses: leave it out".to_owned());
    }
    if let (Some(backend), Some((_, config))) = (backend, config) {
        for (name, value) in options(tree, config) {
            if flaws.len() >= most {
                break;
            }
            if let Some(what) = option(tree, backend, name, value) {
                flaws.push(EntityFlaw { path: format!("config.{}", quote(name.as_bytes(), 64)), what });
            }
        }
    }
    flaws.truncate(most);
    flaws
}

/// Replaces an entity's options by the numbers and booleans that Kong reads, where the options are of these types.
pub fn settle(tree: &Tree, entity: Id, fields: &mut Map<String, Value>) {
    let name = fields.get("name").and_then(Value::as_str).and_then(find);
    let config = tree.meant(entity).and_then(|entity| tree.find(entity, "config"));
    let (Some(backend), Some((_, config)), Some(Value::Object(values))) = (name, config, fields.get_mut("config"))
    else {
        return;
    };
    for (name, written) in options(tree, config) {
        let Some(opt) = options_of(backend).find(|opt| opt.is_called(name)) else { continue };
        let plain =
            matches!(tree.meaning(written), Some((id, NodeKind::Text { plain: true })) if tree.tag(id).is_none());
        let Some(text) = tree.text(written).filter(|_| plain) else { continue };
        let value = match opt.kind {
            Type::Boolean if boolean(text) => {
                Value::Bool(matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on"))
            }
            Type::Integer { .. } | Type::Seconds { .. } => match number(text) {
                Some(number) if is_whole(number) && number.abs() <= EXACT => Value::from(number as i64),
                Some(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
                None => continue,
            },
            _ => continue,
        };
        values.insert(name.to_owned(), value);
    }
}

/// Returns names and values of a mapping, with those that it merges in. Where a name is set twice, the value that
/// counts.
fn options(tree: &Tree, map: Id) -> Vec<(&str, Id)> {
    let (mut found, mut names, mut seen) = (Vec::new(), HashSet::new(), HashSet::new());
    let mut maps = vec![map];
    while let Some(map) = maps.pop().and_then(|map| tree.meant(map)) {
        let mut own: Vec<_> = tree.pairs(map).filter(|(key, _)| !tree.is_merge(*key)).collect();
        own.reverse();
        for (key, value) in own {
            found.extend(tree.text(key).filter(|name| names.insert(*name)).map(|name| (name, value)));
        }
        maps.extend(tree.merged(map).into_iter().rev().filter(|map| seen.insert(*map)));
    }
    found
}

fn option(tree: &Tree, backend: &'static Descriptor, name: &str, value: Id) -> Option<String> {
    let Some(opt) = options_of(backend).find(|opt| opt.is_called(name)) else {
        // The loader skips an option that is null, so only this check finds an unknown one.
        let is_endless = || tree.text(value).and_then(number).is_some_and(|number| !number.is_finite());
        let is_null = means(tree, value) == Some(KongType::Null) || is_endless();
        let known: Vec<_> = options_of(backend).map(|opt| opt.name).collect();
        return is_null.then(|| format!("unknown field{}", accepted(name, &known)));
    };
    if backend.name != "env" {
        let kind = if opt.text_in_kong { Type::Text } else { opt.kind };
        // As in the schema for Kong (`field` in gateway/strategy.lua), an empty text is accepted for a credential, as
        // Kong has it until there is a value, and for an option without a default, where it means not set. Where it
        // guards something, the loader checks that.
        let has_values = opt.default.is_some() || !opt.one_of.is_empty();
        let is_refused = kind == Type::Text && !opt.sensitive && has_values && opt.parse("").is_none();
        return misfit(tree, value, kind).or_else(|| blank(tree, value).filter(|_| is_refused));
    }
    let Some(opt) = OF_KONGS_ENV.iter().find(|opt| opt.name == name) else {
        let known: Vec<_> = OF_KONGS_ENV.iter().map(|opt| opt.name).collect();
        return Some(format!(
            "is no option of env in Kong 3.9, whose own that vault is: it takes {}",
            known.join(", ")
        ));
    };
    let refused = || tree.text(value).is_some_and(|text| opt.parse(text).is_none());
    let is_null = means(tree, value) == Some(KongType::Null);
    misfit(tree, value, opt.kind)
        .or_else(|| (!is_null && refused()).then(|| format!("must be {} in Kong", opt.accepts())))
}

/// Returns how a value's type differs from the one that Kong's schema requires; `None` where it does not, or there is
/// no value.
fn misfit(tree: &Tree, value: Id, wanted: Type) -> Option<String> {
    let is = means(tree, value)?;
    let text = tree.text(value).unwrap_or_default();
    let is_finite = || number(text).is_none_or(|number| !number.is_infinite());
    let unquoted = || number(text).is_some() || boolean(text);
    let (wants, hint) = match (wanted, is) {
        (Type::Integer { .. } | Type::Seconds { .. }, KongType::Number { .. }) if !is_finite() => {
            ("a number", " that has an end")
        }
        (_, KongType::Null)
        | (Type::Text, KongType::Text)
        | (Type::Boolean, KongType::Boolean)
        | (Type::Integer { .. }, KongType::Number { whole: true })
        | (Type::Seconds { .. }, KongType::Number { .. })
        | (Type::List, KongType::Nothing) => return None,
        (Type::List, KongType::List) => {
            let list = tree.meant(value)?;
            let item = tree.items(list).find_map(|item| {
                let is_text = means(tree, item) == Some(KongType::Text);
                if is_text { blank(tree, item) } else { Some("is no text: put it in quotes".to_owned()) }
            })?;
            return Some(format!("has an item that {item}"));
        }
        (Type::Text, KongType::Number { .. } | KongType::Boolean) => ("a text", ": put it in quotes"),
        (Type::Text, _) => ("a text", ""),
        (Type::List, KongType::Text) => ("a list", ": write [a, b]"),
        (Type::List, _) => ("a list", ""),
        (Type::Boolean, KongType::Text) if unquoted() => ("a boolean", ": write true or false without quotes"),
        (Type::Boolean, _) => ("a boolean", ": write true or false"),
        (Type::Integer { .. }, KongType::Text) if unquoted() => ("a whole number", ": write it without quotes"),
        (Type::Integer { .. }, _) => ("a whole number", ""),
        (Type::Seconds { .. }, KongType::Text) if unquoted() => ("a number", ": write it without quotes"),
        (Type::Seconds { .. }, _) => ("a number", ""),
    };
    let is = match is {
        KongType::Null => return None,
        KongType::Text => "a text",
        KongType::Number { .. } => "a number",
        KongType::Boolean => "a boolean",
        KongType::List => "a list",
        KongType::Map | KongType::Nothing => "a mapping",
    };
    Some(format!("is {is}, where Kong's schema wants {wants}{hint}"))
}

fn blank(tree: &Tree, value: Id) -> Option<String> {
    let is_blank = means(tree, value) == Some(KongType::Text) && tree.text(value) == Some("");
    is_blank.then(|| "is empty, which Kong refuses".to_owned())
}

fn means(tree: &Tree, id: Id) -> Option<KongType> {
    let (id, kind) = tree.meaning(id)?;
    Some(match kind {
        NodeKind::List | NodeKind::Map if tree.items(id).next().is_none() => KongType::Nothing,
        NodeKind::List => KongType::List,
        NodeKind::Map => KongType::Map,
        NodeKind::Alias => return None,
        NodeKind::Text { plain } => {
            let text = tree.text(id)?;
            match (tree.tag(id).and_then(|tag| tag.strip_prefix("tag:yaml.org,2002:")), plain) {
                (Some("str"), _) => KongType::Text,
                (Some("null"), _) => KongType::Null,
                (Some("bool"), _) => KongType::Boolean,
                (Some("int"), _) => KongType::Number { whole: true },
                (Some("float"), _) => KongType::Number { whole: number(text).is_some_and(is_whole) },
                (_, false) => KongType::Text,
                (_, true) => plain_text(text),
            }
        }
    })
}

/// Returns the type that Kong gives a text without quotes, by YAML 1.1. In JSON, only words come here that mean the
/// same.
fn plain_text(text: &str) -> KongType {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => KongType::Null,
        _ if boolean(text) => KongType::Boolean,
        _ => number(text).map_or(KongType::Text, |number| KongType::Number { whole: is_whole(number) }),
    }
}

#[cfg(test)]
mod tests;
