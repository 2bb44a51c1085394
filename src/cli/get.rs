//! `kong-vault get`: one reference, fetched on this thread.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::{Outcome, conf_file};
use crate::bootstrap;
use crate::config::Source;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::options::OWN;
use crate::reference::is_reference;
use crate::resolver::Resolver;
use crate::secret::Secret;
use crate::settings::Value;

pub fn run(reference: Option<&OsStr>, timeout: Option<&str>, conf: Option<&Path>) -> Outcome {
    let Some(reference) = reference else {
        return Outcome::Misuse("the 'get' command needs a <reference> argument".to_owned());
    };
    let limit = match timeout.map(seconds).transpose() {
        Ok(limit) => limit,
        Err(why) => return Outcome::Misuse(why),
    };
    let (mut keys, mut written_in) = (BTreeMap::new(), String::new());
    if let Some(path) = conf {
        written_in = path.display().to_string();
        match conf_file::read(path) {
            Ok(read) => keys = read,
            Err(why) => return Outcome::Misuse(format!("--conf {written_in}: {why}")),
        }
    }
    let mut config = match bootstrap::load(&keys, Source::File(&written_in), Environment::captured()) {
        Ok(config) => config,
        Err(error) => return Outcome::NoValue(error.to_string()),
    };
    if let Some(seconds) = limit {
        config.fetch_timeout = seconds;
    }
    let flaw = config.check().err();
    let resolver = Arc::new(Resolver::new(config, Environment::captured().clone(), Arc::new(AtomicU32::new(0))));
    // Not everybody who may call this can read that folder.
    let unread = resolver.follow_entities(&Arc::default()).err();
    let flaw = flaw.or(unread);
    match fetch(&whole(reference.as_bytes()), &resolver) {
        Ok(secret) => {
            warn(flaw);
            Outcome::Done(Secret::new([secret.as_bytes(), b"\n"].concat()))
        }
        Err(error) => {
            warn(flaw.filter(|flaw| *flaw != error));
            Outcome::NoValue(error.for_users())
        }
    }
}

/// What `vault_fetch_timeout` accepts.
pub fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let Some(opt) = OWN.iter().find(|opt| opt.name == "vault_fetch_timeout") else { unreachable!() };
    match opt.read(text) {
        Some(Value::Seconds(seconds)) => Ok(seconds),
        _ => Err(format!("--timeout has to be {}", opt.accepts())),
    }
}

/// `env/name` is short for `{vault://env/name}`.
fn whole(reference: &[u8]) -> Vec<u8> {
    if is_reference(reference) || reference.starts_with(b"{") {
        reference.to_vec()
    } else {
        [b"{vault://", reference, b"}"].concat()
    }
}

fn fetch(reference: &[u8], resolver: &Arc<Resolver>) -> Result<Arc<Secret>> {
    match resolver.fetch_blocking(&[reference.to_vec()]).pop() {
        Some(answer) => answer,
        None => unreachable!(),
    }
}

/// What is wrong elsewhere in the configuration doesn't keep this vault from answering, as in a worker.
fn warn(flaw: Option<Error>) {
    if let Some(flaw) = flaw {
        let _ = writeln!(std::io::stderr(), "Warning: {flaw}");
    }
}
