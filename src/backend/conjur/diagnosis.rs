//! Checks each step of a fetch, for `doctor`.

use super::Conjur;
use crate::backend::SecretId;
use crate::diagnosis::Findings;

/// A name that no variable has. The answer for it shows whether Conjur accepts the token.
const NOBODYS: &str = "kong-vault-doctor-asks-for-a-variable-that-is-not-there";

impl Conjur {
    pub(super) async fn walk(&self, secret_id: Option<&SecretId>) -> Findings {
        let mut findings = Findings::default();
        self.steps(secret_id, &mut findings).await;
        findings
    }

    async fn steps(&self, secret_id: Option<&SecretId>, findings: &mut Findings) -> Option<()> {
        if let Some(secret_id) = secret_id {
            findings.or_bad("reference", self.check(secret_id))?;
        }
        if !self.client.probe(&self.address.variable(NOBODYS, None), findings).await {
            return None;
        }
        let token = findings.or_bad("login", self.session.token().await)?;
        let who = self.session.authenticator.context().who();
        let end = if token.expiry.is_some() { ", for a time; it is renewed before it ends" } else { "" };
        findings.good("login", format!("an access token with {who}{end}"));
        let clock = self.session.authenticator.clock.flaw();
        if !clock.is_empty() {
            let text = format!("this machine's clock is wrong{clock}: have it follow a time server");
            findings.doubtful("clock", text);
        }
        let Some(secret_id) = secret_id else {
            let nobodys = SecretId { resource: NOBODYS.to_owned(), version: None };
            let answer = findings.or_bad("read", self.ask(&self.address.variable(NOBODYS, None), None).await)?;
            match answer.status {
                // Conjur hides variables that the role may not see.
                200 | 403 | 404 => {
                    findings.good("read", "Conjur accepts the token; name a variable to have its reading tried");
                }
                _ => findings.bad("read", self.context(&nobodys).refusal(&answer)),
            }
            return Some(());
        };
        let fetched = findings.or_bad("read", self.read(secret_id).await)?;
        findings.good("read", format!("the variable has {} bytes", fetched.document.len()));
        Some(())
    }
}
