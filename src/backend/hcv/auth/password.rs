//! `userpass` and `ldap`: a name and a password.

use percent_encoding::utf8_percent_encode;

use super::methods::{login_path, role, secret};
use super::{Means, Method, Proof, Proving};
use crate::backend::hcv::api::object;
use crate::backend::hcv::path::ENCODED;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

pub struct Password {
    name: &'static str,
    remedy: &'static str,
    path: String,
    password: Secret,
}

impl Password {
    pub fn userpass(means: &Means<'_>) -> Result<Self> {
        let remedy = "check `userpass_username` and `userpass_password`";
        Self::new(means, "userpass", remedy, ["userpass_auth_path", "userpass_username", "userpass_password"])
    }

    pub fn ldap(means: &Means<'_>) -> Result<Self> {
        let remedy = "check `ldap_username` and `ldap_password`, and the method's own connection to its directory";
        Self::new(means, "ldap", remedy, ["ldap_auth_path", "ldap_username", "ldap_password"])
    }

    fn new(
        means: &Means<'_>,
        name: &'static str,
        remedy: &'static str,
        [path, user, password]: [&'static str; 3],
    ) -> Result<Self> {
        let username = role(means, user);
        if matches!(username.as_str(), "" | "." | "..") || username.chars().any(char::is_control) {
            return Err(Error::new(Kind::Config, format!("{}: `{user}` is no user's name", means.api.label)));
        }
        let path = format!("{}/{}", login_path(means, path)?, utf8_percent_encode(&username, ENCODED));
        Ok(Self { name, remedy, path, password: secret(means.settings, password).unwrap_or_default() })
    }
}

impl Method for Password {
    fn name(&self) -> &'static str {
        self.name
    }

    fn remedy(&self) -> &'static str {
        self.remedy
    }

    fn prove(&self) -> Proving<'_> {
        let body = object(&[("password", self.password.as_str().unwrap_or_default())]);
        Box::pin(std::future::ready(Ok(Proof { path: self.path.clone(), body })))
    }
}
