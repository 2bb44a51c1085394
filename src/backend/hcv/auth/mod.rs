//! Logs in to the vault. Whatever the method, a fetch asks `Auth` for a token.
//!
//! A method only prepares logins (`Method`). `session` keeps and renews the token that the vault returns.

mod answer;
mod files;
mod lease;
mod method;
mod params;
mod registry;
mod session;
mod token;

mod approle;
mod aws_ec2;
mod aws_iam;
mod cert;
mod entra;
mod gcp_login;
mod jwt;
mod kubernetes;
mod password;

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use crate::error::Result;
use crate::http::HttpResponse;
pub(super) use crate::identity::external::ClientFactory;
pub(super) use method::{AuthContext, AuthToken};
use session::{Session, Way};
use token::{FixedToken, TokenFile};

/// The configured method, and its present token.
pub(super) enum Auth {
    Fixed(FixedToken),
    TokenFile(TokenFile),
    Session(Session),
}

impl Auth {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        if let Some(method) = registry::choose(context)? {
            return Ok(Auth::Session(Session::new(Way::Method(method), context)));
        }
        if let Some(path) = params::text(context.settings, "token_file") {
            return Ok(Auth::TokenFile(TokenFile::new(&context.api.label, path, context.timeout)));
        }
        let fixed = FixedToken::new(context.settings, &context.api.label)?;
        // In init the token is used once, and later backends renew it.
        match fixed.auth_token().token.filter(|_| context.lasts && context.settings.boolean("token_renew")) {
            Some(token) => Ok(Auth::Session(Session::new(Way::Given(token), context))),
            None => Ok(Auth::Fixed(fixed)),
        }
    }

    /// The token for the next request. It may wait for a login.
    pub async fn auth_token(&self) -> Result<AuthToken> {
        match self {
            Auth::Fixed(fixed) => Ok(fixed.auth_token()),
            Auth::TokenFile(token_file) => token_file.auth_token().await,
            Auth::Session(session) => session.auth_token().await,
        }
    }

    /// A new token, where the answer says that the one sent is no longer valid.
    pub async fn replace(&self, auth_token: &AuthToken, answer: &HttpResponse) -> Result<Option<AuthToken>> {
        match self {
            Auth::Fixed(_) => Ok(None),
            Auth::TokenFile(token_file) => token_file.replace(auth_token).await,
            Auth::Session(session) => session.replace(auth_token, answer).await,
        }
    }

    /// Notes that the vault accepted the token.
    pub fn served(&self, auth_token: &AuthToken) {
        if let Auth::Session(session) = self {
            session.served(auth_token);
        }
    }

    /// When the token of the last login ends, as far as it has an end.
    pub fn ends(&self) -> Option<Instant> {
        match self {
            Auth::Session(session) => session.ends(),
            _ => None,
        }
    }

    /// Revokes the token, where that is configured.
    pub fn shutdown(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        match self {
            Auth::Session(session) => session.shutdown(),
            _ => None,
        }
    }
}
