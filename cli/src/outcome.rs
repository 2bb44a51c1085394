//! What a command came to.

use kong_vault::secret::Secret;

/// For the exit status, and for either output.
pub(super) enum Outcome {
    /// This, on standard output. It may be a secret.
    Done(Secret),
    /// Why there is no value.
    NoValue(String),
    /// What is wrong, on standard output, and in short.
    Wrong {
        text: String,
        why: String,
    },
    Misuse(String),
}
