//! The protocol by which the workers of a node share fetches: who fetches a document, and what lies in their
//! dictionary. It does not use the resolver: `shared_cache` runs it.

pub mod fetches;
pub mod machine;
pub mod operation;
