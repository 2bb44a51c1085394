//! `gcp_gce` and `gcp_iam`: a JWT that Google's metadata server issues for this machine, or one that a service account
//! signs, with its key or through the IAM Credentials API.

use std::path::PathBuf;
use std::time::SystemTime;

use ::http::Method as Verb;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::files;
use super::gcp_service_account::{self, ServiceAccount};
use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role, text};
use crate::backend::hcv::api::object;
use crate::error::{Error, Kind, Result};
use crate::identity::external::{ExternalClient, has};
use crate::identity::json::Text;
use crate::redact;
use crate::secret::Secret;

/// The address of `metadata.google.internal`, so that no name server can redirect it.
const METADATA: &str = "http://169.254.169.254";
const METADATA_HOST: &str = "GCE_METADATA_HOST";
const CREDENTIALS_API: &str = "https://iamcredentials.googleapis.com";
const CREDENTIALS_API_PLACE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";

/// The variable from which Kong takes a key's JSON, and the one in which Google's own clients find its file.
const KEY: &str = "GCP_SERVICE_ACCOUNT";
const KEY_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Google's metadata server.
struct GoogleMetadata {
    external: ExternalClient,
    base: Url,
}

impl GoogleMetadata {
    fn new(context: &AuthContext<'_>) -> Result<Self> {
        let base = context.clients.place(METADATA_HOST, METADATA)?;
        Ok(Self { external: context.clients.local("GCE's metadata server")?, base })
    }

    /// One value of a service account.
    async fn get(&self, account: &str, what: &str, query: &[(&str, &str)]) -> Result<Secret> {
        let mut url = self.base.clone();
        url.set_path("/computeMetadata/v1/instance/service-accounts/");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(account).push(what);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self.external.get(&url, &[("metadata-flavor", "Google")]).await?;
        if !has(&answer.headers, "metadata-flavor", "Google") {
            let text = "the answer is not from Google's metadata server: check that this machine runs on Google Cloud";
            return Err(self.external.error(&url, Kind::Denied, text));
        }
        self.external.text(&url, &answer, "it has no such service account: attach one to the machine")
    }
}

pub struct Gce {
    path: String,
    role: String,
    metadata: GoogleMetadata,
}

impl Gce {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        Ok(Self {
            path: login_path(context, "gcp_login_path")?,
            role: role(context, "gcp_auth_role"),
            metadata: GoogleMetadata::new(context)?,
        })
    }
}

impl Method for Gce {
    fn name(&self) -> &'static str {
        "gcp_gce"
    }

    fn remedy(&self) -> &'static str {
        "check `gcp_auth_role`, that it is of type gce, and the projects, zones and service accounts that it is \
         bound to"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            let audience = format!("http://vault/{}", self.role);
            let query = [("audience", audience.as_str()), ("format", "full")];
            let jwt = self.metadata.get("default", "identity", &query).await?;
            let fields = [("role", self.role.as_str()), ("jwt", jwt.as_str().unwrap_or_default())];
            Ok(LoginRequest { path: self.path.clone(), body: object(&fields) })
        })
    }
}

pub struct Iam {
    label: String,
    path: String,
    role: String,
    seconds: u64,
    /// The account's address, if it is set. If not, it is the key's account, or the machine's own.
    account: Option<String>,
    key: Option<KeySource>,
    metadata: GoogleMetadata,
    api: ExternalClient,
    api_place: Url,
}

enum KeySource {
    Text(Secret),
    File(PathBuf, &'static str),
}

impl Iam {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        if let Some(path) = text(context.settings, "gcp_service_account").filter(|text| text.starts_with('/')) {
            return Self::with(context, None, Some(KeySource::File(PathBuf::from(path), "gcp_service_account")));
        }
        let from_environment = || context.clients.variable(KEY).map(|json| KeySource::Text(Secret::new(json)));
        let from_file =
            || context.clients.variable(KEY_FILE).map(|path| KeySource::File(PathBuf::from(path), KEY_FILE));
        let account = text(context.settings, "gcp_service_account").map(str::to_owned);
        Self::with(context, account, from_environment().or_else(from_file))
    }

