//! The cryptography of all TLS here.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The one of ring: no default of the process is asked.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
