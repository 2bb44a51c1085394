//! HTTP for backends: one place for TLS, name resolution and bounded bodies. Redirects are never followed here: where a
//! credential may go is the backend's decision.
//!
//! It uses files, threads of the pool and redaction. It must never know a vault, nor what a body holds.

mod asked;
mod body;
mod client;
mod client_cache;
mod connect_check;
mod crypto;
mod dialer;
mod dns;
mod error;
pub mod options;
mod pem;
mod probe;
mod proxied_tls;
mod proxy;
mod route;
mod tls;
pub mod transport;
mod trust_store;
mod verifier;

pub use asked::{Asked, noting};
pub use client::Client;
pub use pem::Pem;
pub use transport::{BODY_LIMIT, HttpResponse, Transport};

/// Variables that may hold credentials: a proxy's URL may have a password in it.
pub const CREDENTIALS: &[&str] =
    &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY_AUTHORIZATION", "HTTPS_PROXY_AUTHORIZATION"];
