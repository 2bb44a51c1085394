//! Credentials of clouds, for vaults of any kind.
//!
//! It uses HTTP and files. It must never know a vault.

pub mod access_token;
pub mod aws;
pub mod azure;
pub mod client;
pub mod clock;
pub mod credentials_cache;
pub mod external;
pub mod files;
pub mod gcp;
pub mod json;
pub mod oauth;
mod program;
pub mod x509;
