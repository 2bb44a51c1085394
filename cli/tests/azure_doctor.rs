//! `kong-vault doctor` and `get` on Azure's vaults that are well, and on those that are ill in each of the usual ways.

mod support;

use std::process::Command;

use support::azure::managed::KEY;
use support::azure::vault::stored_site;
use support::azure::{APP, Azure, MACHINE, OTHER_TENANT};

struct Told {
    status: i32,
    text: String,
}

async fn run(arguments: &[&str], variables: Vec<(String, String)>) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-vault"));
    command.args(arguments).env_clear().envs(variables);
    told(command).await
}

async fn told(mut command: Command) -> Told {
    let output = tokio::task::spawn_blocking(move || command.output().expect("the command")).await.expect("a run");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("s3cret"), "{text}");
    Told { status: output.status.code().expect("a status"), text }
}

#[track_caller]
fn says(told: &Told, status: i32, lines: &[(&str, &str, &str)]) {
    assert_eq!(told.status, status, "{}", told.text);
    for (verdict, step, part) in lines {
        let is_it =
            |line: &&str| line.starts_with(verdict) && line[8..].trim_start().starts_with(step) && line.contains(part);
        assert!(told.text.lines().any(|line| is_it(&line)), "no line {verdict} {step} {part} in\n{}", told.text);
    }
}

#[tokio::test]
async fn a_key_vault_that_is_well_is_gone_to_step_by_step() {
    let Some(azure) = Azure::start().await else { return };
    let told = run(&["doctor", "azure/plain"], azure.environment()).await;
    says(
        &told,
        0,
        &[
            ("ok", "resolve", "127.0.0.1 is an IP address"),
            ("ok", "TLS", "a certificate that `ca_cert` vouches for"),
            ("ok", "key vault", "it belongs to the tenant 11111111-2222-3333-4444-555555555555"),
            ("ok", "credentials", "by its secret in AZURE_CLIENT_SECRET"),
            ("ok", "login", "a token for https://vault.azure.net"),
            ("ok", "token", "the key vault takes it"),
            ("ok", "read", "the secret has 9 bytes"),
        ],
    );
    says(&run(&["doctor", "azure"], azure.environment()).await, 0, &[("ok", "read", "name a secret")]);
    says(
        &run(&["doctor", "azure/old"], azure.environment()).await,
        0,
        &[("look at", "read", "the secret old expired")],
    );
    let told = run(&["get", "azure/plain"], azure.environment()).await;
    assert_eq!((told.status, told.text.as_str()), (0, "just text\n"));
    stored_site(&azure, "site");
    let told = run(&["get", "azure-certs/site/cert"], azure.environment()).await;
    assert!(told.status == 0 && told.text.starts_with("-----BEGIN CERTIFICATE-----"), "{}", told.text);
}

#[tokio::test]
async fn each_ill_is_told_where_it_is() {
    let Some(azure) = Azure::start().await else { return };
    let told = run(&["doctor", "azure"], azure.with(&[("AZURE_TENANT_ID", OTHER_TENANT)])).await;
    let lines = [("look at", "key vault", "`tenant_id` names another"), ("WRONG", "token", "AKV10032")];
    says(&told, 1, &lines);
    let told = run(&["doctor", "azure"], azure.with(&[("AZURE_CLIENT_SECRET", "wrong-one")])).await;
    says(&told, 1, &[("WRONG", "login", "AADSTS7000215")]);
    let told = run(&["doctor", "azure"], azure.with(&[("KONG_VAULT_AZURE_VERIFY_CHALLENGE_RESOURCE", "")])).await;
    says(&told, 1, &[("WRONG", "options", "are not sent to 127.0.0.1")]);
    let told = run(&["doctor", "azure"], azure.with(&[("KONG_VAULT_AZURE_RESOURCE", "https://localhost")])).await;
    says(
        &told,
        1,
        &[("look at", "key vault", "its tokens are for https://vault.azure.net"), ("WRONG", "token", "AKV10022")],
    );
    let told = run(&["doctor", "azure/off"], azure.environment()).await;
    says(&told, 1, &[("ok", "token", "takes it"), ("WRONG", "read", "the secret off is disabled")]);
    azure.state().refusal = Some((403, "Forbidden", "ForbiddenByRbac", None));
    let told = run(&["doctor", "azure/plain"], azure.environment()).await;
    says(&told, 1, &[("ok", "token", "takes it"), ("WRONG", "read", "Key Vault Secrets User")]);
}

/// On a machine with Azure Arc's agent, whose keys lie where only root can put them: in mounts of its own.
#[tokio::test]
async fn the_agent_of_azure_arc_is_shown_its_key() {
    let Some(azure) = Azure::start().await else { return };
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        return support::skip("there is no right to make mounts");
    }
    const KEYS: &str = "/var/opt/azcmagent/tokens";
    azure.state().arc_key = format!("{KEYS}/one.key");
    let local = format!("http://{}", azure.local.address);
    let endpoint = format!("{local}/arc/token");
    let get = async |more: &[(&str, &str)], key: &str| {
        let places = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IMDS_ENDPOINT", &local)];
        let mut variables = azure.machine(&places);
        variables.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        variables.extend(more);
        let script = r#"mount -t tmpfs tmpfs /var/opt && mkdir -p "$0" && printf %s "$KEY" >"$0/one.key" && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, KEYS, env!("CARGO_BIN_EXE_kong-vault"), "get", "azure/plain"]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("KEY", key).envs(azure.with(&variables));
        told(command).await
    };
    let own = get(&[], KEY).await;
    assert_eq!((own.status, own.text.as_str()), (0, "just text\n"));
    assert_eq!(get(&[("AZURE_CLIENT_ID", MACHINE)], KEY).await.text, "just text\n");
    let other = get(&[("AZURE_CLIENT_ID", APP)], KEY).await;
    assert!(other.status == 1 && other.text.contains("assign a managed identity"), "{}", other.text);
    let wrong = get(&[], "another").await;
    assert!(wrong.status == 1 && wrong.text.contains("asking Azure Arc's managed identity at"), "{}", wrong.text);
    azure.state().arc_key = "/etc/passwd".to_owned();
    let elsewhere = get(&[], KEY).await;
    assert!(elsewhere.text.contains("names no key file of Azure Arc's agent"), "{}", elsewhere.text);
}
