//! The `gcp` backend: Google Cloud Secret Manager, with one request for each document.
//!
//! Like `aws`, it is written on this crate's HTTP client. Google's library brings an HTTP stack of its own and reads the
//! process environment, for a single GET.

mod answer;
mod diagnosis;
mod error;
mod options;
mod request;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use http::Uri;
use regex::Regex;

use crate::backend::transport;
use crate::backend::{Backend, Descriptor, Diagnosing, Fetched, Fetching, Notice, SecretId, Setup};
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse};
use crate::identity::client::address;
use crate::identity::gcp::{GoogleIdentity, GoogleLogin, IdentityOptions, PROJECT, set};
use error::GcpErrorContext;
use request::{AccessRequest, name_flaw};

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "gcp",
    title: "Google Cloud Secret Manager",
    options: options::OPTIONS,
    requirements: options::REQUIREMENTS,
    immediate: false,
    files: false,
    batch: 1,
    build,
};

/// The variable with another address of Secret Manager, as in Google's command line.
const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER";

struct Gcp {
    label: String,
    project: Option<String>,
    location: Option<String>,
    /// The version for references without a number.
    version: String,
    endpoint: Option<String>,
    /// The option or variable that sets the address.
    endpoint_origin: &'static str,
    identity: Arc<GoogleIdentity>,
    client: Client,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let label = format!("gcp vault ({})", setup.vault);
    let settings = setup.settings;
    let text = |name| settings.text(name).filter(|text| !text.is_empty());
    let transport = transport::of_vault(setup, label.clone());
    let (endpoint, endpoint_origin) = match text("endpoint_url") {
        Some(url) => (Some(url), "endpoint_url"),
        None => (set(setup.environment, ENDPOINT), ENDPOINT),
    };
    let identity = GoogleIdentity::of(IdentityOptions {
        transport: &transport,
        account: text("impersonate_service_account"),
        delegates: settings.list("impersonate_delegates"),
        quota_project: text("quota_project_id"),
        exchanges: settings.boolean("token_exchange"),
        is_shared: setup.lasts,
    })?;
    Ok(Arc::new(Gcp {
        project: text("project_id").map(str::to_owned),
        location: text("location").map(str::to_owned),
        version: text("version").unwrap_or("latest").to_owned(),
        endpoint: endpoint.map(str::to_owned),
        endpoint_origin,
        identity,
        client: Client::new(&transport)?,
        label,
    }))
}

impl Backend for Gcp {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(self.read(secret_id))
    }

    fn diagnose<'a>(&'a self, secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(self.walk(secret_id))
    }

    fn notice(&self) -> Option<Notice> {
        self.client.notice()
    }
}

impl Gcp {
    async fn read(&self, secret_id: &SecretId) -> Result<Fetched> {
        self.check_name(&secret_id.resource)?;
        let version = self.version(secret_id)?;
        let mut login = self.identity.login().await?;
        let project = self.project(&login).await?.0;
        let question = self.question(&project, &secret_id.resource, &version);
        let mut answer = self.ask(&question, &login).await?;
        // A token may be revoked before its expiry.
        if answer.status == 401
            && let Some(other) = self.identity.instead_of(&login, &answer).await?
        {
            login = other;
            answer = self.ask(&question, &login).await?;
        }
        let asked = self.asked(&question, &login)?;
        if answer.status != 200 {
            return Err(error::of(&asked, &answer));
        }
        match answer::document(answer.body.as_bytes()) {
            Ok(document) => Ok(Fetched::new(document)),
            Err(reason) => Err(asked.error(Kind::Invalid, reason)),
        }
    }

    fn question<'a>(&'a self, project: &'a str, secret: &'a str, version: &'a str) -> AccessRequest<'a> {
        AccessRequest { project, location: self.location.as_deref(), secret, version }
    }

    fn url(&self, question: &AccessRequest<'_>, login: &GoogleLogin) -> Result<Uri> {
        let url = question.url(self.endpoint.as_deref(), &login.universe).parse::<Uri>().ok();
        let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
        url.ok_or_else(|| {
            let text = format!("{}: {} is no URL such as https://host", self.label, self.endpoint_origin);
            Error::new(Kind::Config, text)
        })
    }

    fn asked<'a>(&self, question: &'a AccessRequest<'a>, login: &'a GoogleLogin) -> Result<GcpErrorContext<'a>> {
        Ok(GcpErrorContext {
            place: format!("{} at {}", self.label, address(&self.url(question, login)?)),
            question,
            login: &login.token.origin,
            quota_project: login.quota_project.as_deref(),
            clock: self.identity.clock_flaw(),
        })
    }

    async fn ask(&self, question: &AccessRequest<'_>, login: &GoogleLogin) -> Result<HttpResponse> {
        self.client.send(question.request(self.url(question, login)?, login)).await
    }

    /// The project and its origin.
    async fn project(&self, login: &GoogleLogin) -> Result<(Arc<str>, &'static str)> {
        if let Some(project) = &self.project {
            return Ok((project.as_str().into(), "`project_id`"));
        }
        let Some((project, origin)) = self.identity.project(login).await? else {
            let text = format!(
                "{}: no project: set the option project_id (vault_gcp_project_id, KONG_VAULT_GCP_PROJECT_ID or ?project_id= \
                 in the reference), or GOOGLE_CLOUD_PROJECT before nginx starts",
                self.label
            );
            return Err(Error::new(Kind::Config, text));
        };
        static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("^(?:{PROJECT})$")).ok());
        match &*PATTERN {
            Some(pattern) if pattern.is_match(&project) => Ok((project, origin)),
            _ => {
                let text = format!("{}: the project from {origin} is not a project's id: correct it", self.label);
                Err(Error::new(Kind::Config, text))
            }
        }
    }

    fn version(&self, secret_id: &SecretId) -> Result<Cow<'_, str>> {
        match secret_id.version {
            None => Ok(Cow::Borrowed(&self.version)),
            Some(0) => {
                let text = format!("{} has no version 0: versions count from 1", self.label);
                Err(Error::new(Kind::NotFound, text))
            }
            Some(number) => Ok(Cow::Owned(number.to_string())),
        }
    }

    fn check_name(&self, name: &str) -> Result<()> {
        match name_flaw(name) {
            Some(flaw) => Err(Error::new(Kind::Reference, format!("{}: a secret's name {flaw}", self.label))),
            None => Ok(()),
        }
    }
}
