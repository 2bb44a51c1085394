//! Who we are to the vault. One way in: whatever the method, a fetch asks for a pass and gets one.
//!
//! A method only proves who we are (`Method`); what becomes of the token that the vault gives for it is `session`'s.

mod answer;
mod external;
mod files;
mod json;
mod lease;
mod registry;
mod session;
mod token;

mod approle;
mod aws_ec2;
mod aws_iam;
mod azure;
mod cert;
mod gcp;
mod gcp_service_account;
mod jwt;
mod kubernetes;
mod password;

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
pub(super) use external::ClientFactory;
use session::{Session, Way};
use token::{Fixed, TokenFile};

/// A token to send, or none: an agent in front of the vault may add its own.
#[derive(Debug, Clone)]
pub(super) struct AuthToken {
    pub token: Option<HeaderValue>,
    /// Which of the tokens that we had one after the other.
    number: u64,
}

/// What a login sends.
pub(super) struct LoginRequest {
    /// From `/v1/` on, percent-encoded.
    pub path: String,
    pub body: Zeroizing<Vec<u8>>,
}

pub(super) type PreparingLogin<'a> = Pin<Box<dyn Future<Output = Result<LoginRequest>> + Send + 'a>>;

/// A way to prove who we are.
pub(super) trait Method: Send + Sync {
    /// The option's value, for error texts.
    fn name(&self) -> &'static str;

    /// What to look at when the vault refuses the proof.
    fn remedy(&self) -> &'static str;

    /// Makes a new proof; it may read files and ask others for it.
    fn login_request(&self) -> PreparingLogin<'_>;
}

/// What a method is made from.
pub(super) struct AuthContext<'a> {
    pub api: &'a Arc<Api>,
    pub settings: &'a Settings,
    /// The namespace of the login.
    pub namespace: Option<HeaderValue>,
    /// See `Setup::lasts`.
    pub lasts: bool,
    pub timeout: Duration,
    pub clients: &'a ClientFactory<'a>,
}

/// The configured method, and the token that it has by now.
pub(super) enum Auth {
    Fixed(Fixed),
    TokenFile(TokenFile),
    Session(Session),
}

impl Auth {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        if let Some(method) = registry::choose(context)? {
            return Ok(Auth::Session(Session::new(Way::Method(method), context)));
        }
        if let Some(path) = registry::text(context.settings, "token_file") {
            return Ok(Auth::TokenFile(TokenFile::new(&context.api.label, path, context.timeout)));
        }
        let fixed = Fixed::new(context.settings, &context.api.label)?;
        // In init it is used once, and whoever comes after looks after it.
        match fixed.auth_token().token.filter(|_| context.lasts && context.settings.boolean("token_renew")) {
            Some(token) => Ok(Auth::Session(Session::new(Way::Given(token), context))),
            None => Ok(Auth::Fixed(fixed)),
        }
    }

    /// The token of the next request. A method that logs in does so here, and may wait for it.
    pub async fn auth_token(&self) -> Result<AuthToken> {
        match self {
            Auth::Fixed(fixed) => Ok(fixed.auth_token()),
            Auth::TokenFile(token_file) => token_file.auth_token().await,
            Auth::Session(session) => session.auth_token().await,
        }
    }

    /// A new token, where the answer says that the one sent is no longer any.
    pub async fn replace(&self, auth_token: &AuthToken, answer: &Answer) -> Result<Option<AuthToken>> {
        match self {
            Auth::Fixed(_) => Ok(None),
            Auth::TokenFile(token_file) => token_file.replace(auth_token).await,
            Auth::Session(session) => session.replace(auth_token, answer).await,
        }
    }

    /// The token was of use.
    pub fn served(&self, auth_token: &AuthToken) {
        if let Auth::Session(session) = self {
            session.served(auth_token);
        }
    }

    /// Gives the token back, where that is wanted.
    pub fn shutdown(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        match self {
            Auth::Session(session) => session.shutdown(),
            _ => None,
        }
    }
}
