//! The command `kong-vault`; all of it is in `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kong_vault::cli::run()
}
