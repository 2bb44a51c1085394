//! Many secrets with one request: `BatchGetSecretValue`, which needs a right of its own. Whatever it does not answer is
//! left to single requests.

use std::time::Duration;

use super::batch_answer::BatchAnswer;
use super::batch_memory::{Asking, FAILED, LIMIT, REFUSED};
use super::{Aws, CURRENT, SecretQuery, error, request};
use crate::backend::{Fetched, SecretId};
use crate::error::{Kind, Result};
use crate::http::HttpResponse;
use crate::identity::aws::{AwsContext, Login, ServiceError};
use crate::notice::debug;

/// How many pages of one answer are read.
const PAGES: usize = LIMIT;

impl Aws {
    /// One outcome for each secret, in order; `None` where it has to be fetched singly.
    pub(super) async fn fetch_secrets(&self, secret_ids: &[SecretId]) -> Vec<Option<Result<Fetched>>> {
        // Without a region or credentials, single fetches say why.
        let Ok(context) = self.chain.context().await else { return Vec::new() };
        let Ok(url) = context.locate(&self.endpoint).map(|located| located.url) else { return Vec::new() };
        if context.login().await.is_err() {
            return Vec::new();
        }
        let mut asked: Vec<&str> = Vec::with_capacity(secret_ids.len());
        for SecretId { resource, .. } in secret_ids {
            if !asked.contains(&resource.as_str()) {
                asked.push(resource);
            }
        }
        let (mut answer, mut token) = (BatchAnswer::default(), None);
        let mut login = None;
        for _ in 0..PAGES {
            let mut asking = Asking { memory: &self.batches, has_ended: false };
            let page = self.ask_for_page(&context, &url, &asked, token.as_deref()).await;
            asking.has_ended = true;
            // Single fetches find out whether the server can be reached.
            let Ok((page, by)) = page else { break };
            if page.status != 200 {
                if login.is_none() {
                    return self.refused(secret_ids, &url, &context.region, &by, &page);
                }
                break;
            }
            let Some(next) = answer.add(page.body.as_bytes()) else {
                self.fetch_singly(FAILED, "the answer is not one to BatchGetSecretValue");
                break;
            };
            login = Some(by);
            token = next;
            if token.is_none() || asked.iter().all(|id| answer.find(id).is_some() || answer.error(id).is_some()) {
                break;
            }
        }
        let Some(login) = login else { return Vec::new() };
        let outcome = |id: &SecretId| self.outcome(&id.resource, &answer, &url, &context.region, &login);
        secret_ids.iter().map(outcome).collect()
    }

    async fn ask_for_page(
        &self,
        context: &AwsContext,
        url: &str,
        asked: &[&str],
        token: Option<&str>,
    ) -> Result<(HttpResponse, Login)> {
        let region = &*context.region;
        let sign =
            |login: &Login, now| request::batch_get_secret_value(url, region, &login.identity, asked, token, now);
        self.ask_as_known(context, sign).await
    }

    /// The outcome for one secret of an answered request.
    fn outcome(
        &self,
        asked: &str,
        answer: &BatchAnswer,
        url: &str,
        region: &str,
        login: &Login,
    ) -> Option<Result<Fetched>> {
        let query = SecretQuery { url: url.to_owned(), region, secret: asked, stage: CURRENT };
        if let Some(found) = answer.find(asked) {
            let document = found.clone().map_err(|reason| self.asked(&query, login).error(Kind::Invalid, reason));
            return Some(document.map(Fetched::new));
        }
        let refusal = answer.error(asked)?;
        let refusal = ServiceError::of_entry(&refusal.code, refusal.message.as_deref().unwrap_or_default());
        // A policy may allow a secret's current version only to those who ask for it by its label, as single fetches do.
        (!refusal.is_denial()).then(|| Err(error::from_refusal(&self.asked(&query, login), &refusal)))
    }

    /// The outcomes where a request as a whole was refused.
    fn refused(
        &self,
        secret_ids: &[SecretId],
        url: &str,
        region: &str,
        login: &Login,
        answer: &HttpResponse,
    ) -> Vec<Option<Result<Fetched>>> {
        let refusal = ServiceError::from_response(answer);
        let is_unknown = matches!(answer.status, 404 | 405 | 501)
            || refusal
                .name
                .as_deref()
                .is_some_and(|name| name.starts_with("UnknownOperation") || name == "InvalidAction");
        let is_of_login = refusal
            .reason(&login.origin, region, &self.clock)
            .is_some_and(|(kind, _)| !matches!(kind, Kind::Throttled | Kind::Unavailable));
        if is_of_login || answer.retry_after().is_some() {
            let outcome = |id: &SecretId| {
                let query = SecretQuery { url: url.to_owned(), region, secret: &id.resource, stage: CURRENT };
                let error = error::from_response(&self.asked(&query, login), answer);
                Some(Err(error.with_retry_after(answer.retry_after())))
            };
            return secret_ids.iter().map(outcome).collect();
        }
        if refusal.is_denial() {
            self.fetch_singly(REFUSED, "the credentials lack the right secretsmanager:BatchGetSecretValue");
        } else if is_unknown {
            self.fetch_singly(REFUSED, "the server has no BatchGetSecretValue");
        } else {
            self.fetch_singly(FAILED, &format!("BatchGetSecretValue failed{}", refusal.mark()));
        }
        Vec::new()
    }

    fn fetch_singly(&self, pause: Duration, reason: &str) {
        self.batches.pause(pause);
        debug(|| format!("{}: {reason}; secrets are fetched singly for {} s", self.label, pause.as_secs()));
    }

    /// Whether the credentials may ask for a batch, for `doctor`: an answer about a secret, whichever, says so.
    pub(super) async fn may_batch(&self, context: &AwsContext, url: &str, secret: &str) -> Result<BatchRight> {
        let (answer, _) = self.ask_for_page(context, url, &[secret], None).await?;
        let refusal = ServiceError::from_response(&answer);
        Ok(match answer.status {
            200 if BatchAnswer::default().add(answer.body.as_bytes()).is_some() => BatchRight::Given,
            _ if refusal.is_denial() => BatchRight::Missing,
            _ => BatchRight::Unknown(refusal.mark()),
        })
    }
}

/// Whether secrets may be fetched by batches.
pub enum BatchRight {
    Given,
    Missing,
    /// The server answered otherwise, with that mark.
    Unknown(String),
}
