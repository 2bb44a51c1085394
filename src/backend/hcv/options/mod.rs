//! The options of the `hcv` backend. A reference may set none of them: they decide where the vault is, and which
//! credentials it gets.

mod auth;

use std::net::Ipv6Addr;
use std::path::Path;

use ::http::HeaderValue;
use url::Url;

use crate::http::options::{CLIENT_CERT, CLIENT_KEY, NO_PROXY, PROXY, TLS_MIN_VERSION};
use crate::options::settings::Settings;
use crate::options::{Holds, Opt, Type};
pub use auth::REQUIREMENTS;

/// All options; those of the auth methods are last.
pub const OPTIONS: &[Opt] = &joined::<{ OWN.len() + auth::OPTIONS.len() }>(OWN, auth::OPTIONS);

/// The options of the auth methods.
pub(super) const fn of_auth() -> &'static [Opt] {
    auth::OPTIONS
}

const fn joined<const LENGTH: usize>(first: &[Opt], second: &[Opt]) -> [Opt; LENGTH] {
    let mut joined = [first[0]; LENGTH];
    let mut index = 0;
    while index < LENGTH {
        joined[index] = if index < first.len() { first[index] } else { second[index - first.len()] };
        index += 1;
    }
    joined
}

const OWN: &[Opt] = &[
    Opt::new("protocol", Type::Text, "protocol of the vault").default("http").one_of(&["http", "https"]),
    Opt::new(
        "host",
        Type::Text,
        "host name or IP address of the vault, or `unix:///path` for the socket of a Vault Agent or Proxy",
    )
    .default("127.0.0.1")
    .pattern(PLACE, "a host name or an IP address, without protocol, port and path, or unix:///path"),
    Opt::new("port", Type::Integer { min: 1, max: 65535 }, "port of the vault").default("8200"),
    Opt::new("mount", Type::Text, "mount path of the key/value engine; may have slashes")
        .default("secret")
        .pattern(r"[^\x00-\x1f\x7f]+", "a path such as secret or team/kv"),
    Opt::new("kv", Type::Text, "version of the key/value engine").default("v1").one_of(&["v1", "v2"]),
    Opt::new("namespace", Type::Text, "namespace of the mount")
        .pattern(r"[\x21-\x7e]+", "printable ASCII without spaces"),
    Opt::new("ssl_verify", Type::Boolean, "verify the vault's certificate")
        .default("true")
        .unverified(false)
        .aliases(&["tls_verify"]),
    Opt::new("tls_skip_verify", Type::Boolean, "the opposite of `ssl_verify`, as Vault's own clients call it")
        .default("false")
        .unverified(true)
        .aliases(&["skip_verify"]),
    Opt::new("ca_cert", Type::Text, "CA bundle instead of the system's: a file's path, or PEM text")
        .holds(Holds::Pem)
        .guards()
        .aliases(&["cacert", "ssl_ca_cert", "tls_ca_cert"]),
    Opt::new("tls_server_name", Type::Text, "name in the vault's certificate, if it is not `host`")
        .pattern(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", "a host name, without a port")
        .aliases(&["ssl_server_name"]),
    CLIENT_CERT,
    CLIENT_KEY,
    TLS_MIN_VERSION,
    PROXY,
    NO_PROXY,
    Opt::new(
        "redirect_hosts",
        Type::List,
        "further hosts of the cluster, `host` or `host:port`, that a standby may redirect to; `host` itself is \
         always allowed",
    ),
];

/// A host name, an IPv4 address, an IPv6 address with or without brackets, or a socket in the file system.
const PLACE: &str = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*|\[[0-9A-Fa-f:.]+\]|unix:///[^\x00-\x1f\x7f]+";

/// The host in URLs and in TLS where `host` is a socket. It is never resolved.
const SOCKET_HOST: &str = "localhost";

/// The socket that `host` names, in the form that Vault's own clients accept in `VAULT_ADDR`.
pub(super) fn socket(settings: &Settings) -> Option<&Path> {
    settings.text("host")?.strip_prefix("unix://").map(Path::new)
}

/// Where the vault is, without a path.
pub(super) fn base(settings: &Settings) -> Result<Url, String> {
    let protocol = settings.text("protocol").unwrap_or_default();
    let port = settings.integer("port").unwrap_or_default();
    let place = match socket(settings) {
        Some(_) => SOCKET_HOST.to_owned(),
        None => host(settings.text("host").unwrap_or_default())
            .map(|host| format!("{host}:{port}"))
            .ok_or("`host` must be a host name or an IP address, without protocol, port or path")?,
    };
    match Url::parse(&format!("{protocol}://{place}")) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("`protocol`, `host` and `port` make no URL".to_owned()),
    }
}

