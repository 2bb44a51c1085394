//! `kong-vault check`: everything that is wrong with configuration files and the references in them, with lines.
//!
//! The code that uses a file decides what is valid: `config` for keys and entities, `resolved_reference` for
//! references. This module finds them in files, and goes on where that code stops at the first mistake.

#![expect(clippy::disallowed_methods, reason = "the command line has no engine")]

mod context;
mod declarative;
mod entities;
mod finding;
mod keys;
mod references;
mod table;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::conf_file;
use crate::outcome::Outcome;
use crate::session::{self, shown};
use context::Checked;
use finding::Entities;
use keys::{DECLARED, Keys, Settings};
use kong_vault::config::LARGEST_FILE;
use kong_vault::environment::Environment;
use kong_vault::secret::Secret;
use table::{Place, Row};

/// A file that was read.
struct Input {
    name: String,
    /// The canonical path, as a file may be given under several names.
    identity: PathBuf,
    is_conf: bool,
    text: String,
    /// The line from which the file can't be checked, and why.
    flaw: Option<(usize, String)>,
}

/// A checked declarative file, and the index of the keys that it is used with.
struct Declarative {
    identity: PathBuf,
    keys: usize,
    checked: Checked,
}

pub(super) fn run(files: &[PathBuf], conf: Option<&Path>, resolve: bool, timeout: Option<&str>) -> Outcome {
    if let Some(Err(why)) = timeout.map(session::seconds) {
        return Outcome::Misuse(why);
    }
    let read = |path: &Path, is_conf| Input::read(path, is_conf).map_err(|why| format!("{}: {why}", shown(path)));
    let inputs = files.iter().map(|path| read(path, None)).collect::<Result<Vec<_>, _>>();
    let conf = conf.map(|path| read(path, Some(true)).map_err(|why| format!("--conf {why}"))).transpose();
    match (inputs, conf) {
        (Ok(inputs), Ok(conf)) => report(&check(&inputs, conf.as_ref(), resolve, timeout)),
        (Err(why), _) | (_, Err(why)) => Outcome::Misuse(why),
    }
}

/// Checks one file, given by name and content. Returns the table and the number of mistakes in it.
pub fn look_at(name: &str, bytes: Vec<u8>) -> (String, usize) {
    let input = Input::of(Path::new(name), bytes, None);
    table::render(&check(std::slice::from_ref(&input), None, false, None))
}

fn report(rows: &[Row]) -> Outcome {
    let (text, wrong) = table::render(rows);
    match wrong {
        0 => Outcome::Done(Secret::new(text)),
        1 => Outcome::Wrong { text, why: "there is a mistake".to_owned() },
        _ => Outcome::Wrong { text, why: format!("there are {wrong} mistakes") },
    }
}

