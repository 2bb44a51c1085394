//! Secrets of Azure Key Vault: values, versions, times, and every refusal, at a server that refuses what the real one refuses.

mod support;

use std::time::Duration;

use kong_vault::error::Kind;
use support::azure::Azure;
use support::azure::key_vault::{Stored, stored, version};
use support::azure::vault::{fails, fetch, reads, refused};

#[tokio::test]
async fn a_secret_is_read_by_name_and_by_version() {
    let Some(azure) = Azure::start().await else { return };
    let vault = azure.vault(&[]);
    assert_eq!(reads(&vault, "plain").await, "just text");
    assert_eq!(reads(&vault, "PLAIN").await, "just text", "names are compared without case");
    let [one, two, three] = [1, 2, 3].map(|number| format!(r#"{{"username":"u{number}","password":"p{number}"}}"#));
    assert_eq!(reads(&vault, "db").await, three);
    assert_eq!(reads(&vault, "db#1").await, three);
    assert_eq!(reads(&vault, &format!("db/{}", version('a'))).await, one);
    // By listing: three versions on two pages, in no order; and the page's own address is not followed.
    assert_eq!(reads(&vault, "db#2").await, two);
    let missing = format!("db/{}", version('0'));
    let part = format!("there is no secret db in its version {}", version('0'));
    fails(&vault, &missing, Kind::NotFound, &[&part, "(status 404, SecretNotFound)"]).await;
    fails(&vault, "db#3", Kind::Reference, &["use #1 for the current one, #2 for the one before"]).await;
    fails(&vault, "plain#2", Kind::NotFound, &["has no version before the current one"]).await;
    let same = vec![stored('a', "x", 7), stored('b', "y", 7), stored('c', "z", 5)];
    azure.state().secrets.insert("same".to_owned(), same);
    fails(&vault, "same#2", Kind::NotFound, &["made in the same second", "NAME/VERSION/"]).await;
    azure.state().may_list = false;
    fails(&vault, "db#2", Kind::Denied, &["the right `list` of secrets", "from AZURE_CLIENT_SECRET"]).await;
    assert_eq!(azure.state().logins, 1, "one token does for all");
}

#[tokio::test]
async fn a_name_that_no_secret_can_have_is_refused_before_anybody_is_asked() {
    let Some(azure) = Azure::start().await else { return };
    let vault = azure.vault(&[]);
    for name in ["a_b", "a.b", "a b", "..", "a/b", "a?x", "a#1x", "ä", "a\r\nx", "", &"a".repeat(128)] {
        let name = name.replace('#', "%");
        fails(&vault, &name, Kind::Reference, &["no secret's name"]).await;
    }
    assert!(azure.state().heard.is_empty(), "{:?}", azure.state().heard);
}

#[tokio::test]
async fn each_refusal_of_the_key_vault_has_its_own_error() {
    let Some(azure) = Azure::start().await else { return };
    let vault = azure.vault(&[]);
    let place = format!("azure vault (mine) at 127.0.0.1:{}: ", azure.port);
    let error = fails(&vault, "none", Kind::NotFound, &[&place, "there is no secret none", "SecretNotFound"]).await;
    assert!(!error.is_outage());
    fails(&vault, "off", Kind::NotFound, &["the secret off is disabled", "SecretDisabled"]).await;
    for (refusal, kind, part) in [
        ((403, "Forbidden", "ForbiddenByRbac", None), Kind::Denied, "\"Key Vault Secrets User\""),
        ((403, "Forbidden", "AccessDenied", None), Kind::Denied, "the right `get` of secrets"),
        ((403, "Forbidden", "ForbiddenByFirewall", None), Kind::Denied, "firewall"),
        ((403, "Forbidden", "ForbiddenByConnection", None), Kind::Denied, "private endpoint"),
        ((429, "Throttled", "", Some(7)), Kind::Throttled, "(status 429, Throttled)"),
        ((503, "ServiceUnavailable", "", None), Kind::Unavailable, "(status 503, ServiceUnavailable)"),
        ((400, "BadParameter", "", None), Kind::Invalid, "`api_version`"),
        ((302, "", "", None), Kind::Invalid, "never followed"),
    ] {
        azure.state().refusal = Some(refusal);
        let error = fails(&vault, "db", kind, &[part]).await;
        assert_eq!(error.retry_after(), refusal.3.map(|wait| Duration::from_secs(wait.into())));
    }
    azure.state().refusal = None;
    let old = azure.vault(&[("KONG_VAULT_AZURE_API_VERSION", "6.9")]);
    fails(&old, "db", Kind::Invalid, &["`api_version`", "(status 400, BadParameter)"]).await;
    // A token for somebody else, and one of another tenant.
    let other = azure.vault(&[("KONG_VAULT_AZURE_RESOURCE", "https://vault.localhost")]);
    let error = fails(&other, "db", Kind::Denied, &["check `resource`", "(status 401, AKV10022)"]).await;
    assert!(error.is_of_login());
    let other = azure.vault(&[("AZURE_TENANT_ID", support::azure::OTHER_TENANT)]);
    fails(&other, "db", Kind::Denied, &["another tenant", "(status 401, AKV10032)"]).await;
}

#[tokio::test]
async fn a_secret_out_of_its_time_is_served_with_a_notice_and_its_end_shortens_the_lease() {
    let Some(azure) = Azure::start().await else { return };
    let vault = azure.vault(&[]);
    let lease = async |name: &str| fetch(&vault, name).await.unwrap().lease;
    assert_eq!(lease("plain").await, None);
    assert!(vault.notice().is_none());
    let left = lease("ending").await.unwrap();
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30), "{left:?}");
    assert_eq!(reads(&vault, "old").await, "expired");
    let notice = vault.notice().unwrap();
    assert!(!notice.is_over && notice.text.contains("the secret old expired ") && notice.text.contains("days ago"));
    assert_eq!(lease("old").await, Some(Duration::from_secs(300)));
    assert!(vault.notice().is_none(), "it was told");
    assert_eq!(lease("early").await, Some(Duration::from_secs(300)));
    assert!(vault.notice().unwrap().text.contains("the secret early is not valid before"));
    azure.state().secrets.insert("old".to_owned(), vec![stored('9', "renewed", 2)]);
    assert_eq!(reads(&vault, "old").await, "renewed");
    assert!(vault.notice().unwrap().is_over);

    let strict = azure.vault(&[("KONG_VAULT_AZURE_ENFORCE_VALIDITY", "on")]);
    let expired = Stored { exp: Some(1_500_000_000), ..stored('f', "s3cret", 1) };
    azure.state().secrets.insert("old".to_owned(), vec![expired]);
    fails(&strict, "old", Kind::NotFound, &["the secret old expired ", "make a new version"]).await;
    fails(&strict, "early", Kind::NotFound, &["is not valid before"]).await;
    assert_eq!(reads(&strict, "ending").await, "soon");
}

