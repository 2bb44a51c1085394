//! Why a profile can't be used.

/// Why a profile has no credentials: a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has no credentials: the next source is asked.
    Absent(String),
    /// It should have credentials but can't be used. The next source would be another identity.
    Broken(String),
}
