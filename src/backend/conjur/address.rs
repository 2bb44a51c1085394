//! Where Conjur is, and the addresses below it. Each part is encoded, so that no name leaves its place.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::redact;

/// All characters but the unreserved ones of URLs.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest name, in bytes. Longer ones do not fit into a request line.
const NAME_LIMIT: usize = 2048;

/// The longest part of a name that is shown, in characters.
const SHOWN: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConjurAddress {
    /// Without a slash at its end.
    base: String,
    pub host: String,
    pub port: u16,
    pub account: String,
}

impl ConjurAddress {
    pub fn new(url: &Url, account: &str) -> Self {
        Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            account: account.to_owned(),
        }
    }

    /// The address of a variable's value.
    pub fn variable(&self, name: &str, version: Option<u32>) -> String {
        let url = self.below(&["secrets", &self.account, "variable", name]);
        match version {
            Some(version) => format!("{url}?version={version}"),
            None => url,
        }
    }

    /// The address of many variables' values.
    pub fn variables(&self, names: &[&str]) -> String {
        let ids: Vec<String> = names.iter().map(|name| encoded(&self.id(name))).collect();
        format!("{}/secrets?variable_ids={}", self.base, ids.join(","))
    }

    /// A variable's whole id.
    pub fn id(&self, name: &str) -> String {
        format!("{}:variable:{name}", self.account)
    }

    /// The length of a variable's id in an address.
    pub fn id_length(&self, name: &str) -> usize {
        utf8_percent_encode(&self.id(name), ESCAPED).map(str::len).sum()
    }

    /// The address of a login. The parts that an authenticator does not have are left out.
    pub fn authenticate(&self, authenticator: &str, service: Option<&str>, login: Option<&str>) -> String {
        let parts = [Some(authenticator), service, Some(&self.account), login, Some("authenticate")];
        self.below(&parts.into_iter().flatten().collect::<Vec<_>>())
    }

    fn below(&self, parts: &[&str]) -> String {
        parts.iter().fold(self.base.clone(), |url, part| url + "/" + &encoded(part))
    }
}

fn encoded(part: &str) -> String {
    utf8_percent_encode(part, ESCAPED).to_string()
}

/// What is wrong with a name that becomes one part of a path, if anything. Servers before Conjur may decode it.
pub fn name_flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > NAME_LIMIT {
        Some("must have 1 to 2048 bytes")
    } else if name.chars().any(char::is_control) {
        Some("cannot have control characters")
    } else if name.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
        Some("cannot have the parts . and ..")
    } else {
        None
    }
}

/// A name for errors.
pub fn shown(name: &str) -> String {
    redact::quote(name.as_bytes(), SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> ConjurAddress {
        ConjurAddress::new(&Url::parse(url).unwrap(), "my org")
    }

    #[test]
    fn names_are_one_part_of_a_path() {
        let conjur = address("https://conjur.example/api/");
        for (name, version, url) in [
            ("BotApp/secretVar", None, "https://conjur.example/api/secrets/my%20org/variable/BotApp%2FsecretVar"),
            (
                "a b+c,d?x#y",
                Some(2),
                "https://conjur.example/api/secrets/my%20org/variable/a%20b%2Bc%2Cd%3Fx%23y?version=2",
            ),
            ("é", None, "https://conjur.example/api/secrets/my%20org/variable/%C3%A9"),
        ] {
            assert_eq!(conjur.variable(name, version), url);
        }
        assert_eq!(
            conjur.variables(&["BotApp/db", "a b"]),
            "https://conjur.example/api/secrets?variable_ids=my%20org%3Avariable%3ABotApp%2Fdb,my%20org%3Avariable%3Aa%20b"
        );
        assert_eq!(conjur.id_length("a b"), "my%20org%3Avariable%3Aa%20b".len());
        let conjur = address("http://127.0.0.1:8080");
        assert_eq!(
            conjur.authenticate("authn", None, Some("host/BotApp/my app+1")),
            "http://127.0.0.1:8080/authn/my%20org/host%2FBotApp%2Fmy%20app%2B1/authenticate"
        );
        assert_eq!(
            conjur.authenticate("authn-jwt", Some("a/b"), None),
            "http://127.0.0.1:8080/authn-jwt/a%2Fb/my%20org/authenticate"
        );
    }

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", "a/..", "../b", "a/./b", r"a\..\b", "a\nb", "a\0", &"x".repeat(2049)] {
            assert!(name_flaw(name).is_some(), "{name:?}");
        }
        for name in ["a", "a/b", "a..b", "...", "a b", "a%2Fb", "a:b"] {
            assert!(name_flaw(name).is_none(), "{name:?}");
        }
    }
}
