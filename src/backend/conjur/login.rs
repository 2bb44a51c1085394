//! Logins: a proof is exchanged for an access token, which is cached and renewed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};

use super::address::ConjurAddress;
use super::error::LoginContext;
use super::proof::{Credentials, Proof};
use super::token::ConjurToken;
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse};
use crate::identity::access_token::AccessToken;
use crate::identity::clock::Clock;
use crate::identity::credentials_cache::{CredentialsCache, LoadStage};
use crate::identity::files;
use crate::redact;

/// The part of a fetch's time that it waits for a token, and the part that one login may take: the error must come before the
/// fetch ends.
const PATIENCE: f64 = 0.9;
const LIMIT: f64 = 0.8;

/// How long a token of a file is used that does not say its end, before the file is read again.
const UNKNOWN: Duration = Duration::from_secs(60);

/// Logs in to one Conjur.
pub struct Authenticator {
    pub label: String,
    /// `host:port`, for errors.
    pub place: String,
    pub address: ConjurAddress,
    pub credentials: Credentials,
    pub client: Arc<Client>,
    pub timeout: Duration,
    pub clock: Clock,
}

/// The token of one vault.
pub struct Session {
    cache: CredentialsCache<AccessToken>,
    pub authenticator: Arc<Authenticator>,
}

impl Session {
    pub fn new(authenticator: Authenticator) -> Self {
        let authenticator = Arc::new(authenticator);
        let logs_in = Arc::clone(&authenticator);
        let (patience, clock) = (authenticator.timeout.mul_f64(PATIENCE), authenticator.clock.clone());
        let cache = CredentialsCache::new(&authenticator.label, patience, clock, move |stage| {
            let authenticator = Arc::clone(&logs_in);
            Box::pin(async move { authenticator.token(&stage).await })
        });
        Self { cache, authenticator }
    }

    /// A token that is valid now.
    pub async fn token(&self) -> Result<AccessToken> {
        self.cache.get().await
    }

    /// Another token in place of one that Conjur refuses.
    pub async fn instead_of(&self, refused: &AccessToken) -> Result<Option<AccessToken>> {
        self.cache.instead_of(refused).await
    }
}

impl Authenticator {
    async fn token(&self, stage: &LoadStage) -> Result<AccessToken> {
        if let Proof::TokenFile(path) = &self.credentials.proof {
            stage.asks("the file system");
            return self.read(path).await.map_err(|reason| self.error(Kind::Config, &reason));
        }
        let mut answer = self.log_in(stage).await?;
        // A signature for AWS holds only for some minutes.
        if answer.1.status == 401 && self.is_of_time() && self.clock.learn(&answer.1.headers) {
            answer = self.log_in(stage).await?;
        }
        let (asked, answer) = answer;
        if answer.status != 200 {
            return Err(self.context().refusal(&answer));
        }
        let token = ConjurToken::parse(answer.body.as_bytes()).map_err(|reason| {
            self.at(
                Kind::Invalid,
                &format!("the answer to the login is {reason}: check endpoint_url and what stands before it"),
            )
        })?;
        let ends = asked.checked_add(token.life());
        self.made(&token, ends).map_err(|reason| self.at(Kind::Invalid, reason))
    }

    fn is_of_time(&self) -> bool {
        matches!(self.credentials.proof, Proof::Aws(_))
    }

    fn made(&self, token: &ConjurToken, ends: Option<SystemTime>) -> std::result::Result<AccessToken, &'static str> {
        AccessToken::new("Token token=\"", &token.encoded, "\"", self.credentials.origin.as_str(), ends)
    }

    /// The token of a file. The error is a clause.
    async fn read(&self, path: &Path) -> std::result::Result<AccessToken, String> {
        let text = files::read_text(path).await.map_err(|unread| format!("no access token: {}", unread.clause))?;
        let shown = redact::known_path(path);
        let token = ConjurToken::parse(text.as_bytes()).map_err(|reason| {
            format!("the content of {shown} is {reason}: check `token_file` and the program that writes it")
        })?;
        let now = self.clock.now();
        let ends = token.end();
        if let Some(ago) = ends.and_then(|ends| now.duration_since(ends).ok()) {
            let seconds = ago.as_secs();
            return Err(format!(
                "the access token in {shown} has expired {seconds} seconds ago: check that the program that writes it runs, and \
                 this machine's clock"
            ));
        }
        self.made(&token, ends.or_else(|| now.checked_add(UNKNOWN))).map_err(str::to_owned)
    }

    /// Sends a login, and returns when, with the answer.
    async fn log_in(&self, stage: &LoadStage) -> Result<(SystemTime, HttpResponse)> {
        let credentials = &self.credentials;
        let body = credentials.body(&self.label, stage).await?;
        stage.asks("Conjur");
        let (service, login) = (credentials.service.as_deref(), credentials.login.as_deref());
        let url = self.address.authenticate(credentials.authenticator, service, login);
        let mut request = Request::new(body.bytes.to_vec());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| self.at(Kind::Config, "no valid URL: correct endpoint_url"))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(body.kind));
        let asked = self.clock.now();
        let limit = self.timeout.mul_f64(LIMIT);
        match tokio::time::timeout(limit, self.client.send(request)).await {
            Ok(answer) => Ok((asked, answer?)),
            Err(_) => {
                Err(self.at(Kind::Timeout, &format!("no answer to the login within {} seconds", limit.as_secs_f64())))
            }
        }
    }

    pub fn context(&self) -> LoginContext<'_> {
        let Credentials { authenticator, service, login, origin, .. } = &self.credentials;
        LoginContext {
            place: format!("{} at {}", self.label, self.place),
            authenticator,
            service: service.as_deref(),
            login: login.as_deref(),
            origin,
            clock: self.clock.flaw(),
        }
    }

    fn at(&self, kind: Kind, reason: &str) -> Error {
        Error::new(kind, format!("{} at {}: {reason}", self.label, self.place))
    }

    fn error(&self, kind: Kind, reason: &str) -> Error {
        Error::new(kind, format!("{}: {reason}", self.label))
    }
}
