//! A real OpenBao in dev mode on free loopback ports; it ends with its guard.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::{Method, Request};
use kong_vault::environment::Environment;
use kong_vault::http::{Client, HttpResponse, Transport};

use super::certs::Pair;
use super::closed_port;

/// The dev server's root token.
pub const ROOT: &str = "root-T0p-s3cret";

/// Bounds the wait for a start; it is no part of any result.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Bao {
    child: Child,
    pub port: u16,
    /// Of its TLS listeners, in the order of their certificates.
    pub tls_ports: Vec<u16>,
    client: Client,
    _home: tempfile::TempDir,
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's binary, or `None` where the tests are not told of one.
pub fn binary() -> Option<String> {
    super::told("TEST_BAO", "an OpenBao binary")
}

impl Bao {
    /// With a TLS listener for each certificate. Another process may take a port before the server does: then others
    /// are tried.
    pub async fn start(binary: &str, certificates: &[&Pair]) -> Bao {
        for _ in 0..5 {
            if let Some(server) = Self::try_start(binary, certificates).await {
                return server;
            }
        }
        panic!("{binary} does not start");
    }

    async fn try_start(binary: &str, certificates: &[&Pair]) -> Option<Bao> {
        let home = tempfile::tempdir().expect("a directory");
        let config = home.path().join("listeners.hcl");
        let mut file = std::fs::File::create(&config).expect("a file");
        let tls_ports: Vec<_> = certificates.iter().map(|_| closed_port()).collect();
        for (pair, port) in certificates.iter().zip(&tls_ports) {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            writeln!(
                file,
                "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_cert_file = \"{certificate}\"\n tls_key_file = \"{key}\"\n}}"
            )
            .expect("a line");
        }
        let port = closed_port();
        let child = Command::new(binary)
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .arg(format!("-config={}", config.display()))
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server's binary");
        let client =
            Client::new(&Transport::new("test".to_owned(), &Environment::default(), PATIENCE)).expect("a client");
        let mut server = Bao { child, port, tls_ports, client, _home: home };
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if server.child.try_wait().expect("its state").is_some() {
                return None;
            }
            if server.is_ready().await {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Dev mode mounts `secret` after it began to answer.
    async fn is_ready(&self) -> bool {
        let request = self.request(Method::GET, "", "secret/config", "");
        matches!(self.client.send(request).await, Ok(answer) if answer.status == 200)
    }

    pub async fn write(&self, path: &str, body: &str) -> HttpResponse {
        self.send(Method::POST, "", path, body).await
    }

    pub async fn read(&self, path: &str) -> serde_json::Value {
        let answer = self.send(Method::GET, "", path, "").await;
        serde_json::from_slice(answer.body.as_bytes()).expect("JSON")
    }

    pub async fn send(&self, method: Method, namespace: &str, path: &str, body: &str) -> HttpResponse {
        let answer = self.client.send(self.request(method, namespace, path, body)).await.expect("an answer");
        assert!(answer.status < 300, "{path}: {} {:?}", answer.status, answer.body.as_str());
        answer
    }

    /// Has an answer wrapped.
    pub async fn wrap(&self, path: &str, body: &str) -> HttpResponse {
        let mut request = self.request(Method::POST, "", path, body);
        request.headers_mut().insert("x-vault-wrap-ttl", "60s".parse().expect("a header"));
        self.client.send(request).await.expect("an answer")
    }

    /// A wrapping token of what stands at a path.
    pub async fn wrap_read(&self, path: &str) -> String {
        let mut request = self.request(Method::GET, "", path, "");
        request.headers_mut().insert("x-vault-wrap-ttl", "60s".parse().expect("a header"));
        let answer = self.client.send(request).await.expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(answer.body.as_bytes()).expect("JSON");
        answer["wrap_info"]["token"].as_str().expect("a token").to_owned()
    }

    /// As somebody else, by a token of theirs.
    pub async fn write_as(&self, token: &str, path: &str) -> HttpResponse {
        let mut request = self.request(Method::POST, "", path, "{}");
        request.headers_mut().insert("x-vault-token", token.parse().expect("a header"));
        self.client.send(request).await.expect("an answer")
    }

    fn request(&self, method: Method, namespace: &str, path: &str, body: &str) -> Request<Vec<u8>> {
        let mut request = Request::builder().method(method).uri(format!("http://127.0.0.1:{}/v1/{path}", self.port));
        request = request.header("x-vault-token", ROOT);
        if !namespace.is_empty() {
            request = request.header("x-vault-namespace", namespace);
        }
        request.body(body.as_bytes().to_vec()).expect("a request")
    }
}
