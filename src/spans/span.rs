//! One span, before it is written for a collector.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::context::TraceContext;
use super::requests::Requests;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Text(Cow<'static, str>),
    Number(i64),
    Boolean(bool),
}

/// A fetch that has ended. `None` of `failure`: it succeeded.
#[derive(Debug, Clone)]
pub struct Span {
    pub context: TraceContext,
    pub parent: Option<[u8; 8]>,
    pub links: Vec<TraceContext>,
    pub name: String,
    /// Whether no other server was asked.
    pub is_local: bool,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<(&'static str, Attribute)>,
    pub failure: Option<String>,
}

impl Span {
    /// A span for those requests, which has just ended; `None` where none is wanted.
    pub fn ended(name: String, took: Duration, requests: &Requests) -> Option<Self> {
        if !requests.wants_span() {
            return None;
        }
        let (parent, end) = (requests.parent(), SystemTime::now());
        Some(Self {
            context: TraceContext::child_of(parent)?,
            parent: parent.map(|parent| parent.span_id),
            links: requests.links().to_vec(),
            name,
            is_local: false,
            start: end.checked_sub(took).unwrap_or(end),
            end,
            attributes: Vec::new(),
            failure: None,
        })
    }

    pub fn set(&mut self, name: &'static str, value: Attribute) {
        self.attributes.push((name, value));
    }
}
