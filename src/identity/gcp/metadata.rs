//! Google's metadata server, which machines, pods and services on Google Cloud can reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};
use tokio::sync::OnceCell;
use url::Url;

use super::destination::{UNIVERSE, is_universe};
use super::login::{NoToken, SCOPE};
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::HttpResponse;
use crate::identity::access_token::AccessToken;
use crate::identity::client::{CloudClient, address};
use crate::identity::external::has;
use crate::identity::oauth;
use crate::secret::Secret;

/// The address of `metadata.google.internal`, so that no name server can redirect it.
const USUAL: &str = "http://169.254.169.254";
pub const HOST: &str = "GCE_METADATA_HOST";

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: &str = "Google";

/// The timeout of one request. It is short, as nothing answers outside of Google Cloud. A server that is known to be there
/// gets more time: its first token may take long.
const LIMIT: Duration = Duration::from_secs(1);
const LIMIT_OF_KNOWN: Duration = Duration::from_secs(3);

/// The pauses before further attempts: on Kubernetes, the server may not be ready in a pod's first seconds.
const PAUSES: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(450)];

/// Its name in errors.
pub const NAME: &str = "the metadata server";

pub struct GoogleMetadata {
    base: Result<Url, String>,
    is_off: bool,
    /// Whether it has ever answered. After that, silence is an outage.
    seen: AtomicBool,
    universe: OnceCell<String>,
    project: OnceCell<String>,
}

/// Why there is no answer.
enum NoMetadata {
    /// Nothing answers.
    Nobody(Error),
    /// Another server answers.
    Stranger,
    Failed(Error),
}

impl GoogleMetadata {
    pub fn of(environment: &Environment) -> Self {
        let set = |name| environment.text(name).map(str::trim).filter(|text| !text.is_empty());
        Self {
            base: base(set(HOST)),
            is_off: set("NO_GCE_CHECK").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            seen: AtomicBool::new(false),
            universe: OnceCell::new(),
            project: OnceCell::new(),
        }
    }

    /// An access token of the machine's account.
    pub async fn token(&self, client: &CloudClient) -> Result<AccessToken, NoToken> {
        if self.is_off {
            return Err(NoToken::NotSetUp("NO_GCE_CHECK forbids to ask the metadata server".to_owned()));
        }
        let asked = client.clock.now();
        let path = "instance/service-accounts/default/token";
        let answer = match self.ask(client, path, &[("scopes", SCOPE)]).await {
            Ok(answer) => answer,
            Err(NoMetadata::Failed(error)) => return Err(error.into()),
            Err(NoMetadata::Nobody(error)) if self.seen.load(Ordering::Relaxed) => return Err(error.into()),
            Err(NoMetadata::Nobody(_)) => {
                let clause = format!("no metadata server of Google's answers at {}", self.address());
                return Err(NoToken::NotSetUp(clause));
            }
            Err(NoMetadata::Stranger) => {
                let clause = format!("who answers at {} is not Google's metadata server", self.address());
                return Err(NoToken::NotSetUp(clause));
            }
        };
        match answer.status {
            200 => {}
            404 => {
                let clause = "the metadata server knows no service account of this machine: attach one to it";
                return Err(NoToken::NotSetUp(clause.to_owned()));
            }
            _ => return Err(self.refused(client, &answer).into()),
        }
        let invalid = |reason: &'static str| self.error(client, Kind::Invalid, reason);
        let granted = oauth::granted(answer.body.as_bytes()).map_err(invalid)?;
        Ok(AccessToken::bearer(&granted.token, NAME, asked, granted.life).map_err(invalid)?)
    }

    /// The domain of all services.
    pub async fn universe(&self, client: &CloudClient) -> Result<&str, Error> {
        let asks = || async {
            let answer = self.ask(client, "universe/universe-domain", &[]).await;
            let answer = self.heard(client, answer)?;
            let text = answer.body.as_str().map(str::trim).unwrap_or_default();
            match answer.status {
                // Older servers don't have this path.
                404 => Ok(UNIVERSE.to_owned()),
                200 if text.is_empty() => Ok(UNIVERSE.to_owned()),
                200 if is_universe(text) => Ok(text.to_owned()),
                200 => Err(self.error(client, Kind::Invalid, "names a universe that is no domain")),
                _ => Err(self.refused(client, &answer)),
            }
        };
        self.universe.get_or_try_init(asks).await.map(String::as_str)
    }

    /// The id of the machine's project.
    pub async fn project(&self, client: &CloudClient) -> Result<&str, Error> {
        let asks = || async {
            let answer = self.ask(client, "project/project-id", &[]).await;
            let answer = self.heard(client, answer)?;
            match (answer.status, answer.body.as_str().map(str::trim)) {
                (200, Some(text)) if !text.is_empty() => Ok(text.to_owned()),
                (200, _) => Err(self.error(client, Kind::Invalid, "names no project")),
                _ => Err(self.refused(client, &answer)),
            }
        };
        self.project.get_or_try_init(asks).await.map(String::as_str)
    }

    /// The address of the machine's account.
    pub async fn email(&self, client: &CloudClient) -> Result<Secret, Error> {
        self.of_account(client, "instance/service-accounts/default/email", &[]).await
    }

