//! The panic boundary: a panic that crosses into C ends the worker, also inside `pcall`.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the whole of an export; `otherwise` is what it returns after a panic.
pub fn guard<T>(otherwise: T, export: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(export)).unwrap_or(otherwise)
}
