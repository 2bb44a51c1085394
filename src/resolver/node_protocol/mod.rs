//! The protocol by which the workers of a node share fetches: who fetches a document, and what lies in their dictionary. It
//! knows no resolver: `shared_cache` has its worker do what it decides.

pub mod fetches;
pub mod machine;
pub mod operation;
