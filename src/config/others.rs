//! Strategies that Kong has and kong-vault does not provide: Kong handles their options and entities.

use std::collections::HashSet;

/// The strategies that option `vaults` names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// In the order of `vaults`, each once.
    named: Vec<String>,
    has: HashSet<String>,
    /// The names as keys of kong.conf have them, with `_` instead of `-`.
    in_keys: HashSet<String>,
}

impl Others {
    pub fn has(&self, strategy: &str) -> bool {
        self.has.contains(strategy)
    }

    /// The strategies that option `vaults` names.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(String::as_str)
    }

    /// Whether a key of kong.conf is an option of one of these.
    pub fn have_key(&self, key: &str) -> bool {
        let rest = key.strip_prefix("vault_").unwrap_or_default();
        let ends = rest.match_indices('_').map(|(at, _)| at);
        !self.in_keys.is_empty() && ends.filter_map(|end| rest.get(..end)).any(|name| self.in_keys.contains(name))
    }

    pub(super) fn add(&mut self, name: &str) {
        if self.has.insert(name.to_owned()) {
            self.named.push(name.to_owned());
            self.in_keys.insert(name.replace('-', "_"));
        }
    }

    /// Adds the strategies that `others` names.
    pub fn extend(&mut self, others: &Others) {
        others.named().for_each(|name| self.add(name));
    }
}
