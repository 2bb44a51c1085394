//! The interface of an auth method: its input and its output.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use zeroize::Zeroizing;

use crate::backend::hcv::api::VaultApi;
use crate::error::Result;
use crate::identity::external::ClientFactory;
use crate::options::settings::Settings;

/// A token to send, or none: an agent in front of the vault may add one.
#[derive(Debug, Clone)]
pub struct AuthToken {
    pub token: Option<HeaderValue>,
    /// The number of the token among those that were used one after the other.
    pub(super) number: u64,
}

/// A login's request.
pub struct LoginRequest {
    /// From `/v1/` on, percent-encoded.
    pub path: String,
    pub body: Zeroizing<Vec<u8>>,
}

pub type PreparingLogin<'a> = Pin<Box<dyn Future<Output = Result<LoginRequest>> + Send + 'a>>;

/// An auth method.
pub trait Method: Send + Sync {
    /// The option's value, for error texts.
    fn name(&self) -> &'static str;

    /// What to check when the vault refuses the login.
    fn remedy(&self) -> &'static str;

    /// Prepares a login. It may read files and ask other servers.
    fn login_request(&self) -> PreparingLogin<'_>;
}

/// What a method is created from.
pub struct AuthContext<'a> {
    pub api: &'a Arc<VaultApi>,
    pub settings: &'a Settings,
    /// The namespace of the login.
    pub namespace: Option<HeaderValue>,
    /// See `Setup::lasts`.
    pub lasts: bool,
    pub timeout: Duration,
    pub clients: &'a ClientFactory<'a>,
}
