//! Where a key vault is, and whom its tokens are for. A token for Key Vault reads every vault of the identity's, so it is sent
//! to no host but one below the domain that it is for, as Azure's own clients do. No answer has a say in either.

use url::Url;

use crate::backend::Setup;
use crate::error::{Error, Kind, Result};
use crate::http::Transport;
use crate::identity::azure::{CLOUDS, Cloud, is_below, is_plain_server, variable};
use crate::redact;

/// What Kong's own client takes where no option says it.
const VARIABLE: &str = "AZURE_DEFAULTS_KEYVAULT_URI";

pub struct Place {
    /// With a slash at its end.
    pub url: Url,
    /// Without one.
    pub resource: String,
    pub cloud: &'static Cloud,
    /// Whether the address is below whom the tokens are for.
    pub is_below: bool,
}

impl Place {
    pub fn of(setup: &Setup<'_>, transport: &Transport<'_>) -> Result<Self> {
        let settings = setup.settings;
        let refuse = |reason: String| Error::new(Kind::Config, format!("{}: {reason}", transport.label));
        let set = |name| settings.text(name).filter(|text| !text.is_empty());
        let by_variable = || Some((VARIABLE, variable(setup.environment, VARIABLE)?));
        let (origin, uri) = set("vault_uri")
            .map(|uri| ("`vault_uri`", uri))
            .or_else(by_variable)
            .ok_or_else(|| refuse(format!("nothing says where the key vault is: set `vault_uri`, or {VARIABLE}")))?;
        let url = Url::parse(uri).ok().filter(is_plain_server).ok_or_else(|| {
            refuse(format!(
                "{origin} is no key vault's address: give it as `https://NAME.vault.azure.net`, without a path"
            ))
        })?;
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let own = Cloud::of_vault(host);
        let usual = format!("https://{}", own.unwrap_or(&CLOUDS[0]).vaults);
        let resource = Url::parse(set("resource").unwrap_or(&usual)).ok().filter(Url::has_host);
        let resource = resource.ok_or_else(|| refuse("`resource` is no URL".to_owned()))?;
        let domain = resource.host_str().unwrap_or_default();
        let cloud = own.or_else(|| CLOUDS.iter().find(|cloud| cloud.vaults == domain)).unwrap_or(&CLOUDS[0]);
        let is_below = is_below(host, domain) || host == domain;
        if settings.boolean("verify_challenge_resource") && !is_below {
            return Err(refuse(not_below(host, domain, origin)));
        }
        Ok(Self { resource: resource.as_str().trim_end_matches('/').to_owned(), url, cloud, is_below })
    }
}

fn not_below(host: &str, domain: &str, origin: &str) -> String {
    let (shown, domain) = (redact::host(host), redact::host(domain));
    let known = host.strip_suffix(".vault.azure.com").map(|name| redact::host(&format!("{name}.vault.azure.net")));
    let fix = match known {
        Some(meant) => format!("write {meant}"),
        None => "correct it, or set `resource` to the domain that its tokens are for".to_owned(),
    };
    format!(
        "tokens for {domain} are not sent to {shown} of {origin}, which is not below it: {fix} (only the operator can allow \
         it: `verify_challenge_resource = off`)"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::environment::Environment;
    use crate::options::settings::Settings;
    use crate::options::value::Value;

    fn place(options: &[(&'static str, &str)], verify: bool) -> std::result::Result<(String, String), String> {
        let mut settings = Settings::default();
        for (name, value) in options {
            settings.set(name, Value::Text((*value).to_owned()));
        }
        settings.set("verify_challenge_resource", Value::Boolean(verify));
        let environment = Environment::from_variables([(VARIABLE, "https://from-variable.vault.azure.net/")]);
        let timeout = Duration::from_secs(1);
        let setup = Setup { vault: "mine", settings: &settings, environment: &environment, timeout, lasts: true };
        let transport = Transport::new("azure vault (mine)".to_owned(), &environment, timeout);
        let place = Place::of(&setup, &transport).map_err(|error| error.to_string())?;
        Ok((place.url.into(), place.resource))
    }

    #[test]
    fn a_vault_says_by_its_host_whom_its_tokens_are_for() {
        for (uri, resource) in [
            ("https://mine.vault.azure.net", "https://vault.azure.net"),
            ("https://MINE.vault.azure.net:443/", "https://vault.azure.net"),
            ("https://mine.vault.usgovcloudapi.net/", "https://vault.usgovcloudapi.net"),
            ("https://mine.vault.azure.cn/", "https://vault.azure.cn"),
        ] {
            assert_eq!(place(&[("vault_uri", uri)], true).unwrap().1, resource, "{uri}");
        }
        assert_eq!(place(&[], true).unwrap().0, "https://from-variable.vault.azure.net/");
    }

    #[test]
    fn no_token_goes_to_a_host_that_it_is_not_for() {
        for uri in [
            "https://evil.example",
            "https://mine.vault.azure.net.evil.example",
            "https://minevault.azure.net",
            "https://evil.example:443",
            "https://127.0.0.2:8200",
            "http://127.0.0.1:8200",
            "https://mine.vault.azure.com",
            "https://azure.net",
        ] {
            let text = place(&[("vault_uri", uri)], true).unwrap_err();
            assert!(text.contains("tokens for vault.azure.net are not sent to"), "{text}");
            assert!(place(&[("vault_uri", uri)], false).is_ok(), "{uri}");
        }
        let text = place(&[("vault_uri", "https://mine.vault.azure.com")], true).unwrap_err();
        assert!(text.contains("write mine.vault.azure.net"), "{text}");
    }

    #[test]
    fn a_resource_of_ones_own_goes_with_the_hosts_below_it() {
        let own = |uri, resource| place(&[("vault_uri", uri), ("resource", resource)], true);
        assert_eq!(own("https://a.kv.example:8443", "https://kv.example/").unwrap().1, "https://kv.example");
        assert!(own("https://localhost:8443", "https://localhost").is_ok(), "the domain itself");
        assert!(own("https://a.vault.azure.net", "https://kv.example").is_err());
        assert!(own("https://akv.example", "https://kv.example").is_err());
    }

    #[test]
    fn an_address_is_a_server_and_nothing_more() {
        for uri in [
            "http://mine.vault.azure.net",
            "https://user:hunter2@mine.vault.azure.net",
            "https://evil.example/mine.vault.azure.net",
            "https://mine.vault.azure.net/secrets/db",
            "https://mine.vault.azure.net?a=hunter2",
            "https://mine.vault.azure.net#a",
            "mine.vault.azure.net",
            "https://",
            "ftp://mine.vault.azure.net",
        ] {
            let text = place(&[("vault_uri", uri)], false).unwrap_err();
            assert!(text.contains("`vault_uri` is no key vault's address") && !text.contains("hunter2"), "{text}");
        }
    }
}
