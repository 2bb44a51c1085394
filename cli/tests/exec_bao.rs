//! `kong-vault exec` with a real OpenBao: a rotated secret, and an outage.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use support::bao::{self, Bao, ROOT};

/// Ends with its guard, and its program with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn next(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> String {
    lines.next().expect("a line").expect("text")
}

#[tokio::test]
async fn a_rotated_secret_reaches_the_program_and_an_outage_ends_nothing() {
    let Some(binary) = bao::binary() else { return };
    let server = Bao::start(&binary, &[]).await;
    server.write("secret/data/db", r#"{"data":{"password":"first-hunter2"}}"#).await;
    let program = "trap 'echo ended; exit 5' TERM; echo $DB; echo ${KONG_VAULT_HCV_TOKEN-none}; \
                   while :; do sleep 0.05; done";
    let child = Command::new(env!("CARGO_BIN_EXE_kong-vault"))
        .args(["exec", "--on-rotation", "restart", "--", "sh", "-c", program])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("DB", "postgres://app:{vault://hcv/db/password}@db")
        .env("KONG_VAULT_HCV_PROTOCOL", "http")
        .env("KONG_VAULT_HCV_HOST", "127.0.0.1")
        .env("KONG_VAULT_HCV_PORT", server.port.to_string())
        .env("KONG_VAULT_HCV_KV", "v2")
        .env("KONG_VAULT_HCV_TOKEN", ROOT)
        .env("KONG_VAULT_HCV_TTL", "1")
        .env("KONG_VAULT_FETCH_TIMEOUT", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut running = Running(child);
    let mut output = BufReader::new(running.0.stdout.take().expect("its output")).lines();
    let mut messages = BufReader::new(running.0.stderr.take().expect("its messages")).lines();
    assert_eq!([next(&mut output), next(&mut output)], ["postgres://app:first-hunter2@db", "none"]);
    server.write("secret/data/db", r#"{"data":{"password":"second-hunter2"}}"#).await;
    assert_eq!([next(&mut output), next(&mut output)], ["ended", "postgres://app:second-hunter2@db"]);
    assert_eq!(next(&mut output), "none");
    drop(server);
    assert_eq!(next(&mut messages), "Warning: vault hcv fails: the program keeps the last values");
    let terminated = Command::new("kill").arg(running.0.id().to_string()).status().expect("kill");
    assert!(terminated.success());
    assert_eq!(next(&mut output), "ended");
    assert_eq!(running.0.wait().expect("its status").code(), Some(5));
    assert_eq!(messages.count(), 0);
}
