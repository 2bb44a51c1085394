//! Checks the addresses in a credentials file, so that no credential crosses a network without TLS.

use url::{Host, Url};

/// Which hosts may be asked without TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plain {
    /// This machine.
    Loopback,
    /// This machine, and the metadata services of clouds, which only it can reach.
    Local,
}

/// The address of a server that issues tokens. `field` is its name in the file. The error is a clause.
pub fn of_tokens(field: &str, text: &str) -> Result<Url, String> {
    checked(field, text, Plain::Loopback)
}

/// The address of a server that issues subject tokens.
pub fn of_source(field: &str, text: &str) -> Result<Url, String> {
    checked(field, text, Plain::Local)
}

fn checked(field: &str, text: &str, plain: Plain) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| {
        let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare
    });
    let url = url.ok_or_else(|| format!("has a {field} that is no URL such as https://host/path"))?;
    if url.scheme() == "https" || is_near(&url, plain) {
        return Ok(url);
    }
    Err(format!("has a {field} without TLS: write https, as credentials go there"))
}

fn is_near(url: &Url, plain: Plain) -> bool {
    let is_local = plain == Plain::Local;
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || is_local && address.is_link_local(),
        // EC2's metadata service.
        Some(Host::Ipv6(address)) => address.is_loopback() || is_local && address.segments()[0] == 0xfd00,
        Some(Host::Domain(name)) => name == "localhost" || is_local && name == "metadata.google.internal",
        None => false,
    }
}

/// Whether the host is one that is never reached through a proxy.
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.segments()[0] == 0xfd00,
        Some(Host::Domain(name)) => name == "localhost" || name == "metadata.google.internal",
        None => false,
    }
}

/// The usual universe.
pub const UNIVERSE: &str = "googleapis.com";

/// Whether a text is a domain, which becomes a part of hosts' names.
pub fn is_universe(text: &str) -> bool {
    let is_label = |label: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        bytes.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    text.len() <= 200 && text.contains('.') && text.split('.').all(is_label)
}

/// The pattern of a service account's address.
pub const EMAIL: &str = r"[a-zA-Z0-9-]{1,64}@[a-z0-9.:-]{1,128}";

/// An account's address for an error. A text that is no address is not shown.
pub fn shown_email(text: &str) -> &str {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@".contains(&byte);
    let is_email = text.len() <= 200 && text.contains('@') && text.bytes().all(is_part);
    if is_email { text } else { "the account" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_goes_over_a_network_in_clear() {
        for good in [
            "https://oauth2.googleapis.com/token",
            "https://idp.example:8443/t",
            "http://127.0.0.1:1/token",
            "http://[::1]:1/token",
            "http://localhost:1/token",
        ] {
            assert!(of_tokens("token_uri", good).is_ok(), "{good}");
        }
        for bad in [
            "http://169.254.169.254/t",
            "http://oauth2.googleapis.com/token",
            "http://metadata.google.internal/",
            "ftp://127.0.0.1/t",
            "https://",
            "https://user@host/",
            "https://user:hunter2@host/",
            "token",
            "",
            "file:///etc/passwd",
            "https://host/#x",
            "http://127.0.0.1.example/",
        ] {
            let reason = of_tokens("token_uri", bad).unwrap_err();
            assert!(reason.starts_with("has a token_uri ") && !reason.contains("hunter2"), "{bad}: {reason}");
        }
        for good in [
            "http://169.254.169.254/metadata/identity/oauth2/token",
            "http://[fd00:ec2::254]/latest/",
            "http://metadata.google.internal/x",
        ] {
            assert!(of_source("url", good).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1/t", "http://idp.example/t", "http://[2001:db8::1]/"] {
            assert!(of_source("url", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_universe_is_a_domain_and_nothing_else() {
        for good in ["googleapis.com", "s3nsapis.fr", "apis-berlin-build0.goog"] {
            assert!(is_universe(good), "{good}");
        }
        for bad in ["", "com", "evil.example/", "a.b@c.d", "a..b", "-a.b", "a.b:443", "a.b?x", "A.b", "a.b."] {
            assert!(!is_universe(bad), "{bad}");
        }
    }

    #[test]
    fn only_this_machines_services_are_asked_without_a_proxy() {
        for (url, local) in [
            ("http://169.254.169.254/x", true),
            ("http://127.0.0.1:1/x", true),
            ("http://metadata.google.internal/x", true),
            ("https://idp.example/x", false),
            ("https://10.0.0.1/", false),
        ] {
            assert_eq!(is_local(&Url::parse(url).unwrap()), local, "{url}");
        }
    }
}
