//! Reads the options of auth methods.

use super::method::AuthContext;
use crate::backend::hcv::path;
use crate::error::{Error, Kind, Result};
use crate::options::settings::Settings;
use crate::secret::Secret;

/// An option's text, if it is set and not empty.
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

/// The path of a method's login. The option is its mount path, or the whole path, as in Kong for some methods.
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
