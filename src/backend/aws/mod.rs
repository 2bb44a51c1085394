//! The `aws` vault: AWS Secrets Manager, asked with one signed request a document.
//!
//! Written on `aws-sigv4` and not on AWS's own client of the service: that brings a second HTTP stack, retries and a
//! runtime of its own into every nginx worker, for a single POST.

mod answer;
mod credentials;
mod endpoint;
mod failure;
mod options;
mod profile;
mod request;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use crate::backend::http::{Client, Transport};
use crate::backend::{Ask, Backend, Descriptor, Fetched, Fetching, Setup};
use crate::error::{Error, Kind, Result};
use credentials::Chain;
use endpoint::Endpoint;
use failure::Asked;

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "aws",
    title: "AWS Secrets Manager",
    options: options::OPTIONS,
    needs: &[],
    immediate: false,
    build,
};

/// The labels that AWS moves from version to version.
const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// AWS's own limit for a name or an ARN.
const NAME_LIMIT: usize = 2048;

struct Aws {
    label: String,
    /// None where only the profile can say it.
    region: Option<String>,
    endpoint: Endpoint,
    chain: Chain,
    client: Client,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let label = format!("aws vault ({})", setup.vault);
    let option = setup.settings.text("region").map(|region| ("the option region", region));
    let region = option.or_else(|| endpoint::environment_region(setup.environment));
    if let Some((origin, region)) = region {
        endpoint::check_region(&label, origin, region)?;
    }
    let mut transport = Transport::of(setup, label.clone());
    transport.ca_cert = transport.ca_cert.or_else(|| endpoint::set(setup.environment, "AWS_CA_BUNDLE"));
    let client = Client::new(&transport)?;
    Ok(Arc::new(Aws {
        region: region.map(|(_, region)| region.to_owned()),
        endpoint: Endpoint::choose(&label, setup.settings, setup.environment)?,
        chain: Chain::new(&label, setup.environment)?,
        client,
        label,
    }))
}

impl Backend for Aws {
    fn fetch<'a>(&'a self, ask: &'a Ask) -> Fetching<'a> {
        Box::pin(self.read(ask))
    }
}

impl Aws {
    async fn read(&self, ask: &Ask) -> Result<Fetched> {
        let stage = self.stage(ask.version)?;
        self.check_name(&ask.resource)?;
        let region = self.region().await?;
        let login = self.chain.login(&self.label).await?;
        let url = self.endpoint.url(&region);
        let request =
            request::get_secret_value(&url, &region, &login.identity, &ask.resource, stage, SystemTime::now())?;
        let place = format!("{} at {}", self.label, address(request.uri()));
        let answer = self.client.send(request).await?;
        let asked = Asked {
            place: &place,
            region: &region,
            secret: &shortened(&ask.resource),
            previous: stage == PREVIOUS,
            login: &login.origin,
        };
        if answer.status != 200 {
            return Err(failure::of(&asked, &answer).with_retry_after(answer.retry_after()));
        }
        match answer::document(answer.body.as_bytes()) {
            Ok(document) => Ok(Fetched { document, lease: None }),
            Err(reason) => Err(asked.error(Kind::Invalid, reason)),
        }
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
        } else if name.len() > NAME_LIMIT {
            "is longer than 2048 bytes"
        } else if name.chars().any(char::is_control) {
            "holds a control character"
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Reference, format!("{}: the secret's name {wrong}: give its name or ARN", self.label)))
    }

    async fn region(&self) -> Result<Cow<'_, str>> {
        if let Some(region) = &self.region {
            return Ok(Cow::Borrowed(region));
        }
        let profile = self.chain.profile().await;
        let Some(region) = &profile.region else {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "{}: no region: set the option region (vault_aws_region, KONG_VAULT_AWS_REGION or ?region= in the \
                     reference), AWS_REGION or AWS_DEFAULT_REGION before nginx starts, or region for {}",
                    self.label, profile.origin
                ),
            ));
        };
        endpoint::check_region(&self.label, &profile.origin, region)?;
        Ok(Cow::Owned(region.clone()))
    }
}

/// As much of a name as fits into an error.
fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(128) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

fn address(uri: &http::Uri) -> String {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{}:{port}", uri.host().unwrap_or_default())
}
