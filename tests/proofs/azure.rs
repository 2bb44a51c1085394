//! The tests' Azure, proven by Microsoft's own clients. `make proofs` installs these.

use crate::support::azure::entra::{AUDIENCE, ISSUER, SUBJECT};
use crate::support::azure::key_vault::{Stored, stored};
use crate::support::azure::managed::HEADER;
use crate::support::azure::{APP, Azure, MACHINE, SECRET, TENANT};
use crate::support::login::{Signer, now};
use crate::support::proof;
use serde_json::json;

#[tokio::test]
#[ignore = "needs Microsoft's clients: make proofs"]
async fn microsofts_own_clients_accept_and_are_refused() {
    let Some(python) = proof::python() else { return };
    let Some(azure) = Azure::start().await else { return };
    let certificate = azure.certificate("app");
    let pem = std::fs::read_to_string(&certificate).unwrap();
    let site = Stored { pem: Some(pem), ..stored('a', "MIIK", 1) };
    azure.state().secrets.insert("site".to_owned(), vec![site]);
    let federated = azure.directory.path().join("token");
    let claims = json!({"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "exp": now() + 600, "iat": now()});
    std::fs::write(&federated, Signer::new(azure.directory.path()).sign(&claims)).unwrap();
    let told = [
        ("PORT", azure.port.to_string()),
        ("LOCAL", format!("http://{}", azure.local.address)),
        ("CA", azure.ca.clone()),
        ("CERTIFICATE", certificate),
        ("FEDERATED", federated.to_str().expect("a path").to_owned()),
    ];
    let names = [("TENANT", TENANT), ("APP", APP), ("SECRET", SECRET), ("HEADER", HEADER), ("MACHINE", MACHINE)];
    let names = names.map(|(name, value)| (name, value.to_owned()));
    proof::run(&python, "azure", told.into_iter().chain(names)).await;
}
