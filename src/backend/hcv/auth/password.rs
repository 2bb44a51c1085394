//! `userpass` and `ldap`: a name and a password.

use percent_encoding::utf8_percent_encode;

use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role, secret};
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
    pub fn userpass(context: &AuthContext<'_>) -> Result<Self> {
        let remedy = "check `userpass_username` and `userpass_password`";
        Self::new(context, "userpass", remedy, ["userpass_auth_path", "userpass_username", "userpass_password"])
    }

    pub fn ldap(context: &AuthContext<'_>) -> Result<Self> {
        let remedy = "check `ldap_username` and `ldap_password`, and the method's own connection to its directory";
        Self::new(context, "ldap", remedy, ["ldap_auth_path", "ldap_username", "ldap_password"])
    }

    fn new(
        context: &AuthContext<'_>,
        name: &'static str,
        remedy: &'static str,
        [path, user, password]: [&'static str; 3],
    ) -> Result<Self> {
        let username = role(context, user);
        if matches!(username.as_str(), "" | "." | "..") || username.chars().any(char::is_control) {
            return Err(Error::new(Kind::Config, format!("{}: `{user}` is no user's name", context.api.label)));
        }
        let path = format!("{}/{}", login_path(context, path)?, utf8_percent_encode(&username, ENCODED));
        Ok(Self { name, remedy, path, password: secret(context.settings, password).unwrap_or_default() })
    }
}

impl Method for Password {
    fn name(&self) -> &'static str {
        self.name
    }

    fn remedy(&self) -> &'static str {
        self.remedy
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        let body = object(&[("password", self.password.as_str().unwrap_or_default())]);
        Box::pin(std::future::ready(Ok(LoginRequest { path: self.path.clone(), body })))
    }
}
