//! The `hcv` vault: HashiCorp Vault, or OpenBao, through the HTTP API of its key/value engines.

mod answer;
mod auth;
mod options;
mod path;
mod redirect;

use std::fmt::Display;
use std::sync::Arc;

use ::http::{HeaderValue, Request};
use url::Url;

use self::auth::Auth;
use self::path::Engine;
use self::redirect::Allowed;
use crate::backend::http::{Answer, Client, Transport};
use crate::backend::{Ask, Backend, Descriptor, Fetched, Fetching, Setup};
use crate::error::{Error, Kind, Result};

pub const DESCRIPTOR: Descriptor =
    Descriptor { name: "hcv", title: "HashiCorp Vault, OpenBao", options: options::OPTIONS, immediate: false, build };

/// How often one fetch may be sent on: a standby names the active node, which answers.
const REDIRECTS: usize = 3;

struct Hcv {
    label: String,
    /// Where the vault is, without a path.
    base: Url,
    mount: String,
    engine: Engine,
    namespace: Option<HeaderValue>,
    auth: Auth,
    allowed: Vec<Allowed>,
    client: Client,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let settings = setup.settings;
    let label = format!("hcv vault ({})", setup.vault);
    let refuse = |reason: String| Error::new(Kind::Config, format!("{label}: {reason}"));
    let text = |name| settings.text(name).filter(|text| !text.is_empty());
    let namespace = match text("namespace") {
        Some(namespace) => Some(options::namespace(namespace).map_err(refuse)?),
        None => None,
    };
    let allowed = settings.list("redirect_hosts").iter().map(|entry| Allowed::parse(entry));
    Ok(Arc::new(Hcv {
        base: options::base(settings).map_err(refuse)?,
        mount: path::mount(text("mount").unwrap_or_default()).map_err(refuse)?,
        engine: if text("kv") == Some("v2") { Engine::V2 } else { Engine::V1 },
        namespace,
        auth: Auth::new(settings).map_err(refuse)?,
        allowed: allowed.collect::<std::result::Result<_, _>>().map_err(refuse)?,
        client: Client::new(&Transport::of(setup, label.clone()))?,
        label,
    }))
}

impl Backend for Hcv {
    fn fetch<'a>(&'a self, ask: &'a Ask) -> Fetching<'a> {
        Box::pin(self.read(ask))
    }
}

impl Hcv {
    async fn read(&self, ask: &Ask) -> Result<Fetched> {
        let path =
            path::of(&self.mount, self.engine, ask).map_err(|(kind, reason)| self.error(&self.base, kind, reason))?;
        let mut url = self.base.clone();
        url.set_path(&path.path);
        url.set_query(path.query.as_deref());
        let token = self.auth.token().await?;
        for _ in 0..=REDIRECTS {
            let answer = self.client.send(self.request(&url, token.as_ref())?).await?;
            if !redirect::is_redirect(answer.status) {
                let asked =
                    answer::Asked { ask, path: &path, engine: self.engine, mount: &self.mount, token: token.is_some() };
                return answer::read(&answer, &asked)
                    .map_err(|(kind, reason)| self.error(&url, kind, reason).with_retry_after(answer.retry_after()));
            }
            url = self.follow(&url, &answer)?;
        }
        Err(self.error(
            &url,
            Kind::Invalid,
            format!("redirected more than {REDIRECTS} times: check the nodes' `api_addr`"),
        ))
    }

    fn follow(&self, url: &Url, answer: &Answer) -> Result<Url> {
        redirect::follow(&self.base, url, &answer.headers, &self.allowed)
            .map_err(|reason| self.error(url, Kind::Invalid, format!("{reason} (status {})", answer.status)))
    }

    fn request(&self, url: &Url, token: Option<&HeaderValue>) -> Result<Request<Vec<u8>>> {
        let mut request = Request::get(url.as_str()).header("x-vault-request", "true");
        if let Some(token) = token {
            request = request.header("x-vault-token", token);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        request.body(Vec::new()).map_err(|_| self.error(url, Kind::Internal, "no request can be made of this path"))
    }

    /// An error that names the node it came from.
    fn error(&self, url: &Url, kind: Kind, reason: impl Display) -> Error {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        Error::new(kind, format!("{} at {host}:{port}: {reason}", self.label))
    }
}
