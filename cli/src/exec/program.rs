//! The program: in the place of this one, or as its child.

#![expect(clippy::disallowed_types, reason = "to run a program is what the command is for")]
#![expect(unsafe_code, reason = "what is done in a child before its program runs")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use crate::outcome::Outcome;
use kong_vault::redact;
use kong_vault::secret::Secret;

/// A program with its arguments.
pub struct Program<'a>(pub &'a [OsString]);

impl Program<'_> {
    fn command(&self, variables: &BTreeMap<OsString, Secret>) -> Command {
        let (program, arguments) =
            self.0.split_first().map_or((Default::default(), &[][..]), |(it, rest)| (it.clone(), rest));
        let mut command = Command::new(program);
        let variables = variables.iter().map(|(name, value)| (name, OsString::from_vec(value.as_bytes().to_vec())));
        command.args(arguments).env_clear().envs(variables);
        command
    }

    /// Runs it in the place of this program; returns where that fails.
    pub fn take_over(&self, variables: &BTreeMap<OsString, Secret>) -> Outcome {
        let error = self.command(variables).exec();
        self.not_run(&error)
    }

    /// Starts it as a child, which is killed where this process is.
    pub fn spawn(&self, variables: &BTreeMap<OsString, Secret>) -> Result<Child, Outcome> {
        let (mut command, parent) = (self.command(variables), getpid());
        let follow_parent = move || {
            // A program may ignore any other signal.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have ended already.
            if getppid() == Some(parent) { Ok(()) } else { Err(Error::from(ErrorKind::Interrupted)) }
        };
        // SAFETY: it makes two system calls and allocates nothing, as it has to between fork and exec.
        unsafe { command.pre_exec(follow_parent) };
        command.spawn().map_err(|error| self.not_run(&error))
    }

    /// The statuses are those of shells (POSIX, "Exit Status for Commands").
    fn not_run(&self, error: &Error) -> Outcome {
        let name = self.0.first().map(|name| redact::quote(name.as_bytes(), 4096)).unwrap_or_default();
        match error.kind() {
            ErrorKind::NotFound => {
                let why = format!("cannot find the program {name}: write its path, or add its folder to PATH");
                Outcome::NotRun { status: 127, why }
            }
            _ => Outcome::NotRun { status: 126, why: format!("cannot run {name} ({error})") },
        }
    }
}
