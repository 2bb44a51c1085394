//! How a command ended.

use kong_vault::secret::Secret;

/// Decides the exit status, and what is written to standard output and standard error.
pub(super) enum Outcome {
    /// Success, with the text for standard output. It may be a secret.
    Done(Secret),
    /// Why there is no value.
    NoValue(String),
    /// Something is wrong: `text` tells it on standard output, and `why` in short on standard error.
    Wrong {
        text: String,
        why: String,
    },
    Misuse(String),
    /// A program that was run has ended with this status.
    Ended(u8),
    /// A program could not be run.
    NotRun {
        status: u8,
        why: String,
    },
}
