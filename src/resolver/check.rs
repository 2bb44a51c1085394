//! Checks of vaults for the Admin API.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::admin::{AdminResponse, Check, CheckSubject, Request};
use crate::backend::registry::ALL;
use crate::config::Vault;
use crate::diagnosis::{Finding, Verdict, report};
use crate::error::{Error, Kind, Result};
use crate::pool;
use crate::reference;
use crate::resolver::diagnose::{Diagnosis, without_secret};
use crate::resolver::replace_entities::listed;
use crate::resolver::state::Resolver;
use crate::store::Record;

/// How many checks a process does at once: each makes connections of its own.
const AT_ONCE: usize = 4;

static CHECKS: Semaphore = Semaphore::const_new(AT_ONCE);

/// How long a check may take. The steps have times of their own, which an unreachable proxy or name server adds up.
const LIMIT: Duration = Duration::from_secs(30);

/// Where an entity stands that isn't stored, for error texts.
const PLACE: &str = "the request";

/// The answer to a request, or what there is to find out for it.
type Prepared = std::result::Result<(Arc<Vault>, Diagnosis), Box<AdminResponse>>;

impl Resolver {
    /// Has the engine check a vault; the ticket is for `answer`.
    pub(super) fn check_soon(self: &Arc<Self>, request: Request) -> Result<u64> {
        let resolver = Arc::clone(self);
        self.follow().ask_apart(self.engine()?, self.notifier(), async move { resolver.check(request).await })
    }

    async fn check(self: Arc<Self>, request: Request) -> AdminResponse {
        let Ok(_permit) = CHECKS.try_acquire() else {
            let text = format!("{AT_ONCE} checks are under way already: try again when one of them has ended");
            return AdminResponse::message(503, &text);
        };
        let checking = async {
            let resolver = Arc::clone(&self);
            // No two checks have the same key, so none waits for another one that hangs.
            let key = format!("check {:p}", &raw const request.target);
            let prepared = pool::files().run(key.as_bytes(), move || resolver.prepare_check(&request)).await;
            match prepared {
                Ok(Ok((vault, diagnosis))) => {
                    let findings = diagnosis.run().await;
                    answer(Some(vault.backend.name), &vault.name, &findings.0)
                }
                Ok(Err(answered)) => *answered,
                Err(refusal) => AdminResponse::message(503, &format!("the check can't begin: {refusal}")),
            }
        };
        tokio::time::timeout(LIMIT, checking).await.unwrap_or_else(|_| {
            let text = format!("the check did not end within {} s: see nginx's error log", LIMIT.as_secs());
            AdminResponse::message(503, &text)
        })
    }

    /// Reads the request and sets its vault up. It blocks.
    fn prepare_check(self: &Arc<Self>, request: &Request) -> Prepared {
        let Check { subject, secret } = self.parse_check(request)?;
        let (name, vault) = match subject {
            CheckSubject::Vault(name) => (name.clone(), self.config().vault(name.as_bytes())),
            CheckSubject::Entity(record) => (record.text("prefix").to_owned(), self.vault_of(&record)),
        };
        self.audit_check(&request.who, &name, &secret);
        let vault = vault.map_err(|error| match error.kind() {
            Kind::UnknownVault => AdminResponse::message(404, error.text()),
            _ => flawed(None, &name, &error),
        });
        let vault = vault.map_err(Box::new)?;
        let asked = if secret.is_empty() {
            without_secret(name.as_bytes())
        } else {
            reference::parse(format!("{{vault://{name}/{secret}}}").as_bytes())
        };
        let asked = asked.map_err(|error| Box::new(AdminResponse::message(400, error.text())))?;
        let diagnosis = Diagnosis::prepare(self.config(), &vault, &asked, self.environment());
        let backend = vault.backend.name;
        diagnosis.map(|diagnosis| (vault, diagnosis)).map_err(|error| flawed(Some(backend), &name, &error).into())
    }

    /// The vault that an entity would be. Its values that are references are looked up as those of stored ones.
    fn vault_of(self: &Arc<Self>, record: &Record) -> Result<Arc<Vault>> {
        let entities = vec![listed(record, PLACE)];
        let indirect = self.indirect_values(&entities);
        let disabled = || Error::new(Kind::Config, "the entity's backend is disabled: name it in the option vaults");
        self.config().read_entities(entities, PLACE, &indirect).into_only().unwrap_or_else(|| Err(disabled()))
    }

    fn parse_check(&self, request: &Request) -> std::result::Result<Check, Box<AdminResponse>> {
        let followed = self.follow().followed();
        let store = followed.map(|followed| followed.store()).transpose();
        let snapshot = match store {
            Ok(Some(store)) => Some(store.read().map_err(|error| Box::new(AdminResponse::failed(&error)))?),
            // A vault of another kind can be checked all the same.
            Ok(None) | Err(_) => None,
        };
        let stored = snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.vaults);
        Check::parse(request, stored, ALL, self.config().verification())
    }
}

/// The answer about a vault whose options are wrong, as `kong-vault doctor` gives it.
fn flawed(backend: Option<&str>, vault: &str, error: &Error) -> AdminResponse {
    let finding = Finding { step: "options", verdict: Verdict::Bad, text: error.to_string() };
    answer(backend, vault, &[finding])
}

fn answer(backend: Option<&str>, vault: &str, findings: &[Finding]) -> AdminResponse {
    AdminResponse::list(&Value::Object(report(backend, vault, findings)))
}
