//! Credentials that a program prints (`credential_process`), run by the shell, as AWS's own clients do.

use std::ffi::OsStr;
use std::time::Duration;

use super::credentials::AccessKeys;
use super::parse;
use crate::environment::Environment;
use crate::error::Kind;
use crate::identity::program::Program;

/// The program may take longer than a fetch: then the next fetch uses its credentials.
const LIMIT: Duration = Duration::from_secs(50);

/// The error is a kind and a clause.
pub async fn keys(command: &str, environment: &Environment) -> Result<AccessKeys, (Kind, String)> {
    let arguments = ["/bin/sh", "-c", command].map(OsStr::new);
    let program = Program { arguments: &arguments, environment, variables: &[], limit: LIMIT };
    let written = program.run().await?;
    match written.status {
        0 => parse::keys_of_program(written.json()).map_err(|reason| (Kind::Invalid, reason.to_owned())),
        status => Err((Kind::Unavailable, format!("the program failed with status {status}"))),
    }
}
