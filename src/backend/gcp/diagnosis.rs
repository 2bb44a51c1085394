//! Checks each step of a fetch, for `doctor`.

use super::{Gcp, error};
use crate::backend::SecretId;
use crate::diagnosis::Findings;
use crate::error::Kind;

/// A name that no secret has. The answer for it shows whether Google accepts the token.
const NOBODYS: &str = "kong-vault-doctor-asks-for-a-secret-that-is-not-there";

impl Gcp {
    pub(super) async fn walk(&self, secret_id: Option<&SecretId>) -> Findings {
        let mut findings = Findings::default();
        self.steps(secret_id, &mut findings).await;
        findings
    }

    async fn steps(&self, secret_id: Option<&SecretId>, findings: &mut Findings) -> Option<()> {
        if let Some(secret_id) = secret_id {
            findings.or_bad("reference", self.check_name(&secret_id.resource))?;
        }
        let login = findings.or_bad("credentials", self.identity.login().await)?;
        let end = if login.token.expiry.is_some() { ", for a time; they are renewed before it ends" } else { "" };
        findings.good("credentials", format!("from {}{end}", login.token.origin));
        if let Some(remark) = self.identity.remark(&login) {
            findings.doubtful("credentials", remark);
        }
        let (project, origin) = findings.or_bad("project", self.project(&login).await)?;
        let payer = login.quota_project.as_deref();
        let payer = payer.map(|payer| format!("; its requests count for project {payer}")).unwrap_or_default();
        findings.good("project", format!("{project}, by {origin}{payer}"));
        let secret = secret_id.map_or(NOBODYS, |secret_id| &secret_id.resource);
        let version = match secret_id {
            Some(secret_id) => findings.or_bad("read", self.version(secret_id))?,
            None => "latest".into(),
        };
        let question = self.question(&project, secret, &version);
        let url = findings.or_bad("address", self.url(&question, &login))?;
        if !self.client.probe(&url.to_string(), findings).await {
            return None;
        }
        let answer = findings.or_bad("login", self.ask(&question, &login).await)?;
        let asked = findings.or_bad("login", self.asked(&question, &login))?;
        let clock = self.identity.clock_flaw();
        if !clock.is_empty() {
            let text = format!("this machine's clock is wrong{clock}: have it follow a time server");
            findings.doubtful("clock", text);
        }
        let error = (answer.status != 200).then(|| error::of(&asked, &answer));
        match (secret_id, error) {
            (None, Some(error)) if error.kind() == Kind::NotFound => {
                findings.good("login", "Google takes the token");
                findings.good("read", "the credentials may read secrets; name a secret to have its reading tried");
            }
            (None, Some(_)) if error::is_of_rights(&answer) => {
                findings.good("login", "Google takes the token");
                let text = "the credentials may not read every secret, as it should be; name a secret to have its reading tried";
                findings.good("read", text);
            }
            (None, Some(error)) => findings.bad("login", error),
            // A fetch can replace a token that is refused.
            (Some(secret_id), _) => match self.read(secret_id).await {
                Err(error) if error.is_of_login() => findings.bad("login", error),
                read => {
                    findings.good("login", "Google takes the token");
                    let fetched = findings.or_bad("read", read)?;
                    findings.good("read", format!("the secret has {} bytes", fetched.document.len()));
                }
            },
            (None, None) => findings.good("login", "Google takes the token"),
        }
        Some(())
    }
}
