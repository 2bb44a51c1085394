//! AWS credentials, from wherever AWS's own clients look for them and in their order, and their uses: signatures, and
//! roles that are assumed with them. It is a room of its own, as more than one backend needs them.
//!
//! It is written on this crate's HTTP client. AWS's own providers read the process environment, which nginx wipes, and
//! that can't be changed from outside their crate.

mod chain;
mod client;
mod credentials;
mod ecs;
mod endpoint;
mod imds;
mod parse;
mod process;
mod profile;
mod region;
mod service_error;
mod sigv4;
mod sources;
mod sso;
mod sts;

pub use chain::{AwsContext, Chain, Wanted};
pub use client::{send_in_time, shown};
pub use credentials::{AccessKeys, Login};
pub use endpoint::{Endpoint, Located, SECRETS_MANAGER};
pub use parse::{keys, time};
pub use region::{REGION, check_region, set};
pub use service_error::{ServiceError, throttled, unavailable};
pub use sigv4::{signed, unsigned};
pub use sts::{Role, SESSION, caller_identity};

/// Variables that hold AWS credentials, by all the names that AWS's tools have for them.
pub const CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];
