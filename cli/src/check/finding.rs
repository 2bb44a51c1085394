//! What a look through files finds: references, what looks like one, and vault entities.

use std::collections::BTreeMap;

use super::table::Place;
use kong_vault::config::entity::Entity;
use kong_vault::reference::is_reference;

/// A reference, and where it stands.
#[derive(Debug)]
pub struct FoundReference {
    pub place: Place,
    /// The key or field whose value it is.
    pub what: String,
    pub reference: String,
    /// Whether it is the operator's own, who may name credentials of ours.
    pub of_operator: bool,
}

/// What is known of a vault entity.
#[derive(Debug, Clone)]
pub enum KnownEntity {
    Right(Entity),
    Wrong,
    /// It is of a strategy of others, which this is.
    Others(String),
}

/// Entities by prefix.
pub type Entities = BTreeMap<String, KnownEntity>;

/// Why a text that is no reference is probably meant to be one. It may hold a secret, so it is not shown.
pub fn look_alike(text: &str) -> Option<&'static str> {
    if is_reference(text.as_bytes()) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let bare = lower.trim_matches([' ', '\t', '\r', '\n', '{', '}', '"', '\'']);
    if is_reference(text.trim().as_bytes()) {
        Some("looks like a reference with white space around it, and is used as plain text: remove the white space")
    } else if is_mentioned(&lower) || bare.starts_with("vault:/") {
        Some("looks like a reference but is not one, and is used as plain text: write {vault://…} and nothing else")
    } else {
        None
    }
}

/// Whether a text holds what may be meant for a reference. Code and templates hold some as well, in quotes of their own or in
/// several lines: they look them up by themselves.
fn is_mentioned(text: &str) -> bool {
    let line_breaks = text.trim_end().contains(['\n', '\r']);
    let is_quoted = |before: &str| before.ends_with(['"', '\'', '`', '[', '=']);
    let mut mentions = ["{vault:/", "{vault//"].iter().flat_map(|mention| text.match_indices(mention));
    mentions.any(|(at, _)| at == 0 || !(line_breaks || is_quoted(&text[..at])))
}
