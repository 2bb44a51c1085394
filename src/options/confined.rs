//! What a vault entity may set of an option that says where the operator's credentials go.

/// Values of an option that a vault entity may set.
#[derive(Debug, Clone, Copy)]
pub struct Confined {
    pub allows: fn(&str) -> bool,
    /// The rule in words, to end a sentence with "must be".
    pub means: &'static str,
}