#[tokio::test]
async fn tokens_go_to_no_host_that_they_are_not_for() {
    let Some(azure) = Azure::start().await else { return };
    let verify = "KONG_VAULT_AZURE_VERIFY_CHALLENGE_RESOURCE";
    let local = format!("https://127.0.0.1:{}", azure.port);
    refused(&azure.with(&[(verify, "on")]), &["tokens for vault.azure.net are not sent to 127.0.0.1"]);
    refused(&azure.with(&[(verify, "")]), &["only the operator can allow it"]);
    let uri = "KONG_VAULT_AZURE_VAULT_URI";
    refused(&azure.with(&[(uri, "")]), &["set `vault_uri`, or AZURE_DEFAULTS_KEYVAULT_URI"]);
    let named = azure.vault(&[(uri, ""), ("AZURE_DEFAULTS_KEYVAULT_URI", &local)]);
    assert_eq!(reads(&named, "plain").await, "just text");
    // What the resource is, is below itself: as Azure's own clients take a key vault below the resource's host.
    let own = [
        (verify, "on"),
        (uri, &*format!("https://localhost:{}", azure.port)),
        ("KONG_VAULT_AZURE_RESOURCE", "https://localhost"),
    ];
    fails(&azure.vault(&own), "plain", Kind::Denied, &["(status 401, AKV10022)"]).await;
    assert!(azure.state().heard.iter().all(|line| !line.contains("evil")));
}
