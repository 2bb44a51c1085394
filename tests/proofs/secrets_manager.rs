//! The tests' Secrets Manager, proven by AWS's own client. `make proofs` installs it.

use crate::support::proof;
use crate::support::secrets_manager::{Held, SecretsManager};

#[tokio::test]
#[ignore = "needs AWS's client: make proofs"]
async fn awss_own_client_accepts_and_is_refused() {
    let Some(python) = proof::python() else { return };
    let server = SecretsManager::start(&[
        ("a", Held::Text("of a")),
        ("bytes", Held::Bytes("AP8AaGk=")),
        ("c", Held::Text("of c")),
        ("d", Held::Text("of d")),
        ("e", Held::Text("of e")),
        ("deleted", Held::Refused("InvalidRequestException", "it was marked for deletion")),
    ])
    .await;
    for (part, page) in [("cases", None), ("pages", Some(2))] {
        server.page(page);
        proof::run(&python, "secrets_manager", [("URL", server.endpoint()), ("PART", part.to_owned())]).await;
    }
}
