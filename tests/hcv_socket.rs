//! A vault behind a Unix-domain socket, as Vault Agent and Vault Proxy listen on one.

mod support;

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kong_vault::error::Kind;
use support::bao::{Bao, ROOT, binary};
use support::vault::{build, fails, fetch, reads};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program that ends with its guard.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host(path: &Path) -> String {
    format!("unix://{}", path.display())
}

/// Answers every request with `body`, and keeps the heads of what it was asked; one entry for each connection.
fn listen(path: &Path, body: &'static str) -> Arc<Mutex<Vec<Vec<String>>>> {
    let listener = UnixListener::bind(path).expect("a socket");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let number = {
                let mut kept = kept.lock().expect("its lock");
                kept.push(Vec::new());
                kept.len() - 1
            };
            let kept = kept.clone();
            tokio::spawn(async move {
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await?);
                    }
                    kept.lock().expect("its lock")[number].push(String::from_utf8_lossy(&head).into_owned());
                    stream.write_all(&support::answer("200 OK", "", body)).await?;
                }
                #[allow(unreachable_code)]
                io::Result::Ok(())
            });
        }
    });
    heads
}

#[tokio::test]
async fn every_request_goes_to_the_socket_over_one_connection() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let heads = listen(&path, r#"{"data":{"a":"b"}}"#);
    // Neither a proxy nor a port has a say in it.
    let options = [("host", &*host(&path)), ("port", "1"), ("proxy", "http://127.0.0.1:1"), ("mount", "kv")];
    let vault = build(&options).unwrap();
    for _ in 0..3 {
        assert_eq!(reads(&vault, "hello").await, r#"{"a":"b"}"#);
    }
    let heads = heads.lock().unwrap();
    assert!(heads.len() == 1 && heads[0].len() == 3, "{heads:?}");
    assert!(heads[0][0].starts_with("GET /v1/kv/hello HTTP/1.1\r\n"), "{heads:?}");
    assert!(
        heads[0][0].contains("host: localhost\r\n") && heads[0][0].contains("x-vault-request: true\r\n"),
        "{heads:?}"
    );
}

#[tokio::test]
async fn a_socket_that_is_away_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let vault = build(&[("host", &*host(&path))]).unwrap();
    let error = fails(&vault, "a").await;
    let text = format!("hcv vault (my-vault) at {}: there is no such socket", host(&path));
    assert!(error.kind() == Kind::Unavailable && error.to_string().starts_with(&text), "{error:?}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = fails(&vault, "a").await;
    assert!(error.to_string().contains("connection refused"), "{error:?}");
    // Once somebody listens, all is well.
    std::fs::remove_file(&path).unwrap();
    listen(&path, r#"{"data":{}}"#);
    assert_eq!(reads(&vault, "a").await, "{}");
}

#[tokio::test]
async fn a_real_proxy_of_the_vault_serves_us_on_its_socket() {
    let Some(binary) = binary() else { return };
    let bao = Bao::start(&binary, &[]).await;
    bao.write("sys/mounts/kv", r#"{"type":"kv","options":{"version":"1"}}"#).await;
    bao.write("kv/hello", r#"{"foo":"by a socket"}"#).await;
    let directory = tempfile::tempdir().unwrap();
    let (path, config) = (directory.path().join("proxy.sock"), directory.path().join("proxy.hcl"));
    let written = format!(
        "vault {{\n address = \"http://127.0.0.1:{}\"\n}}\napi_proxy {{}}\nlistener \"unix\" {{\n address = \"{}\"\n \
         tls_disable = true\n require_request_header = true\n}}\n",
        bao.port,
        path.display()
    );
    std::fs::write(&config, written).unwrap();
    let child = Command::new(&binary)
        .arg("proxy")
        .arg(format!("-config={}", config.display()))
        .env_clear()
        .env("HOME", directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut proxy = Running(child.expect("the proxy"));
    let vault = build(&[("host", &*host(&path)), ("token", ROOT), ("mount", "kv")]).unwrap();
    let start = Instant::now();
    while let Err(error) = fetch(&vault, "hello").await {
        assert!(start.elapsed() < PATIENCE && proxy.0.try_wait().unwrap().is_none(), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(reads(&vault, "hello").await, r#"{"foo":"by a socket"}"#);
    assert_eq!(fails(&vault, "none").await.kind(), Kind::NotFound);
}
