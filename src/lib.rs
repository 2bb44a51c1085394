//! Secret references (`{vault://…}`) for OpenResty/nginx and Kong Gateway. This file is the table of contents;
//! ARCHITECTURE.md shows the way of one call through it.

// Tests may use these, the library must not.
#![cfg_attr(
    not(test),
    warn(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::dbg_macro,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used
    )
)]

// Used by all other modules.
pub mod environment;
pub mod error;
mod notice;
pub mod options;
pub mod redact;
pub mod secret;
pub mod sync;

// Work that blocks, files, HTTP, spans, and AWS credentials.
pub mod diagnosis;
pub mod file;
pub mod http;
mod identity;
pub mod pool;
pub mod spans;

// The cache, what the workers of a node share, and vault entities on disk.
pub mod cache;
pub mod node;
pub mod store;

// The vaults, what references to them look like, and where configuration comes from.
pub mod backend;
pub mod config;
pub mod reference;

// The audit log.
pub mod audit;

// From a reference to its value: the Admin API, vault entities, the resolver, the engine, one Lua VM's state.
pub mod admin;
mod entities;
pub mod resolver;
pub mod runtime;
pub mod vm;
