//! Checks of vaults for the Admin API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::admin::{AdminResponse, Check, CheckSubject, Request};
use crate::backend::registry::ALL;
use crate::config::Vault;
use crate::diagnosis::{Finding, Verdict, report};
use crate::error::{Error, Kind, Result};
use crate::pool::{self, JobRefusal};
use crate::reference;
use crate::resolver::diagnose::{Diagnosis, without_secret};
use crate::resolver::follow::without_store;
use crate::resolver::replace_entities::listed;
use crate::resolver::state::Resolver;
use crate::store::Record;

/// How many checks a process does at once: each makes connections of its own.
const AT_ONCE: usize = 4;

static CHECKS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Numbers the checks. Each has a key of its own in the pool, so that none waits for another one that hangs.
static NEXT: AtomicU64 = AtomicU64::new(0);

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
            let key = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
            let prepared = pool::checks().run(&key, move || resolver.prepare_check(&request)).await;
            match prepared {
                Ok(Ok((vault, diagnosis))) => {
                    let findings = diagnosis.run().await;
                    answer(Some(vault.backend.name), &vault.name, &findings.0)
                }
                Ok(Err(answered)) => *answered,
                Err(JobRefusal::Full) => {
                    let text = "earlier checks still hang in a file that their options name, or in vault_data_dir: mend its \
                                file system";
                    AdminResponse::message(503, text)
                }
                Err(refusal) => AdminResponse::message(503, &format!("the check can't begin: {refusal}")),
            }
        };
        tokio::time::timeout(LIMIT, checking).await.unwrap_or_else(|_| {
            let text = format!(
                "the check did not end within {} s: look at the files, the proxy and the name server that the vault's options \
                 and this machine name",
                LIMIT.as_secs()
            );
            AdminResponse::message(503, &text)
        })
    }

    /// Reads the request and sets its vault up. It blocks.
    fn prepare_check(self: &Arc<Self>, request: &Request) -> Prepared {
        // Another worker may have stored the vault just now.
        self.catch_up_if_behind();
        let Check { subject, secret } = self.parse_check(request)?;
        let name = subject.vault();
        let written = (!secret.is_empty()).then(|| format!("{{vault://{name}/{secret}}}"));
        let asked = match &written {
            None => without_secret(name.as_bytes()),
            Some(written) => reference::parse(written.as_bytes()),
        };
        let asked = asked.map_err(|error| Box::new(AdminResponse::message(400, error.text())))?;
        self.audit_check(&request.who, &subject, written.as_deref());
        let vault = match &subject {
            CheckSubject::Vault(name) => self.config().vault(name.as_bytes()),
            CheckSubject::Entity(tested) => self.vault_of(&tested.record),
        };
        let vault = vault.map_err(|error| match error.kind() {
            Kind::UnknownVault => AdminResponse::message(404, error.text()),
            _ => flawed(None, name, &error),
        });
        let vault = vault.map_err(Box::new)?;
        let diagnosis = Diagnosis::prepare(self.config(), &vault, &asked, self.environment());
        let backend = vault.backend.name;
        match diagnosis {
            Ok(diagnosis) => Ok((vault, diagnosis)),
            Err(error) => Err(flawed(Some(backend), name, &error).into()),
        }
    }

    /// The vault that an entity would be. Its values that are references are looked up as those of stored ones.
    fn vault_of(self: &Arc<Self>, record: &Record) -> Result<Arc<Vault>> {
        let entities = vec![listed(record, PLACE)];
        let indirect = self.indirect_values(&entities);
        let disabled = || Error::new(Kind::Config, "the entity's backend is disabled: name it in the option vaults");
        self.config().read_entities(entities, PLACE, &indirect).into_only().unwrap_or_else(|| Err(disabled()))
    }

    fn parse_check(&self, request: &Request) -> std::result::Result<Check, Box<AdminResponse>> {
        let store = || match self.follow().followed().map(|followed| followed.store()) {
            _ if request.of_kong => Ok(None),
            None => Err(without_store().into()),
            Some(store) => store.map(Some).map_err(|error| AdminResponse::failed(&error).into()),
        };
        Check::parse(request, store, ALL, self.config().verification())
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
