//! What a way to log in is: what it is made from, and what it brings.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use zeroize::Zeroizing;

use super::external::ClientFactory;
use crate::backend::hcv::api::VaultApi;
use crate::error::Result;
use crate::options::settings::Settings;

/// A token to send, or none: an agent in front of the vault may add its own.
#[derive(Debug, Clone)]
pub struct AuthToken {
    pub token: Option<HeaderValue>,
    /// Which of the tokens that we had one after the other.
    pub(super) number: u64,
}

/// What a login sends.
pub struct LoginRequest {
    /// From `/v1/` on, percent-encoded.
    pub path: String,
    pub body: Zeroizing<Vec<u8>>,
}

pub type PreparingLogin<'a> = Pin<Box<dyn Future<Output = Result<LoginRequest>> + Send + 'a>>;

/// A way to prove who we are.
pub trait Method: Send + Sync {
    /// The option's value, for error texts.
    fn name(&self) -> &'static str;

    /// What to look at when the vault refuses the proof.
    fn remedy(&self) -> &'static str;

    /// Makes a new proof; it may read files and ask others for it.
    fn login_request(&self) -> PreparingLogin<'_>;
}

/// What a method is made from.
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
