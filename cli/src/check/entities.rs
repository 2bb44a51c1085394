//! Checks each vault entity of a declarative file.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::context::Checking;
use super::finding::KnownEntity;
use super::references::noted;
use super::rule::Rule;
use kong_vault::backend::Descriptor;
use kong_vault::backend::registry::{ALL, find};
use kong_vault::config::declarative::{self, Id, Tree, kongs, of_others};
use kong_vault::config::entity::{self, EntityFlaw, FLAWS};
use kong_vault::config::{Verification, options_of, unverified_in_words};
use kong_vault::error::quote;
use kong_vault::redact::word;
use kong_vault::reference::{is_reference, parse};

/// The lines of the entities before, by prefix and by id.
#[derive(Default)]
pub struct Lines {
    prefixes: HashMap<String, usize>,
    ids: HashMap<String, usize>,
}

/// Reports everything that is wrong with an entity. `lines`: those of the entities before it.
pub fn check(checking: &mut Checking<'_>, index: usize, item: Id, lines: &mut Lines) {
    let tree = checking.tree;
    let entity = tree.meant(item).unwrap_or(item);
    // The syntax error cuts this entity off: only that error is reported.
    if !tree.is_whole(entity) {
        return;
    }
    let prefix = tree.find(entity, "prefix").and_then(|(_, value)| tree.text(value)).unwrap_or_default();
    let label = match prefix {
        "" => format!("vaults[{index}]"),
        prefix => format!("vault {}", quote(prefix.as_bytes(), 64)),
    };
    if let Some((prefix, strategy)) = of_others(tree, item, checking.others) {
        let why =
            format!("is of the strategy {}, which kong-vault does not provide: left to Kong", word(&strategy, 64));
        let row = checking.place(item).found(Rule::LeftToKong, label, why);
        checking.checked.rows.push(row);
        checking.checked.entities.entry(prefix).or_insert(KnownEntity::Others(strategy));
        return;
    }
    let value = match declarative::entity(tree, item) {
        Ok(value) => value,
        Err((id, why)) => return checking.found(Rule::InvalidEntity, id, label, why),
    };
    let most = if checking.mistakes.is_full() { 1 } else { FLAWS };
    let (mut flaws, mut good) = match entity::parse(&value, ALL, most) {
        Ok(entity) => (entity::option_flaws(&entity, most, checking.verification), Some(entity)),
        Err(mut flaws) => {
            let more = option_flaws(&value, &flaws, most, checking.verification);
            flaws.extend(more);
            (flaws, None)
        }
    };
    let text_of = |flaw: &EntityFlaw| place(tree, entity, &flaw.path).and_then(|(_, value)| tree.text(value));
    let is_usable = flaws.iter().all(|flaw| text_of(flaw).and_then(noted).is_some());
    let backend = value.get("name").and_then(Value::as_str).and_then(find);
    let of_kong = kongs::flaws(tree, entity, backend, most).into_iter();
    let new: Vec<_> = of_kong.filter(|flaw| !flaws.iter().any(|known| known.path == flaw.path)).collect();
    flaws.extend(new);
    let of_rule = |flaw: EntityFlaw| (rule(&flaw, place(tree, entity, &flaw.path).is_some(), backend), flaw);
    let mut flaws: Vec<(Rule, EntityFlaw)> = flaws.into_iter().map(of_rule).collect();
    let (line, mut is_repeated) = (tree.line(item), false);
    if !flaws.iter().any(|(_, flaw)| flaw.path == "prefix" || flaw.path.is_empty()) {
        if let Some(first) = lines.prefixes.get(prefix) {
            let what = format!("this prefix is set twice: the entity in line {first} has it too");
            flaws.insert(0, (Rule::DuplicatePrefix, EntityFlaw { path: "prefix".to_owned(), what }));
            is_repeated = true;
        } else {
            lines.prefixes.insert(prefix.to_owned(), line);
        }
    }
    if checking.others.named().any(|name| name == prefix) {
        let what = format!("prefix {prefix} is the name of a strategy: choose another");
        flaws.push((Rule::InvalidPrefix, EntityFlaw { path: "prefix".to_owned(), what }));
    }
    if let Some(id) = value.get("id").and_then(Value::as_str).filter(|_| !is_repeated) {
        match lines.ids.get(id) {
            Some(first) => {
                let what = format!("this id is set twice, which Kong refuses: the entity in line {first} has it too");
                flaws.push((Rule::DuplicateId, EntityFlaw { path: "id".to_owned(), what }));
            }
            None => drop(lines.ids.insert(id.to_owned(), line)),
        }
    }
    for (rule, flaw) in &flaws {
        let (at, what) = (
            place(tree, entity, &flaw.path),
            match flaw.path.as_str() {
                "" => label.clone(),
                path => format!("{label}: {}", quote(path.as_bytes(), 96)),
            },
        );
        let written = at.and_then(|(_, value)| tree.meant(value));
        let reference = written.and_then(|value| tree.text(value)).filter(|text| is_reference(text.as_bytes()));
        let (rule, why) = match reference.map(|text| parse(text.as_bytes())) {
            Some(Err(error)) => (Rule::MalformedReference, error.to_string()),
            _ => (*rule, flaw.what.clone()),
        };
        let note = text_of(flaw).and_then(noted);
        checking.told.extend(written.filter(|_| reference.is_some()));
        // A value that is merged in (`<<`) is reported in the line where it is written.
        let id = match at {
            // The entity is an alias of another one, and so repeats its prefix: the alias is reported.
            _ if flaw.path == "prefix" && entity != item => item,
            Some((key, _)) => key,
            None => nearest(tree, entity, &flaw.path).unwrap_or(item),
        };
        match note {
            Some(note) => checking.found(Rule::RedactedReference, id, what, note),
            None => checking.found(rule, id, what, why),
        }
    }
    // An entity that only Kong refuses still counts for references: they resolve without Kong.
    if !is_usable || is_repeated {
        good = None;
    }
    if good.is_some() && flaws.is_empty() {
        let row = checking.place(item).good(label);
        checking.checked.rows.push(row);
    }
    let known = checking.checked.entities.entry(prefix.to_owned()).or_insert(KnownEntity::Wrong);
    if let (KnownEntity::Wrong, Some(good)) = (&*known, good) {
        *known = KnownEntity::Right(good);
    }
}

