//! Every vault there is: a new one is announced here.

use super::Descriptor;

/// Every backend there is.
pub const ALL: &[&Descriptor] = &[&super::env::DESCRIPTOR, &super::hcv::DESCRIPTOR, &super::aws::DESCRIPTOR];

/// Variables of the environment, other than those of options, that hold credentials for vaults.
pub const CREDENTIALS: &[&[&str]] =
    &[crate::http::CREDENTIALS, crate::identity::aws::CREDENTIALS, super::hcv::CREDENTIALS];

/// The backend of that name.
pub fn find(name: &str) -> Option<&'static Descriptor> {
    ALL.iter().copied().find(|descriptor| descriptor.name == name)
}
