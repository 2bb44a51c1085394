//! `gcp_gce` and `gcp_iam`: a JWT that Google's metadata server issues for this machine, or one that a service account
//! signs, with its key or through the IAM Credentials API.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use ::http::Method as Verb;
use serde::Deserialize;
use url::Url;

use super::files;
use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role, text};
use crate::backend::hcv::api::object;
use crate::error::{Error, Kind, Result};
use crate::identity::external::ExternalClient;
use crate::identity::gcp::{GoogleIdentity, GoogleLogin, IdentityOptions, ServiceAccount, iam_credentials_api};
use crate::redact;
use crate::secret::Secret;

/// The variable from which Kong takes a key's JSON, and the one in which Google's own clients find its file.
const KEY: &str = "GCP_SERVICE_ACCOUNT";
const KEY_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The credentials that Google's own clients would find.
fn identity(context: &AuthContext<'_>) -> Result<Arc<GoogleIdentity>> {
    GoogleIdentity::of(IdentityOptions {
        transport: &context.clients.usual,
        account: None,
        delegates: &[],
        quota_project: None,
        exchanges: false,
        is_shared: context.lasts,
    })
}

pub struct Gce {
    path: String,
    role: String,
    identity: Arc<GoogleIdentity>,
}

impl Gce {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        Ok(Self {
            path: login_path(context, "gcp_login_path")?,
            role: role(context, "gcp_auth_role"),
            identity: identity(context)?,
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
            let jwt = self.identity.identity_token(&audience).await?;
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
    identity: Arc<GoogleIdentity>,
    api: ExternalClient,
    /// The address of the API, if it is not Google's own.
    api_place: Option<Url>,
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
            identity: identity(context)?,
            api: context.clients.remote("Google's IAM Credentials API", None)?,
            api_place: iam_credentials_api(&context.clients.usual)?,
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
        // With other credentials, Google signs.
        let is_options = matches!(self.key, Some(KeySource::File(_, "gcp_service_account")));
        if !is_options && ServiceAccount::is_another(json.as_bytes()) {
            return Ok(None);
        }
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
            let signed = key.sign(&self.claims(&key.email));
            return signed.map_err(|reason| Error::new(Kind::Config, format!("{}: {reason}", self.label)));
        }
        let login = self.identity.login().await?;
        let account = match &self.account {
            Some(account) => Secret::new(account.as_bytes()),
            None if login.is_of_machine => self.identity.email().await?,
            None => {
                let text = format!(
                    "{}: no account to sign for, as the credentials are no key: set `gcp_service_account` to its address",
                    self.label
                );
                return Err(Error::new(Kind::Config, text));
            }
        };
        self.signed_by_google(&login, account.as_str().unwrap_or_default()).await
    }

    async fn signed_by_google(&self, login: &GoogleLogin, account: &str) -> Result<Secret> {
        let refuse = |reason: &str| Error::new(Kind::Config, format!("{}: {reason}", self.label));
        let mut url = match &self.api_place {
            Some(url) => url.clone(),
            None => Url::parse(&format!("https://iamcredentials.{}", login.universe))
                .map_err(|_| refuse("no valid URL of Google's IAM Credentials API"))?,
        };
        url.set_path("/v1/projects/-/serviceAccounts/");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&format!("{account}:signJwt"));
        }
        let body = object(&[("payload", &self.claims(account))]);
        let ask = async |login: &GoogleLogin| {
            let bearer = login.token.header.to_str().map_err(|_| refuse("Google's token cannot be sent"))?;
            let headers = [("authorization", bearer), ("content-type", "application/json")];
            self.api.send(Verb::POST, &url, &headers, &body).await
        };
        let mut answer = ask(login).await?;
        // A token may end, or be revoked, before its time.
        if answer.status == 401
            && let Some(other) = self.identity.instead_of(login, &answer).await?
        {
            answer = ask(&other).await?;
        }
        let refused = "the account of Google's credentials may not sign for `gcp_service_account`: give it the role \
                       roles/iam.serviceAccountTokenCreator on that account, or a key";
        let signed: Signed = self.api.json(&url, &answer, refused)?;
        Ok(Secret::new(signed.signed_jwt))
    }
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