fn check(inputs: &[Input], conf: Option<&Input>, resolve: bool, timeout: Option<&str>) -> Vec<Row> {
    let mut order: Vec<String> = inputs.iter().chain(conf).map(|input| input.name.clone()).collect();
    let mut rows: Vec<Row> = inputs.iter().chain(conf).filter_map(Input::row).collect();
    let judge = |input: Option<&Input>| {
        keys::judge(input.map(|it| (it.name.as_str(), it.text.as_str())), Environment::captured(), timeout)
    };
    // The first keys are those that declarative files are used with.
    let confs = inputs.iter().filter(|input| input.is_conf);
    let keys: Vec<Keys> = std::iter::once(judge(conf)).chain(confs.map(|input| judge(Some(input)))).collect();
    let mut files: Vec<Declarative> = Vec::new();
    for input in inputs.iter().filter(|input| !input.is_conf) {
        files.push(input.declarative(0, &keys[0].settings));
    }
    // For each of the keys, the files that they name; `None` for a file that can't be read.
    let mut declared: Vec<Vec<Option<usize>>> = Vec::new();
    for (index, keys) in keys.iter().enumerate() {
        let mut known = Vec::new();
        // kong-vault's own file first: where both files have an entity, that one counts.
        for (key, (place, path)) in keys.settings.declared.iter().rev() {
            let read = Input::read(Path::new(path), Some(false));
            rows.push(match &read {
                Ok(_) => place.good(*key),
                Err(why) if *key == DECLARED => place.wrong(*key, why),
                // Kong may run on another machine, where the file exists.
                Err(why) => place.odd(*key, why),
            });
            known.push(read.ok().map(|input| {
                files.iter().position(|file| file.identity == input.identity).unwrap_or_else(|| {
                    order.push(input.name.clone());
                    rows.extend(input.row());
                    files.push(input.declarative(index, &keys.settings));
                    files.len() - 1
                })
            }));
        }
        declared.push(known);
    }
    // The entities of these files, and whether these are all entities.
    let context = |keys: usize| {
        let (mut entities, mut whole) = (Entities::new(), true);
        for file in &declared[keys] {
            let file = file.map(|file| &files[file].checked);
            whole &= file.is_some_and(|file| file.whole);
            for (prefix, known) in file.iter().flat_map(|file| &file.entities) {
                entities.entry(prefix.clone()).or_insert_with(|| known.clone());
            }
        }
        (entities, whole)
    };
    let contexts: Vec<_> = (0..keys.len()).map(context).collect();
    for (keys, (entities, whole)) in keys.iter().zip(&contexts) {
        let judged = references::judge(&keys.references, &keys.settings, entities, *whole, resolve);
        rows.extend(keys.rows.iter().cloned().chain(judged));
    }
    for file in &files {
        let ((entities, whole), own, settings) = (&contexts[file.keys], &file.checked, &keys[file.keys].settings);
        let mut entities = entities.clone();
        entities.extend(own.entities.clone());
        let whole = *whole && own.whole;
        let judged = references::judge(&own.references, settings, &entities, whole, resolve);
        rows.extend(own.rows.iter().cloned().chain(judged));
    }
    let position = |row: &Row| order.iter().position(|name| *name == row.place.source).unwrap_or(order.len());
    rows.sort_by_cached_key(|row| (position(row), row.place.line));
    // The environment is checked with each kong.conf, but shown once.
    let mut seen = HashSet::new();
    rows.retain(|row| seen.insert(row.clone()));
    rows
}

impl Input {
    /// Returns an error only where the file can't be opened or read.
    fn read(path: &Path, is_conf: Option<bool>) -> Result<Input, String> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
        read.map_err(|err| format!("can't be read ({err})"))?;
        Ok(Self::of(path, bytes, is_conf))
    }

    fn of(path: &Path, bytes: Vec<u8>, is_conf: Option<bool>) -> Input {
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_conf = is_conf.unwrap_or_else(|| is_conf_file(path, &String::from_utf8_lossy(&bytes)));
        let limit = if is_conf { conf_file::LIMIT } else { LARGEST_FILE };
        let is_too_large = bytes.len() as u64 > limit;
        let (text, flaw) = match String::from_utf8(bytes) {
            _ if is_too_large => (String::new(), Some((1, format!("is larger than {limit} bytes")))),
            Ok(text) => (text, None),
            // In a kong.conf, invalid bytes matter only in the values that have them.
            Err(error) if is_conf => (String::from_utf8_lossy(error.as_bytes()).into_owned(), None),
            Err(error) => {
                let until = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(&error.as_bytes()[..until]).into_owned();
                let line = text.matches('\n').count() + 1;
                (text, Some((line, "is no UTF-8 text; nothing from here on can be judged".to_owned())))
            }
        };
        Input { name: path.display().to_string(), identity, is_conf, text, flaw }
    }

    fn row(&self) -> Option<Row> {
        self.flaw.as_ref().map(|(line, why)| Place::new(&self.name, *line).wrong("file", why))
    }

    fn declarative(&self, keys: usize, settings: &Settings) -> Declarative {
        let mut checked = Checked::default();
        // A file that was cut off is not parsed: the parser would only report that it ends too early.
        if self.flaw.is_none() {
            checked = declarative::check(&self.name, &self.text, &settings.others, settings.verification);
        }
        Declarative { identity: self.identity.clone(), keys, checked }
    }
}

/// Whether a file is a kong.conf: by its extension, otherwise by its first line that is no comment.
fn is_conf_file(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("conf") => true,
        Some("yml" | "yaml" | "json") => false,
        _ => {
            let is_key =
                |key: &str| key.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
            let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
            first.and_then(|line| line.split_once('=')).is_some_and(|(key, _)| is_key(key))
        }
    }
}
