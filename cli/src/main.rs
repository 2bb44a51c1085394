//! The command `kong-vault`; all of it is in the library beside it.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is freed, as the Lua module does.
#[global_allocator]
static WIPED_WHEN_FREED: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    kong_vault_cli::run()
}
