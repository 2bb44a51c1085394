//! How a profile gets its credentials: the first ones, and the roles that are assumed with them, one after the other.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::set::{CONFIG, CREDENTIALS, ProfileLayers, ProfileSet};
use super::unfit::Unfit;
use crate::identity::aws::client::shown;
use crate::identity::aws::credentials::{AccessKeys, Login};
use crate::identity::aws::sts::{Role, SESSION};

pub struct SourceChain {
    pub base: Base,
    /// The profile of the base, for error texts: `profile base`.
    pub origin: String,
    /// In the order in which they are assumed.
    pub roles: Vec<Role>,
}

/// The first credentials.
pub enum Base {
    AccessKeys(Login),
    Named(Named),
    WebIdentity(WebIdentity),
    SignOn(SignOn),
    Process(Zeroizing<String>),
}

/// A value of `credential_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Environment,
    Container,
    Metadata,
}

/// A role that is assumed with a token in a file, which another program writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    pub token_file: PathBuf,
    pub role: Role,
}

/// An account's role for a user who signed in to IAM Identity Center.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOn {
    /// The token file's name is derived from this: the session's name, or the start URL without a session.
    pub session: String,
    pub region: String,
    pub account: String,
    pub role: String,
}

/// The longest chain of source profiles: far longer than a real one.
const DEPTH: usize = 16;

/// The keys that are read, except for access keys, which are never shown.
const READ: [&str; 19] = [
    "credential_process",
    "credential_source",
    "duration_seconds",
    "ec2_metadata_service_endpoint",
    "ec2_metadata_service_endpoint_mode",
    "ec2_metadata_v1_disabled",
    "external_id",
    "login_session",
    "mfa_serial",
    "region",
    "role_arn",
    "role_session_name",
    "source_profile",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];

/// Whether a value continues in indented lines. Those lines were most likely meant as keys, perhaps with credentials:
/// such a value is not used, and never shown.
pub fn goes_on(value: &str) -> bool {
    value.trim_end().contains(['\n', '\r'])
}

fn check_lines(profile: &ProfileLayers) -> Result<(), String> {
    match READ.iter().find(|name| profile.get(name).is_some_and(goes_on)) {
        Some(name) => Err(format!("its {name} continues in an indented line: begin each of its lines without spaces")),
        None => Ok(()),
    }
}

/// Whether a profile is a role that is assumed with other credentials. Then only keys of the options and the
/// environment have priority.
pub fn assumes(profile: &ProfileLayers) -> bool {
    property(profile, "role_arn").is_some() && property(profile, "web_identity_token_file").is_none()
}

pub fn build<'a>(profiles: &'a ProfileSet, mut profile: &'a ProfileLayers) -> Result<SourceChain, Unfit> {
    let mut roles = Vec::new();
    let mut visited: Vec<&str> = Vec::new();
    loop {
        let name = profile.name();
        let wrong = |reason: String| match visited.first() {
            None => Unfit::Broken(reason),
            Some(_) => Unfit::Broken(format!("its source_profile {}: {reason}", shown(name))),
        };
        check_lines(profile).map_err(wrong)?;
        let origin = format!("profile {}", shown(name));
        let sourced = !visited.is_empty();
        // A source profile's own keys have priority over the role that it might assume.
        if !assumes(profile) || sourced && has_keys(profile) {
            let base = base(profiles, profile, &origin).map_err(wrong)?;
            return match base {
                Some(base) => Ok(source_chain(base, origin, roles)),
                None if sourced => Err(wrong("it has no credentials".to_owned())),
                None => Err(Unfit::Absent("it has no credentials".to_owned())),
            };
        }
        roles.push(role(profile).map_err(wrong)?);
        match (property(profile, "source_profile"), property(profile, "credential_source")) {
            (Some(_), Some(_)) => return Err(wrong("it has both source_profile and credential_source".to_owned())),
            (None, None) => {
                return Err(wrong("it has role_arn, and neither source_profile nor credential_source".to_owned()));
            }
            (None, Some(source)) => return Ok(source_chain(Base::Named(named(source).map_err(wrong)?), origin, roles)),
            (Some(source), None) if source == name => {
                return match base(profiles, profile, &origin).map_err(wrong)? {
                    Some(base) if has_keys(profile) => Ok(source_chain(base, origin, roles)),
                    _ => Err(wrong("it is its own source_profile, and has no keys".to_owned())),
                };
            }
            (Some(source), None) => {
                let next = profiles.profile(source);
                let next = next.ok_or_else(|| wrong(format!("its source_profile {} is not found", shown(source))))?;
                visited.push(name);
                if visited.contains(&next.name()) || visited.len() > DEPTH {
                    return Err(Unfit::Broken(format!("source_profile leads in a circle to {}", shown(source))));
                }
                profile = next;
            }
        }
    }
}

fn source_chain(base: Base, origin: String, mut roles: Vec<Role>) -> SourceChain {
    roles.reverse();
    SourceChain { base, origin, roles }
}

pub fn property<'a>(profile: &'a ProfileLayers, name: &str) -> Option<&'a str> {
    profile.get(name).map(str::trim).filter(|value| !value.is_empty())
}

