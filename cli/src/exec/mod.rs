//! `kong-vault exec`: runs a program with the references in its environment, and in files, resolved. Values stand in its
//! environment and in memory: not among arguments, in no log, and in no file that stays.

mod memory_file;
pub mod on_rotation;
mod prepared;
mod program;
mod supervisor;
mod text;
mod variables;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::outcome::Outcome;
use crate::session::{Opened, open, warn};
use kong_vault::secret::Secret;
use on_rotation::OnRotation;
use prepared::{Files, Prepared, cannot_write};
use program::Program;
use supervisor::Supervisor;
use text::Values;

/// What the command line asks for.
pub struct Asked<'a> {
    pub program: &'a [OsString],
    pub variables: &'a [OsString],
    pub env_files: &'a [PathBuf],
    /// `NAME=TEMPLATE`, for each file.
    pub files: &'a [OsString],
    pub on_rotation: Option<OnRotation>,
    pub kill_after: Duration,
    pub keeps_options: bool,
    pub timeout: Option<&'a str>,
    pub conf: Option<&'a Path>,
}

/// Says what is wrong with a command line that can be read.
fn misuse(asked: &Asked<'_>) -> Option<&'static str> {
    let has_reference = |argument: &OsString| argument.as_bytes().windows(9).any(|bytes| bytes == b"{vault://");
    if asked.program.iter().any(has_reference) {
        return Some(
            "an argument of the program holds a reference: everybody on this machine can read arguments, so give its \
             value to the program by a variable or a file",
        );
    }
    if matches!(asked.on_rotation, Some(OnRotation::Signal(_))) && asked.files.is_empty() {
        return Some(
            "--on-rotation with a signal needs --file: the environment of a running program cannot change, so write \
             --on-rotation restart",
        );
    }
    None
}

/// Runs the program. Returns only where it cannot be run, or has ended as a child.
pub fn run(asked: &Asked<'_>) -> Outcome {
    if let Some(why) = misuse(asked) {
        return Outcome::Misuse(why.to_owned());
    }
    let Opened { resolver, flaw, surprises } = match open(asked.timeout, asked.conf) {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let variables = variables::read(asked.env_files, asked.variables, resolver.config(), asked.keeps_options);
    let prepared = match variables.and_then(|variables| Prepared::new(variables, asked.files)) {
        Ok(prepared) => prepared,
        Err(why) => return Outcome::Misuse(why),
    };
    surprises.iter().for_each(warn);
    let values = match Values::fetch(prepared.texts().map(|(_, text)| text), &resolver) {
        Ok(values) => values,
        Err((reference, error)) => {
            flaw.iter().filter(|flaw| **flaw != error).for_each(warn);
            return Outcome::NoValue(format!("{}: {}", prepared.places(&reference), error.for_users()));
        }
    };
    flaw.iter().for_each(warn);
    let files = match prepared.files(&values) {
        Ok(files) => files,
        Err(error) => return Outcome::NoValue(cannot_write(&error)),
    };
    let program = Program(asked.program);
    let Some(on_rotation) = asked.on_rotation else {
        return match prepared.filled(&values, &files) {
            Ok(variables) => take_over(&program, &variables, &files),
            Err(why) => Outcome::NoValue(why),
        };
    };
    Supervisor { program, prepared, files, values, resolver, on_rotation, kill_after: asked.kill_after }.run()
}

fn take_over(program: &Program<'_>, variables: &BTreeMap<OsString, Secret>, files: &Files) -> Outcome {
    if let Some(error) = files.values().find_map(|file| file.keep_open().err()) {
        return Outcome::NoValue(cannot_write(&error));
    }
    program.take_over(variables)
}