/// A host in a URL's form; `None` where the text is not a host alone.
pub(super) fn host(text: &str) -> Option<String> {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if !is_name {
        return None;
    }
    let url = Url::parse(&format!("http://{text}/")).ok()?;
    url.host_str().map(str::to_owned)
}

/// The namespace as a header.
pub(super) fn namespace(option: &str, text: &str) -> Result<HeaderValue, String> {
    let relative = text.split('/').any(|segment| matches!(segment, "." | ".."));
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    match HeaderValue::from_str(text) {
        Ok(value) if printable && !relative => Ok(value),
        _ => Err(format!("`{option}` must be printable ASCII without `.` and `..` as a part")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::value::Value;

    #[test]
    fn a_host_is_a_host_and_nothing_more() {
        for (text, expected) in [
            ("vault.example.com", "vault.example.com"),
            ("Vault_1", "vault_1"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("fe80::0:1", "[fe80::1]"),
        ] {
            assert_eq!(host(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "a/b",
            "a:8200",
            "http://a",
            "u@a",
            "a b",
            "a\r\nb",
            "[::1",
            "[a]",
            "::1%25eth0",
            "ä.example",
            "a?b",
            "a#b",
            "%61",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn the_pattern_and_the_check_agree() {
        let pattern = regex::Regex::new(&format!("^(?:{PLACE})$")).unwrap();
        for text in [
            "vault.example.com",
            "a",
            "10.0.0.1",
            "::1",
            "[::1]",
            "fe80::0:1",
            "a.",
            "a/b",
            "a:8200",
            "u@a",
            "a b",
            "http://a",
        ] {
            assert_eq!(pattern.is_match(text), host(text).is_some(), "{text}");
        }
    }

    #[test]
    fn a_socket_is_a_path_and_its_vault_is_called_localhost() {
        let at = |host: &str| {
            let mut settings = Settings::default();
            settings.set("protocol", Value::Text("http".to_owned()));
            settings.set("port", Value::Integer(8200));
            settings.set("host", Value::Text(host.to_owned()));
            (socket(&settings).map(Path::to_owned), base(&settings).map(String::from))
        };
        let (path, url) = at("unix:///run/vault/agent.sock");
        assert_eq!(
            (path.as_deref(), url.as_deref()),
            (Some(Path::new("/run/vault/agent.sock")), Ok("http://localhost/"))
        );
        assert_eq!(at("vault").1.as_deref(), Ok("http://vault:8200/"));
        let pattern = regex::Regex::new(&format!("^(?:{PLACE})$")).unwrap();
        for wrong in ["unix://", "unix:/run/a", "unix:///", "unix://run/a", "unix:///a\nb", "/run/a"] {
            assert!(!pattern.is_match(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_namespace_cannot_break_out_of_its_header() {
        assert!(namespace("namespace", "team/a-1/").is_ok());
        for text in ["a\r\nx-vault-token: b", "a b", "..", "a/../b", "ä", "a\0"] {
            assert!(namespace("namespace", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_option_can_be_set_by_a_reference() {
        assert!(OPTIONS.iter().all(|option| !option.overridable));
    }
}
