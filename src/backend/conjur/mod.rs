//! The `conjur` backend: CyberArk Conjur, with one request for each variable, or one for many (`batch.rs`).
//!
//! It is written on this crate's HTTP client: a login and a read are one request each, and CyberArk's own library for Rust does
//! not exist.

mod address;
mod aws_proof;
mod batch;
mod batch_memory;
mod diagnosis;
mod error;
mod login;
mod options;
mod proof;
mod token;
mod written;

use std::sync::Arc;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderName, HeaderValue, Method, Request};

use crate::backend::transport;
use crate::backend::{Backend, Descriptor, Diagnosing, Fetched, Fetching, FetchingBatch, Notice, SecretId, Setup};
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse, Transport};
use crate::identity::access_token::AccessToken;
use crate::identity::clock::Clock;
use address::{ConjurAddress, name_flaw};
use batch_memory::BatchMemory;
use error::ReadContext;
use login::{Authenticator, Session};
use proof::Credentials;
pub use written::CREDENTIALS;
use written::WrittenOptions;

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "conjur",
    title: "CyberArk Conjur",
    options: options::OPTIONS,
    requirements: &[],
    immediate: false,
    files: false,
    batch: batch_memory::LIMIT,
    build,
};

struct Conjur {
    label: String,
    /// `host:port`, for errors.
    place: String,
    address: ConjurAddress,
    session: Session,
    client: Arc<Client>,
    batches: BatchMemory,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let label = format!("conjur vault ({})", setup.vault);
    let (written, url) = WrittenOptions::of(setup, &label)?;
    let variables = &["CONJUR_ACCOUNT"];
    let account = written.text("account", variables).ok_or_else(|| written.lacks("account", "account", variables))?;
    let address = ConjurAddress::new(&url, account);
    let mut transport = transport::of_vault(setup, label.clone());
    transport.ca_cert = written.text("ca_cert", &["CONJUR_CERT_FILE", "CONJUR_SSL_CERTIFICATE"]);
    // Other servers than Conjur get neither its CAs nor its client certificate.
    let outer = Transport {
        tls_1_3: transport.tls_1_3,
        proxy: transport.proxy,
        no_proxy: transport.no_proxy,
        ..Transport::new(label.clone(), setup.environment, setup.timeout)
    };
    let clock = Clock::default();
    let credentials = Credentials::of(&written, account, &outer, setup.lasts, &clock)?;
    let client = Arc::new(Client::new(&transport)?);
    let place = client.address(&address.host, address.port);
    let session = Session::new(Authenticator {
        label: label.clone(),
        place: place.clone(),
        address: address.clone(),
        credentials,
        client: Arc::clone(&client),
        timeout: setup.timeout,
        clock,
    });
    Ok(Arc::new(Conjur { label, place, address, session, client, batches: BatchMemory::default() }))
}

impl Backend for Conjur {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(self.read(secret_id))
    }

    fn takes_in_batch(&self, secret_id: &SecretId) -> bool {
        self.batches.takes(secret_id, self.address.id_length(&secret_id.resource))
    }

    fn fetch_batch<'a>(&'a self, secret_ids: &'a [SecretId]) -> FetchingBatch<'a> {
        Box::pin(self.fetch_variables(secret_ids))
    }

    fn diagnose<'a>(&'a self, secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(self.walk(secret_id))
    }

    fn notice(&self) -> Option<Notice> {
        self.client.notice()
    }
}

impl Conjur {
    async fn read(&self, secret_id: &SecretId) -> Result<Fetched> {
        self.check(secret_id)?;
        let answer = self.ask(&self.address.variable(&secret_id.resource, secret_id.version), None).await?;
        if answer.status != 200 {
            if matches!(answer.status, 403 | 404) {
                self.batches.refuse(&secret_id.resource);
            }
            return Err(self.context(secret_id).refusal(&answer));
        }
        Ok(Fetched::new(answer.body))
    }

    /// Asks with a token, and once more with another one: a token may be refused before its expiry.
    async fn ask(&self, url: &str, header: Option<&(HeaderName, HeaderValue)>) -> Result<HttpResponse> {
        let token = self.session.token().await?;
        let answer = self.send(url, header, &token).await?;
        if answer.status == 401
            && let Some(other) = self.session.instead_of(&token).await?
        {
            return self.send(url, header, &other).await;
        }
        Ok(answer)
    }

    async fn send(
        &self,
        url: &str,
        header: Option<&(HeaderName, HeaderValue)>,
        token: &AccessToken,
    ) -> Result<HttpResponse> {
        let mut request = Request::new(Vec::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = url.parse().map_err(|_| {
            Error::new(Kind::Config, format!("{} at {}: no valid URL: correct endpoint_url", self.label, self.place))
        })?;
        request.headers_mut().insert(AUTHORIZATION, token.header.clone());
        request.headers_mut().extend(header.cloned());
        self.client.send(request).await
    }

    fn context<'a>(&'a self, secret_id: &'a SecretId) -> ReadContext<'a> {
        let authenticator = &self.session.authenticator;
        ReadContext {
            place: format!("{} at {}", self.label, self.place),
            account: &self.address.account,
            name: &secret_id.resource,
            version: secret_id.version,
            who: authenticator.context().who(),
            clock: authenticator.clock.flaw(),
        }
    }

    fn check(&self, secret_id: &SecretId) -> Result<()> {
        if let Some(flaw) = name_flaw(&secret_id.resource) {
            return Err(Error::new(Kind::Reference, format!("{}: a variable's name {flaw}", self.label)));
        }
        match secret_id.version {
            Some(0) => {
                Err(Error::new(Kind::NotFound, format!("{} has no version 0: versions count from 1", self.label)))
            }
            _ => Ok(()),
        }
    }
}
