//! The tests' parts of AWS, proven by AWS's own client. `make proofs` installs it. Secrets Manager itself is moto's.

use std::sync::{Arc, Mutex};

use crate::support::amazon::{Session, agent, center, metadata};
use crate::support::{Fake, proof};

const TOKEN: &str = "hunter2-of-a-container";

#[tokio::test]
#[ignore = "needs AWS's client: make proofs"]
async fn awss_own_client_accepts_and_is_refused() {
    let Some(python) = proof::python() else { return };
    let session = Session { id: "ASIAEXAMPLE".to_owned(), key: "key".to_owned(), token: "of-a-session".to_owned() };
    let url = |fake: &Fake| format!("http://{}", fake.address);
    let (new, old) = (metadata(session.clone(), false).await, metadata(session.clone(), true).await);
    let (agent, known) = (agent(session.clone(), TOKEN).await, Arc::new(Mutex::new("hunter2-known".to_owned())));
    let center = center(session, known).await;
    let where_ =
        [("METADATA", url(&new)), ("METADATA_V1", url(&old)), ("AGENT", url(&agent)), ("CENTER", url(&center))];
    let more = [("AGENTS_TOKEN", TOKEN.to_owned()), ("CENTERS_TOKEN", "hunter2-known".to_owned())];
    proof::run(&python, "aws", where_.into_iter().chain(more)).await;
}
