//! Tries a vault step by step, apart from the fetches: with connections, credentials and logins of its own, of which nothing
//! is kept.

use std::sync::Arc;

use crate::backend::{Backend, SecretId, Setup};
use crate::cache::document::WHOLE;
use crate::config::{Config, Vault};
use crate::diagnosis::{Findings, Verdict};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::reference::{self, Reference};
use crate::resolver::resolved_reference::secret_name;

/// A vault that is about to be tried.
pub struct Diagnosis {
    backend: Arc<dyn Backend>,
    secret_id: Option<SecretId>,
    /// Whether the reference names a field, so that it may name another secret than was meant.
    names_field: bool,
}

impl Diagnosis {
    /// Sets the vault up. It may block, as the vault's options may name files. `asked`: up to which secret; see
    /// `without_secret`.
    pub fn prepare(config: &Config, vault: &Vault, asked: &Reference, environment: &Environment) -> Result<Self> {
        let settings = config.settings(vault, asked)?;
        let name = secret_name(vault.backend, asked);
        let name = std::str::from_utf8(&name);
        let name = name.map_err(|_| Error::new(Kind::Reference, "the secret's name must be in utf-8"))?;
        let secret_id = (!name.is_empty()).then(|| SecretId { resource: name.to_owned(), version: asked.version });
        if let Some(secret_id) = &secret_id {
            config.admits_reading(&vault.name, vault.backend, &settings, secret_id)?;
        }
        let timeout = config.fetch_timeout;
        let setup = Setup { vault: &vault.name, settings: &settings, environment, timeout, lasts: false };
        let backend = (vault.backend.build)(&setup)?;
        Ok(Self { backend, secret_id, names_field: asked.key.is_some() && !vault.backend.files })
    }

    /// Takes the steps. Each has its own time; the whole is not bounded.
    pub async fn run(self) -> Findings {
        let mut findings = self.backend.diagnose(self.secret_id.as_ref()).await;
        if let Some(shutdown) = self.backend.shutdown() {
            shutdown.await;
        }
        let is_unread = findings.0.last().is_some_and(|last| last.step == "read" && last.verdict == Verdict::Bad);
        if is_unread && self.names_field {
            findings.doubtful("reference", WHOLE);
        }
        findings
    }
}

/// The reference to a vault alone. Its name is parsed as in any reference, whose secret is dropped.
pub fn without_secret(name: &[u8]) -> Result<Reference> {
    let whole = [b"{vault://", name, b"/-}"].concat();
    reference::parse(&whole).map(|reference| Reference { resource: Vec::new(), ..reference })
}
