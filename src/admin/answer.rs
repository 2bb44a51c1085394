//! Answers with Kong's statuses and bodies.

use serde_json::{Map, Value, json};

use super::change::EntityChange;
use crate::config::entity::{EntityFlaw, FLAWS};
use crate::error::{Error, Kind};
use crate::store::Record;

/// How many flaws an answer lists.
const TOLD: usize = 20;

/// The answer to a request. Its body, if any, is JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminResponse {
    pub status: u16,
    pub body: Option<String>,
    /// The methods for the header `Allow`, where the answer has it.
    pub allow: Option<&'static str>,
    /// What the request changed.
    pub change: Option<Box<EntityChange>>,
}

impl AdminResponse {
    fn new(status: u16, body: &Value) -> Self {
        Self { status, body: Some(body.to_string()), allow: None, change: None }
    }

    pub fn message(status: u16, message: &str) -> Self {
        Self::new(status, &json!({ "message": message }))
    }

    pub fn nothing() -> Self {
        Self { status: 204, body: None, allow: None, change: None }
    }

    pub fn allowing(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    pub fn without_body(mut self) -> Self {
        self.body = None;
        self
    }

    pub fn after_a_change(mut self, change: EntityChange) -> Self {
        self.change = Some(Box::new(change));
        self
    }

    pub fn list(body: &Value) -> Self {
        Self::new(200, body)
    }

    /// An entity, which must be masked already.
    pub fn ok(vault: &Record) -> Self {
        Self::entity(200, vault)
    }

    pub fn created(vault: &Record) -> Self {
        Self::entity(201, vault)
    }

    fn entity(status: u16, vault: &Record) -> Self {
        let body = serde_json::to_string(vault).unwrap_or_default();
        Self { status, body: Some(body), allow: None, change: None }
    }

    pub fn not_found() -> Self {
        Self::message(404, "Not found")
    }

    pub fn not_allowed(methods: &'static str) -> Self {
        Self::message(405, "Method not allowed").allowing(methods)
    }

    pub fn too_large(limit: u64) -> Self {
        Self::message(413, &format!("the body is larger than {limit} bytes"))
    }

    fn coded(status: u16, code: u8, name: &str, message: &str, (about, fields): (&str, Value)) -> Self {
        let mut body = json!({ "code": code, "name": name, "message": message });
        if !fields.is_null() {
            body[about] = fields;
        }
        Self::new(status, &body)
    }

    /// The flaws of an entity's fields.
    pub fn violation(flaws: &[EntityFlaw]) -> Self {
        let mut fields = Map::new();
        for flaw in flaws.iter().take(TOLD) {
            let what = Value::from(flaw.what.as_str());
            match flaw.path.split_once('.') {
                _ if flaw.path.is_empty() => drop(fields.insert("@entity".to_owned(), json!([what]))),
                None => drop(fields.insert(flaw.path.clone(), what)),
                Some((field, part)) => {
                    let inner = fields.entry(field).or_insert_with(|| json!({}));
                    if let Some(inner) = inner.as_object_mut() {
                        inner.insert(part.to_owned(), what);
                    }
                }
            }
        }
        let told = flaws.iter().take(TOLD).map(|flaw| match flaw.path.as_str() {
            "" => flaw.what.clone(),
            path => format!("{path}: {}", flaw.what),
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let message = match flaws.len() {
            1 => format!("schema violation ({told})"),
            // No more than `FLAWS` are searched for.
            FLAWS.. => format!("at least {FLAWS} schema violations ({told})"),
            count => format!("{count} schema violations ({told})"),
        };
        Self::coded(400, 2, "schema violation", &message, ("fields", Value::Object(fields)))
    }

    pub fn taken_id(id: &str) -> Self {
        let message = format!("primary key violation on key '{{id=\"{id}\"}}'");
        Self::coded(400, 3, "primary key violation", &message, ("fields", json!({ "id": id })))
    }

    pub fn taken_prefix(prefix: &str) -> Self {
        let message = format!("UNIQUE violation detected on '{{prefix=\"{prefix}\"}}'");
        Self::coded(409, 5, "unique constraint violation", &message, ("fields", json!({ "prefix": prefix })))
    }

    /// A prefix that belongs to the declarative file.
    pub fn fixed_prefix(prefix: &str) -> Self {
        let message = format!(
            "UNIQUE violation detected on '{{prefix=\"{prefix}\"}}': it is an entity of vault_declarative_config, \
             which only that file changes"
        );
        Self::coded(409, 5, "unique constraint violation", &message, ("fields", json!({ "prefix": prefix })))
    }

    pub fn invalid_offset(message: &str) -> Self {
        Self::coded(400, 7, "invalid offset", message, ("fields", Value::Null))
    }

    pub fn invalid_size(message: &str) -> Self {
        Self::coded(400, 9, "invalid size", message, ("fields", Value::Null))
    }

    pub fn invalid_prefix(message: &str) -> Self {
        Self::coded(400, 10, "invalid unique prefix", message, ("fields", Value::Null))
    }

    pub fn invalid_tags(what: &str) -> Self {
        let message = format!("invalid option (tags: {what})");
        Self::coded(400, 11, "invalid options", &message, ("options", json!({ "tags": what })))
    }

    /// A failure of the store. Only operators read answers, and they need the reason.
    pub fn failed(error: &Error) -> Self {
        let status = match error.kind() {
            Kind::Invalid => 413,
            Kind::Timeout | Kind::Throttled => 503,
            _ => 500,
        };
        Self::message(status, error.text())
    }
}
