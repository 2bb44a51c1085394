//! The list of all backends. A new one is added here.

use super::Descriptor;

/// All backends.
pub const ALL: &[&Descriptor] = &[
    &super::env::DESCRIPTOR,
    &super::hcv::DESCRIPTOR,
    &super::aws::DESCRIPTOR,
    &super::gcp::DESCRIPTOR,
    &super::azure::DESCRIPTOR,
    &super::azure::CERTIFICATES,
    &super::conjur::DESCRIPTOR,
    &super::fs::DESCRIPTOR,
];

/// Environment variables that hold credentials for vaults, other than those of options.
pub const CREDENTIALS: &[&[&str]] = &[
    crate::http::CREDENTIALS,
    crate::identity::aws::CREDENTIALS,
    crate::identity::gcp::CREDENTIALS,
    crate::identity::azure::CREDENTIALS,
    super::hcv::CREDENTIALS,
    super::conjur::CREDENTIALS,
];

/// The backend of that name.
pub fn find(name: &str) -> Option<&'static Descriptor> {
    ALL.iter().copied().find(|descriptor| descriptor.name == name)
}
