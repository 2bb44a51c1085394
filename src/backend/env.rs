//! The `env` vault: environment variables as they were at load.

use std::sync::Arc;

use crate::backend::{Backend, Descriptor, Diagnosing, Fetched, Fetching, SecretId, Setup};
use crate::diagnosis::Findings;
use crate::environment::{Environment, Reader};
use crate::error::{Error, Kind, Result};
use crate::options::{Opt, Type};
use crate::redact;

/// What is added to the name of a variable for its previous version.
const PREVIOUS: &str = "_PREVIOUS";

/// How much of a variable's name an error shows, in characters.
const LONGEST: usize = 256;

const OPTIONS: &[Opt] =
    &[Opt::new("prefix", Type::Text, "prefix of each variable's name, such as `SECRET_`").default("").overridable()];

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "env",
    title: "environment variables",
    options: OPTIONS,
    requirements: &[],
    immediate: true,
    files: false,
    batch: 1,
    build,
};

/// A variable that a reference names.
pub struct Variable {
    pub name: String,
    /// The name as an error may show it.
    pub shown: String,
}

impl Variable {
    fn current(prefix: &str, resource: &str) -> Self {
        let written = format!("{prefix}{resource}");
        let name = written.to_ascii_uppercase().replace('-', "_");
        Self { shown: redact::variable(&[&written, prefix, resource], &name, LONGEST), name }
    }

    fn previous(prefix: &str, resource: &str) -> Self {
        let current = Self::current(prefix, resource);
        Self { name: current.name + PREVIOUS, shown: current.shown + PREVIOUS }
    }
}

/// The variable for a secret; `None` for a version that can't exist.
pub fn variable(prefix: &str, secret_id: &SecretId) -> Option<Variable> {
    match secret_id.version {
        None | Some(1) => Some(Variable::current(prefix, &secret_id.resource)),
        Some(2) => Some(Variable::previous(prefix, &secret_id.resource)),
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
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(std::future::ready(self.find(secret_id)))
    }

    fn diagnose<'a>(&'a self, secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        let mut findings = Findings::default();
        findings.good("connect", "no need: variables are read once, when this program starts");
        if let Some(read) = secret_id.and_then(|secret_id| findings.or_bad("read", self.find(secret_id))) {
            findings.good("read", format!("there is such a variable, of {} bytes", read.document.len()));
        }
        Box::pin(std::future::ready(findings))
    }
}

impl Env {
    fn find(&self, secret_id: &SecretId) -> Result<Fetched> {
        let Some(Variable { name, shown }) = variable(&self.prefix, secret_id) else {
            let text = format!(
                "env vault ({}) has no version {}: use #1, or #2 for {}",
                self.vault,
                secret_id.version.unwrap_or_default(),
                Variable::previous(&self.prefix, &secret_id.resource).shown
            );
            return Err(Error::new(Kind::NotFound, text));
        };
        match self.environment.secret(name.as_bytes()) {
            Some(value) => Ok(Fetched::new(value.clone())),
            None => {
                let advice = match self.environment.reader() {
                    Reader::Command => "export it before you run this command",
                    Reader::Nginx => "set it before nginx starts and load kong.vault in init_by_lua",
                };
                let text = format!("env vault ({}) has no environment variable {shown}: {advice}", self.vault);
                Err(Error::new(Kind::NotFound, text))
            }
        }
    }
}
