//! The Lua module `kong.vault.native`: the library as LuaJIT loads it, in nginx's workers and elsewhere.
//!
//! Two ways lead in: LuaJIT's FFI for hot calls (`ffi`), mlua for cold ones (`lua`). Both convert, and decide nothing.

// A panic in a worker ends it.
#![warn(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::dbg_macro,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

pub mod ffi;
mod lua;

/// Wipes all memory that the library frees, including what HTTP, TLS and JSON libraries copied: a worker lives for
/// weeks, and a core dump or a read past a buffer shows what was freed. `make bench` shows the cost.
#[global_allocator]
static WIPED_WHEN_FREED: ZeroAlloc<System> = ZeroAlloc(System);
