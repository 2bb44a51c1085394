//! Vault entities from a declarative file in Kong's format, YAML or JSON (which YAML includes).

use std::collections::BTreeMap;
use std::io::Read;

use regex_lite::Regex;
use serde::Deserialize;
use serde_yaml_ng::Value;

use crate::backend::Descriptor;
use crate::error::{Error, Kind, Result, quote};

/// The largest file that is read, in bytes. Kong's own files hold services and routes too, and can be large.
const LIMIT: u64 = 16 * 1024 * 1024;

/// A vault under a name of the operator's choice.
pub struct Entity {
    pub prefix: String,
    pub backend: &'static Descriptor,
    /// Options as text.
    pub config: BTreeMap<String, String>,
}

/// What else stands in the file is Kong's.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    vaults: Option<Vec<Written>>,
}

/// An entity as it is written: the fields of Kong's schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    prefix: String,
    name: String,
    #[serde(default)]
    config: Option<BTreeMap<String, Value>>,
    #[serde(rename = "id", default)]
    _id: Option<Value>,
    #[serde(rename = "description", default)]
    _description: Option<String>,
    #[serde(rename = "tags", default)]
    _tags: Option<Vec<String>>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<Value>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<Value>,
}

/// Reads all entities of a file. Called at load, never while requests are served: it blocks.
pub fn read(path: &str, backends: &[&'static Descriptor]) -> Result<Vec<Entity>> {
    let wrong = |what: String| Error::new(Kind::Config, format!("vault_declarative_config {path}: {what}"));
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text));
    read.map_err(|err| wrong(format!("can't be read ({err})")))?;
    if text.len() as u64 > LIMIT {
        return Err(wrong(format!("is larger than {LIMIT} bytes")));
    }
    parse(&text, backends).map_err(wrong)
}

fn parse(text: &str, backends: &[&'static Descriptor]) -> std::result::Result<Vec<Entity>, String> {
    // The parser's own messages may quote values, and a value may be a token: only the place is told.
    let file: File = serde_yaml_ng::from_str(text).map_err(|err| {
        let place = err.location().map_or(String::new(), |at| format!(" at line {} column {}", at.line(), at.column()));
        format!(
            "is no YAML or JSON with a list `vaults` of {{prefix, name, config, id, description, tags, created_at, updated_at}}{place}"
        )
    })?;
    let mut entities: Vec<Entity> = Vec::new();
    for written in file.vaults.unwrap_or_default() {
        let entity = check(written, backends)?;
        if entities.iter().any(|other| other.prefix == entity.prefix) {
            return Err(format!("vault entity {} is there twice: prefixes are unique", entity.prefix));
        }
        entities.push(entity);
    }
    Ok(entities)
}

fn check(written: Written, backends: &[&'static Descriptor]) -> std::result::Result<Entity, String> {
    let prefix = quote(written.prefix.as_bytes(), 64);
    let allowed = Regex::new("^[a-z][a-z0-9-]*[a-z0-9]+$");
    if !allowed.is_ok_and(|allowed| allowed.is_match(&written.prefix)) {
        return Err(format!("prefix \"{prefix}\" of a vault entity is not like [a-z][a-z0-9-]*[a-z0-9]+"));
    }
    if backends.iter().any(|backend| backend.name == written.prefix) {
        return Err(format!("prefix {prefix} of a vault entity is the name of a backend: choose another"));
    }
    let names: Vec<_> = backends.iter().map(|backend| backend.name).collect();
    let backend = backends.iter().find(|backend| backend.name == written.name).ok_or_else(|| {
        let name = quote(written.name.as_bytes(), 64);
        format!("vault entity {prefix} has the unknown backend \"{name}\": the backends are {}", names.join(", "))
    })?;
    let mut config = BTreeMap::new();
    for (option, value) in written.config.unwrap_or_default() {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Sequence(items) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
            }
            _ => {
                let option = quote(option.as_bytes(), 64);
                return Err(format!(
                    "config.{option} of vault entity {prefix} is no text, number, boolean or list of texts"
                ));
            }
        };
        config.insert(option, text);
    }
    Ok(Entity { prefix: written.prefix, backend, config })
}