    /// A JWT that proves to `audience` which machine this is.
    pub async fn identity(&self, client: &CloudClient, audience: &str) -> Result<Secret, Error> {
        let query = [("audience", audience), ("format", "full")];
        self.of_account(client, "instance/service-accounts/default/identity", &query).await
    }

    async fn of_account(&self, client: &CloudClient, path: &str, query: &[(&str, &str)]) -> Result<Secret, Error> {
        let answer = self.ask(client, path, query).await;
        let answer = self.heard(client, answer)?;
        match (answer.status, answer.body.as_str().map(str::trim)) {
            (200, Some(text)) if !text.is_empty() => Ok(Secret::new(text)),
            (200, _) => Err(self.error(client, Kind::Invalid, "answers with nothing, or with what is no text")),
            (404, _) => {
                let reason = "knows no service account of this machine: attach one to it (status 404)";
                Err(self.error(client, Kind::Denied, reason))
            }
            _ => Err(self.refused(client, &answer)),
        }
    }

    /// The answer, where there is no other source to try.
    fn heard(&self, client: &CloudClient, answer: Result<HttpResponse, NoMetadata>) -> Result<HttpResponse, Error> {
        answer.map_err(|silence| match silence {
            NoMetadata::Failed(error) | NoMetadata::Nobody(error) => error,
            NoMetadata::Stranger => {
                let reason =
                    "the answer is not from Google's metadata server: check that this machine runs on Google Cloud";
                client.error_at(&self.address(), Kind::Denied, reason)
            }
        })
    }

    async fn ask(&self, client: &CloudClient, path: &str, query: &[(&str, &str)]) -> Result<HttpResponse, NoMetadata> {
        let broken = |reason: &str| NoMetadata::Failed(client.error(Kind::Config, reason));
        let mut url = self.base.clone().map_err(|reason| broken(&reason))?;
        url.set_path(&format!("/computeMetadata/v1/{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut limit = if self.seen.load(Ordering::Relaxed) { LIMIT_OF_KNOWN } else { LIMIT };
        let mut pauses = PAUSES.into_iter();
        loop {
            let request = request(&url).ok_or_else(|| broken("the metadata server's address is no URL"))?;
            let outcome = client.send_local(request, limit).await;
            let is_late = matches!(&outcome, Err(error) if error.kind() == Kind::Timeout);
            if is_late && limit == LIMIT && self.is_there(client, &url).await {
                limit = LIMIT_OF_KNOWN;
                continue;
            }
            let may_pass = match &outcome {
                Ok(answer) => matches!(answer.status, 429 | 500 | 503),
                Err(error) => error.kind() == Kind::Unavailable,
            };
            if may_pass && let Some(pause) = pauses.next() {
                tokio::time::sleep(pause).await;
                continue;
            }
            return match outcome {
                Ok(answer) if !has(&answer.headers, FLAVOR.as_str(), GOOGLE) => Err(NoMetadata::Stranger),
                Ok(answer) => {
                    self.seen.store(true, Ordering::Relaxed);
                    Ok(answer)
                }
                Err(error) if matches!(error.kind(), Kind::Timeout | Kind::Unavailable) => {
                    Err(NoMetadata::Nobody(error))
                }
                Err(error) => Err(NoMetadata::Failed(error)),
            };
        }
    }

    /// Whether any server answers at that address.
    async fn is_there(&self, client: &CloudClient, url: &Url) -> bool {
        let mut root = url.clone();
        root.set_path("/");
        root.set_query(None);
        let Some(request) = request(&root) else { return false };
        let Ok(answer) = client.send_local(request, LIMIT).await else { return false };
        if has(&answer.headers, FLAVOR.as_str(), GOOGLE) {
            self.seen.store(true, Ordering::Relaxed);
        }
        true
    }

    fn refused(&self, client: &CloudClient, answer: &HttpResponse) -> Error {
        let status = answer.status;
        let (kind, reason) = match status {
            429 => (Kind::Throttled, "has too many requests"),
            500.. => (Kind::Unavailable, "failed: try again"),
            _ => (Kind::Denied, "refused the request: check that no proxy stands before it"),
        };
        self.error(client, kind, &format!("{reason} (status {status})")).with_retry_after(answer.retry_after())
    }

    fn error(&self, client: &CloudClient, kind: Kind, reason: &str) -> Error {
        client.error_at(&self.address(), kind, format!("{NAME} {reason}"))
    }

    fn address(&self) -> String {
        let uri = self.base.as_ref().ok().and_then(|url| url.as_str().parse().ok());
        uri.map_or_else(|| USUAL.to_owned(), |uri| address(&uri))
    }
}

fn request(url: &Url) -> Option<Request<Vec<u8>>> {
    let mut request = Request::new(Vec::new());
    *request.uri_mut() = url.as_str().parse().ok()?;
    request.headers_mut().insert(FLAVOR, HeaderValue::from_static(GOOGLE));
    Some(request)
}

/// Its address, from the host and port in the environment.
fn base(host: Option<&str>) -> Result<Url, String> {
    let text = host.map_or_else(|| USUAL.to_owned(), |host| format!("http://{}", host.trim_start_matches("http://")));
    let url = Url::parse(&text).ok();
    let is_bare = |url: &Url| {
        url.has_host() && url.username().is_empty() && url.password().is_none() && matches!(url.path(), "" | "/")
    };
    url.filter(is_bare).ok_or_else(|| format!("{HOST} is no host such as metadata.example or 127.0.0.1:8080"))
}
