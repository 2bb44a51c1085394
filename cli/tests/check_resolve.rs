//! `kong-vault check --resolve`, run as a program: which references have a value, and never which.

mod support;

use support::Fake;
use support::bao::{self, Bao};
use support::check::Files;

#[tokio::test]
async fn asked_to_resolve_it_says_which_references_have_a_value() {
    let files = Files::of(&[
        ("kong.conf", "vault_env_prefix = P_\npg_password = {vault://env/set}\nssl_cert = {vault://env/unset}\n"),
        (
            "kong.yml",
            "vaults: [{prefix: own, name: env, config: {prefix: O_}}]\na: '{vault://own/a}'\nb: '{vault://own/b}'\nc: '{vault://own/a/f}'\n",
        ),
    ]);
    let environment = [("P_SET", "hunter2"), ("O_A", "hunter2")];
    files.check(&["kong.conf", "kong.yml"], &environment).finds(&[]);
    let run = files.check(&["kong.conf", "kong.yml", "--resolve"], &environment);
    run.finds(&[
        ("kong.conf:3", "ssl_cert {vault://env/unset}", "error: env vault (env) has no environment variable P_UNSET"),
        ("kong.yml:3", "b {vault://own/b}", "error: env vault (own) has no environment variable O_B"),
        ("kong.yml:4", "c {vault://own/a/f}", "error: "),
    ]);
    run.holds("kong.conf:2 pg_password {vault://env/set} ok");

    let silent = Fake::silent().await;
    let yaml = format!(
        "vaults: [{{prefix: slow, name: hcv, config: {{port: {}}}}}]\na: '{{vault://slow/a/b}}'\n",
        silent.port()
    );
    let files = Files::of(&[("kong.yml", &yaml)]);
    let check =
        move || files.check(&["kong.yml", "--resolve", "--timeout", "0.2"], &[("KONG_VAULT_FETCH_TIMEOUT", "60")]);
    let run = tokio::task::spawn_blocking(check).await.unwrap();
    run.finds(&[("kong.yml:2", "a {vault://slow/a/b}", "error: hcv vault (slow)")]);
    assert!(run.stdout.contains("within 0.2 s"), "{}", run.stdout);
}

#[tokio::test]
async fn a_real_vault_is_asked_with_a_token_from_the_environment() {
    let Some(binary) = bao::binary() else { return };
    let server = Bao::start(&binary, &[]).await;
    server.write("secret/data/db", r#"{"data":{"password":"hunter2"}}"#).await;
    let yaml = format!(
        "vaults:\n- prefix: team\n  name: hcv\n  config: {{port: {}, kv: v2, token: '{{vault://env/bao-token}}'}}\n\
         a: '{{vault://team/db/password}}'\nb: '{{vault://team/db/user}}'\nc: '{{vault://team/none/user}}'\n",
        server.port
    );
    let files = Files::of(&[("kong.yml", &yaml)]);
    let check = move || files.check(&["kong.yml", "--resolve"], &[("BAO_TOKEN", bao::ROOT)]);
    let run = tokio::task::spawn_blocking(check).await.unwrap();
    run.finds(&[
        ("kong.yml:6", "b {vault://team/db/user}", "error: "),
        ("kong.yml:7", "c {vault://team/none/user}", "error: "),
    ]);
    run.holds("kong.yml:5 a {vault://team/db/password} ok");
    assert!(!run.stdout.contains(bao::ROOT));
}
