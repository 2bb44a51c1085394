//! Secret references (`{vault://…}`) for OpenResty/nginx and Kong Gateway. This file is the table of contents;
//! ARCHITECTURE.md shows the way of one call through it.

// Leaves: they import nothing of ours but each other.
pub mod breaker;
pub mod environment;
pub mod error;
pub mod options;
pub mod pool;
pub mod redact;
pub mod secret;
pub mod settings;
pub mod shared_slots;
pub mod signals;

// What references look like, where configuration comes from, and the vaults it leads to.
pub mod backend;
pub mod config;
pub mod reference;

// What a reference means, what is cached, what is under way.
pub mod cache;
pub mod document;
pub mod metrics;
pub mod node;
pub mod resolved_reference;
pub mod singleflight;
pub mod store;

// What runs it: the engine's thread, a vault's connections, the socket for other workers, the notifier.
pub mod engine;
pub mod fetch;
pub mod jobs;
pub mod notifier;
pub mod peers;

// The heart: from a reference to its value.
pub mod admin;
pub mod blocking;
pub mod entities;
pub mod fetch_task;
pub mod follow;
pub mod gauges;
pub mod indirect;
pub mod outcome;
pub mod previous;
pub mod refresh;
pub mod resolver;
pub mod shared_cache;
pub mod succession;
pub mod vm;

// The way in from a shell.
#[cfg(feature = "cli")]
pub mod cli;

// The way in from Lua.
pub mod ffi;
#[cfg(feature = "lua")]
mod lua;
