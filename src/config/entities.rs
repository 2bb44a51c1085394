//! Vault entities from a declarative file in Kong's format, YAML or JSON (which YAML includes).

use std::collections::BTreeMap;
use std::io::Read;

use regex_lite::Regex;
use serde::Deserialize;
use serde_yaml_ng::{Mapping, Value};

use super::{LATER, wrong};
use crate::backend::Descriptor;
use crate::error::{Error, Kind, Result, quote};

/// The largest file that is read, in bytes. Kong's own files hold services and routes too, and can be large.
const LIMIT: u64 = 16 * 1024 * 1024;

/// The fields of Kong's schema. All but the first three are for people and for Kong's Admin API.
const FIELDS: [&str; 8] = ["prefix", "name", "config", "id", "description", "tags", "created_at", "updated_at"];

const PREFIX: &str = "^[a-z][a-z0-9-]*[a-z0-9]+$";

/// A vault under a name of the operator's choice.
#[derive(Debug)]
pub struct Entity {
    pub prefix: String,
    pub backend: &'static Descriptor,
    /// Options as text.
    pub config: BTreeMap<String, String>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Entities {
    pub entities: Vec<Entity>,
    /// What is no entity, and why; under its prefix, if it has one that a reference can name.
    pub broken: Vec<(Option<String>, Error)>,
}

/// What else stands in the file is Kong's.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    vaults: Option<Vec<Value>>,
}

/// Reads all entities of a file. Called at load, never while requests are served: it blocks. An error here is the whole
/// file's.
pub fn read(path: &str, backends: &[&'static Descriptor]) -> Result<Entities> {
    let wrong = |what: String| {
        Error::new(Kind::Config, format!("vault_declarative_config {}: {what}", quote(path.as_bytes(), 256)))
    };
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text));
    read.map_err(|err| wrong(format!("can't be read ({err})")))?;
    if text.len() as u64 > LIMIT {
        return Err(wrong(format!("is larger than {LIMIT} bytes")));
    }
    // The parser's own messages may quote values, and a value may be a token: only the place is told.
    let file: File = serde_yaml_ng::from_str(&text).map_err(|err| {
        let place = err.location().map_or(String::new(), |at| format!("line {} column {}: ", at.line(), at.column()));
        wrong(format!("{place}is no YAML or JSON in Kong's format, with a list `vaults`"))
    })?;
    let mut found = Entities::default();
    for (index, written) in file.vaults.unwrap_or_default().into_iter().enumerate() {
        let entry = index + 1;
        match check(&written, backends) {
            Err((prefix, what)) => {
                let shown = prefix.as_ref().map_or(String::new(), |prefix| format!(" ({prefix})"));
                found.broken.push((prefix, wrong(format!("entry {entry} of vaults{shown}: {what}"))));
            }
            Ok(entity) if found.entities.iter().any(|other| other.prefix == entity.prefix) => {
                let what = format!("entry {entry} of vaults ({}): this prefix is there twice", entity.prefix);
                found.broken.push((Some(entity.prefix), wrong(what)));
            }
            Ok(entity) => found.entities.push(entity),
        }
    }
    Ok(found)
}

/// An entity, or what is wrong with it and its prefix.
fn check(written: &Value, backends: &[&'static Descriptor]) -> std::result::Result<Entity, (Option<String>, String)> {
    let nameless = |what: String| (None, what);
    let fields =
        written.as_mapping().ok_or_else(|| nameless("is no vault entity: it has to have fields".to_owned()))?;
    let prefix = prefix(fields, backends).map_err(nameless)?;
    match backend_and_config(fields, backends) {
        Ok((backend, config)) => Ok(Entity { prefix, backend, config }),
        Err(what) => Err((Some(prefix), what)),
    }
}

fn prefix(fields: &Mapping, backends: &[&'static Descriptor]) -> std::result::Result<String, String> {
    let prefix = fields.get("prefix").and_then(Value::as_str).ok_or("it has no prefix, which has to be a text")?;
    let shown = quote(prefix.as_bytes(), 64);
    if !Regex::new(PREFIX).is_ok_and(|allowed| allowed.is_match(prefix)) {
        return Err(format!("prefix \"{shown}\" is not like {PREFIX}"));
    }
    if wrong::names(backends).contains(&prefix) || LATER.contains(&prefix) {
        return Err(format!("prefix {shown} is the name of a backend: choose another"));
    }
    Ok(prefix.to_owned())
}

type Body = (&'static Descriptor, BTreeMap<String, String>);

fn backend_and_config(fields: &Mapping, backends: &[&'static Descriptor]) -> std::result::Result<Body, String> {
    for field in fields.keys() {
        let field = field.as_str().unwrap_or_default();
        if !FIELDS.contains(&field) {
            let (shown, meant) = (quote(field.as_bytes(), 64), wrong::did_you_mean(field, &FIELDS));
            return Err(format!("unknown field \"{shown}\"{meant}: accepted are {}", FIELDS.join(", ")));
        }
    }
    let names = wrong::names(backends);
    let name = fields.get("name").and_then(Value::as_str).ok_or_else(|| {
        format!("it has no name, which has to be that of a backend: the backends are {}", names.join(", "))
    })?;
    let backend = backends.iter().find(|backend| backend.name == name).ok_or_else(|| {
        let (shown, meant) = (quote(name.as_bytes(), 64), wrong::did_you_mean(name, &names));
        format!("name \"{shown}\" is that of no backend{meant}: the backends are {}", names.join(", "))
    })?;
    let mut config = BTreeMap::new();
    match fields.get("config") {
        None | Some(Value::Null) => {}
        Some(Value::Mapping(options)) => {
            for (option, value) in options {
                let option = option.as_str().ok_or("the names in its config have to be texts")?;
                if let Some(value) =
                    text(value).map_err(|what| format!("config.{} is {what}", quote(option.as_bytes(), 64)))?
                {
                    config.insert(option.to_owned(), value);
                }
            }
        }
        Some(_) => return Err("its config has to be options and their values".to_owned()),
    }
    Ok((backend, config))
}

/// A value as kong.conf would have it; `None` for one that is not set.
fn text(value: &Value) -> std::result::Result<Option<String>, &'static str> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Sequence(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        _ => return Err("no text, number, boolean or list of texts"),
    };
    Ok(Some(text))
}
