//! A key of a kong.conf, as Kong reads it.

use std::fmt;

/// `key = value`.
#[derive(PartialEq, Eq)]
pub struct Setting {
    /// From 1 on.
    pub number: usize,
    pub key: String,
    pub value: String,
    /// What stands there, where it became another number than the one written.
    pub written: Option<String>,
    /// Whether a comment begins in the middle of a word.
    pub is_cut: bool,
    /// Whether a line that is joined to it sets a key of ours.
    pub swallows: bool,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("number", &self.number).finish_non_exhaustive()
    }
}
