//! What runs by itself in a worker: the engine's thread, jobs that read and write, and how the worker learns of either.
//!
//! It uses the pool and the node's names. It must never know what is fetched, nor call Lua or nginx.

pub mod engine;
pub mod jobs;
pub mod notifier;
pub mod ticket;
