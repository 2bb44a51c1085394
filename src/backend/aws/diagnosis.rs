//! Finds out why Secrets Manager returns no secret, by trying each step of a fetch.

use super::batch::BatchRight;
use super::{Aws, CURRENT, SecretQuery, error};
use crate::backend::SecretId;
use crate::diagnosis::Findings;
use crate::error::Kind;
use crate::identity::aws::{Located, ServiceError};

/// A name that no secret has. A request for it shows whether AWS accepts the signature.
const NOBODYS: &str = "kong-vault-doctor-asks-for-a-secret-that-is-not-there";

impl Aws {
    pub(super) async fn walk(&self, secret_id: Option<&SecretId>) -> Findings {
        let mut findings = Findings::default();
        self.steps(secret_id, &mut findings).await;
        findings
    }

    async fn steps(&self, secret_id: Option<&SecretId>, findings: &mut Findings) -> Option<()> {
        let context = self.chain.context().await;
        let context = findings.or_bad("region", context)?;
        match context.profile() {
            Some((text, true)) => {
                findings.doubtful("profile", format!("{text}: have nginx's workers read it, if it is to be heeded"));
            }
            Some((text, false)) => findings.good("profile", text),
            None => {}
        }
        let region = &*context.region;
        let located = context.locate(&self.endpoint);
        let Located { url, origin } = findings.or_bad("region", located)?;
        let shown = url.split('?').next().unwrap_or_default();
        let of = origin.map(|origin| format!(" and {origin}")).unwrap_or_default();
        findings.good("region", format!("{region}, so that {shown} is asked, by {}{of}", context.region_origin));
        if !self.client.probe(&url, findings).await {
            return None;
        }
        let login = context.login().await;
        let login = findings.or_bad("credentials", login)?;
        let end = if login.expiry.is_some() { ", for a time; they are renewed before it ends" } else { "" };
        findings.good("credentials", format!("from {}{end}", login.origin));
        let secret = secret_id.map_or(NOBODYS, |secret_id| &secret_id.resource);
        let question = SecretQuery { url, region, secret, stage: CURRENT };
        let answer = self.ask(&question, &login).await;
        let answer = findings.or_bad("login", answer)?;
        let clock = self.clock.flaw();
        if !clock.is_empty() {
            let text = format!(
                "this machine's clock is wrong{clock}: have it follow a time server; requests are signed by AWS's"
            );
            findings.doubtful("clock", text);
        }
        let refusal = ServiceError::from_response(&answer);
        let is_refused = answer.status != 200 && refusal.reason(&login.origin, region, &self.clock).is_some();
        let error = (answer.status != 200).then(|| error::from_response(&self.asked(&question, &login), &answer));
        if is_refused {
            findings.bad("login", error?);
            return None;
        }
        match (secret_id, error) {
            (_, Some(error)) if !matches!(error.kind(), Kind::NotFound | Kind::Denied) => {
                findings.bad("login", error);
                return None;
            }
            (None, Some(error)) => {
                findings.good("login", "AWS takes the signature");
                if error.kind() == Kind::Denied {
                    let text = "the credentials may not read every secret, as it should be; name a secret to have its reading tried";
                    findings.good("read", text);
                } else {
                    findings.good("read", "the credentials may read secrets; name a secret to have its reading tried");
                }
            }
            (Some(secret_id), _) => {
                findings.good("login", "AWS takes the signature");
                let read = self.fetch_secret(secret_id).await;
                let fetched = findings.or_bad("read", read)?;
                findings.good("read", format!("the secret has {} bytes", fetched.document.len()));
            }
            (None, None) => findings.good("login", "AWS takes the signature"),
        }
        // What it says of the secret has been said.
        match self.may_batch(&context, &question.url, secret).await.ok()? {
            BatchRight::Given => findings.good("batch", "one request may read many secrets (BatchGetSecretValue)"),
            BatchRight::Missing => {
                let text = "each secret takes a request of its own: allow secretsmanager:BatchGetSecretValue on * beside \
                            secretsmanager:GetSecretValue, and one request reads up to 20";
                findings.doubtful("batch", text);
            }
            BatchRight::Unknown(mark) => {
                let text = format!("each secret takes a request of its own: BatchGetSecretValue is refused{mark}");
                findings.doubtful("batch", text);
            }
        }
        Some(())
    }
}
