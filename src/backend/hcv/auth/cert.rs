//! `cert`: the client certificate of the TLS connection, which the transport presents. The login itself only names the
//! role.

use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role};
use crate::backend::hcv::api::object;
use crate::error::Result;

pub struct Cert {
    path: String,
    role: String,
}

impl Cert {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        Ok(Self { path: login_path(context, "cert_auth_path")?, role: role(context, "cert_auth_role_name") })
    }
}

impl Method for Cert {
    fn name(&self) -> &'static str {
        "cert"
    }

    fn remedy(&self) -> &'static str {
        "check that `cert_auth_cert` is of a CA that the method trusts, that it has not expired, and `cert_auth_role_name`"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        // Without a name the vault tries all its roles.
        let body = if self.role.is_empty() { object(&[]) } else { object(&[("name", &self.role)]) };
        Box::pin(std::future::ready(Ok(LoginRequest { path: self.path.clone(), body })))
    }
}
