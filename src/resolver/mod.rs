//! Finds the value of a reference: what it means, whether the cache has it, who fetches it, when it is renewed.
//!
//! It uses the cache, the node's memory, the engine and the vaults. It must never know who asks: nothing of Lua, the C
//! ABI or the command line.

mod account;
mod auditing;
mod batches;
pub mod blocking;
pub mod breaker;
pub mod calls;
mod change;
mod check;
pub mod diagnose;
pub mod document_cache;
mod ends;
pub mod exposition;
pub mod fetch_report;
mod fetch_spans;
pub mod fetch_task;
mod follow;
mod gathering;
pub mod gauges;
pub mod generation;
mod group;
mod heir;
pub mod indirect;
mod inherit;
pub mod instance;
pub(crate) mod loaded;
mod lookup;
pub mod metrics;
pub mod node_protocol;
pub mod node_status;
pub mod outcome;
mod peer_answers;
pub mod previous;
mod probes;
pub mod references;
pub mod refresh;
mod replace_entities;
pub mod resolved_reference;
pub mod schedule;
pub mod shared_cache;
pub mod singleflight;
mod state;
pub mod succession;
pub mod upstream;
mod vault_changes;
mod vault_health;
mod wakeup;

pub use lookup::{Lookup, Value};
pub use state::Resolver;
