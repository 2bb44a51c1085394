//! The effective, validated options of one vault for one reference.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::secret::Secret;

/// A validated value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Secret(Secret),
    Boolean(bool),
    Integer(i64),
    Seconds(f64),
    List(Vec<String>),
}

/// Options by name; each present one has been checked against its declaration, and each default is filled in.
/// `Debug` shows no sensitive value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    values: BTreeMap<&'static str, Value>,
}

impl Settings {
    pub fn set(&mut self, name: &'static str, value: Value) {
        self.values.insert(name, value);
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
            Value::Seconds(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
            _ => None,
        }
    }

    pub fn list(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }
}

/// stub
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SettingsKey(u8);
impl Settings {
    pub fn document_key(&self) -> SettingsKey {
        SettingsKey(0)
    }
    pub fn instance_key(&self) -> SettingsKey {
        SettingsKey(0)
    }
}
