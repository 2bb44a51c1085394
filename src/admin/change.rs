//! A change of a vault entity, as the audit log may show it.

use serde_json::Value;

use super::mask;
use crate::backend::Descriptor;
use crate::store::Record;

/// What an entity was and is. Its credentials are masked.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityChange {
    pub action: &'static str,
    pub prefix: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl EntityChange {
    pub fn new(before: Option<&Record>, after: Option<&Record>, backends: &[&'static Descriptor]) -> Self {
        let shown = |vault: &Record| Value::Object((*mask::masked(vault, backends)).clone());
        let action = match (before, after) {
            (None, _) => "create",
            (_, Some(_)) => "update",
            (_, None) => "delete",
        };
        let prefix = after.or(before).map(|vault| vault.text("prefix").to_owned()).unwrap_or_default();
        Self { action, prefix, before: before.map(shown), after: after.map(shown) }
    }
}
