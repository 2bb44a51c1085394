//! Who we are to Azure: tokens of Entra ID for an application, with its secret, its certificate or a federated token, and
//! those of a machine's managed identity. The variables and their order are those of Azure's own clients.

mod application;
mod arc;
mod assertion;
mod cloud;
mod imds;
mod managed;
mod managed_token;
mod refusal;
mod source;

use std::sync::Arc;

use super::access_token::AccessToken;
use super::clock::Clock;
use super::credentials_cache::CredentialsCache;
use crate::error::{Kind, Result};
pub use cloud::{CLOUDS, Cloud, is_below, is_plain_server, variable};
pub use imds::{PLACE as METADATA_PLACE, USUAL as METADATA};
pub use managed::UserAssigned;
pub use source::{METHODS, Source, Wanted};

/// Variables that hold credentials, by all names that Azure's tools have for them.
pub const CREDENTIALS: &[&str] = &[
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    // It may hold the PEM text itself.
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_PASSWORD",
    "AZURE_HTTP_PROXY",
    "AZURE_HTTPS_PROXY",
    "AZURE_AUTH_PASSWORD",
    "IDENTITY_HEADER",
    "MSI_SECRET",
];

/// A part of the time that a fetch has: whoever waits for a token in vain has to say so before the fetch ends.
const PATIENCE: f64 = 0.9;

/// The same for one question on the way to a token.
const QUESTION: f64 = 0.8;

/// The token of one vault: had once, renewed ahead.
pub struct Identity {
    cache: CredentialsCache<AccessToken>,
    source: Arc<Source>,
}

impl Identity {
    /// `resource`: whom the tokens are for, as a URL without a slash at its end. Files are not touched before they are needed.
    pub fn new(wanted: &Wanted<'_>, resource: &str) -> Result<Self> {
        let clock = Clock::default();
        let timeout = wanted.transport.timeout;
        let source = Arc::new(Source::choose(wanted, clock.clone(), timeout.mul_f64(QUESTION))?);
        let label = format!("{} getting a token", wanted.transport.label);
        let (loads, resource, now) = (Arc::clone(&source), resource.to_owned(), clock.clone());
        let cache = CredentialsCache::new(&label, timeout.mul_f64(PATIENCE), clock, move |stage| {
            let (source, resource, clock) = (Arc::clone(&loads), resource.clone(), now.clone());
            Box::pin(async move {
                let asked = clock.now();
                let granted = source.token(&resource, &|who| stage.asks(who)).await?;
                // Entra may have corrected the clock meanwhile.
                AccessToken::bearer(&granted.token, source.origin(), asked.min(clock.now()), granted.life)
                    .map_err(|reason| source.error(Kind::Invalid, reason))
            })
        });
        Ok(Self { cache, source })
    }

    /// A token that is good now.
    pub async fn token(&self) -> Result<AccessToken> {
        self.cache.get().await
    }

    /// Another one, where the vault says that this one has ended or is not taken.
    pub async fn instead_of(&self, refused: &AccessToken) -> Result<Option<AccessToken>> {
        self.cache.instead_of(refused).await
    }

    /// Who we are, and by what that is proved; without a secret.
    pub fn describe(&self) -> String {
        self.source.describe()
    }

    /// The tenant that is logged in to, where it is known before.
    pub fn tenant(&self) -> Option<&str> {
        self.source.tenant()
    }
}
