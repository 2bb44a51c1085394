//! Vault entities from a declarative file in Kong's format, YAML or JSON (which YAML includes).

use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use super::entity::{self, Entity};
use crate::backend::Descriptor;
use crate::error::{Error, Kind, Result, quote};

/// The largest file that is read, in bytes. Kong's own files hold services and routes too, and can be large.
pub const LIMIT: u64 = 16 * 1024 * 1024;

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
    vaults: Option<Vec<serde_yaml_ng::Value>>,
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
        match read_one(written, backends) {
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

/// An entity, or its prefix and the first thing that is wrong with it.
fn read_one(
    mut written: serde_yaml_ng::Value,
    backends: &[&'static Descriptor],
) -> std::result::Result<Entity, (Option<String>, String)> {
    written
        .apply_merge()
        .map_err(|_| (None, "is no vault entity: its `<<` merges in what is no mapping".to_owned()))?;
    let written: Value = serde_yaml_ng::from_value(written)
        .map_err(|_| (None, "is no vault entity: the names in it have to be texts".to_owned()))?;
    entity::read(&written, backends).map_err(|flaws| {
        let named = !flaws.iter().any(|flaw| flaw.path == "prefix" || flaw.path.is_empty());
        let prefix = written.get("prefix").and_then(Value::as_str).filter(|_| named);
        (prefix.map(str::to_owned), flaws.into_iter().next().map(|flaw| flaw.what).unwrap_or_default())
    })
}
