//! Shared by the commands that read vaults: loads the configuration as a worker would, and parses references.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::colour::{self, Painted};
use crate::conf_file;
use crate::outcome::Outcome;
use kong_vault::config::{ConfigSource, KONGS_FILE};
use kong_vault::environment::Environment;
use kong_vault::error::Error;
use kong_vault::options::own::OWN;
use kong_vault::options::value::Value;
use kong_vault::options::variable;
use kong_vault::pool;
use kong_vault::redact;
use kong_vault::reference::is_reference;
use kong_vault::resolver::{Resolver, blocking, indirect};

/// Returns a path of the command line for messages; not a secret that was given by mistake.
pub(super) fn shown(path: &Path) -> String {
    redact::quote(path.as_os_str().as_encoded_bytes(), 4096)
}

/// A loaded configuration. `flaw`: an error in it that may concern another vault than the one in use.
pub struct Opened {
    pub resolver: Arc<Resolver>,
    pub flaw: Option<Error>,
    /// Warnings about the file of `--conf`.
    pub surprises: Vec<String>,
}

/// Loads the configuration as a worker would, and the file of `--conf`. With `--timeout`, it returns within that time
/// even where a file system hangs.
pub fn open(timeout: Option<&str>, conf: Option<&Path>) -> std::result::Result<Opened, Outcome> {
    let Some(limit) = timeout.map(seconds).transpose().map_err(Outcome::Misuse)? else { return open_here(None, conf) };
    let conf = conf.map(Path::to_owned);
    // This key is no path, so this job never waits for a file's.
    let opening = pool::files().run(b"\0configuration", move || open_here(Some(limit), conf.as_deref()));
    let opened = blocking::run(async { tokio::time::timeout(limit, opening).await });
    match opened.map_err(|error| Outcome::NoValue(error.to_string()))? {
        Ok(Ok(opened)) => opened,
        Ok(Err(refusal)) => Err(Outcome::NoValue(format!("cannot read the configuration: {refusal}"))),
        Err(_) => Err(Outcome::NoValue(format!(
            "cannot read the configuration within {} s: check the file systems of its files, and the vaults that its \
             references name",
            limit.as_secs_f64()
        ))),
    }
}

fn open_here(limit: Option<Duration>, conf: Option<&Path>) -> std::result::Result<Opened, Outcome> {
    let (mut keys, mut written_in, mut surprises) = (BTreeMap::new(), String::new(), Vec::new());
    if let Some(path) = conf {
        written_in = shown(path);
        let read = conf_file::read(path).map_err(|why| Outcome::Misuse(format!("--conf {written_in}: {why}")))?;
        surprises = read.surprises.iter().map(|surprise| format!("--conf {written_in}: {surprise}")).collect();
        keys = read.keys;
    }
    // As in Kong, the environment takes precedence.
    if let Some(path) = Environment::captured().text(&variable(KONGS_FILE)) {
        keys.insert(KONGS_FILE.to_owned(), path.to_owned());
    }
    let loaded = indirect::load(&keys, ConfigSource::File(&written_in), Environment::captured());
    let mut config = loaded.map_err(|error| Outcome::NoValue(error.to_string()))?;
    if let Some(seconds) = limit {
        config.fetch_timeout = seconds;
    }
    let flaw = config.check().err();
    let resolver = Arc::new(Resolver::new(config, Environment::captured().clone(), Arc::new(AtomicU32::new(0))));
    // No failure: not every user of this command may read `vault_data_dir`.
    let unread = resolver.follow_entities(&Arc::default()).err();
    Ok(Opened { resolver, flaw: flaw.or(unread), surprises })
}

/// Parses `--timeout`, which accepts what `vault_fetch_timeout` accepts.
pub fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let Some(opt) = OWN.iter().find(|opt| opt.name == "vault_fetch_timeout") else { unreachable!() };
    match opt.parse(text) {
        Some(Value::Seconds(seconds)) => Ok(seconds),
        _ => Err(format!("--timeout must be {}", opt.accepts())),
    }
}

/// `env/name` is short for `{vault://env/name}`, and so is `vault://env/name`.
pub fn whole(reference: &[u8]) -> Vec<u8> {
    if is_reference(reference) || reference.starts_with(b"{") || reference.ends_with(b"}") {
        return reference.to_vec();
    }
    let short = reference.strip_prefix(b"vault://").unwrap_or(reference);
    [b"{vault://", short, b"}"].concat()
}

/// Where a text is not a reference, adds to the error how to write one.
pub fn explain(reference: &[u8], error: Error) -> Error {
    match is_reference(reference) {
        false => error.with_advice("write it in both braces, as {vault://env/name}, or without any, as env/name"),
        true => error,
    }
}

/// Prints a warning. As in a worker, an error elsewhere in the configuration does not disable the vault in use.
pub fn warn(flaw: impl Display) {
    let label = Painted::new("Warning:", colour::WARNING, colour::of_stderr());
    let _ = writeln!(std::io::stderr(), "{label} {flaw}");
}
