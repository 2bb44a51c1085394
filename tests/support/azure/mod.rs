//! Entra ID, Key Vault and the places with managed identities, as Microsoft publishes them: they refuse what the real ones
//! refuse. One server with TLS is Entra ID and the key vault; another without is the machine's own services. `make proofs`
//! has Microsoft's own clients read from them.

pub mod entra;
pub mod key_vault;
pub mod managed;
pub mod vault;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::certs::{Ca, Pair, VALID};
use super::clouds::Asked;
use super::login::now;
use super::{Fake, answer, tls};

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const OTHER_TENANT: &str = "99999999-2222-3333-4444-555555555555";
pub const APP: &str = "aaaaaaaa-2222-3333-4444-555555555555";
pub const SECRET: &str = "s3cret~of-the.app";
pub const RESOURCE: &str = "https://vault.azure.net";
pub const MACHINE: &str = "bbbbbbbb-2222-3333-4444-555555555555";

/// What is kept and what happens, for tests to set and to look at.
pub struct State {
    /// How long tokens live.
    pub life: Duration,
    pub secrets: HashMap<String, Vec<key_vault::Stored>>,
    /// Tokens that were given: for whom, of which tenant, until when.
    pub tokens: HashMap<String, Token>,
    /// Logins at Entra ID, and tokens given by managed identities.
    pub logins: usize,
    /// Requests of key vault, but for those without a token.
    pub reads: usize,
    /// DER of certificates that are registered for the application.
    pub certificates: Vec<Vec<u8>>,
    /// The ids of assertions that were used.
    pub assertions: Vec<String>,
    /// A refusal in place of what the key vault would answer: status, code, inner code, `Retry-After`.
    pub refusal: Option<(u16, &'static str, &'static str, Option<u32>)>,
    /// The same of Entra ID: status, Entra's number.
    pub login_refusal: Option<(u16, u64)>,
    /// Whether the identity may list versions.
    pub may_list: bool,
    /// The origin of the server with TLS, such as `https://localhost:1`.
    pub origin: String,
    /// What managed identities are asked before they answer: statuses.
    pub statuses: Vec<u16>,
    /// The file with a key that Arc's agent names.
    pub arc_key: String,
    /// Requests as they came, without their bodies.
    pub heard: Vec<String>,
}

#[derive(Clone)]
pub struct Token {
    pub audience: String,
    pub tenant: String,
    pub ends: u64,
}

/// The servers. They end with the test.
pub struct Azure {
    pub state: Arc<Mutex<State>>,
    /// The port with TLS, on `localhost` and `127.0.0.1`.
    pub port: u16,
    /// The machine's own services.
    pub local: Fake,
    pub ca: String,
    pub directory: tempfile::TempDir,
}

impl Azure {
    /// `None` where there is no `openssl` to make certificates with.
    pub async fn start() -> Option<Azure> {
        if !super::certs::available() {
            super::skip("there is no openssl command");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let ca = Ca::new(directory.path(), "ca");
        let pair = ca.issue("azure", "DNS:localhost,DNS:mine.vault.localhost,IP:127.0.0.1", VALID);
        let state = Arc::new(Mutex::new(State {
            life: Duration::from_secs(3599),
            secrets: key_vault::usual(),
            tokens: HashMap::new(),
            logins: 0,
            reads: 0,
            certificates: Vec::new(),
            assertions: Vec::new(),
            refusal: None,
            login_refusal: None,
            may_list: true,
            origin: String::new(),
            statuses: Vec::new(),
            arc_key: directory.path().join("one.key").to_str().expect("a path in UTF-8").to_owned(),
            heard: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let port = tls::answering(&pair, move |request| secure(&mut lock(&shared), request));
        lock(&state).origin = format!("https://localhost:{port}");
        let shared = Arc::clone(&state);
        let local = Fake::start(move |request| managed::answer_to(&mut lock(&shared), request)).await;
        Some(Azure { state, port, local, ca: ca.pair.path().to_owned(), directory })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What an operator sets for the application with its secret. The vault's name is an IP address, below no resource.
    pub fn environment(&self) -> Vec<(String, String)> {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut all = vec![
            own("AZURE_TENANT_ID", TENANT),
            own("AZURE_CLIENT_ID", APP),
            own("AZURE_CLIENT_SECRET", SECRET),
            own("AZURE_AUTHORITY_HOST", &format!("https://localhost:{}", self.port)),
        ];
        for vault in ["AZURE", "AZURE_CERTS"] {
            let name = |option: &str| format!("KONG_VAULT_{vault}_{option}");
            all.push((name("VAULT_URI"), format!("https://127.0.0.1:{}", self.port)));
            all.push((name("VERIFY_CHALLENGE_RESOURCE"), "off".to_owned()));
            all.push((name("CA_CERT"), self.ca.clone()));
        }
        all
    }

    /// The application's certificate and key in one file, registered.
    pub fn certificate(&self, name: &str) -> String {
        let pair = rsa(self.directory.path(), name);
        let (certificate, key) = (pair.pem(), std::fs::read_to_string(&pair.key).expect("the key"));
        let der = der_of(&certificate);
        self.state().certificates.push(der);
        let path = self.directory.path().join(format!("{name}-both.pem"));
        std::fs::write(&path, format!("{key}{certificate}")).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

pub fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A self-signed certificate with an RSA key, which alone Entra ID takes.
pub fn rsa(directory: &Path, name: &str) -> Pair {
    let (key, pem) = (directory.join(format!("{name}.key")), directory.join(format!("{name}.pem")));
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    let arguments = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=app"];
    let output = std::process::Command::new("openssl")
        .args(arguments)
        .args(["-keyout", &path(&key), "-out", &path(&pem)])
        .output()
        .expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Pair { certificate: pem, key }
}

/// The first certificate of a PEM text.
pub fn der_of(pem: &str) -> Vec<u8> {
    let body = pem.split("-----BEGIN CERTIFICATE-----").nth(1).and_then(|rest| rest.split("-----END").next());
    let packed: String = body.expect("a certificate").split_whitespace().collect();
    STANDARD.decode(packed).expect("base64")
}

impl State {
    /// A token for somebody, which is known from then on.
    pub fn give(&mut self, audience: &str, tenant: &str) -> String {
        self.logins += 1;
        let ends = now() + self.life.as_secs();
        let claims = json!({"aud": audience, "tid": tenant, "exp": ends, "jti": self.logins});
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.{}", part(r#"{"alg":"none"}"#), part(&claims.to_string()), part("s3cret"));
        let known = Token { audience: audience.to_owned(), tenant: tenant.to_owned(), ends };
        self.tokens.insert(token.clone(), known);
        token
    }
}

/// The server with TLS.
fn secure(state: &mut State, request: &str) -> Vec<u8> {
    let asked = Asked::of(request);
    state.heard.push(format!("{} {}", asked.method, asked.path));
    if asked.path.starts_with("/secrets/") {
        return key_vault::answer_to(state, &asked);
    }
    entra::answer_to(state, &asked)
}

/// JSON with a status.
pub fn json_answer(status: &str, headers: &str, body: &Value) -> Vec<u8> {
    answer(status, &format!("content-type: application/json; charset=utf-8\r\n{headers}"), &body.to_string())
}
