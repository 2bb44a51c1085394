//! The tests' Azure, proven by Microsoft's own clients. `make proofs` installs these.

mod support;

use std::process::Command;

use serde_json::json;
use support::azure::entra::{AUDIENCE, ISSUER, SUBJECT};
use support::azure::key_vault::{Stored, stored};
use support::azure::managed::HEADER;
use support::azure::{APP, Azure, MACHINE, SECRET, TENANT};
use support::login::{Signer, now};

#[tokio::test]
#[ignore = "needs Microsoft's clients: make proofs"]
async fn microsofts_own_clients_accept_and_are_refused() {
    let Some(python) = support::told("TEST_PROOFS_PYTHON", "a Python with Microsoft's clients") else { return };
    let Some(azure) = Azure::start().await else { return };
    let certificate = azure.certificate("app");
    let pem = std::fs::read_to_string(&certificate).unwrap();
    let site = Stored { pem: Some(pem), ..stored('a', "MIIK", 1) };
    azure.state().secrets.insert("site".to_owned(), vec![site]);
    let federated = azure.directory.path().join("token");
    let claims = json!({"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "exp": now() + 600, "iat": now()});
    std::fs::write(&federated, Signer::new(azure.directory.path()).sign(&claims)).unwrap();
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proofs/azure_client.py"));
    command.env("PROOF_PORT", azure.port.to_string()).env("PROOF_LOCAL", format!("http://{}", azure.local.address));
    command.env("PROOF_CA", &azure.ca).env("PROOF_CERTIFICATE", certificate).env("PROOF_FEDERATED", federated);
    for (name, value) in
        [("TENANT", TENANT), ("APP", APP), ("SECRET", SECRET), ("HEADER", HEADER), ("MACHINE", MACHINE)]
    {
        command.env(format!("PROOF_{name}"), value);
    }
    let output = tokio::task::spawn_blocking(move || command.output().expect("Python")).await.expect("a run");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}");
}
