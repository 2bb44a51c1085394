//! Secret references (`{vault://…}`) for OpenResty/nginx and Kong Gateway. This file is the table of contents;
//! ARCHITECTURE.md shows the way of one call through it.

// Leaves: they import nothing of ours but each other.
pub mod breaker;
pub mod environment;
pub mod error;
pub mod locker;
pub mod options;
pub mod pool;
pub mod redact;
pub mod secret;
pub mod settings;
pub mod signals;

// What references look like, where configuration comes from, and the vaults it leads to.
pub mod backend;
pub mod config;
pub mod reference;

// What a reference means, what is cached, what is under way.
pub mod cache;
pub mod document;
pub mod flight;
pub mod metrics;
pub mod node;
pub mod plan;
pub mod store;

// What runs it: the engine's thread, a vault's connections, the worker's ear and bell.
pub mod engine;
pub mod fetch;
pub mod jobs;
pub mod peers;
pub mod wake;

// The heart: from a reference to its value.
pub mod admin;
pub mod blocking;
pub mod bootstrap;
pub mod departure;
pub mod entities;
pub mod exchange;
pub mod gauges;
pub mod live;
pub mod outcome;
pub mod previous;
pub mod resolver;
pub mod rotation;
pub mod succession;
pub mod vm;

// The way in from a shell.
#[cfg(feature = "cli")]
pub mod cli;

// The way in from Lua.
pub mod ffi;
#[cfg(feature = "lua")]
mod lua;
