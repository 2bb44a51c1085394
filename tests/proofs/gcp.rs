//! The tests' Google, proven by Google's own clients. `make proofs` installs these.

use crate::support::gcp::Google;
use crate::support::google::{EMAIL, POOL};
use crate::support::proof;

#[tokio::test]
#[ignore = "needs Google's clients: make proofs"]
async fn googles_own_clients_accept_and_are_refused() {
    let Some(python) = proof::python() else { return };
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
    let told = [
        ("URL", google.url("")),
        ("HOST", google.host()),
        ("KEY", key.clone()),
        ("FOLDER", folder.to_str().expect("a path").to_owned()),
        ("POOL", POOL.to_owned()),
        ("SUBJECT", subject.to_owned()),
    ];
    proof::run(&python, "gcp", told).await;
}
