//! Chooses the auth method by the options.

use super::approle::AppRole;
use super::aws_ec2::Ec2;
use super::aws_iam::CallerIdentity;
use super::cert::Cert;
use super::entra::Entra;
use super::gcp_login::{Gce, Iam};
use super::jwt::Jwt;
use super::kubernetes::Kubernetes;
use super::method::{AuthContext, Method};
use super::password::Password;
use crate::error::Result;

/// The method that logs in; `None` where the token is configured.
pub fn choose(context: &AuthContext<'_>) -> Result<Option<Box<dyn Method>>> {
    Ok(Some(match context.settings.text("auth_method").unwrap_or_default() {
        "kubernetes" => Box::new(Kubernetes::new(context)?),
        "approle" => Box::new(AppRole::new(context)?),
        "cert" => Box::new(Cert::new(context)?),
        "jwt" | "oauth2" => Box::new(Jwt::new(context)?),
        "aws_iam" => Box::new(CallerIdentity::new(context)?),
        "aws_ec2" => Box::new(Ec2::new(context)?),
        "gcp_gce" => Box::new(Gce::new(context)?),
        "gcp_iam" => Box::new(Iam::new(context)?),
        "azure" => Box::new(Entra::new(context)?),
        "userpass" => Box::new(Password::userpass(context)?),
        "ldap" => Box::new(Password::ldap(context)?),
        _ => return Ok(None),
    }))
}
