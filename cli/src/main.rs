//! The command `kong-vault`; all of it is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    kong_vault_cli::run()
}