/// A role to assume with other credentials.
fn role(profile: &ProfileLayers) -> Result<Role, String> {
    if property(profile, "mfa_serial").is_some() {
        return Err("it has mfa_serial, and kong-vault cannot enter a code: remove mfa_serial".to_owned());
    }
    let seconds = |text: &str| text.parse().map_err(|_| "its duration_seconds is no number".to_owned());
    Ok(Role {
        arn: property(profile, "role_arn").unwrap_or_default().to_owned(),
        session: session(profile),
        external_id: property(profile, "external_id").map(str::to_owned),
        duration: property(profile, "duration_seconds").map(seconds).transpose()?,
    })
}

fn session(profile: &ProfileLayers) -> String {
    property(profile, "role_session_name").unwrap_or(SESSION).to_owned()
}

/// A profile's own credentials, in the order of AWS's command line.
fn base(profiles: &ProfileSet, profile: &ProfileLayers, origin: &str) -> Result<Option<Base>, String> {
    if let Some(token_file) = property(profile, "web_identity_token_file") {
        let Some(arn) = property(profile, "role_arn") else {
            return Err("it has web_identity_token_file and no role_arn".to_owned());
        };
        let role = Role { arn: arn.to_owned(), session: session(profile), external_id: None, duration: None };
        return Ok(Some(Base::WebIdentity(WebIdentity { token_file: PathBuf::from(token_file), role })));
    }
    if let Some(source) = property(profile, "credential_source").filter(|_| !assumes(profile)) {
        return named(source).map(|named| Some(Base::Named(named)));
    }
    if let Some(sign_on) = sign_on(profiles, profile)? {
        return Ok(Some(Base::SignOn(sign_on)));
    }
    if let Some(login) = keys(profile, CREDENTIALS, origin)? {
        return Ok(Some(Base::AccessKeys(login)));
    }
    if property(profile, "login_session").is_some() {
        return Err("it uses login_session, which is not supported".to_owned());
    }
    if let Some(command) = property(profile, "credential_process") {
        return Ok(Some(Base::Process(Zeroizing::new(command.to_owned()))));
    }
    if let Some(login) = keys(profile, CONFIG, origin)? {
        return Ok(Some(Base::AccessKeys(login)));
    }
    match property(profile, "aws_secret_access_key") {
        Some(_) => Err("it has no aws_access_key_id beside its aws_secret_access_key".to_owned()),
        None => Ok(None),
    }
}

fn has_keys(profile: &ProfileLayers) -> bool {
    ["aws_access_key_id", "aws_secret_access_key"].iter().any(|name| property(profile, name).is_some())
}

/// The keys in one file; the other file does not complete half of a pair.
fn keys(profile: &ProfileLayers, file: usize, origin: &str) -> Result<Option<Login>, String> {
    let own = |name| profile.get_in(file, name).map(str::trim).filter(|value| !value.is_empty());
    match (own("aws_access_key_id"), own("aws_secret_access_key")) {
        (Some(id), Some(key)) => {
            let token = own("aws_session_token").or_else(|| own("aws_security_token"));
            Login::new(origin, &AccessKeys::new(id, key, token)).map(Some)
        }
        (Some(_), None) => Err("it has no aws_secret_access_key beside its aws_access_key_id".to_owned()),
        (None, _) => Ok(None),
    }
}

fn named(source: &str) -> Result<Named, String> {
    match source.to_ascii_lowercase().as_str() {
        "environment" => Ok(Named::Environment),
        "ecscontainer" => Ok(Named::Container),
        "ec2instancemetadata" => Ok(Named::Metadata),
        _ => Err("its credential_source is not Environment, EcsContainer or Ec2InstanceMetadata".to_owned()),
    }
}

/// The region in an `sso-session` section, which must exist and agree with the profile.
fn region_of_session<'a>(profiles: &'a ProfileSet, profile: &ProfileLayers, name: &str) -> Result<&'a str, String> {
    let section = || format!("its sso_session {}", shown(name));
    let of_section = |key| profiles.in_session(name, key).ok_or_else(|| format!("{} is not found", section()));
    for key in ["sso_region", "sso_start_url"] {
        let Some(value) = of_section(key)? else { continue };
        if goes_on(value) {
            let section = section();
            return Err(format!(
                "the {key} of {section} continues in an indented line: begin each line without spaces"
            ));
        }
        if property(profile, key).is_some_and(|own| own != value.trim()) {
            return Err(format!("its {key} is not that of {}: leave it out", section()));
        }
    }
    let region = of_section("sso_region")?.map(str::trim).filter(|region| !region.is_empty());
    region.ok_or_else(|| format!("{} has no sso_region", section()))
}

fn sign_on(profiles: &ProfileSet, profile: &ProfileLayers) -> Result<Option<SignOn>, String> {
    let own = |name| property(profile, name);
    let missing = |name: &str| format!("it signs on by IAM Identity Center and has no {name}");
    let of_session = own("sso_session").map(|name| region_of_session(profiles, profile, name)).transpose()?;
    // Without these two, the settings are for tools that only need a token.
    if own("sso_account_id").is_none() && own("sso_role_name").is_none() {
        return Ok(None);
    }
    let (name, region) = match own("sso_session").zip(of_session) {
        Some(of_session) => of_session,
        None => {
            let url = own("sso_start_url").ok_or_else(|| missing("sso_start_url"))?;
            (url, own("sso_region").ok_or_else(|| missing("sso_region"))?)
        }
    };
    let text = |name| own(name).map(str::to_owned).ok_or_else(|| missing(name));
    Ok(Some(SignOn {
        session: name.to_owned(),
        region: region.to_owned(),
        account: text("sso_account_id")?,
        role: text("sso_role_name")?,
    }))
}

#[cfg(test)]
mod tests;
