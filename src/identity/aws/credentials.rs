//! An identity to sign with and its origin, or why there is none.

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::identity::credentials_cache::Credential;

/// The name of the first source in error texts.
pub const ENVIRONMENT: &str = "the environment";

/// Credentials for signing. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Login {
    pub identity: Identity,
    /// For error texts, such as `the environment`.
    pub origin: Arc<str>,
    pub expiry: Option<SystemTime>,
    /// Whether AWS accepts them for some time after their end, while their source can't be asked.
    pub outlasts: bool,
}

/// Credentials as a source returns them.
pub struct AccessKeys {
    pub id: Zeroizing<String>,
    pub key: Zeroizing<String>,
    pub token: Option<Zeroizing<String>>,
    pub expiry: Option<SystemTime>,
}

impl AccessKeys {
    pub fn new(id: &str, key: &str, token: Option<&str>) -> Self {
        let wiped = |text: &str| Zeroizing::new(text.to_owned());
        Self { id: wiped(id), key: wiped(key), token: token.map(wiped), expiry: None }
    }
}

impl Login {
    /// Checks what the signer does not: that access key and token can be sent in headers. The error is a clause.
    pub fn new(origin: impl Into<Arc<str>>, keys: &AccessKeys) -> Result<Self, String> {
        let origin = origin.into();
        let sendable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !sendable(&keys.id) || !keys.token.as_ref().is_none_or(|token| sendable(token)) {
            return Err(format!(
                "access key or session token from {origin} hold a character that cannot be sent: copy them without \
                 spaces and line breaks"
            ));
        }
        let token = keys.token.as_ref().map(|token| token.as_str().to_owned());
        let credentials = Credentials::new(keys.id.as_str(), keys.key.as_str(), token, keys.expiry, "kong-vault");
        Ok(Self { identity: Identity::from(credentials), origin, expiry: keys.expiry, outlasts: false })
    }
}

impl Credential for Login {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }

    fn is_same(&self, other: &Self) -> bool {
        let keys = |login: &Self| {
            let keys = login.identity.data::<Credentials>()?.clone();
            Some((keys.access_key_id().to_owned(), keys.session_token().map(str::to_owned), keys))
        };
        match (keys(self), keys(other)) {
            (Some((id, token, one)), Some((other_id, other_token, other))) => {
                id == other_id && token == other_token && one.secret_access_key() == other.secret_access_key()
            }
            _ => false,
        }
    }

    fn outlasts(&self) -> bool {
        self.outlasts
    }
}

/// Why a source has no credentials.
pub enum NoCredentials {
    /// It is not configured: a clause.
    Absent(String),
    Failed(Error),
}

impl From<Error> for NoCredentials {
    fn from(error: Error) -> Self {
        NoCredentials::Failed(error)
    }
}
