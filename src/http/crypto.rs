//! The cryptography of all TLS here.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// ring's provider. The process's default is not used.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
