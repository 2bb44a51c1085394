//! Why a profile is of no use.

/// Why a profile gives no credentials: a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has none: the next source is asked.
    Absent(String),
    /// It is to give some and can't: the next source would be somebody else.
    Broken(String),
}
