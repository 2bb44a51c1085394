//! Vault entities from a declarative file in Kong's format, YAML or JSON. Loading and `check` read a file into the same
//! tree.

mod json;
pub mod kongs;
mod parse;
mod plain;
mod tree;
mod value;
mod yaml;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entity::{Broken, Entity, parse as parse_entity};
use super::others::Others;
use crate::backend::Descriptor;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::file::{self, FileFlaw};
use crate::pool::{self, JobRefusal};
use crate::redact;
use crate::reference::is_reference;
pub use tree::{Id, NodeKind, SyntaxFlaw, Tree};
pub use value::{entity, from_tree as value};

/// The largest file that is read, in bytes. Kong's own files hold services and routes too, and can be large.
pub const LIMIT: u64 = 16 * 1024 * 1024;

/// How many vault entities a file may hold: each takes some KB.
pub const MOST: usize = 4096;

/// What a file holds.
#[derive(Debug, Default)]
pub struct FileEntities {
    pub entities: Vec<Entity>,
    /// Entities that are broken; one for each prefix. Those of strategies that kong-vault does not provide are among
    /// them.
    pub broken: Vec<Broken>,
}

impl Tree {
    /// Returns the list of vault entities, if there is one. After an error, nothing in the file counts. Everything else
    /// in the file is Kong's.
    pub fn vaults(&self) -> std::result::Result<Option<Id>, (Id, &'static str)> {
        let Some(written) = self.root else { return Ok(None) };
        match self.meaning(written) {
            Some((root, NodeKind::Map)) => self.names(root)?,
            Some((root, NodeKind::Text { plain: true })) if self.is_null(root) => return Ok(None),
            _ => return Err((written, "holds no `vaults` and nothing else of Kong's: it is one value")),
        }
        let Some((_, list)) = self.find(written, "vaults") else { return Ok(None) };
        if self.is_endless(list) {
            return Err((list, value::ENDLESS));
        }
        match self.meaning(list) {
            Some((meant, NodeKind::List)) if self.is_too_large(list) || self.is_too_large(meant) => {
                Err((list, "is too large with its aliases (`*name`) written out"))
            }
            Some((meant, NodeKind::List)) if self.items(meant).nth(MOST).is_some() => {
                Err((list, "holds more than 4096 vault entities"))
            }
            Some((meant, NodeKind::List)) => Ok(Some(meant)),
            Some((meant, NodeKind::Text { plain: true })) if self.is_null(meant) => Ok(None),
            // To Lua, and so to Kong, an empty mapping is an empty list.
            Some((meant, NodeKind::Map)) if self.items(meant).next().is_none() => Ok(None),
            _ => Err((list, "must be a list of vault entities")),
        }
    }

    fn names(&self, root: Id) -> std::result::Result<(), (Id, &'static str)> {
        match self.pairs(root).find(|(key, _)| self.text(*key).is_none()) {
            Some((key, _)) => Err((key, "the names at the top of a file must be texts")),
            None => Ok(()),
        }
    }

    fn is_null(&self, id: Id) -> bool {
        matches!(self.text(id), Some("" | "~" | "null" | "Null" | "NULL"))
    }
}

/// How a file is to be read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The option that names it.
    pub key: &'a str,
    pub path: &'a str,
    pub backends: &'a [&'static Descriptor],
    pub others: &'a Others,
}

/// Reads all entities of a file, for at most `patience`. It blocks, so it is called at load, never while requests are
/// served. An error is about the whole file.
pub fn load(reading: Reading<'_>, patience: Duration) -> Result<FileEntities> {
    let owned = PathBuf::from(reading.path);
    // Even opening the file may hang, and nginx must start or report why it can't.
    let read = pool::files().wait(reading.path.as_bytes(), patience, move || file::read_bounded(&owned, LIMIT));
    let why = match read {
        Ok(Ok((bytes, _))) => match std::str::from_utf8(&bytes) {
            Ok(text) => return reading.entities_of(text),
            Err(_) => "(it is no UTF-8 text)".to_owned(),
        },
        Ok(Err(FileFlaw::TooLarge)) => return Err(reading.wrong(&format!("is larger than {LIMIT} bytes"))),
        Ok(Err(flaw @ (FileFlaw::Missing | FileFlaw::Forbidden | FileFlaw::Other(_)))) => {
            let why =
                if flaw == FileFlaw::Missing { "No such file or directory".to_owned() } else { format!("it {flaw}") };
            return Err(reading.unread(&format!("({why})")));
        }
        Ok(Err(FileFlaw::NotRegular)) => "(it is a directory, a pipe or the like: give a regular file)".to_owned(),
        Ok(Err(flaw)) => format!("(it {flaw})"),
        Err(refusal) => return Err(reading.out_of_reach(patience, refusal)),
    };
    Err(reading.wrong(&format!("can't be read {why}")))
}

