//! What `check` finds in files: references, texts that look like one, and vault entities.

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
    /// Whether an operator wrote it: then it may name kong-vault's own credentials.
    pub of_operator: bool,
}

/// What is known of a vault entity.
#[derive(Debug, Clone)]
pub enum KnownEntity {
    Right(Entity),
    Wrong,
    /// Its strategy, which kong-vault does not provide.
    Others(String),
}

/// Entities by prefix.
pub type Entities = BTreeMap<String, KnownEntity>;

/// Returns why a text that is not a reference was probably meant as one. It may hold a secret, so it is not shown.
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

/// Whether a path in a declarative file is that of a field of a plugin's configuration.
pub fn is_of_plugin(path: &str) -> bool {
    path.split_once("plugins[").is_some_and(|(_, rest)| rest.contains("].config."))
}

/// Whether a text contains what may be meant as a reference. In quotes, or in a text of several lines, that counts only
/// at the beginning: elsewhere it belongs to code or a template, which resolves it itself.
fn is_mentioned(text: &str) -> bool {
    let line_breaks = text.trim_end().contains(['\n', '\r']);
    let is_quoted = |before: &str| before.ends_with(['"', '\'', '`', '[', '=']);
    let mut mentions = ["{vault:/", "{vault//"].iter().flat_map(|mention| text.match_indices(mention));
    mentions.any(|(at, _)| at == 0 || !(line_breaks || is_quoted(&text[..at])))
}
