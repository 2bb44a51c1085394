//! The tokens of the Admin API, and whether a request shows one of them.

use ring::hmac;
use ring::rand::SystemRandom;

use crate::secret::Secret;

/// The tokens that are set.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tokens<'a> {
    /// The one without a name.
    pub sole: Option<&'a Secret>,
    /// A list of `name=token`, separated by commas.
    pub named: Option<&'a Secret>,
}

/// The name of the token that has none.
const SOLE: &str = "admin";

impl Tokens<'_> {
    /// The name of the token that a request shows. Each is compared, so that the time tells nothing.
    pub fn name_of(&self, shown: Option<&[u8]>) -> Option<String> {
        let listed = self.named.and_then(Secret::as_str).unwrap_or_default();
        let listed = listed.split(',').filter_map(|entry| entry.trim().split_once('='));
        let named = listed.map(|(name, token)| (name, Secret::new(token)));
        let all = self.sole.map(|token| (SOLE, token.clone())).into_iter().chain(named);
        let mut found = None;
        for (name, token) in all {
            if admits(Some(&token), shown) && found.is_none() {
                found = Some(name.to_owned());
            }
        }
        found
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sole.is_none() && self.named.is_none()
    }
}

/// Whether a request shows the token that is set; true where none is set. The comparison takes equally long wherever
/// the tokens differ.
pub fn admits(wanted: Option<&Secret>, shown: Option<&[u8]>) -> bool {
    let Some(wanted) = wanted else { return true };
    let Ok(key) = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()) else { return false };
    let tag = hmac::sign(&key, wanted.as_bytes());
    shown.is_some_and(|shown| hmac::verify(&key, shown, tag.as_ref()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_name_that_the_list_gives_it() {
        let (sole, named) = (Secret::new("hunter2"), Secret::new("alice=hunter3 , bob=hunter=4"));
        let all = Tokens { sole: Some(&sole), named: Some(&named) };
        let listed = Tokens { sole: None, named: Some(&named) };
        for (shown, by_all, by_listed) in [
            ("hunter2", Some("admin"), None),
            ("hunter3", Some("alice"), Some("alice")),
            ("hunter=4", Some("bob"), Some("bob")),
            ("hunter", None, None),
            ("bob=hunter=4", None, None),
            ("", None, None),
        ] {
            assert_eq!(all.name_of(Some(shown.as_bytes())).as_deref(), by_all, "{shown}");
            assert_eq!(listed.name_of(Some(shown.as_bytes())).as_deref(), by_listed, "{shown}");
        }
        assert_eq!(listed.name_of(None), None);
    }
}
