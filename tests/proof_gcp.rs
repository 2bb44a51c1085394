//! The tests' Google, proven by Google's own clients. `make proofs` installs these.

mod support;

use std::process::Command;

use support::gcp::Google;
use support::google::{EMAIL, POOL};

#[tokio::test]
#[ignore = "needs Google's clients: make proofs"]
async fn googles_own_clients_accept_and_are_refused() {
    let Some(python) = support::told("TEST_PROOFS_PYTHON", "a Python with Google's clients") else { return };
    let google = Google::start().await;
    let (reader, between) = ("reader@p.iam.gserviceaccount.com", "between@p.iam.gserviceaccount.com");
    let subject = {
        let mut world = google.world();
        world.may_stand_for.insert("direct@p.iam.gserviceaccount.com".to_owned(), vec!["principal".to_owned()]);
        world.may_stand_for.insert(between.to_owned(), vec![EMAIL.to_owned()]);
        world.may_stand_for.insert(reader.to_owned(), vec![between.to_owned()]);
        world.subject
    };
    let key = google.file("key.json", &google.key().to_string());
    let folder = std::path::Path::new(&key).parent().expect("a folder");
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proofs/gcp.py"));
    command.env("PROOF_URL", google.url("")).env("PROOF_HOST", google.host()).env("PROOF_KEY", &key);
    command.env("PROOF_FOLDER", folder).env("PROOF_POOL", POOL).env("PROOF_SUBJECT", subject);
    let output = tokio::task::spawn_blocking(move || command.output().expect("Python")).await.expect("a run");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}");
}
