//! Makes an entity of the fields that were sent: with the right types, options by their own names, and stored
//! credentials in place of their masks.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::body::RequestFields;
use super::key::is_uuid;
use super::mask;
use crate::backend::Descriptor;
use crate::config::accepted;
use crate::config::entity::{self, EntityFlaw, FIELDS, FLAWS};
use crate::config::{Verification, options_of};
use crate::error::quote;
use crate::options::{Opt, Type};
use crate::store::Record;
use crate::store::record::wipe;

/// How long a tag may be, in bytes.
const LONGEST_TAG: usize = 1024;

/// What an entity is made of.
pub struct Draft<'a> {
    pub sent: &'a RequestFields,
    /// The entity as it is stored, for PUT and PATCH. It has the credentials that masks stand for.
    pub stored: Option<&'a Record>,
    /// Whether fields that were not sent keep their stored values, as for PATCH.
    pub keep: bool,
    pub backends: &'a [&'static Descriptor],
    pub verification: Verification,
}

impl Draft<'_> {
    /// Returns the entity, without id and times; or at least one flaw.
    pub fn finish(&self, prefix: Option<&str>) -> Result<Record, Vec<EntityFlaw>> {
        let (sent, mut flaws) = (&self.sent.fields, Vec::new());
        for field in sent.keys().filter(|field| !FIELDS.contains(&field.as_str())).take(FLAWS) {
            flaws.push(flaw(&quote(field.as_bytes(), 64), "unknown field"));
        }
        match sent.get("id") {
            None | Some(Value::Null) => {}
            Some(id) if id.as_str().is_some_and(is_uuid) => {}
            Some(_) => flaws.push(flaw("id", "expected a valid UUID")),
        }
        let mut made = Map::new();
        for field in ["prefix", "name", "description"] {
            let value = self.text(field, &mut flaws);
            made.insert(field.to_owned(), value);
        }
        if let Some(prefix) = prefix {
            if made["prefix"].as_str().is_some_and(|sent| sent != prefix) {
                flaws.push(flaw("prefix", "is another than the path's"));
            }
            if made["prefix"].is_null() {
                made["prefix"] = prefix.into();
            }
        }
        for required in ["prefix", "name"] {
            if made[required].is_null() && !flaws.iter().any(|flaw| flaw.path == required) {
                flaws.push(flaw(required, "required field missing"));
            }
        }
        if made["prefix"].as_str().is_some_and(is_uuid) {
            flaws.push(flaw("prefix", "looks like an id: choose another"));
        }
        made.insert("tags".to_owned(), self.tags(&mut flaws));
        let config = self.config(made["name"].as_str().unwrap_or_default(), &mut flaws);
        made.insert("config".to_owned(), Value::Object(config));
        self.look_at_times(&mut flaws);
        let made = Record::from(made);
        self.look_at_all(&made, &mut flaws);
        if flaws.is_empty() { Ok(made) } else { Err(flaws) }
    }

    /// A field as it was sent, otherwise as it is stored.
    fn field(&self, name: &str) -> Option<&Value> {
        let kept = || self.stored.filter(|_| self.keep).and_then(|stored| stored.get(name));
        self.sent.fields.get(name).or_else(kept)
    }

    fn text(&self, name: &str, flaws: &mut Vec<EntityFlaw>) -> Value {
        match self.field(name) {
            None | Some(Value::Null) => Value::Null,
            // A form sends an empty text for a field that is not filled in.
            Some(Value::String(text)) if text.is_empty() && self.sent.of_form => Value::Null,
            Some(Value::String(text)) if text.contains(is_forbidden) => {
                flaws.push(flaw(name, "must not have control characters"));
                Value::Null
            }
            Some(Value::String(text)) => text.as_str().into(),
            Some(_) => {
                flaws.push(flaw(name, "expected a string"));
                Value::Null
            }
        }
    }

    fn tags(&self, flaws: &mut Vec<EntityFlaw>) -> Value {
        let items: Vec<&Value> = match self.field("tags") {
            None | Some(Value::Null) => return Value::Null,
            Some(Value::String(text)) if self.sent.of_form && text.is_empty() => return Value::Null,
            Some(text @ Value::String(_)) if self.sent.of_form => vec![text],
            Some(Value::Array(items)) => items.iter().collect(),
            Some(_) => {
                flaws.push(flaw("tags", "expected a set of strings"));
                return Value::Null;
            }
        };
        let (mut tags, mut seen) = (Vec::new(), HashSet::new());
        for item in items {
            let good = |tag: &str| {
                !tag.is_empty()
                    && tag.len() <= LONGEST_TAG
                    && !tag.contains(|c: char| c.is_control() || ",/".contains(c))
            };
            let Some(tag) = item.as_str().filter(|tag| good(tag)) else {
                let what = "expected texts without `,`, `/` and control characters, each of 1 to 1024 bytes";
                flaws.push(flaw("tags", what));
                return Value::Null;
            };
            if seen.insert(tag) {
                tags.push(Value::from(tag));
            }
        }
        Value::Array(tags)
    }

    fn config(&self, backend: &str, flaws: &mut Vec<EntityFlaw>) -> Map<String, Value> {
        let mut config = Map::new();
        let same = |stored: &&Record| self.keep && stored.text("name") == backend;
        if let Some(Value::Object(kept)) = self.stored.filter(same).and_then(|stored| stored.get("config")) {
            config.clone_from(kept);
        }
        let sent = match self.sent.fields.get("config") {
            None | Some(Value::Null) => return config,
            Some(Value::String(text)) if text.is_empty() && self.sent.of_form => return config,
            Some(Value::Object(sent)) => sent,
            Some(_) => {
                flaws.push(flaw("config", "expected a record"));
                return config;
            }
        };
        let known = self.backends.iter().find(|known| known.name == backend);
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in sent {
            if flaws.len() >= FLAWS {
                break;
            }
            let path = format!("config.{}", quote(name.as_bytes(), 64));
            let Some(backend) = known else { continue };
            let Some(opt) = options_of(backend).find(|opt| opt.is_called(name)) else {
                let names: Vec<_> = options_of(backend).map(|opt| opt.name).collect();
                flaws.push(flaw(&path, &format!("unknown field{}", accepted(name, &names))));
                continue;
            };
            if seen.contains(&opt.name) {
                flaws.push(flaw(&path, &format!("is another name of {}, which is set too: keep one", opt.name)));
                continue;
            }
            seen.push(opt.name);
            match self.value(opt, value) {
                Err(what) => flaws.push(flaw(&path, what)),
                Ok(Value::Null) => drop(config.remove(opt.name)),
                Ok(value) => match mask::meant(self.stored, backend.name, opt, &value) {
                    Some(value) => drop(config.insert(opt.name.to_owned(), value)),
                    None => flaws
                        .push(flaw(&path, "is the mask that answers show instead of the value: send the value itself")),
                },
            }
        }
        config
    }

    /// Returns an option's value as it is stored; null where it is not set. `look_at_all` checks whether the option
    /// accepts it.
    fn value(&self, opt: &Opt, sent: &Value) -> Result<Value, &'static str> {
        let of_form = self.sent.of_form;
        Ok(match (opt.kind, sent) {
            (_, Value::Null) => Value::Null,
            (_, Value::String(text)) if text.is_empty() && opt.default.is_none() => Value::Null,
            (_, Value::String(text)) if text.contains('\0') => return Err("must not have control characters"),
            (Type::Text, Value::String(_)) => sent.clone(),
            (Type::Text, _) => return Err("expected a string"),
            (Type::Boolean, Value::Bool(_)) => sent.clone(),
            (Type::Boolean, Value::String(text)) if of_form => match opt.parse(text) {
                Some(crate::options::value::Value::Boolean(flag)) => flag.into(),
                _ => return Err("expected a boolean"),
            },
            (Type::Boolean, _) => return Err("expected a boolean"),
            (Type::Integer { .. }, Value::Number(number)) if number.is_i64() => sent.clone(),
            (Type::Integer { .. }, Value::String(text)) if of_form => {
                text.parse::<i64>().map_err(|_| "expected an integer")?.into()
            }
            (Type::Integer { .. }, _) => return Err("expected an integer"),
            (Type::Seconds { .. }, Value::Number(_)) => sent.clone(),
            (Type::Seconds { .. }, Value::String(text)) if of_form => number(text).ok_or("expected a number")?.into(),
            (Type::Seconds { .. }, _) => return Err("expected a number"),
            (Type::List, Value::String(text)) if of_form => {
                Value::Array(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect())
            }
            (Type::List, Value::Array(items))
                if items.iter().all(|item| item.as_str().is_some_and(|item| !item.contains([',', '\0']))) =>
            {
                sent.clone()
            }
            (Type::List, _) => return Err("expected a list of strings"),
        })
    }

    /// Clients may send back an entity with its times. These are checked, but not used.
    fn look_at_times(&self, flaws: &mut Vec<EntityFlaw>) {
        for name in ["created_at", "updated_at"] {
            match self.sent.fields.get(name) {
                None | Some(Value::Null | Value::Number(_)) => {}
                Some(Value::String(text)) if self.sent.of_form && (text.is_empty() || number(text).is_some()) => {}
                Some(_) => flaws.push(flaw(name, "expected an integer")),
            }
        }
    }

    /// Checks the entity as the configuration does that will load it.
    fn look_at_all(&self, made: &Record, flaws: &mut Vec<EntityFlaw>) {
        let mut whole = Value::Object((**made).clone());
        let found = entity::check(&whole, self.backends, self.verification).err().unwrap_or_default();
        wipe(&mut whole);
        for found in found {
            if !flaws.iter().any(|known| known.path == found.path) {
                flaws.push(found);
            }
        }
    }
}

/// Parses a number; without a point, as a whole one.
fn number(text: &str) -> Option<Number> {
    text.parse::<i64>().ok().map(Number::from).or_else(|| text.parse().ok().and_then(Number::from_f64))
}

/// Whether a character is a control character other than those in texts of several lines.
fn is_forbidden(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

pub fn flaw(path: &str, what: &str) -> EntityFlaw {
    EntityFlaw { path: path.to_owned(), what: what.to_owned() }
}
