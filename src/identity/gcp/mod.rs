//! Google credentials, from wherever Google's own libraries look for them, in their order or in Kong's, and impersonation of
//! further accounts. It is a room of its own, as more than one backend needs them.

mod aws_subject;
mod destination;
mod exchange;
mod identity;
mod login;
mod metadata;
mod service_account;
mod sources;
mod subject;
mod written;

pub use destination::EMAIL;
pub use identity::{GoogleIdentity, IdentityOptions, iam_credentials_api};
pub use login::GoogleLogin;
pub use service_account::ServiceAccount;
pub use sources::set;

/// Variables that hold Google credentials.
pub const CREDENTIALS: &[&str] = &[sources::KEY];

/// The pattern of a project's id or number, which becomes a part of a URL.
pub const PROJECT: &str = r"[a-z0-9]([a-z0-9.:-]{0,98}[a-z0-9])?";
