//! From options to the method that they choose.

use super::approle::AppRole;
use super::aws_ec2::Ec2;
use super::aws_iam::CallerIdentity;
use super::azure::ManagedIdentity;
use super::cert::Cert;
use super::gcp::{Gce, Iam};
use super::jwt::Jwt;
use super::kubernetes::Kubernetes;
use super::password::Password;
use super::{AuthContext, Method};
use crate::backend::hcv::path;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;
use crate::settings::Settings;

/// The method that logs in; `None` for a token that is given to us.
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
        "azure" => Box::new(ManagedIdentity::new(context)?),
        "userpass" => Box::new(Password::userpass(context)?),
        "ldap" => Box::new(Password::ldap(context)?),
        _ => return Ok(None),
    }))
}

/// An option that is set to something.
pub fn text<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    settings.text(name).filter(|text| !text.is_empty())
}

pub fn secret(settings: &Settings, name: &str) -> Option<Secret> {
    settings.secret(name).filter(|secret| !secret.is_empty()).cloned()
}

/// An option's text, empty where it is not set.
pub fn role(context: &AuthContext<'_>, name: &str) -> String {
    text(context.settings, name).unwrap_or_default().to_owned()
}

/// Where a method logs in: the option is where it is mounted, or the whole path, as Kong has it for some methods.
pub fn login_path(context: &AuthContext<'_>, option: &str) -> Result<String> {
    let written = role(context, option);
    of_login(&written).map_err(|fault| Error::new(Kind::Config, format!("{}: `{option}` {fault}", context.api.label)))
}

fn of_login(written: &str) -> std::result::Result<String, &'static str> {
    let path = written.trim_matches('/');
    let whole = path.strip_prefix("v1/").unwrap_or(path);
    let mount = whole.strip_prefix("auth/").unwrap_or(whole);
    let mount = match mount.strip_suffix("/login") {
        Some(mount) if whole.len() != mount.len() + "/login".len() => mount,
        _ => mount,
    };
    Ok(format!("/v1/auth/{}/login", path::encode(mount)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_and_the_path_of_its_login_are_the_same() {
        for written in ["aws", "/aws/", "auth/aws", "/v1/auth/aws/login", "v1/auth/aws/login", "auth/aws/login"] {
            assert_eq!(of_login(written).unwrap(), "/v1/auth/aws/login", "{written}");
        }
        assert_eq!(of_login("team/a b").unwrap(), "/v1/auth/team/a%20b/login");
        assert_eq!(of_login("team/login").unwrap(), "/v1/auth/team/login/login", "a mount of that name");
        for written in ["", "/", "../sys", "a//b", "a/../b", "a\nb", "v1/auth/../../sys/login"] {
            assert!(of_login(written).is_err(), "{written:?}");
        }
    }
}
