//! Secret references (`{vault://…}`) for OpenResty/nginx and Kong Gateway. This file is the table of contents;
//! ARCHITECTURE.md shows the way of one call through it.

// What tests may and the library must not.
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

// What everybody uses.
pub mod environment;
pub mod error;
mod notice;
pub mod options;
pub mod redact;
pub mod secret;
mod sync;

// Work that blocks, files, HTTP, and who we are to others.
pub mod diagnosis;
mod file;
pub mod http;
mod identity;
pub mod pool;

// What is known, here and on the node.
pub mod cache;
pub mod node;
pub mod store;

// The vaults, what references to them look like, and where configuration comes from.
pub mod backend;
pub mod config;
pub mod reference;

// What runs it, and from a reference to its value.
pub mod admin;
mod entities;
pub mod resolver;
pub mod runtime;
pub mod vm;

// The way in from Lua.
pub mod ffi;
#[cfg(feature = "lua")]
mod lua;
