//! Configuration whose values are references to a real OpenBao.

mod support;

use std::collections::BTreeMap;

use kong_vault::config::{Config, ConfigSource};
use kong_vault::environment::Environment;
use kong_vault::resolver::indirect;
use support::bao::{Bao, ROOT, binary};
use support::closed_port;
use support::config::{says, settings, shown};

async fn load(variables: Vec<(&'static str, String)>) -> Config {
    let task = tokio::task::spawn_blocking(move || {
        indirect::load(&BTreeMap::new(), ConfigSource::Configure, &Environment::from_variables(variables))
    });
    task.await.expect("no panic").expect("a configuration")
}

#[tokio::test]
async fn an_option_of_one_vault_may_be_a_secret_of_another() {
    let Some(binary) = binary() else { return };
    let bao = Bao::start(&binary, &[]).await;
    bao.write("sys/mounts/plain", r#"{"type":"kv","options":{"version":"1"}}"#).await;
    bao.write("plain/aws", r#"{"region":"eu-central-9","ttl":"7"}"#).await;
    let with = |port: u16| {
        vec![
            ("KONG_VAULT_HCV_PORT", port.to_string()),
            ("KONG_VAULT_HCV_MOUNT", "plain".to_owned()),
            ("KONG_VAULT_HCV_TOKEN", "{vault://env/bao-token}".to_owned()),
            ("BAO_TOKEN", ROOT.to_owned()),
            ("KONG_VAULT_AWS_REGION", "{vault://hcv/aws/region}".to_owned()),
            ("KONG_VAULT_AWS_TTL", "{vault://hcv/aws/ttl}".to_owned()),
        ]
    };
    let config = load(with(bao.port)).await;
    config.check().unwrap();
    let found = settings(&config, "{vault://aws/x}").unwrap();
    assert_eq!((found.text("region"), found.seconds("ttl").unwrap().as_secs()), (Some("eu-central-9"), 7));

    let config = load(with(closed_port())).await;
    let text = shown(config.check().unwrap_err());
    says(&text, &["option region of the aws vault", "KONG_VAULT_AWS_REGION", "hcv vault (hcv) at 127.0.0.1:"]);
    assert!(settings(&config, "{vault://hcv/a/b}").is_ok() && settings(&config, "{vault://aws/x}").is_err());
}
