//! Azure's clouds: who gives tokens in each, and for whom they are.

use url::{Host, Url};

use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::http::Transport;

/// One of Azure's clouds.
#[derive(Debug, PartialEq, Eq)]
pub struct Cloud {
    pub name: &'static str,
    /// Below which all its key vaults are: also whom their tokens are for, as a URL.
    pub vaults: &'static str,
    /// Where its tokens are from.
    authority: &'static str,
}

/// The first one is where nothing says which.
pub const CLOUDS: [Cloud; 3] = [
    Cloud { name: "the public cloud", vaults: "vault.azure.net", authority: "https://login.microsoftonline.com" },
    Cloud { name: "US Government", vaults: "vault.usgovcloudapi.net", authority: "https://login.microsoftonline.us" },
    Cloud { name: "China", vaults: "vault.azure.cn", authority: "https://login.chinacloudapi.cn" },
];

/// Another authority, as Azure's own clients take it. No option says it: credentials go there.
const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";

impl Cloud {
    /// The cloud that a key vault's host belongs to.
    pub fn of_vault(host: &str) -> Option<&'static Cloud> {
        CLOUDS.iter().find(|cloud| is_below(host, cloud.vaults))
    }
}

/// Whether a host is below a domain, and not the domain itself.
pub fn is_below(host: &str, domain: &str) -> bool {
    let host = host.as_bytes();
    let Some(at) = host.len().checked_sub(domain.len()) else { return false };
    at > 1 && host[at..].eq_ignore_ascii_case(domain.as_bytes()) && host[at - 1] == b'.'
}

/// Who gives tokens: what the variable says, or the cloud's own. Credentials go there, so only to https, or to this machine.
pub fn authority(transport: &Transport<'_>, cloud: &Cloud) -> Result<Url> {
    let written = variable(transport.environment, AUTHORITY).unwrap_or(cloud.authority);
    let whole = if written.contains("://") { written.to_owned() } else { format!("https://{written}") };
    Url::parse(&whole).ok().filter(is_plain_server).ok_or_else(|| {
        let text =
            format!("{AUTHORITY} is no authority: give it as `https://login.microsoftonline.com`, without a path");
        broken(transport, text)
    })
}

/// Whether a URL is that of a server and nothing more, to which credentials may be sent: over https, or to this machine.
pub fn is_plain_server(url: &Url) -> bool {
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    is_bare && is_safe && url.has_host() && url.username().is_empty() && url.password().is_none()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A failure of the configuration.
pub fn broken(transport: &Transport<'_>, reason: impl std::fmt::Display) -> Error {
    Error::new(Kind::Config, format!("{}: {reason}", transport.label))
}

/// A variable that is set to something.
pub fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.text(name).map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_vault_belongs_to_the_cloud_whose_domain_it_is_below() {
        for (host, vaults) in [
            ("mine.vault.azure.net", Some("vault.azure.net")),
            ("MINE.Vault.Azure.Net", Some("vault.azure.net")),
            ("mine.vault.usgovcloudapi.net", Some("vault.usgovcloudapi.net")),
            ("mine.vault.azure.cn", Some("vault.azure.cn")),
            ("vault.azure.net", None),
            (".vault.azure.net", None),
            ("minevault.azure.net", None),
            ("mine.vault.azure.net.evil.example", None),
            ("mine.vault.azure.com", None),
            ("evil.example", None),
            ("", None),
        ] {
            assert_eq!(Cloud::of_vault(host).map(|cloud| cloud.vaults), vaults, "{host}");
        }
    }

    fn authority_of(written: Option<&str>, cloud: &Cloud) -> Result<String> {
        let environment = Environment::from_variables(written.map(|text| (AUTHORITY, text)));
        let transport = Transport::new("azure vault (mine)".to_owned(), &environment, Duration::from_secs(1));
        authority(&transport, cloud).map(String::from)
    }

    #[test]
    fn each_cloud_has_an_authority_and_the_variable_names_another() {
        assert_eq!(authority_of(None, &CLOUDS[0]).unwrap(), "https://login.microsoftonline.com/");
        assert_eq!(authority_of(Some(" "), &CLOUDS[2]).unwrap(), "https://login.chinacloudapi.cn/");
        for (written, url) in [
            ("login.microsoftonline.us", "https://login.microsoftonline.us/"),
            ("https://login.example:8443/", "https://login.example:8443/"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/"),
        ] {
            assert_eq!(authority_of(Some(written), &CLOUDS[0]).unwrap(), url);
        }
        for written in
            ["http://login.example", "https://a:hunter2@b", "https://a/b", "https://a?b", "ftp://a", "https://"]
        {
            let error = authority_of(Some(written), &CLOUDS[0]).unwrap_err();
            assert!(error.to_string().contains("AZURE_AUTHORITY_HOST is no authority"), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
