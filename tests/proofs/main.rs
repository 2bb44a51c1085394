//! The tests' stand-ins for vendors' servers, proven by the vendors' own clients: `make proofs`.

#[path = "../support/mod.rs"]
mod support;

mod aws;
mod azure;
mod conjur;
mod gcp;
mod hcv;
mod secrets_manager;
