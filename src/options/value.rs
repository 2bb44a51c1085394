//! A validated value of an option.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;

/// A validated value. `Debug` shows no text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Value {
    Text(String),
    Secret(Secret),
    Boolean(bool),
    Integer(i64),
    Seconds(Duration),
    List(Vec<String>),
}

impl Value {
    /// Appends bytes, which differ where values differ.
    pub(super) fn add_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::Text(text) => add_part(bytes, 1, text.as_bytes()),
            Value::Secret(secret) => add_part(bytes, 2, secret.as_bytes()),
            Value::Boolean(flag) => add_part(bytes, 3, &[u8::from(*flag)]),
            Value::Integer(number) => add_part(bytes, 4, &number.to_le_bytes()),
            Value::Seconds(seconds) => add_part(bytes, 5, &seconds.as_nanos().to_le_bytes()),
            Value::List(items) => items.iter().for_each(|item| add_part(bytes, 6, item.as_bytes())),
        }
    }
}

pub(super) fn add_part(bytes: &mut Vec<u8>, kind: u8, part: &[u8]) {
    bytes.push(kind);
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "[text of {}]", text.len()),
            Value::Secret(secret) => secret.fmt(f),
            Value::Boolean(flag) => flag.fmt(f),
            Value::Integer(number) => number.fmt(f),
            Value::Seconds(seconds) => seconds.fmt(f),
            Value::List(items) => write!(f, "[list of {}]", items.len()),
        }
    }
}
