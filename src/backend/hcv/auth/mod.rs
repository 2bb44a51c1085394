//! Who we are to the vault. One way in: whatever the method, a fetch asks for a pass and gets one.
//!
//! A method only proves who we are (`Method`); what becomes of the token that the vault gives for it is `session`'s.

mod answer;
mod files;
mod json;
mod lease;
mod methods;
mod outside;
mod session;
mod token;

mod approle;
mod cert;
mod ec2;
mod google;
mod jwt;
mod kubernetes;
mod managed_identity;
mod password;
mod service_account;
mod sts;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use zeroize::Zeroizing;

use super::api::Api;
use crate::backend::http::Answer;
use crate::error::Result;
use crate::settings::Settings;
pub(super) use outside::Doors;
use session::{Session, Way};
use token::{Fixed, Sink};

/// A token to send, or none: an agent in front of the vault may add its own.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub token: Option<HeaderValue>,
    /// Which of the tokens that we had one after the other.
    number: u64,
}

/// What a login sends.
pub(super) struct Proof {
    /// From `/v1/` on, percent-encoded.
    pub path: String,
    pub body: Zeroizing<Vec<u8>>,
}

pub(super) type Proving<'a> = Pin<Box<dyn Future<Output = Result<Proof>> + Send + 'a>>;

/// A way to prove who we are.
pub(super) trait Method: Send + Sync {
    /// The option's value, for error texts.
    fn name(&self) -> &'static str;

    /// What to look at when the vault refuses the proof.
    fn remedy(&self) -> &'static str;

    /// Makes a new proof; it may read files and ask others for it.
    fn prove(&self) -> Proving<'_>;
}

/// What a method is made from.
pub(super) struct Means<'a> {
    pub api: &'a Arc<Api>,
    pub settings: &'a Settings,
    /// The namespace of the login.
    pub namespace: Option<HeaderValue>,
    /// See `Setup::lasts`.
    pub lasts: bool,
    pub timeout: Duration,
    pub doors: &'a Doors<'a>,
}

/// The configured method, and the token that it has by now.
pub(super) enum Auth {
    Fixed(Fixed),
    Sink(Sink),
    Session(Session),
}

impl Auth {
    pub fn new(means: &Means<'_>) -> Result<Self> {
        if let Some(method) = methods::choose(means)? {
            return Ok(Auth::Session(Session::new(Way::Method(method), means)));
        }
        if let Some(path) = methods::text(means.settings, "token_file") {
            return Ok(Auth::Sink(Sink::new(&means.api.label, path, means.timeout)));
        }
        let fixed = Fixed::new(means.settings, &means.api.label)?;
        // In init it is used once, and whoever comes after looks after it.
        match fixed.pass().token.filter(|_| means.lasts && means.settings.boolean("token_renew")) {
            Some(token) => Ok(Auth::Session(Session::new(Way::Given(token), means))),
            None => Ok(Auth::Fixed(fixed)),
        }
    }

    /// The token of the next request. A method that logs in does so here, and may wait for it.
    pub async fn pass(&self) -> Result<Pass> {
        match self {
            Auth::Fixed(fixed) => Ok(fixed.pass()),
            Auth::Sink(sink) => sink.pass().await,
            Auth::Session(session) => session.pass().await,
        }
    }

    /// A new token, where the answer says that the one sent is no longer any.
    pub async fn replace(&self, pass: &Pass, answer: &Answer) -> Result<Option<Pass>> {
        match self {
            Auth::Fixed(_) => Ok(None),
            Auth::Sink(sink) => sink.replace(pass).await,
            Auth::Session(session) => session.replace(pass, answer).await,
        }
    }

    /// The token was of use.
    pub fn served(&self, pass: &Pass) {
        if let Auth::Session(session) = self {
            session.served(pass);
        }
    }

    /// Gives the token back, where that is wanted.
    pub fn farewell(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        match self {
            Auth::Session(session) => session.farewell(),
            _ => None,
        }
    }
}