    fn with(context: &AuthContext<'_>, account: Option<String>, key: Option<KeySource>) -> Result<Self> {
        Ok(Self {
            label: context.api.label.clone(),
            path: login_path(context, "gcp_login_path")?,
            role: role(context, "gcp_auth_role"),
            seconds: context.settings.integer("gcp_jwt_exp").and_then(|seconds| seconds.try_into().ok()).unwrap_or(900),
            account,
            key,
            metadata: GoogleMetadata::new(context)?,
            api: context.clients.remote("Google's IAM Credentials API", None)?,
            api_place: context.clients.place(CREDENTIALS_API_PLACE, CREDENTIALS_API)?,
        })
    }

    async fn key(&self) -> Result<Option<ServiceAccount>> {
        let refuse = |reason: String| Error::new(Kind::Config, format!("{}: {reason}", self.label));
        let (json, origin) = match &self.key {
            None => return Ok(None),
            Some(KeySource::Text(json)) => (json.clone(), KEY.to_owned()),
            Some(KeySource::File(path, origin)) => {
                let read = files::read_text(path).await;
                let (json, _) =
                    read.map_err(|clause| refuse(format!("no service account's key: `{origin}` {clause}")))?;
                (json, redact::known_path(path))
            }
        };
        let account = ServiceAccount::parse(json.as_bytes()).map_err(|reason| refuse(format!("{origin} {reason}")))?;
        match &self.account {
            Some(wanted) if *wanted != account.email => {
                Err(refuse(format!("{origin} is the key of another account than `gcp_service_account` names")))
            }
            _ => Ok(Some(account)),
        }
    }

    fn claims(&self, account: &str) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let audience = format!("vault/{}", self.role);
        serde_json::json!({ "sub": account, "aud": audience, "iat": now, "exp": now + self.seconds }).to_string()
    }

    async fn jwt(&self) -> Result<Secret> {
        if let Some(key) = self.key().await? {
            let signed = gcp_service_account::sign(&key, &self.claims(&key.email));
            return signed.map_err(|reason| Error::new(Kind::Config, format!("{}: {reason}", self.label)));
        }
        let own;
        let account = match &self.account {
            Some(account) => account,
            None => {
                own = self.metadata.get("default", "email", &[]).await?;
                own.as_str().unwrap_or_default()
            }
        };
        self.signed_by_google(account).await
    }

    async fn signed_by_google(&self, account: &str) -> Result<Secret> {
        let token = self.metadata.get("default", "token", &[]).await?;
        let token: Option<AccessToken<'_>> = serde_json::from_slice(token.as_bytes()).ok();
        let mut url = self.api_place.clone();
        url.set_path("/v1/projects/-/serviceAccounts/");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&format!("{account}:signJwt"));
        }
        let Some(token) = token else {
            let place = &self.metadata.base;
            return Err(self.metadata.external.error(place, Kind::Invalid, "the answer holds no access token"));
        };
        let bearer = Zeroizing::new(format!("Bearer {}", &*token.access_token));
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = object(&[("payload", &self.claims(account))]);
        let answer = self.api.send(Verb::POST, &url, &headers, &body).await?;
        let refused = "the machine's service account may not sign for `gcp_service_account`: give it the role \
                       roles/iam.serviceAccountTokenCreator on that account, or a key";
        let signed: Signed = self.api.json(&url, &answer, refused)?;
        Ok(Secret::new(signed.signed_jwt))
    }
}

#[derive(Deserialize)]
struct AccessToken<'a> {
    #[serde(borrow)]
    access_token: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    signed_jwt: String,
}

impl Method for Iam {
    fn name(&self) -> &'static str {
        "gcp_iam"
    }

    fn remedy(&self) -> &'static str {
        "check `gcp_auth_role`, that it is of type iam, the service accounts that it is bound to, and that `gcp_jwt_exp` is \
         not above its `max_jwt_exp`"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            let jwt = self.jwt().await?;
            let fields = [("role", self.role.as_str()), ("jwt", jwt.as_str().unwrap_or_default())];
            Ok(LoginRequest { path: self.path.clone(), body: object(&fields) })
        })
    }
}
