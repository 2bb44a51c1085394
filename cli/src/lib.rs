//! The command `kong-vault`: resolves references and checks configurations, without Kong, nginx or Lua.
//!
//! The exit status is 0 for success, 1 where there is no value or where `check` or `doctor` finds something wrong, and
//! 2 for misuse: a command line that is wrong, a file that can't be read, or a `--conf` file that is no kong.conf.
//!
//! Apart from the command itself, only fuzz targets and tests use it.

// These are allowed in tests, but not in the command.
#![cfg_attr(
    not(test),
    warn(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::dbg_macro,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used
    )
)]

pub mod check;
mod colour;
mod completions;
mod conf_file;
mod doctor;
mod exec;
mod get;
mod man;
mod outcome;
mod session;
mod tables;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueHint};

use check::Asked;
use check::format::Format;
use colour::{Painted, When};
use completions::Shell;
use kong_vault::redact;
use kong_vault::secret::Secret;
use outcome::Outcome;

#[derive(Parser)]
#[command(
    name = "kong-vault",
    version,
    about = "Resolves references such as {vault://env/name}, as kong.vault.get does in nginx and Kong",
    override_usage = "kong-vault <COMMAND> [OPTIONS]"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = When::Auto)]
    color: When,
}

#[derive(Subcommand)]
enum Command {
    /// Print the value of a reference and a line break, as `kong vault get` does
    ///
    /// Options come from the environment (KONG_VAULT_…), then from the file of --conf. `kong-vault vaults` lists them.
    Get {
        /// {vault://env/name}, or env/name for short
        reference: Option<OsString>,
        /// Fetch timeout in seconds [default: vault_fetch_timeout]
        #[arg(long, value_name = "S", value_hint = ValueHint::Other)]
        timeout: Option<String>,
        /// Read `vaults`, `vault_…` and `declarative_config` from this kong.conf; other keys are ignored
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        conf: Option<PathBuf>,
    },
    /// Report every mistake in configuration files and in the references they contain
    ///
    /// A file is a kong.conf, or a declarative file in Kong's format (YAML or JSON) with vault entities and references.
    /// The environment (KONG_VAULT_…) is checked with it. `check` never prints a value.
    Check {
        /// Files to check; `-` is standard input
        #[arg(required = true, value_hint = ValueHint::FilePath)]
        file: Vec<PathBuf>,
        /// The kong.conf to use with declarative files
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        conf: Option<PathBuf>,
        /// Also fetch each reference once
        #[arg(long)]
        resolve: bool,
        /// Fetch timeout in seconds [default: vault_fetch_timeout]
        #[arg(long, value_name = "S", value_hint = ValueHint::Other)]
        timeout: Option<String>,
        /// What to write to standard output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Check each step to a vault, report what fails and suggest a fix
    ///
    /// Resolves the host, connects, checks TLS, logs in and checks the permission to read secrets. With a secret's name,
    /// `doctor` also reads that secret. It never prints a value or a credential.
    Doctor {
        /// Name of a vault, alone or with a secret: production, or production/db/password
        vault: OsString,
        /// Timeout of each step in seconds [default: vault_fetch_timeout]
        #[arg(long, value_name = "S", value_hint = ValueHint::Other)]
        timeout: Option<String>,
        /// Read `vaults`, `vault_…` and `declarative_config` from this kong.conf; other keys are ignored
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        conf: Option<PathBuf>,
        /// What to write to standard output
        #[arg(long, value_enum, default_value_t = doctor::Format::Text)]
        format: doctor::Format,
    },
    /// Run a program with the references in its environment, and in files, resolved
    ///
    /// A variable may be a reference, or hold some: DB_URL=postgres://app:{vault://hcv/db/password}@db. The program takes
    /// the place of kong-vault; with --on-rotation it is its child, to which signals are handed on. Exit status: the
    /// program's; 126 or 127 where it cannot be run.
    Exec {
        /// Set a variable; its text may hold references
        #[arg(short, long, value_name = "NAME=TEXT", value_hint = ValueHint::Other)]
        env: Vec<OsString>,
        /// Set the variables of a file with lines NAME=TEXT
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        env_file: Vec<PathBuf>,
        /// Resolve the references of a file into a file in memory, whose path is in the variable NAME
        #[arg(long, value_name = "NAME=FILE", value_hint = ValueHint::Other)]
        file: Vec<OsString>,
        /// When a value changes: `restart` the program, or send it HUP, INT, QUIT, TERM, USR1 or USR2 after its files changed
        #[arg(long, value_name = "WHAT", value_hint = ValueHint::Other, value_parser = exec::on_rotation::parse)]
        on_rotation: Option<exec::on_rotation::OnRotation>,
        /// Seconds that the program has to end when it is restarted; then it is killed
        #[arg(long, value_name = "S", value_hint = ValueHint::Other, default_value_t = 10)]
        kill_after: u16,
        /// Leave KONG_VAULT_… in the environment, which configures kong-vault
        #[arg(long)]
        keep_options: bool,
        /// Fetch timeout in seconds [default: vault_fetch_timeout]
        #[arg(long, value_name = "S", value_hint = ValueHint::Other)]
        timeout: Option<String>,
        /// Read `vaults`, `vault_…` and `declarative_config` from this kong.conf; other keys are ignored
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        conf: Option<PathBuf>,
        /// The program and its arguments
        #[arg(last = true, required = true, value_hint = ValueHint::CommandWithArguments)]
        program: Vec<OsString>,
    },
    /// List the backends and their options
    Vaults {
        /// Print the tables of docs/options.md
        #[arg(long)]
        markdown: bool,
        /// Print only who can set which option, as one table
        #[arg(long, conflicts_with = "markdown")]
        policy: bool,
    },
    /// Print completions for a shell
    ///
    /// For bash, write them to ~/.local/share/bash-completion/completions/kong-vault; for zsh, to _kong-vault in a
    /// directory of $fpath; for fish, to ~/.config/fish/completions/kong-vault.fish. Packages install them.
    Completions {
        /// The shell that reads them
        shell: Shell,
    },
    /// Print the manual page
    ///
    /// `kong-vault man | man -l -` shows it. Packages install it.
    Man,
}

/// Runs the command that this process was called with.
pub fn run() -> ExitCode {
    let parsed = Arguments::try_parse();
    parsed.as_ref().map_or_else(|_| When::asked(std::env::args_os()), |arguments| arguments.color).decide();
    let arguments = match parsed {
        Ok(arguments) => arguments,
        // An error quotes the command line, where a secret may stand by mistake.
        Err(error) if redact::is_secret(error.render().to_string().as_bytes()) => {
            return fail(2, "invalid command line, not shown because it may contain a secret: see `kong-vault help`");
        }
        // Help and version are no errors, and go to standard output; clap knows which is which.
        Err(error) if error.use_stderr() => {
            tell(&styled(&error, colour::of_stderr()));
            return ExitCode::from(2);
        }
        Err(error) => {
            let _ = print(styled(&error, colour::of_stdout()).as_bytes());
            return ExitCode::SUCCESS;
        }
    };
    let outcome = match arguments.command {
        Command::Get { reference, timeout, conf } => {
            get::run(reference.as_deref(), timeout.as_deref(), conf.as_deref())
        }
        Command::Check { file, conf, resolve, timeout, format } => {
            check::run(&Asked { files: &file, conf: conf.as_deref(), resolve, timeout: timeout.as_deref(), format })
        }
        Command::Doctor { vault, timeout, conf, format } => {
            doctor::run(&vault, timeout.as_deref(), conf.as_deref(), format)
        }
        Command::Exec { env, env_file, file, on_rotation, kill_after, keep_options, timeout, conf, program } => {
            exec::run(&exec::Asked {
                program: &program,
                variables: &env,
                env_files: &env_file,
                files: &file,
                on_rotation,
                kill_after: Duration::from_secs(kill_after.into()),
                keeps_options: keep_options,
                timeout: timeout.as_deref(),
                conf: conf.as_deref(),
            })
        }
        Command::Vaults { markdown: true, .. } => Outcome::Done(Secret::new(tables::markdown())),
        Command::Vaults { policy: true, .. } => Outcome::Done(Secret::new(tables::policy())),
        Command::Vaults { .. } => Outcome::Done(Secret::new(tables::text())),
        Command::Completions { shell } => Outcome::Done(Secret::new(completions::script(Arguments::command(), shell))),
        Command::Man => Outcome::Done(Secret::new(man::page(Arguments::command()))),
    };
    let unprinted = |error: std::io::Error| fail(1, &format!("cannot write to standard output ({error})"));
    match outcome {
        Outcome::Done(text) => print(text.as_bytes()).map_or_else(unprinted, |()| ExitCode::SUCCESS),
        Outcome::Wrong { text, why } => print(text.as_bytes()).map_or_else(unprinted, |()| fail(1, &why)),
        Outcome::NoValue(why) => fail(1, &why),
        Outcome::Misuse(why) => fail(2, &why),
        Outcome::Ended(status) => ExitCode::from(status),
        Outcome::NotRun { status, why } => fail(status, &why),
    }
}

fn print(bytes: &[u8]) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}

/// What clap says, by our own rules of colour.
fn styled(error: &clap::Error, colour: bool) -> String {
    let text = error.render();
    if colour { text.ansi().to_string() } else { text.to_string() }
}

/// Writes a message at once, so that no other program's comes in between.
fn tell(message: &str) {
    let _ = std::io::stderr().write_all(message.as_bytes());
}

/// Prints an error as Kong's own commands do.
fn fail(status: u8, why: &str) -> ExitCode {
    let label = Painted::new("Error:", colour::ERROR, colour::of_stderr());
    tell(&format!("{label} {why}\n"));
    ExitCode::from(status)
}
