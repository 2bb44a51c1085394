//! A key of a kong.conf, as Kong reads it.

use std::fmt;

/// `key = value`.
#[derive(PartialEq, Eq)]
pub struct Setting {
    /// From 1 on.
    pub number: usize,
    pub key: String,
    pub value: String,
    /// The value as written, where it is a number that Kong rewrites.
    pub written: Option<String>,
    /// Whether a comment begins within the value, without white space before its `#`.
    pub is_cut: bool,
    /// Whether a line that is joined to it sets a key of kong-vault's.
    pub swallows: bool,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("number", &self.number).finish_non_exhaustive()
    }
}
