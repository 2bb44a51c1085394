//! The tests' Conjur, proven by CyberArk's own client. `make proofs` installs it.

use crate::support::conjur::Conjur;
use crate::support::cyberark::{ACCOUNT, KEY, LOGIN};
use crate::support::proof;

#[tokio::test]
#[ignore = "needs CyberArk's client: make proofs"]
async fn cyberarks_own_client_accepts_and_is_refused() {
    let Some(python) = proof::python() else { return };
    let Some(conjur) = Conjur::start().await else { return };
    let told =
        [("URL", conjur.url()), ("ACCOUNT", ACCOUNT.to_owned()), ("LOGIN", LOGIN.to_owned()), ("KEY", KEY.to_owned())];
    proof::run(&python, "conjur", told).await;
    // The client and the vault read the same.
    assert_eq!(crate::support::conjur::reads(&conjur.usual(), "BotApp/secretVar").await, r#"{"user":"two"}"#);
}
