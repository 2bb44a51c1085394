//! A marked secret in every option of every vault: `kong-vault doctor` shows it in no line.

mod support;

use std::process::{Command, Output};
use std::sync::Arc;

use kong_vault::backend::Descriptor;
use kong_vault::options::Opt;
use support::Fake;
use support::given::{all_options, config_of};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Part of every secret. A text is looked at whatever its case.
const MARKER: &str = "hunter2marker";

/// How many runs there are at a time.
const AT_ONCE: usize = 4;

/// Ways in which a secret stands in an option that is none itself.
fn ways() -> [String; 7] {
    let key = format!("-----BEGIN PRIVATE KEY-----\\nMIGHAgEAMBMG{MARKER}AgEGCCqGSM49\\n-----END PRIVATE KEY-----");
    [
        format!("hvs.CAESI{MARKER}0123456789"),
        format!("SECRET_hvs.CAESI{MARKER}0123456789"),
        format!("x-eyJhbGciOiJSUzI1NiJ9.eyJ{MARKER}.c2lnbmF0dXJl"),
        format!("https://user:{MARKER}@127.0.0.1:1/a?sig={MARKER}#{MARKER}"),
        format!("user:{MARKER}@127.0.0.1:1,http://other"),
        format!("u:{MARKER}://x@127.0.0.1"),
        key,
    ]
}

async fn doctor(arguments: Vec<String>, variables: Vec<(String, String)>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-vault"));
    command.arg("doctor").args(arguments).args(["--timeout", "5"]).env_clear().envs(variables);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_GCE_CHECK", "true").env("HOME", "/nonexistent");
    let output: Output =
        tokio::task::spawn_blocking(move || command.output().expect("the command")).await.expect("a run");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The variables for one option, at a server that refuses whatever is asked; or for a file, the lines.
fn set(backend: &Descriptor, opt: &Opt, value: &str, port: u16) -> Vec<(String, String)> {
    let mut all = config_of(backend, opt, value);
    let port = port.to_string();
    let url = format!("http://127.0.0.1:{port}");
    let more: &[(&str, &str)] = match backend.name {
        "hcv" => &[("port", &port), ("aws_sts_endpoint_url", &url), ("aws_auth_region", "eu-west-1")],
        "aws" => &[("endpoint_url", &url), ("sts_endpoint_url", &url)],
        _ => &[],
    };
    for (name, value) in more {
        all.entry((*name).to_owned()).or_insert_with(|| (*value).to_owned());
    }
    all.into_iter().map(|(name, value)| (format!("vault_{}_{name}", backend.name), value)).collect()
}

#[tokio::test]
async fn doctor_shows_what_no_option_holds() {
    let refuses =
        |_: &str| b"HTTP/1.1 403 Forbidden\r\nContent-Length: 23\r\n\r\n{\"errors\":[\"no, never\"]}".to_vec();
    let server = Fake::start(refuses).await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let (mut runs, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for (number, (backend, opt)) in all_options().enumerate() {
        let plain = opt.sensitive.then(|| MARKER.to_owned());
        for (way, value) in ways().into_iter().chain(plain).enumerate() {
            let (turns, folder, port) = (Arc::clone(&turns), Arc::clone(&folder), server.address.port());
            runs.spawn(async move {
                let _turn = turns.acquire().await;
                let keys = set(backend, opt, &value, port);
                let name = backend.name.to_owned();
                let place = format!("{name}.{} with {value}", opt.name);
                // Half of them by the environment, half by a file.
                if (number + way) % 2 == 0 {
                    let variables =
                        keys.into_iter().map(|(key, value)| (format!("KONG_{}", key.to_uppercase()), value));
                    return (doctor(vec![format!("{name}/a/b")], variables.collect()).await, place);
                }
                let file = folder.path().join(format!("{number}-{way}.conf"));
                let lines: String =
                    keys.iter().map(|(key, value)| format!("{key} = {}\n", value.replace('#', "\\#"))).collect();
                std::fs::write(&file, lines).expect("a file");
                (doctor(vec![name, "--conf".to_owned(), file.display().to_string()], Vec::new()).await, place)
            });
        }
    }
    let told = runs.join_all().await;
    assert!(told.len() > 500, "{}", told.len());
    let mut well = 0;
    for (text, place) in told {
        assert!(text.contains("vault ("), "{place}:\n{text}");
        assert!(!text.to_lowercase().contains(MARKER), "{place}:\n{text}");
        well += usize::from(text.contains("\nok "));
    }
    assert!(well > 100, "{well} of them came further than the options");
}

#[tokio::test]
async fn doctor_shows_no_secret_in_the_place_of_its_argument() {
    for value in ways() {
        for argument in [
            value.clone(),
            format!("{value}@hcv"),
            format!("hcv/{value}"),
            format!("env/{value}"),
            format!("env/a?prefix={value}"),
            format!("{{vault://hcv/a/b?token={value}}}"),
            format!("{{vault://env/{value}/a}}"),
            format!("hcv/a?approle_secret_id=p&{MARKER}"),
        ] {
            let text = doctor(vec![argument.clone()], Vec::new()).await;
            assert!(!text.is_empty() && !text.to_lowercase().contains(MARKER), "{argument}:\n{text}");
        }
    }
}
