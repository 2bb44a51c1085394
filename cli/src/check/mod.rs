//! `kong-vault check`: everything that is wrong with configuration files and the references in them, with lines.
//!
//! The code that uses a file decides what is valid: `config` for keys and entities, `resolved_reference` for
//! references. This module finds them in files, and goes on where that code stops at the first mistake.

#![expect(clippy::disallowed_methods, reason = "the command line has no engine")]

mod context;
mod declarative;
mod entities;
mod finding;
pub mod format;
mod input;
mod keys;
mod references;
pub mod rule;
mod stand_in;
mod table;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::colour;
use crate::outcome::Outcome;
use crate::session::{self, shown};
use context::Checked;
use finding::Entities;
use format::{Format, Results};
use input::{Input, STDIN};
use keys::{DECLARED, Keys, Settings};
use kong_vault::environment::Environment;
use kong_vault::secret::Secret;
use rule::Rule;
use table::Row;

/// A checked declarative file, and the index of the keys that it is used with.
struct Declarative {
    identity: PathBuf,
    keys: usize,
    checked: Checked,
}

/// What the command line asks for.
pub(super) struct Asked<'a> {
    pub files: &'a [PathBuf],
    pub conf: Option<&'a Path>,
    pub resolve: bool,
    pub timeout: Option<&'a str>,
    pub format: Format,
}

pub(super) fn run(asked: &Asked<'_>) -> Outcome {
    if let Some(Err(why)) = asked.timeout.map(session::seconds) {
        return Outcome::Misuse(why);
    }
    let of_stdin = asked.files.iter().map(PathBuf::as_path).chain(asked.conf).filter(|path| path.as_os_str() == STDIN);
    if of_stdin.count() > 1 {
        return Outcome::Misuse("standard input (-) can be read only once".to_owned());
    }
    let read = |path: &Path, is_conf| Input::given(path, is_conf).map_err(|why| format!("{}: {why}", shown(path)));
    let inputs = asked.files.iter().map(|path| read(path, None)).collect::<Result<Vec<_>, _>>();
    let conf = asked.conf.map(|path| read(path, Some(true)).map_err(|why| format!("--conf {why}"))).transpose();
    match (inputs, conf) {
        (Ok(inputs), Ok(conf)) => report(&check(inputs, conf, asked.resolve, asked.timeout), asked.format),
        (Err(why), _) | (_, Err(why)) => Outcome::Misuse(why),
    }
}

/// Checks one file, given by name and content. Returns the table and the number of mistakes in it.
pub fn look_at(name: &str, bytes: Vec<u8>) -> (String, usize) {
    look_at_as(name, bytes, Format::Text)
}

/// The same in another format.
pub fn look_at_as(name: &str, bytes: Vec<u8>, format: Format) -> (String, usize) {
    let input = Input::of(Path::new(name), bytes, None);
    let results = check(vec![input], None, false, None);
    (results.render(format, false), results.wrong())
}

fn report(results: &Results, format: Format) -> Outcome {
    let text = results.render(format, colour::of_stdout());
    match results.wrong() {
        0 => Outcome::Done(Secret::new(text)),
        1 => Outcome::Wrong { text, why: "there is a mistake".to_owned() },
        wrong => Outcome::Wrong { text, why: format!("there are {wrong} mistakes") },
    }
}

fn check(inputs: Vec<Input>, conf: Option<Input>, resolve: bool, timeout: Option<&str>) -> Results {
    let mut order: Vec<String> = inputs.iter().chain(&conf).map(|input| input.name.clone()).collect();
    let mut rows: Vec<Row> = inputs.iter().chain(&conf).filter_map(Input::row).collect();
    let judge = |input: Option<&Input>| {
        keys::judge(input.map(|it| (it.name.as_str(), it.text.as_str())), Environment::captured(), timeout)
    };
    // The first keys are those that declarative files are used with.
    let confs = inputs.iter().filter(|input| input.is_conf);
    let keys: Vec<Keys> = std::iter::once(judge(conf.as_ref())).chain(confs.map(|input| judge(Some(input)))).collect();
    let mut files: Vec<Declarative> = Vec::new();
    for input in inputs.iter().filter(|input| !input.is_conf) {
        files.push(declarative(input, 0, &keys[0].settings));
    }
    let mut further: Vec<Input> = Vec::new();
    // For each of the keys, the files that they name; `None` for a file that can't be read.
    let mut declared: Vec<Vec<Option<usize>>> = Vec::new();
    for (index, keys) in keys.iter().enumerate() {
        let mut known = Vec::new();
        // kong-vault's own file first: where both files have an entity, that one counts.
        for (key, (place, path)) in keys.settings.declared.iter().rev() {
            let read = Input::read(Path::new(path), Some(false));
            rows.push(match &read {
                Ok(_) => place.good(*key),
                Err(why) if *key == DECLARED => place.found(Rule::FileUnreadable, *key, why),
                // Kong may run on another machine, where the file exists.
                Err(why) => place.found(Rule::KongFileUnreadable, *key, why),
            });
            known.push(read.ok().map(|input| {
                files.iter().position(|file| file.identity == input.identity).unwrap_or_else(|| {
                    order.push(input.name.clone());
                    rows.extend(input.row());
                    files.push(declarative(&input, index, &keys.settings));
                    further.push(input);
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
    let position =
        |row: &Row| order.iter().position(|name| Some(name) == row.place.file.as_ref()).unwrap_or(order.len());
    rows.sort_by_cached_key(|row| (position(row), row.place.line));
    // The environment is checked with each kong.conf, but shown once.
    let mut seen = HashSet::new();
    rows.retain(|row| seen.insert(row.shown()));
    Results { rows, files: inputs.into_iter().chain(conf).chain(further).collect() }
}

fn declarative(input: &Input, keys: usize, settings: &Settings) -> Declarative {
    let mut checked = Checked::default();
    // A file that was cut off is not parsed: the parser would only report that it ends too early.
    if input.flaw.is_none() {
        checked = declarative::check(&input.name, &input.text, settings);
    }
    Declarative { identity: input.identity.clone(), keys, checked }
}
