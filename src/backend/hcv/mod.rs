//! The `hcv` backend: HashiCorp Vault or OpenBao, through the HTTP API of its key/value engines.

mod answer;
mod api;
mod auth;
mod credentials;
mod diagnosis;
mod options;
mod path;
mod redirect;

use std::sync::Arc;
use std::time::Instant;

use ::http::HeaderValue;

use self::api::{ApiRequest, VaultApi};
use self::auth::{Auth, AuthContext, AuthToken, ClientFactory};
use self::credentials::ConfiguredCredentials;
use self::path::{KvVersion, Path};
use self::redirect::Allowed;
use crate::backend::transport;
use crate::backend::{Backend, Descriptor, Diagnosing, Fetched, Fetching, Notice, SecretId, Setup, Shutdown};
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse, Pem, Transport};
use crate::secret::Secret;

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "hcv",
    title: "HashiCorp Vault, OpenBao",
    options: options::OPTIONS,
    requirements: options::REQUIREMENTS,
    immediate: false,
    files: false,
    batch: 1,
    build,
};

/// Variables that hold credentials: those of the vaults' own tools.
pub const CREDENTIALS: &[&str] = &["VAULT_TOKEN", "BAO_TOKEN"];

struct Hcv {
    api: Arc<VaultApi>,
    mount: String,
    engine: KvVersion,
    namespace: Option<HeaderValue>,
    auth: Auth,
    auth_namespace: Option<HeaderValue>,
    /// For `doctor`: where the credentials of the login come from.
    credentials: ConfiguredCredentials,
    /// Whether the token comes from a login.
    logs_in: bool,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let settings = setup.settings;
    let label = format!("hcv vault ({})", setup.vault);
    let refuse = |reason: String| Error::new(Kind::Config, format!("{label}: {reason}"));
    let text = |name| settings.text(name).filter(|text| !text.is_empty());
    let namespace = text("namespace").map(|name| options::namespace("namespace", name)).transpose().map_err(refuse)?;
    let auth_namespace = match text("auth_namespace") {
        Some("root" | "/") => None,
        Some(name) => Some(options::namespace("auth_namespace", name).map_err(refuse)?),
        None => namespace.clone(),
    };
    let allowed = settings.list("redirect_hosts").iter().map(|entry| Allowed::parse(entry));
    let api = Arc::new(VaultApi {
        base: options::base(settings).map_err(refuse)?,
        allowed: allowed.collect::<std::result::Result<_, _>>().map_err(refuse)?,
        client: Client::new(&transport(setup, &label))?,
        label: label.clone(),
    });
    // Other servers than the vault get neither its trusted CAs nor its client certificate.
    let of_vault = transport::of_vault(setup, label.clone());
    let usual = Transport::new(label.clone(), setup.environment, setup.timeout);
    let clients = ClientFactory {
        usual: Transport { tls_1_3: of_vault.tls_1_3, proxy: of_vault.proxy, no_proxy: of_vault.no_proxy, ..usual },
    };
    let auth = Auth::new(&AuthContext {
        api: &api,
        settings,
        namespace: auth_namespace.clone(),
        lasts: setup.lasts,
        timeout: setup.timeout,
        clients: &clients,
    })?;
    Ok(Arc::new(Hcv {
        mount: path::mount(text("mount").unwrap_or_default()).map_err(refuse)?,
        engine: if text("kv") == Some("v2") { KvVersion::V2 } else { KvVersion::V1 },
        namespace,
        auth_namespace,
        credentials: ConfiguredCredentials::from_settings(settings),
        logs_in: text("auth_method").is_some_and(|method| method != "token"),
        auth,
        api,
    }))
}

/// The connections to the vault. The certificate of the method `cert` is presented on each of them.
fn transport<'a>(setup: &'a Setup<'_>, label: &str) -> Transport<'a> {
    let usual = Transport { socket: options::socket(setup.settings), ..transport::of_vault(setup, label.to_owned()) };
    let settings = setup.settings;
    let cert = settings.text("cert_auth_cert").filter(|cert| !cert.is_empty());
    let key = settings.secret("cert_auth_cert_key").and_then(Secret::as_str).filter(|key| !key.is_empty());
    match cert.filter(|_| settings.text("auth_method") == Some("cert")) {
        Some(cert) => Transport {
            client_cert: Some(Pem { option: "cert_auth_cert", value: cert }),
            client_key: key.map(|value| Pem { option: "cert_auth_cert_key", value }),
            ..usual
        },
        None => usual,
    }
}

impl Backend for Hcv {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(self.fetch_secret(secret_id))
    }

    fn diagnose<'a>(&'a self, secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(self.walk(secret_id))
    }

    fn notice(&self) -> Option<Notice> {
        self.api.client.notice()
    }

    fn login_ends(&self) -> Option<Instant> {
        self.auth.ends()
    }

    fn shutdown(&self) -> Option<Shutdown> {
        self.auth.shutdown()
    }
}

fn is_denied(answer: &HttpResponse) -> bool {
    matches!(answer.status, 401 | 403)
}

impl Hcv {
    async fn fetch_secret(&self, secret_id: &SecretId) -> Result<Fetched> {
        let path = path::for_secret(&self.mount, self.engine, secret_id)
            .map_err(|(kind, reason)| self.api.error(&self.api.base, kind, reason))?;
        let mut auth_token = self.auth.auth_token().await?;
        let (mut url, mut answer) = self.api.send(&self.call(&path, &auth_token)).await?;
        // A token may be revoked at any time. Then kong-vault gets a new one, and sends the request once more.
        if is_denied(&answer)
            && let Some(other) = self.auth.replace(&auth_token, &answer).await?
        {
            auth_token = other;
            (url, answer) = self.api.send(&self.call(&path, &auth_token)).await?;
            if is_denied(&answer) {
                // If the vault refuses that token as well, the login is wrong.
                self.auth.replace(&auth_token, &answer).await?;
            }
        }
        if matches!(answer.status, 200 | 404) {
            self.auth.served(&auth_token);
        }
        let asked = answer::ReadContext {
            secret_id,
            path: &path,
            engine: self.engine,
            mount: &self.mount,
            token: auth_token.token.is_some(),
        };
        answer::parse_document(&answer, &asked)
            .map_err(|(kind, reason)| self.api.error(&url, kind, reason).with_retry_after(answer.retry_after()))
    }

    fn call<'a>(&'a self, path: &'a Path, auth_token: &'a AuthToken) -> ApiRequest<'a> {
        let call = ApiRequest::get(&path.path).with(auth_token.token.as_ref(), self.namespace.as_ref());
        ApiRequest { query: path.query.as_deref(), ..call }
    }
}
