//! The `aws` backend: AWS Secrets Manager, with one signed request for each document, or one for many (`batch.rs`).
//!
//! It uses `aws-sigv4` and not AWS's own client of the service, which would bring a second HTTP stack, retries and a
//! runtime of its own into every nginx worker, for two kinds of POST.

mod answer;
mod batch;
mod batch_answer;
mod batch_memory;
mod diagnosis;
mod error;
mod options;
mod request;

use std::sync::Arc;
use std::time::SystemTime;

use http::Request;

use crate::backend::transport;
use crate::backend::{Backend, Descriptor, Diagnosing, Fetched, Fetching, FetchingBatch, Notice, SecretId, Setup};
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse};
use crate::identity::aws::{
    AwsContext, Chain, Endpoint, Login, Role, SECRETS_MANAGER, SESSION, ServiceError, Wanted, send_in_time, set, shown,
};
use crate::identity::client::address;
use crate::identity::clock::Clock;
use crate::options::settings::Settings;
use crate::options::value::Value;
use batch_memory::BatchMemory;
use error::AwsErrorContext;

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "aws",
    title: "AWS Secrets Manager",
    options: options::OPTIONS,
    requirements: options::REQUIREMENTS,
    immediate: false,
    files: false,
    batch: batch_memory::LIMIT,
    build,
};

/// The staging labels that AWS moves from version to version.
const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A request to Secrets Manager.
struct SecretQuery<'a> {
    url: String,
    region: &'a str,
    secret: &'a str,
    stage: &'static str,
}

impl SecretQuery<'_> {
    fn signed(&self, login: &Login, now: SystemTime) -> Result<Request<Vec<u8>>> {
        request::get_secret_value(&self.url, self.region, &login.identity, self.secret, self.stage, now)
    }
}

struct Aws {
    label: String,
    endpoint: Endpoint,
    chain: Chain,
    clock: Clock,
    client: Client,
    batches: BatchMemory,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let label = format!("aws vault ({})", setup.vault);
    let settings = setup.settings;
    let text = |name| settings.text(name).filter(|text| !text.is_empty());
    let mut transport = transport::of_vault(setup, label.clone());
    transport.ca_cert = transport.ca_cert.or_else(|| set(setup.environment, "AWS_CA_BUNDLE"));
    let clock = Clock::default();
    let option = |name| Some((name, text(name)?));
    let wanted = Wanted {
        transport: &transport,
        region: text("region"),
        region_option: "the option region (vault_aws_region, KONG_VAULT_AWS_REGION or ?region= in the reference)",
        keys: None,
        role: text("assume_role_arn").map(|arn| role(arn, settings)),
        sts: option("sts_endpoint_url"),
        fips: flag(settings, "use_fips"),
        dualstack: flag(settings, "use_dualstack"),
        metadata_v1: flag(settings, "metadata_v1"),
    };
    Ok(Arc::new(Aws {
        endpoint: Endpoint::choose(&transport, &SECRETS_MANAGER, option("endpoint_url"))?,
        chain: Chain::new(wanted, clock.clone())?,
        client: Client::new(&transport)?,
        batches: BatchMemory::default(),
        clock,
        label,
    }))
}

fn role(arn: &str, settings: &Settings) -> Role {
    Role {
        arn: arn.to_owned(),
        session: settings.text("role_session_name").unwrap_or(SESSION).to_owned(),
        external_id: settings.text("external_id").map(str::to_owned),
        duration: None,
    }
}

/// `None` where it is not set.
fn flag(settings: &Settings, name: &str) -> Option<bool> {
    match settings.get(name) {
        Some(Value::Boolean(flag)) => Some(*flag),
        _ => None,
    }
}

impl Backend for Aws {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(self.fetch_secret(secret_id))
    }

    fn takes_in_batch(&self, secret_id: &SecretId) -> bool {
        batch_memory::takes(secret_id) && self.batches.may_ask()
    }

    fn fetch_batch<'a>(&'a self, secret_ids: &'a [SecretId]) -> FetchingBatch<'a> {
        Box::pin(self.fetch_secrets(secret_ids))
    }

    fn diagnose<'a>(&'a self, secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(self.walk(secret_id))
    }

    fn notice(&self) -> Option<Notice> {
        self.client.notice()
    }
}

impl Aws {
    async fn fetch_secret(&self, secret_id: &SecretId) -> Result<Fetched> {
        let stage = self.stage(secret_id.version)?;
        self.check_name(&secret_id.resource)?;
        let context = self.chain.context().await?;
        let region = &*context.region;
        let question =
            SecretQuery { url: context.locate(&self.endpoint)?.url, region, secret: &secret_id.resource, stage };
        let (answer, login) = self.ask_as_known(&context, |login, now| question.signed(login, now)).await?;
        let asked = self.asked(&question, &login);
        if answer.status != 200 {
            return Err(error::from_response(&asked, &answer).with_retry_after(answer.retry_after()));
        }
        match answer::document(answer.body.as_bytes()) {
            Ok(document) => Ok(Fetched::new(document)),
            Err(reason) => Err(asked.error(Kind::Invalid, reason)),
        }
    }

    /// Sends a request with the credentials that are known, and with others where AWS takes those no longer.
    async fn ask_as_known(
        &self,
        context: &AwsContext,
        sign: impl Fn(&Login, SystemTime) -> Result<Request<Vec<u8>>>,
    ) -> Result<(HttpResponse, Login)> {
        let login = context.login().await?;
        let answer = send_in_time(&self.client, &self.clock, |now| sign(&login, now)).await?;
        // Credentials may expire or be replaced early.
        if answer.status >= 400
            && ServiceError::from_response(&answer).is_of_credentials()
            && let Some(other) = context.instead_of(&login).await?
        {
            let answer = send_in_time(&self.client, &self.clock, |now| sign(&other, now)).await?;
            return Ok((answer, other));
        }
        Ok((answer, login))
    }

    fn asked<'a>(&'a self, question: &SecretQuery<'a>, login: &'a Login) -> AwsErrorContext<'a> {
        let address = question.url.parse().map_or_else(|_| String::new(), |uri| address(&uri));
        AwsErrorContext {
            place: format!("{} at {address}", self.label),
            region: question.region,
            secret: shown(question.secret),
            previous: question.stage == PREVIOUS,
            login: &login.origin,
            clock: &self.clock,
        }
    }

    async fn ask(&self, question: &SecretQuery<'_>, login: &Login) -> Result<HttpResponse> {
        send_in_time(&self.client, &self.clock, |now| question.signed(login, now)).await
    }

    fn stage(&self, version: Option<u32>) -> Result<&'static str> {
        match version {
            None | Some(1) => Ok(CURRENT),
            Some(2) => Ok(PREVIOUS),
            Some(version) => Err(Error::new(
                Kind::NotFound,
                format!("{} has no version {version}: use #1 for {CURRENT}, #2 for {PREVIOUS}", self.label),
            )),
        }
    }

    fn check_name(&self, name: &str) -> Result<()> {
        let wrong = if name.is_empty() {
            "is empty"
        } else if name.len() > request::NAME_LIMIT {
            "is longer than 2048 bytes"
        } else if name.chars().any(char::is_control) {
            "holds a control character"
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Reference, format!("{}: the secret's name {wrong}: give its name or ARN", self.label)))
    }
}