/// `load` from a text, with no other strategies than Kong's own.
pub fn parse_text(path: &str, text: &str, backends: &[&'static Descriptor]) -> Result<FileEntities> {
    Reading { key: "vault_declarative_config", path, backends, others: &Others::default() }.entities_of(text)
}

impl Reading<'_> {
    /// The error where the file could not be read in time. It must not ask the file system again, which may hang.
    fn out_of_reach(&self, patience: Duration, refusal: JobRefusal) -> Error {
        let why = match refusal {
            JobRefusal::Hangs => format!("within {} s: the file system does not answer", patience.as_secs_f64()),
            refusal => format!("({refusal})"),
        };
        self.unread(&why)
    }

    /// The error where nobody knows whether there is such a file: its name may be a secret that was given in its place.
    fn unread(&self, why: &str) -> Error {
        let path = redact::likely_path(Path::new(self.path));
        Error::new(ErrorKind::Config, format!("{} {path}: can't be read {why}", self.key))
    }

    /// What is wrong with the file, which was read, or at least is there.
    fn wrong(&self, what: &str) -> Error {
        let path = redact::known_path(Path::new(self.path));
        Error::new(ErrorKind::Config, format!("{} {path}: {what}", self.key))
    }

    fn entities_of(&self, text: &str) -> Result<FileEntities> {
        let tree = Tree::parse(self.path, text);
        // A value may be a token, so only the place is shown.
        if let Some(flaw) = &tree.flaw {
            let place = match flaw.column {
                0 => format!("line {}", flaw.line),
                column => format!("line {} column {column}", flaw.line),
            };
            let what = if flaw.is_syntax { "is not YAML or JSON" } else { "is too large" };
            return Err(self.wrong(&format!("{place}: {what} ({})", flaw.why)));
        }
        let list = tree.vaults().map_err(|(id, why)| {
            let at = tree.place(id);
            let place = format!("line {} column {}", at.line, at.column);
            self.wrong(&format!("{place}: is not YAML or JSON in Kong's format, with a list `vaults` ({why})"))
        })?;
        let (mut found, mut prefixes, mut lost) = (FileEntities::default(), HashSet::new(), HashMap::new());
        for (index, item) in list.into_iter().flat_map(|list| tree.items(list)).enumerate() {
            let at = |prefix: Option<&str>, what: String| {
                let shown = prefix.map_or(String::new(), |prefix| format!(" ({prefix})"));
                self.wrong(&format!("entry {} of vaults{shown}: {what}", index + 1))
            };
            let broken = match of_others(&tree, item, self.others) {
                // Kong resolves its references.
                Some((prefix, strategy)) => Broken::known_only(&prefix, kongs_business(&prefix, &strategy)),
                None => match read_one(&tree, item, self.backends, at) {
                    Err(broken) => broken,
                    Ok(entity) if prefixes.contains(&entity.prefix) => {
                        Broken::twin(entity, |prefix| at(prefix, "this prefix is set twice".to_owned()))
                    }
                    Ok(entity) => {
                        prefixes.insert(entity.prefix.clone());
                        found.entities.push(entity);
                        continue;
                    }
                },
            };
            match lost.entry(broken.prefix.clone()) {
                Entry::Vacant(place) => drop(place.insert((index, broken))),
                // Only the first mistake is reported, but all references count: they may stand for credentials.
                Entry::Occupied(mut place) => place.get_mut().1.references.extend(broken.references),
            }
        }
        let mut lost: Vec<_> = lost.into_values().collect();
        lost.sort_by_key(|(index, _)| *index);
        found.broken = lost.into_iter().map(|(_, broken)| broken).collect();
        Ok(found)
    }
}

/// Prefix and strategy of an entity whose strategy kong-vault does not provide.
pub fn of_others(tree: &Tree, item: Id, others: &Others) -> Option<(String, String)> {
    let map = tree.meant(item)?;
    let text = |name| tree.find(map, name).and_then(|(_, value)| tree.text(value));
    let strategy = text("name").filter(|name| others.has(name))?;
    Some((text("prefix")?.to_owned(), strategy.to_owned()))
}

/// The error of a reference to such an entity.
pub fn kongs_business(prefix: &str, strategy: &str) -> Error {
    let (prefix, strategy) = (redact::vault(prefix.as_bytes(), 64), redact::word(strategy, 64));
    let text = format!(
        "could not find vault ({prefix}): kong-vault does not provide its strategy {strategy}, which is left to Kong"
    );
    Error::new(ErrorKind::UnknownVault, text)
}

/// An entity, or what is wrong with it.
fn read_one(
    tree: &Tree,
    item: Id,
    backends: &[&'static Descriptor],
    at: impl FnOnce(Option<&str>, String) -> Error,
) -> std::result::Result<Entity, Broken> {
    match value::entity(tree, item) {
        Err((_, why)) => Err(Broken {
            prefix: None,
            error: at(None, format!("is not a vault entity: {why}")),
            references: references(tree, item),
            variables_begin: None,
        }),
        Ok(written) => parse_entity(&written, backends, 1).map_err(|flaws| Broken::from_flaws(&written, flaws, at)),
    }
}

/// All texts below a value that are references; each value is looked at once, however many aliases it has.
fn references(tree: &Tree, item: Id) -> Vec<String> {
    let (mut found, mut seen, mut rest) = (Vec::new(), HashSet::new(), vec![item]);
    while let Some(id) = rest.pop() {
        if let Some(id) = tree.meant(id).filter(|id| seen.insert(*id)) {
            rest.extend(tree.items(id));
            let text = tree.text(id).map(str::trim).filter(|text| is_reference(text.as_bytes()));
            found.extend(text.map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests;
