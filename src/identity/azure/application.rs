//! An application of Entra ID, which proves itself by a secret, by a certificate, or by a token of somebody whom the tenant
//! trusts, such as a Kubernetes cluster.

use std::path::PathBuf;

use http::Method;
use url::Url;

use super::assertion::Certificate;
use super::cloud::broken;
use super::refusal::{self, Proved, Refusal};
use crate::error::{Error, Kind, Result};
use crate::http::{HttpResponse, Transport};
use crate::identity::clock::Clock;
use crate::identity::external::ExternalClient;
use crate::identity::files;
use crate::identity::oauth::{self, FORM, OauthToken};
use crate::redact;
use crate::secret::Secret;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What proves an application.
pub enum Proof {
    Secret(Secret),
    Certificate(Certificate),
    /// A token's file, which others write anew: it is read for each login.
    Federated(PathBuf),
}

impl Proof {
    /// `value` is PEM, or a file's path.
    pub fn certificate(value: &str, sends_chain: bool) -> Self {
        Self::Certificate(Certificate::new(value, sends_chain))
    }
}

pub struct Application {
    pub tenant: String,
    client: String,
    proof: Proof,
    /// Where the proof stands.
    pub origin: String,
    endpoint: Url,
    external: ExternalClient,
    clock: Clock,
}

/// Where a tenant gives tokens.
pub fn endpoint(transport: &Transport<'_>, authority: &Url, tenant: &str) -> Result<Url> {
    // It becomes part of a path.
    let is_tenant = tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if !is_tenant || !tenant.starts_with(|first: char| first.is_ascii_alphanumeric()) || tenant.len() > 255 {
        return Err(broken(transport, "the tenant must be its id (a GUID), or one of its domains"));
    }
    let mut endpoint = authority.clone();
    endpoint.set_path(&format!("/{tenant}/oauth2/v2.0/token"));
    Ok(endpoint)
}

impl Application {
    /// `origin`: where the proof stands.
    pub fn new(
        (tenant, client): (String, String),
        (proof, origin): (Proof, String),
        endpoint: Url,
        external: ExternalClient,
        clock: Clock,
    ) -> Self {
        Self { tenant, client, proof, origin, endpoint, external, clock }
    }

    pub async fn token(&self, resource: &str, note: &(dyn Fn(String) + Send + Sync)) -> Result<OauthToken> {
        note("Entra ID".to_owned());
        let mut answer = self.ask(resource).await?;
        // An assertion is good for minutes, by Entra's clock.
        let is_late = answer.status != 200 && Refusal::of(&answer).is_of_time();
        if is_late && self.clock.learn(&answer.headers) {
            answer = self.ask(resource).await?;
        }
        if answer.status == 200 {
            return oauth::granted(answer.body.as_bytes()).map_err(|reason| self.error(Kind::Invalid, reason));
        }
        let refused = Refusal::of(&answer);
        let (kind, reason) = refusal::reason(&refused, answer.status, &self.proved());
        Err(self.error(kind, &reason).with_retry_after(answer.retry_after()))
    }

    async fn ask(&self, resource: &str) -> Result<HttpResponse> {
        let scope = format!("{resource}/.default");
        let assertion;
        let mut form = vec![("grant_type", "client_credentials"), ("client_id", &self.client), ("scope", &scope)];
        match &self.proof {
            Proof::Secret(secret) => form.push(("client_secret", secret.as_str().unwrap_or_default())),
            Proof::Certificate(certificate) => {
                let signed = certificate.sign(&self.client, self.endpoint.as_str(), self.clock.now()).await;
                assertion = signed.map_err(|clause| self.unset(&clause))?;
                form.extend([("client_assertion_type", ASSERTION), ("client_assertion", assertion.as_str())]);
            }
            Proof::Federated(path) => {
                assertion = files::token(path).await.map_err(|clause| self.unset(&clause))?;
                form.extend([("client_assertion_type", ASSERTION), ("client_assertion", assertion.as_str())]);
            }
        }
        let headers = [("content-type", FORM), ("accept", "application/json")];
        self.external.send(Method::POST, &self.endpoint, &headers, &oauth::form(&form)).await
    }

    /// What is wrong with the proof itself.
    fn unset(&self, clause: &str) -> Error {
        self.error(Kind::Config, &format!("{}: {clause}", self.origin))
    }

    pub fn error(&self, kind: Kind, reason: &str) -> Error {
        self.external.error(&self.endpoint, kind, reason)
    }

    /// For what there is to do about a refusal.
    fn proved(&self) -> Proved<'_> {
        let remedy = match &self.proof {
            Proof::Secret(_) => "check the client secret in",
            Proof::Certificate(_) => "check the certificate in",
            Proof::Federated(_) => "check the application's federated credential, and the token in",
        };
        Proved { remedy, origin: &self.origin, clock: &self.clock }
    }

    pub fn describe(&self) -> String {
        let by = match &self.proof {
            Proof::Secret(_) => "its secret",
            Proof::Certificate(_) => "its certificate",
            Proof::Federated(_) => "a federated token (workload identity)",
        };
        let shown = |text: &str| redact::quote(text.as_bytes(), 64);
        let (client, tenant) = (shown(&self.client), shown(&self.tenant));
        format!("the application {client} of the tenant {tenant}, by {by} in {}", self.origin)
    }
}
