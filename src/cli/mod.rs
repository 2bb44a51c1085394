//! The command line: what `kong vault get` is to Kong, without Kong, nginx or Lua.
//!
//! The exit status is 0 for a value (or what else was asked for), 1 for no value, or for something that `check` found, and
//! 2 for misuse: a command line that is wrong, a file that can't be read, or a `--conf` file that is no kong.conf.

pub mod check;
mod conf_file;
mod doctor;
mod get;
mod tables;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::redact;
use crate::secret::Secret;

#[derive(Parser)]
#[command(name = "kong-vault", version, about = "Secrets by reference, as kong.vault.get reads them in nginx and Kong")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the value of a reference, followed by a line break, as `kong vault get` does
    ///
    /// Options of the vaults come from the environment (KONG_VAULT_…) and, weaker, from the file that --conf names. See
    /// `kong-vault vaults` for them.
    Get {
        /// {vault://env/name}, or env/name for short
        reference: Option<OsString>,
        /// The longest that the fetch may take, in place of vault_fetch_timeout
        #[arg(long, value_name = "S")]
        timeout: Option<String>,
        /// A kong.conf to take `vaults`, `vault_…` and `declarative_config` from; its other keys don't matter
        #[arg(short, long, value_name = "FILE")]
        conf: Option<PathBuf>,
    },
    /// Tell everything that is wrong with configuration files, and with each reference in them
    ///
    /// A file is a kong.conf, or a declarative file in Kong's format (YAML or JSON) with vault entities and, anywhere in
    /// it, references. The environment (KONG_VAULT_…) has its say. No value is printed.
    Check {
        #[arg(required = true)]
        file: Vec<PathBuf>,
        /// The kong.conf that declarative files go with
        #[arg(short, long, value_name = "FILE")]
        conf: Option<PathBuf>,
        /// Also fetch each reference once
        #[arg(long)]
        resolve: bool,
        /// The longest that a fetch may take, in place of vault_fetch_timeout
        #[arg(long, value_name = "S")]
        timeout: Option<String>,
    },
    /// Go the way to a vault step by step, and tell where it ends
    ///
    /// Resolves, connects, secures, logs in and looks whether secrets may be read; says what is wrong and how it is usually
    /// mended. With a secret's name, that is read too. Neither a value nor a credential is printed.
    Doctor {
        /// A vault's name, or one with a secret: production, or production/db/password
        vault: OsString,
        /// The longest that each step may take, in place of vault_fetch_timeout
        #[arg(long, value_name = "S")]
        timeout: Option<String>,
        /// A kong.conf to take `vaults`, `vault_…` and `declarative_config` from; its other keys don't matter
        #[arg(short, long, value_name = "FILE")]
        conf: Option<PathBuf>,
    },
    /// List the vaults and their options
    Vaults {
        /// As the tables of docs/options.md
        #[arg(long)]
        markdown: bool,
        /// Which option may be set from where, as the table of docs/options-policy.md
        #[arg(long, conflicts_with = "markdown")]
        policy: bool,
    },
}

/// What a command came to.
enum Outcome {
    /// This, on standard output. It may be a secret.
    Done(Secret),
    /// Why there is no value.
    NoValue(String),
    /// What is wrong, on standard output, and in short.
    Wrong {
        text: String,
        why: String,
    },
    Misuse(String),
}

/// Runs the command that this process was called with.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // An error quotes the command line, where a secret may stand by mistake.
        Err(error) if redact::is_secret(error.render().to_string().as_bytes()) => {
            return fail(
                2,
                "the command line is wrong: see `kong-vault help`; it is not quoted, as it may hold a secret",
            );
        }
        // Help and version are no errors, and go to standard output; clap knows which is which.
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match arguments.command {
        Command::Get { reference, timeout, conf } => {
            get::run(reference.as_deref(), timeout.as_deref(), conf.as_deref())
        }
        Command::Check { file, conf, resolve, timeout } => {
            check::run(&file, conf.as_deref(), resolve, timeout.as_deref())
        }
        Command::Doctor { vault, timeout, conf } => doctor::run(&vault, timeout.as_deref(), conf.as_deref()),
        Command::Vaults { markdown: true, .. } => Outcome::Done(Secret::new(tables::markdown())),
        Command::Vaults { policy: true, .. } => Outcome::Done(Secret::new(tables::policy())),
        Command::Vaults { .. } => Outcome::Done(Secret::new(tables::text())),
    };
    let unprinted = |error: std::io::Error| fail(1, &format!("standard output can't be written ({error})"));
    match outcome {
        Outcome::Done(text) => print(text.as_bytes()).map_or_else(unprinted, |()| ExitCode::SUCCESS),
        Outcome::Wrong { text, why } => print(text.as_bytes()).map_or_else(unprinted, |()| fail(1, &why)),
        Outcome::NoValue(why) => fail(1, &why),
        Outcome::Misuse(why) => fail(2, &why),
    }
}

fn print(bytes: &[u8]) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}

/// In the words of Kong's own commands.
fn fail(status: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "Error: {why}");
    ExitCode::from(status)
}
