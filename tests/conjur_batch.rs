//! Many variables of Conjur with one request, which answers all or nothing.

mod support;

use std::sync::Arc;

use kong_vault::backend::{Backend, Fetched, SecretId};
use kong_vault::error::{Kind, Result};
use support::answer;
use support::conjur::{Conjur, harmless, reads};
use support::cyberark::refusal;

const MANY: [&str; 20] = [
    "v00", "v01", "v02", "v03", "v04", "v05", "v06", "v07", "v08", "v09", "v10", "v11", "v12", "v13", "v14", "v15",
    "v16", "v17", "v18", "v19",
];

async fn conjur() -> Option<Conjur> {
    let conjur = Conjur::start().await?;
    for name in MANY {
        conjur.world().variables.insert(name, vec![b"old", name.as_bytes()]);
    }
    Some(conjur)
}

fn ids(names: &[&str]) -> Vec<SecretId> {
    names.iter().map(|name| SecretId { resource: (*name).to_owned(), version: None }).collect()
}

async fn batch(vault: &Arc<dyn Backend>, names: &[&str]) -> Vec<Option<Result<Fetched>>> {
    vault.fetch_batch(&ids(names)).await
}

fn value(outcome: &Option<Result<Fetched>>) -> Option<&[u8]> {
    outcome.as_ref().map(|outcome| outcome.as_ref().expect("a value").document.as_bytes())
}

fn takes(vault: &Arc<dyn Backend>, name: &str) -> bool {
    vault.takes_in_batch(&ids(&[name])[0])
}

/// How many requests there were since the last call, without logins.
fn requests(conjur: &Conjur) -> usize {
    let asked = std::mem::take(&mut conjur.world().asked);
    asked.iter().filter(|line| line.starts_with("GET")).count()
}

#[tokio::test]
async fn one_request_brings_all_in_their_order_also_what_is_no_text() {
    let Some(conjur) = conjur().await else { return };
    conjur.world().variables.insert("long", vec![&[b'x'; 500]]);
    let vault = conjur.usual();
    let names = ["BotApp/secretVar", "bin", "plain", "long", "plain", "v00"];
    let outcomes = batch(&vault, &names).await;
    assert_eq!(value(&outcomes[0]), Some(&br#"{"user":"two"}"#[..]));
    assert_eq!(value(&outcomes[1]), Some(&b"\x00\xff"[..]));
    assert_eq!(value(&outcomes[3]), Some(&[b'x'; 500][..]));
    assert_eq!(
        (value(&outcomes[2]), value(&outcomes[4]), value(&outcomes[5])),
        (Some(&b"plain"[..]), Some(&b"plain"[..]), Some(&b"v00"[..]))
    );
    assert_eq!(requests(&conjur), 1);
    // A comma parts ids, versions are not for batches, and dynamic secrets are made for each request.
    assert!(!takes(&vault, "a b+c,d?e#f%2F") && !takes(&vault, "data/dynamic/x") && takes(&vault, "plain"));
    assert!(!vault.takes_in_batch(&SecretId { resource: "plain".to_owned(), version: Some(1) }));
}

#[tokio::test]
async fn what_refuses_a_batch_is_found_and_fetched_singly_from_then_on() {
    let Some(conjur) = conjur().await else { return };
    for (bad, most) in [("none", 2), ("empty", 2), ("denied", 12), ("invisible", 12)] {
        let vault = conjur.usual();
        let names: Vec<&str> = MANY[..7].iter().copied().chain([bad]).chain(MANY[7..].iter().copied()).collect();
        requests(&conjur);
        let outcomes = batch(&vault, &names).await;
        for (name, outcome) in names.iter().zip(&outcomes) {
            let expected = (*name != bad).then_some(name.as_bytes());
            assert_eq!(value(outcome), expected, "{bad}: {name}");
        }
        let asked = requests(&conjur);
        assert!(asked <= most, "{bad}: {asked} requests");
        assert!(!takes(&vault, bad) && takes(&vault, MANY[0]));
        batch(&vault, &MANY).await;
        assert_eq!(requests(&conjur), 1);
    }
    // A single fetch finds out as well.
    let vault = conjur.usual();
    support::conjur::fails(&vault, "denied", Kind::Denied, "").await;
    assert!(!takes(&vault, "denied"));
}

#[tokio::test]
async fn what_was_refused_beside_another_is_not_taken_for_the_one_that_refuses() {
    let Some(conjur) = conjur().await else { return };
    for names in [["plain", "denied"], ["denied", "plain"]] {
        let vault = conjur.usual();
        let outcomes = batch(&vault, &names).await;
        for (name, outcome) in names.iter().zip(&outcomes) {
            assert_eq!(value(outcome), (*name == "plain").then_some(&b"plain"[..]), "{names:?}");
            assert_eq!(takes(&vault, name), *name == "plain", "{names:?}");
        }
    }
    for names in [&["denied", "empty"], &["plain", "plain"]] {
        let vault = conjur.usual();
        assert!(batch(&vault, names).await.iter().all(Option::is_none));
        for name in names {
            assert_eq!(takes(&vault, name), *name == "plain", "{names:?}");
        }
    }
}

#[tokio::test]
async fn what_a_batch_brought_before_it_failed_is_kept() {
    let Some(conjur) = conjur().await else { return };
    let half = r#"{"acct:variable:v00":"one","acct:variable:v01":"two"}"#;
    // The last one comes first.
    conjur.world().next_batch = vec![
        answer("503 Later", "retry-after: 7\r\n", "hunter2"),
        answer("200 OK", "", half),
        answer("403 Forbidden", "", ""),
    ];
    let outcomes = batch(&conjur.usual(), &MANY[..4]).await;
    assert_eq!((value(&outcomes[0]), value(&outcomes[1])), (Some(&b"one"[..]), Some(&b"two"[..])));
    for outcome in &outcomes[2..] {
        let error = outcome.as_ref().expect("an outcome").as_ref().expect_err("no value");
        assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7));
    }
}

