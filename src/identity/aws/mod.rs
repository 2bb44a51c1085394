//! Who we are to AWS: credentials from wherever AWS's own clients look for them, in their order, and what they are used
//! for: signatures, and roles that are assumed with them. A room of its own, as more than one vault proves itself by it.
//!
//! What is here is written on our own HTTP client. AWS's own providers ask the process environment, which nginx wipes, and
//! can't be told otherwise from outside their crate.

mod cache;
mod chain;
mod client;
mod clock;
mod credentials;
mod ecs;
mod endpoint;
mod files;
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

pub use chain::{Chain, Wanted};
pub use client::{address, send_in_time, shown};
pub use clock::Clock;
pub use credentials::{AccessKeys, Login};
pub use endpoint::{Endpoint, Located, SECRETS_MANAGER};
pub use region::{REGION, set};
pub use service_error::{ServiceError, throttled, unavailable};
pub use sigv4::{signed, unsigned};
pub use sts::{Role, SESSION, caller_identity};

/// Variables that hold credentials of AWS's, by all names that its tools have for them.
pub const CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];
