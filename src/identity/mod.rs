//! Credentials of clouds, for vaults of any kind.
//!
//! It uses HTTP and files. It must never know a vault.

pub mod aws;
