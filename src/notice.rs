//! What an operator is told of without an error.

/// What the operator should know of a vault though no fetch fails for it: a line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether what was told before is over.
    pub is_over: bool,
    pub text: String,
}
