//! The effective, validated options of one vault for one reference.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use zeroize::Zeroizing;

use super::COMMON;
use super::value::{Value, add_part};
use crate::secret::Secret;

/// Options by name, checked against their declarations and with defaults filled in. `Debug` shows no text of any.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, Value>,
}

/// Settings that are final, with the keys that caches compare them by.
#[derive(Debug)]
pub struct FinalSettings {
    settings: Settings,
    /// What tells documents apart: all options that decide what is fetched, and how long it is kept.
    pub document_key: SettingsKey,
    /// What tells connections and credentials apart: all options but the common ones.
    pub instance_key: SettingsKey,
}

impl Deref for FinalSettings {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// The options that tell documents, or connections, apart. It compares their values; clones share these and their hash,
/// which is computed once.
#[derive(Debug, Clone)]
pub struct SettingsKey {
    values: Arc<[(&'static str, Value)]>,
    hash: u64,
    digests: Arc<OnceLock<Digests>>,
}

/// Options by name, each with a digest of its value; in the order of the names.
pub type Digests = Arc<[(&'static str, [u8; 16])]>;

impl PartialEq for SettingsKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values) || (self.hash == other.hash && self.values == other.values)
    }
}

impl Eq for SettingsKey {}

impl Hash for SettingsKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl SettingsKey {
    /// Returns the options as bytes, which differ where keys differ. Credentials are among them, so they are wiped.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Vec::new();
        for (name, value) in self.values.iter() {
            add_part(&mut bytes, 0, name.as_bytes());
            value.add_to(&mut bytes);
        }
        Zeroizing::new(bytes)
    }

    /// Returns each option with the `digest` of its value. Clones share the digests, which are computed once.
    pub fn digests(&self, digest: impl Fn(&[u8]) -> [u8; 16]) -> &Digests {
        let of = |value: &Value| {
            let mut bytes = Zeroizing::new(Vec::new());
            value.add_to(&mut bytes);
            digest(&bytes)
        };
        self.digests.get_or_init(|| self.values.iter().map(|(name, value)| (*name, of(value))).collect())
    }
}

impl Settings {
    pub fn set(&mut self, name: &'static str, value: Value) {
        self.values.insert(name, value);
    }

    pub fn unset(&mut self, name: &str) {
        self.values.remove(name);
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// A text option that is not sensitive.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A sensitive option.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        match self.values.get(name)? {
            Value::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// False where it is not set.
    pub fn boolean(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Boolean(true)))
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.values.get(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn seconds(&self, name: &str) -> Option<Duration> {
        match self.values.get(name)? {
            Value::Seconds(seconds) => Some(*seconds),
            _ => None,
        }
    }

    pub fn list(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    pub fn seal(self) -> FinalSettings {
        FinalSettings {
            document_key: self.key_without(|name| name == "base64_decode"),
            instance_key: self.key_without(|name| COMMON.iter().any(|opt| opt.name == name)),
            settings: self,
        }
    }

    fn key_without(&self, left_out: impl Fn(&str) -> bool) -> SettingsKey {
        let kept = self.values.iter().filter(|(name, _)| !left_out(name));
        let values: Arc<[_]> = kept.map(|(name, value)| (*name, value.clone())).collect();
        SettingsKey { hash: hash_once(&values), values, digests: Arc::default() }
    }
}

/// A hash for keys that live only in this process.
pub fn hash_once(value: &impl Hash) -> u64 {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    STATE.hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(values: &[(&'static str, &str)]) -> FinalSettings {
        let mut settings = Settings::default();
        for (name, value) in values {
            settings.set(name, Value::Text((*value).to_owned()));
        }
        settings.seal()
    }

    #[test]
    fn keys_compare_what_matters() {
        let one = settings(&[("region", "eu"), ("ttl", "1"), ("base64_decode", "true")]);
        let same_document = settings(&[("region", "eu"), ("ttl", "1"), ("base64_decode", "false")]);
        let same_instance = settings(&[("region", "eu"), ("ttl", "2")]);
        let other = settings(&[("region", "us")]);
        assert_eq!(one.document_key, same_document.document_key);
        assert_ne!(one.document_key, same_instance.document_key);
        assert_eq!(one.instance_key, same_instance.instance_key);
        assert_ne!(one.instance_key, other.instance_key);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut settings = Settings::default();
        settings.set("token", Value::Secret(Secret::new("hunter2")));
        assert!(!format!("{:?}", settings.seal()).contains("hunter2"));
    }
}
