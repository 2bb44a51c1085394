//! What options and CyberArk's variables say. The variables apply together: where `CONJUR_APPLIANCE_URL` is not the address,
//! none of them does, so that nobody who writes a vault entity has the operator's credentials sent to a server of their choice.

use url::Url;

use crate::backend::Setup;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::options::settings::Settings;
use crate::secret::Secret;

const ADDRESS: &str = "CONJUR_APPLIANCE_URL";

/// Variables that hold credentials for Conjur.
pub const CREDENTIALS: &[&str] = &["CONJUR_AUTHN_API_KEY", "CONJUR_AUTHN_JWT_TOKEN", "CONJUR_AUTHN_TOKEN"];

/// The options of a vault, and the variables that replace those that are not set.
pub struct WrittenOptions<'a> {
    pub label: &'a str,
    settings: &'a Settings,
    environment: &'a Environment,
    url: Url,
    /// Whether the variables belong to the same Conjur.
    has_variables: bool,
}

impl<'a> WrittenOptions<'a> {
    /// The options, and Conjur's address.
    pub fn of(setup: &'a Setup<'_>, label: &'a str) -> Result<(Self, Url)> {
        let (settings, environment) = (setup.settings, setup.environment);
        let variable = variable(environment, ADDRESS);
        let option = settings.text("endpoint_url").filter(|text| !text.is_empty());
        let (url, has_variables) = match (option, variable) {
            (Some(option), variable) => {
                let url = server(option).ok_or_else(|| invalid(label, "endpoint_url"))?;
                let is_same = variable.and_then(server).is_some_and(|theirs| theirs == url);
                (url, is_same)
            }
            (None, Some(variable)) => (server(variable).ok_or_else(|| invalid(label, ADDRESS))?, true),
            (None, None) => {
                let text = format!(
                    "{label}: no address of Conjur: set endpoint_url (vault_conjur_endpoint_url or \
                     KONG_VAULT_CONJUR_ENDPOINT_URL), or {ADDRESS} before nginx starts"
                );
                return Err(Error::new(Kind::Config, text));
            }
        };
        Ok((Self { label, settings, environment, url: url.clone(), has_variables }, url))
    }

    /// Whether the operator allows a token of Azure to be sent there. Such a token opens more than Conjur.
    pub fn may_get_azure_tokens(&self) -> bool {
        let by_option = self.settings.list("azure_endpoints").iter().filter_map(|text| server(text));
        let by_variable = variable(self.environment, ADDRESS).and_then(server);
        by_option.chain(by_variable).any(|allowed| allowed == self.url)
    }

    /// An option's text, or the first variable that is set.
    pub fn text(&self, option: &str, variables: &[&'static str]) -> Option<&'a str> {
        let set = self.settings.text(option).filter(|text| !text.is_empty());
        set.or_else(|| variables.iter().find_map(|name| self.variable(name)))
    }

    /// The same for a credential.
    pub fn secret(&self, option: &str, variables: &[&'static str]) -> Option<Secret> {
        let set = self.settings.secret(option).filter(|secret| !secret.is_empty()).cloned();
        set.or_else(|| variables.iter().find_map(|name| self.variable(name)).map(Secret::new))
    }

    pub fn variable(&self, name: &str) -> Option<&'a str> {
        variable(self.environment, name).filter(|_| self.has_variables)
    }

    /// The error for an option that is not set.
    pub fn lacks(&self, option: &str, what: &str, variables: &[&'static str]) -> Error {
        let label = self.label;
        let mut text = format!(
            "{label}: no {what}: set {option} (vault_conjur_{option} or KONG_VAULT_CONJUR_{})",
            option.to_uppercase()
        );
        if let Some(variable) = variables.first() {
            text += &format!(", or {variable} before nginx starts");
            if variables.iter().any(|name| self.ignores(name)) {
                text += &format!(
                    " ({variable} is only used for the Conjur of {ADDRESS}, which is not that of endpoint_url)"
                );
            }
        }
        Error::new(Kind::Config, text)
    }

    /// Whether a variable is set, but for another Conjur.
    fn ignores(&self, name: &str) -> bool {
        !self.has_variables && variable(self.environment, name).is_some()
    }
}

fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.text(name).map(str::trim).filter(|text| !text.is_empty())
}

/// A server's address, without the slashes at its end.
fn server(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !(is_web && is_plain && url.query().is_none() && url.fragment().is_none()) {
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

fn invalid(label: &str, origin: &str) -> Error {
    let text =
        format!("{label}: {origin} is no URL such as https://host, without user, query and fragment: correct it");
    Error::new(Kind::Config, text)
}
