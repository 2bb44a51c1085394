//! Why Key Vault gives nothing: the way of a fetch, gone step by step.

use super::challenge::Challenge;
use super::{KeyVault, error, name};
use crate::backend::SecretId;
use crate::diagnosis::Findings;
use crate::error::Kind;
use crate::redact;

/// A name that nobody gave a secret. Asking for it shows whether the key vault takes the token.
const NOBODYS: &str = "kong-vault-doctor-asks-for-a-secret-that-is-not-there";

impl KeyVault {
    pub(super) async fn walk(&self, secret_id: Option<&SecretId>) -> Findings {
        let mut findings = Findings::default();
        self.steps(secret_id, &mut findings).await;
        findings
    }

    async fn steps(&self, secret_id: Option<&SecretId>, findings: &mut Findings) -> Option<()> {
        if !self.client.probe(self.place.url.as_str(), findings).await {
            return None;
        }
        if !self.place.is_below {
            let text = "`verify_challenge_resource` is off, so vault entities can send tokens to any host: set it to on, \
                        except in tests";
            findings.doubtful("key vault", text);
        }
        self.tenant(findings).await;
        findings.good("credentials", self.identity.describe());
        findings.or_bad("login", self.identity.token().await)?;
        let resource = redact::url(&self.place.resource, redact::HIDDEN).into_owned();
        findings.good("login", format!("there is a token for {resource}"));
        // What is wrong with a name, the reading says.
        let name = secret_id.and_then(|secret_id| name::of(secret_id).ok()).map_or(NOBODYS, |(name, _)| name);
        let (token, answer) = findings.or_bad("token", self.ask(&self.url(&["secrets", name])).await)?;
        if !matches!(answer.status, 200 | 403 | 404) {
            findings.bad("token", error::of(&self.asked(name, &token, "get"), &answer));
            return None;
        }
        findings.good("token", "the key vault takes it");
        let Some(secret_id) = secret_id else {
            let refused = (answer.status != 200).then(|| error::of(&self.asked(name, &token, "get"), &answer));
            match refused {
                Some(refused) if refused.kind() == Kind::Denied => findings.doubtful(
                    "read",
                    "the identity may not read every secret; name a secret to have its reading tried",
                ),
                Some(refused) if refused.kind() != Kind::NotFound => findings.bad("read", refused),
                _ => findings.good("read", "the identity may read secrets; name a secret to have its reading tried"),
            }
            return Some(());
        };
        let fetched = findings.or_bad("read", self.read(secret_id).await)?;
        findings.good("read", format!("the secret has {} bytes", fetched.document.len()));
        while let Some(notice) = self.notices.next() {
            findings.doubtful("read", notice.text);
        }
        Some(())
    }

    /// Whose the key vault is, as it says to whoever asks without a token.
    async fn tenant(&self, findings: &mut Findings) {
        let Ok(answer) = self.send(&self.url(&["secrets", NOBODYS]), None).await else { return };
        let Some(challenge) = Challenge::of(&answer.headers).filter(|_| answer.status == 401) else {
            let text =
                format!("the server does not answer as a key vault (status {}): check `vault_uri`", answer.status);
            return findings.doubtful("key vault", text);
        };
        let tenant = redact::quote(challenge.tenant.as_bytes(), 64);
        if let Some(resource) = challenge.resource.filter(|resource| *resource != self.place.resource) {
            let resource = redact::quote(redact::url(&resource, redact::HIDDEN).as_bytes(), 128);
            let text = format!("its tokens are for {resource}, not for what is asked for: check `resource`");
            findings.doubtful("key vault", text);
        }
        match self.identity.tenant() {
            Some(own) if !own.eq_ignore_ascii_case(&challenge.tenant) && own.len() == challenge.tenant.len() => {
                let text = format!("it belongs to the tenant {tenant}, and `tenant_id` names another: set it to that");
                findings.doubtful("key vault", text);
            }
            _ => findings.good("key vault", format!("it belongs to the tenant {tenant}")),
        }
    }
}
