//! An access token of Google's, or the reason why there is none.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Error;
use crate::identity::access_token::AccessToken;
use crate::identity::credentials_cache::Credential;

/// The scope of all tokens.
pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Why a source has no token.
pub enum NoToken {
    /// It is not configured: a clause.
    NotSetUp(String),
    Failed(Error),
}

impl From<Error> for NoToken {
    fn from(error: Error) -> Self {
        NoToken::Failed(error)
    }
}

/// A token, and what its source says about projects. Clones are cheap.
#[derive(Clone, Debug)]
pub struct GoogleLogin {
    pub token: AccessToken,
    /// The domain of all services.
    pub universe: Arc<str>,
    /// The project whose quota requests use, if it is not the account's own.
    pub quota_project: Option<Arc<str>>,
    /// The project of the credentials.
    pub project: Option<Arc<str>>,
    /// Whether the metadata server knows the project.
    pub is_of_machine: bool,
    /// Whether a key signed the token, so that no server was asked for it.
    pub is_self_signed: bool,
}

impl Credential for GoogleLogin {
    fn origin(&self) -> &str {
        self.token.origin()
    }

    fn expiry(&self) -> Option<SystemTime> {
        self.token.expiry()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.token.is_same(&other.token)
    }
}
