//! Which addresses an entity of `gcp` may name: the operator's token goes there.

mod support;

use serde_json::json;
use support::config::{File, refused, says, settings};

const CUSTOM: &str = "https://secretmanager.corp.example";

fn entity(config: serde_json::Value) -> File {
    File::new("kong.json", &json!({"vaults": [{"prefix": "mine", "name": "gcp", "config": config}]}).to_string())
}

fn endpoint(file: &File, environment: &[(&str, &str)]) -> Result<Option<String>, String> {
    let config = file.load(environment).unwrap();
    match settings(&config, "{vault://mine/a/b}") {
        Ok(settings) => Ok(settings.text("endpoint_url").map(str::to_owned)),
        Err(_) => Err(refused(&config, "{vault://mine/a/b}")),
    }
}

#[test]
fn an_entity_leads_the_operators_token_to_google_alone_or_where_the_operator_sends_it() {
    let operators = [("KONG_VAULT_GCP_ENDPOINT_URL", CUSTOM)];
    for good in ["https://secretmanager.googleapis.com", "https://secretmanager-psc.p.googleapis.com", CUSTOM] {
        let file = entity(json!({"endpoint_url": good}));
        assert_eq!(endpoint(&file, &operators), Ok(Some(good.to_owned())));
    }
    assert_eq!(endpoint(&entity(json!({"project_id": "p"})), &operators), Ok(None));
    for evil in [
        "https://evil.example",
        "http://secretmanager.googleapis.com",
        "https://googleapis.com",
        "https://googleapis.com.evil.example",
        "https://evilgoogleapis.com",
        "https://secretmanager.googleapis.com.",
        "https://192.0.2.1",
        "https://[2001:db8::1]",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "https://secretmanager.corp.example:8443",
    ] {
        let text = endpoint(&entity(json!({"endpoint_url": evil})), &operators).unwrap_err();
        says(
            &text,
            &["option endpoint_url of the gcp vault", "vault entity mine", "below googleapis.com", "kong.conf"],
        );
    }
}

#[test]
fn an_entity_names_this_machine_only_where_the_operator_does() {
    let nears = ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "https://localhost"];
    for near in nears {
        let file = entity(json!({"endpoint_url": near}));
        assert_eq!(endpoint(&file, &[("KONG_VAULT_GCP_ENDPOINT_URL", near)]), Ok(Some(near.to_owned())));
    }
    let fars = [CUSTOM, "http://169.254.169.254", "http://10.0.0.1", "https://localhost.evil.example"];
    for refused in nears.into_iter().chain(fars) {
        let text = endpoint(&entity(json!({"endpoint_url": refused})), &[]).unwrap_err();
        says(&text, &["option endpoint_url of the gcp vault", "below googleapis.com", "kong.conf"]);
    }
}

#[test]
fn an_entity_names_no_proxy_for_the_operators_credentials() {
    for backend in ["gcp", "azure", "azure-certs", "conjur"] {
        for (option, value) in [("proxy", "http://evil.example:3128"), ("no_proxy", "*")] {
            let vaults = json!({"vaults": [{"prefix": "mine", "name": backend, "config": {option: value}}]});
            let config = File::new("kong.json", &vaults.to_string()).load(&[]).unwrap();
            says(&refused(&config, "{vault://mine/a/b}"), &[option, "vault entity mine", "is the operator's alone"]);
        }
    }
}