#[tokio::test]
async fn many_that_refuse_do_not_multiply_requests() {
    let Some(conjur) = conjur().await else { return };
    let missing: Vec<String> = (0..40).map(|at| format!("none-{at}")).collect();
    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
    let outcomes = batch(&conjur.usual(), &names).await;
    assert!(outcomes.iter().all(Option::is_none));
    assert!(requests(&conjur) <= 12);
}

#[tokio::test]
async fn a_batch_as_a_whole_that_fails_is_told_or_left_to_single_requests() {
    let Some(conjur) = conjur().await else { return };
    // A token that ended early is replaced.
    let vault = conjur.usual();
    reads(&vault, "plain").await;
    conjur.world().revoke();
    assert_eq!(value(&batch(&vault, &["plain", "v01"]).await[1]), Some(&b"v01"[..]));
    // One that is never taken is the error of each.
    conjur.world().revoke();
    let outcomes = batch(&vault, &["plain", "v01"]).await;
    for outcome in &outcomes {
        let error = outcome.as_ref().expect("an outcome").as_ref().expect_err("no value");
        harmless(error, "the access token from the API key");
        assert!(error.is_of_login());
    }
    for (bytes, pauses) in [
        (answer("404 Not Found", "", "<html>hunter2"), true),
        (answer("414 Too Long", "", "<html>hunter2"), true),
        (refusal(422, "argument_error", "variable_ids"), true),
        (answer("500 Oh", "", "hunter2"), true),
        (answer("200 OK", "", "hunter2"), true),
        (answer("200 OK", "", r#"{"acct:variable:plain":"x"}"#), true),
        (answer("503 Later", "retry-after: 7\r\n", "hunter2"), false),
    ] {
        let vault = conjur.usual();
        conjur.world().next_batch = vec![bytes];
        let outcomes = batch(&vault, &["plain", "v01"]).await;
        assert_eq!(takes(&vault, "plain"), !pauses);
        match pauses {
            true => assert!(outcomes.iter().all(Option::is_none), "{outcomes:?}"),
            false => {
                let error = outcomes[0].as_ref().expect("an outcome").as_ref().expect_err("no value");
                harmless(error, "failed: try again");
                assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7));
            }
        }
    }
    // Without a token, nothing is asked for.
    let stranger = conjur.vault(&[("login", "host/other"), ("api_key", "hunter2")], &[]);
    requests(&conjur);
    assert!(batch(&stranger, &["plain", "v01"]).await.is_empty());
    assert_eq!(requests(&conjur), 0);
}
