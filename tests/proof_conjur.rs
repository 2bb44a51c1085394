//! The tests' Conjur, proven by CyberArk's own client. `make proofs` installs it.

mod support;

use std::process::Command;

use support::conjur::Conjur;
use support::cyberark::{ACCOUNT, KEY, LOGIN};

#[tokio::test]
#[ignore = "needs CyberArk's client: make proofs"]
async fn cyberarks_own_client_accepts_and_is_refused() {
    let Some(python) = support::told("TEST_PROOFS_PYTHON", "a Python with CyberArk's client") else { return };
    let conjur = Conjur::start().await;
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proofs/conjur_client.py"));
    command.env("PROOF_URL", conjur.url()).env("PROOF_ACCOUNT", ACCOUNT);
    command.env("PROOF_LOGIN", LOGIN).env("PROOF_KEY", KEY);
    let output = tokio::task::spawn_blocking(move || command.output().expect("Python")).await.expect("a run");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}");
    // The client and the vault read the same.
    assert_eq!(support::conjur::reads(&conjur.usual(), "BotApp/secretVar").await, r#"{"user":"two"}"#);
}
