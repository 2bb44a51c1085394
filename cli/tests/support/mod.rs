//! What the library's tests share, and a run of `kong-vault check`.
#![allow(dead_code, unused_imports)]

pub mod check;
#[path = "../../../tests/support/mod.rs"]
mod library;

pub use library::*;