/// The rule that a flaw breaks. `is_written`: whether its field is there.
fn rule(flaw: &EntityFlaw, is_written: bool, backend: Option<&'static Descriptor>) -> Rule {
    let option = match flaw.path.as_str() {
        "prefix" => return Rule::InvalidPrefix,
        "name" => return Rule::InvalidBackend,
        path => match path.strip_prefix("config.") {
            Some(option) => option,
            None => return Rule::InvalidEntity,
        },
    };
    let opt = backend.map(|backend| options_of(backend).find(|opt| opt.is_called(option)));
    match opt {
        _ if !is_written => Rule::MissingOption,
        Some(None) => Rule::UnknownOption,
        Some(Some(opt)) if flaw.what == unverified_in_words(opt) => Rule::UnverifiedCertificates,
        _ => Rule::InvalidOption,
    }
}

/// What is wrong with the options of an entity whose fields are wrong as well.
fn option_flaws(written: &Value, flaws: &[EntityFlaw], most: usize, verification: Verification) -> Vec<EntityFlaw> {
    let Some(name) = written.get("name").and_then(Value::as_str).filter(|name| find(name).is_some()) else {
        return Vec::new();
    };
    let mut config = written.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    config.retain(|option, _| {
        let path = format!("config.{}", quote(option.as_bytes(), 64));
        !flaws.iter().any(|flaw| flaw.path == path)
    });
    let rest = json!({"prefix": "rest", "name": name, "config": config});
    let flaws = entity::parse(&rest, ALL, 1).map(|entity| entity::option_flaws(&entity, most, verification));
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

/// The nearest place to a missing field: `config`, for an option.
fn nearest(tree: &Tree, entity: Id, path: &str) -> Option<Id> {
    path.starts_with("config.").then(|| tree.find(entity, "config").map(|(key, _)| key)).flatten()
}
