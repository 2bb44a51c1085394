//! A vault entity as it is kept: JSON, wiped when it is dropped, as a token may stand in it.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroize;

/// The fields of an entity.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(Map<String, Value>);

impl Record {
    /// A text field; empty where it is missing or no text.
    pub fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// An upper bound of its length as JSON, except where a text has many characters to escape.
    pub fn weight(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>() + 2
    }
}

impl From<Map<String, Value>> for Record {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl Deref for Record {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Record {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({})", self.text("prefix"))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| wipe(value));
    }
}

/// Overwrites all texts of a value.
pub fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| wipe(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn weight(value: &Value) -> usize {
    match value {
        // Characters that JSON escapes take more.
        Value::String(text) => text.len() + text.len() / 2 + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>() + 2,
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 24,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wiped_holds_nothing() {
        let mut value = json!({"token": "hunter2", "list": ["hunter2", {"deep": "hunter2"}]});
        wipe(&mut value);
        assert!(!value.to_string().contains("hunter2"));
    }

    #[test]
    fn debug_shows_the_prefix_alone() {
        let record: Record = serde_json::from_value(json!({"prefix": "mine", "config": {"token": "hunter2"}})).unwrap();
        assert_eq!(format!("{record:?}"), "Record(mine)");
    }
}
