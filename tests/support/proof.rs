//! Runs a vendor's own client against a stand-in: `tests/proofs/NAME_client.py`, which says for each case whether it went as
//! expected, and ends with a status other than 0 where one did not.

use std::process::Command;

/// The Python that has the vendors' clients, or `None` where the tests are not told of one.
pub fn python() -> Option<String> {
    super::told("TEST_PROOFS_PYTHON", "a Python with the vendors' clients")
}

/// `told`: what the script is told by variables, whose names get `PROOF_` before them.
pub async fn run(python: &str, name: &str, told: impl IntoIterator<Item = (&'static str, String)>) {
    let mut command = Command::new(python);
    command.arg(format!("{}/tests/proofs/{name}_client.py", env!("CARGO_MANIFEST_DIR")));
    command.envs(told.into_iter().map(|(name, value)| (format!("PROOF_{name}"), value)));
    let output = tokio::task::spawn_blocking(move || command.output().expect("Python")).await.expect("a run");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}");
}
