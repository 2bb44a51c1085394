//! Decides whether a redirect is followed, as the token goes with it. A standby of Vault redirects to the active node,
//! an attacker to his own server. Only the host and port are taken from a redirect, and only where the host is the
//! configured one or in `redirect_hosts`; path and query stay those of the request.

use ::http::HeaderMap;
use ::http::header::LOCATION;
use percent_encoding::percent_decode_str;
use url::Url;

use super::options;

/// An entry of `redirect_hosts`.
#[derive(Debug, PartialEq)]
pub(super) struct Allowed {
    host: String,
    /// `None`: any port.
    port: Option<u16>,
}

impl Allowed {
    pub fn parse(entry: &str) -> Result<Self, String> {
        let entry = entry.trim();
        if let Some(host) = options::host(entry) {
            return Ok(Self { host, port: None });
        }
        entry
            .rsplit_once(':')
            .and_then(|(host, port)| Some(Self { host: options::host(host)?, port: Some(port.parse().ok()?) }))
            .ok_or_else(|| "each of `redirect_hosts` must be `host` or `host:port`".to_owned())
    }
}

pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 307 | 308)
}

/// The URL to ask next, or what is wrong with the redirect.
pub(super) fn follow(base: &Url, url: &Url, headers: &HeaderMap, allowed: &[Allowed]) -> Result<Url, String> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| url.join(location).ok()).ok_or("redirects to no valid address")?;
    if target.scheme() != base.scheme() {
        return Err(match target.scheme() {
            "https" => "redirects to https, which is not followed: set `protocol` to https".to_owned(),
            _ => format!("redirects from {} to another protocol, which is not followed", base.scheme()),
        });
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err("redirects to an address with a user name, which is not followed".to_owned());
    }
    let (Some(host), Some(port)) = (target.host_str(), target.port_or_known_default()) else {
        return Err("redirects to no valid address".to_owned());
    };
    let is_allowed = |entry: &Allowed| entry.host == host && entry.port.is_none_or(|known| known == port);
    if base.host_str() != Some(host) && !allowed.iter().any(is_allowed) {
        return Err(format!(
            "redirects to {host}:{port}, which is not followed: name that host in `redirect_hosts` if it is of the \
             same cluster"
        ));
    }
    if !is_same_secret(url, &target) {
        return Err(format!(
            "redirects to another path on {host}:{port}, which is not followed: check the nodes' `api_addr`"
        ));
    }
    let mut next = url.clone();
    if next.set_host(Some(host)).is_err() || next.set_port(Some(port)).is_err() {
        return Err("redirects to no valid address".to_owned());
    }
    Ok(next)
}

/// Compares decoded paths, as servers encode them in other ways.
fn is_same_secret(url: &Url, target: &Url) -> bool {
    percent_decode_str(url.path()).eq(percent_decode_str(target.path())) && url.query() == target.query()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(base: &str, location: &str, allowed: &[&str]) -> Result<String, String> {
        let base = Url::parse(base).unwrap();
        let url = base.join("/v1/secret/data/a%40b?version=2").unwrap();
        let headers = [(LOCATION, location.parse().unwrap())].into_iter().collect();
        let allowed: Vec<_> = allowed.iter().map(|entry| Allowed::parse(entry).unwrap()).collect();
        follow(&base, &url, &headers, &allowed).map(Into::into)
    }

    const SAME: &str = "/v1/secret/data/a@b?version=2";

    #[test]
    fn the_same_host_on_any_port_and_named_hosts_are_followed_with_our_own_path() {
        let at = |origin: &str| Ok(format!("{origin}/v1/secret/data/a%40b?version=2"));
        let follow = |origin: &str, allowed: &[&str]| to("https://vault:8200", &format!("{origin}{SAME}"), allowed);
        assert_eq!(follow("https://vault:8210", &[]), at("https://vault:8210"));
        assert_eq!(follow("https://VAULT", &[]), at("https://vault"));
        assert_eq!(follow("", &[]), at("https://vault:8200"));
        assert_eq!(follow("https://node2:1", &["node1", " node2 "]), at("https://node2:1"));
        assert_eq!(follow("https://node2:1", &["node2:1"]), at("https://node2:1"));
        assert_eq!(follow("https://[::2]:1", &["[::2]:1"]), at("https://[::2]:1"));
        assert_eq!(follow("https://[::2]:1", &["::2"]), at("https://[::2]:1"));
    }

    #[test]
    fn nothing_else_is_followed_and_the_error_says_what_to_do() {
        let cases = [
            ("https://evil:8200/v1/secret/data/a@b?version=2", "evil:8200"),
            ("//evil/v1/secret/data/a@b?version=2", "evil:443"),
            ("https://node2:2/v1/secret/data/a@b?version=2", "`redirect_hosts`"),
            ("https://vault.evil/v1/secret/data/a@b?version=2", "`redirect_hosts`"),
            ("http://vault:8200/v1/secret/data/a@b?version=2", "from https to another protocol"),
            ("ftp://vault:8200/v1/secret/data/a@b?version=2", "from https to another protocol"),
            ("file:///v1/secret/data/a@b?version=2", "from https to another protocol"),
            ("https://u@vault:8200/v1/secret/data/a@b?version=2", "user name"),
            ("https://u:p4ss@vault:8200/v1/secret/data/a@b?version=2", "user name"),
            ("https://vault:8210/v1/secret/data/other?version=2", "another path on vault:8210"),
            ("https://vault:8210/v1/secret/data/a@b", "another path"),
            ("https://vault:8210/v1/secret/data/a@b?version=3", "another path"),
            ("/v1/sys/health", "another path"),
            ("https://", "no valid address"),
        ];
        for (location, expected) in cases {
            let error = to("https://vault:8200", location, &["node2:1"]).expect_err(location);
            assert!(error.contains(expected) && !error.contains("p4ss"), "{location}: {error}");
        }
        let error =
            to("http://vault:8200", "https://vault:8200/v1/secret/data/a@b?version=2", &[]).expect_err("upgrade");
        assert!(error.contains("set `protocol` to https"), "{error}");
    }

    #[test]
    fn an_entry_is_a_host_with_or_without_a_port() {
        for entry in ["", "a/b", "http://a", "a:b", "a:99999", "u@a", "*.a"] {
            assert!(Allowed::parse(entry).is_err(), "{entry}");
        }
    }
}
