//! The `env` vault: environment variables as they were at load.

use std::sync::Arc;

use crate::backend::finding::Findings;
use crate::backend::{Ask, Backend, Descriptor, Diagnosing, Fetched, Fetching, Setup};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::options::{Opt, Type};
use crate::redact;
use crate::settings::Settings;

/// What the variable with the version before is called besides.
const PREVIOUS: &str = "_PREVIOUS";

/// How much of a variable's name an error shows, in characters.
const LONGEST: usize = 256;

const OPTIONS: &[Opt] =
    &[Opt::new("prefix", Type::Text, "what is put before each name, such as `SECRET_`").default("").overridable()];

pub const DESCRIPTOR: Descriptor =
    Descriptor { name: "env", title: "environment variables", options: OPTIONS, needs: &[], immediate: true, build };

/// The variable that is asked for; `None` for a version that there can't be.
pub fn variable(settings: &Settings, ask: &Ask) -> Option<String> {
    let prefix = settings.text("prefix").unwrap_or_default();
    let name = format!("{prefix}{}", ask.resource).to_ascii_uppercase().replace('-', "_");
    match ask.version {
        None | Some(1) => Some(name),
        Some(2) => Some(name + PREVIOUS),
        Some(_) => None,
    }
}

struct Env {
    vault: String,
    prefix: String,
    environment: Environment,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(Env {
        vault: setup.vault.to_owned(),
        prefix: setup.settings.text("prefix").unwrap_or_default().to_owned(),
        environment: setup.environment.clone(),
    }))
}

impl Backend for Env {
    fn fetch<'a>(&'a self, ask: &'a Ask) -> Fetching<'a> {
        Box::pin(std::future::ready(self.read(ask)))
    }

    fn diagnose<'a>(&'a self, ask: Option<&'a Ask>) -> Diagnosing<'a> {
        let mut findings = Findings::default();
        findings.good("connect", "no need: variables are read as they were when this program started");
        if let Some(read) = ask.and_then(|ask| findings.or_bad("read", self.read(ask))) {
            findings.good("read", format!("there is such a variable, of {} bytes", read.document.len()));
        }
        Box::pin(std::future::ready(findings))
    }
}

impl Env {
    fn read(&self, ask: &Ask) -> Result<Fetched> {
        let written = format!("{}{}", self.prefix, ask.resource);
        let mut name = written.to_ascii_uppercase().replace('-', "_");
        let shown = redact::variable(&written, &name, LONGEST);
        let mut end = "";
        match ask.version {
            None | Some(1) => {}
            Some(2) => {
                name.push_str(PREVIOUS);
                end = PREVIOUS;
            }
            Some(version) => {
                return Err(Error::new(
                    Kind::NotFound,
                    format!("env vault ({}) has no version {version}: use #1, or #2 for {shown}_PREVIOUS", self.vault),
                ));
            }
        }
        match self.environment.secret(name.as_bytes()) {
            Some(value) => Ok(Fetched { document: value.clone(), lease: None }),
            None => Err(Error::new(
                Kind::NotFound,
                format!(
                    "env vault ({}) has no environment variable {shown}{end}: set it before nginx starts and load kong.vault in init_by_lua",
                    self.vault
                ),
            )),
        }
    }
}
