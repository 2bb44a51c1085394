//! The sources of Google credentials, in the order of Google's own libraries or in Kong's. The first configured source is
//! used. If it fails, no other is tried, as it could be another identity.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use url::Url;

use super::destination::{UNIVERSE, is_universe, shown_email};
use super::exchange;
use super::login::{GoogleLogin, NoToken};
use super::metadata::{self, GoogleMetadata};
use super::service_account::{LIFE, ServiceAccount};
use super::subject::{self, SubjectMeans};
use super::written::{CredentialsKind, GoogleCredentials, ImpersonationTarget};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::http::Transport;
use crate::identity::access_token::AccessToken;
use crate::identity::client::CloudClient;
use crate::identity::credentials_cache::LoadStage;
use crate::identity::files::{self, FileState};
use crate::redact;
use crate::secret::Secret;

/// The variable with a key's JSON, as in Kong.
pub const KEY: &str = "GCP_SERVICE_ACCOUNT";
/// The variable with a file's path, as in Google's own libraries.
pub const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const ORDER: &str = "GCP_AUTH_METHOD_ORDER";
pub const UNIVERSE_DOMAIN: &str = "GOOGLE_CLOUD_UNIVERSE_DOMAIN";
const QUOTA_PROJECT: &str = "GOOGLE_CLOUD_QUOTA_PROJECT";

/// The variables with the project's id, in their order.
pub const PROJECTS: [&str; 2] = ["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"];

/// A place where credentials may be.
#[derive(Clone)]
enum CredentialsPlace {
    /// JSON, and the variable that holds it.
    Text(Secret, &'static str),
    /// A file, and the variable that names it.
    Named(PathBuf, &'static str),
    /// The file that gcloud writes.
    WellKnown(PathBuf),
    Metadata,
}

pub struct GoogleSources {
    label: String,
    pub client: CloudClient,
    pub metadata: GoogleMetadata,
    places: Vec<CredentialsPlace>,
    /// Why other sources are not configured: clauses.
    absences: Vec<String>,
    means: SubjectMeans,
    /// The account to impersonate, by option.
    account: Option<AccountToImpersonate>,
    universe: Option<String>,
    quota_project: Option<String>,
    /// Whether a key's signature is exchanged for an access token: by option, or after Google has refused a signature.
    exchanges: AtomicBool,
}

/// An account to impersonate.
pub struct AccountToImpersonate {
    pub email: String,
    pub delegates: Vec<String>,
    /// The API's address, if it is not the universe's own.
    pub base: Option<Url>,
}

/// The options of the credentials.
pub struct ChosenOptions {
    pub account: Option<AccountToImpersonate>,
    pub quota_project: Option<String>,
    pub exchanges: bool,
}

impl GoogleSources {
    pub fn new(transport: &Transport<'_>, client: CloudClient, chosen: ChosenOptions) -> Result<Self> {
        let environment = transport.environment;
        let label = transport.label.clone();
        let set = |name| set(environment, name);
        let is_legacy = match set(ORDER).map(str::to_ascii_lowercase).as_deref() {
            Some("adc") => false,
            Some("legacy") => true,
            // Kong's default.
            None => set(KEY).is_some(),
            Some(_) => {
                let text = format!("{label}: {ORDER} is neither legacy nor adc: correct it");
                return Err(Error::new(Kind::Config, text));
            }
        };
        let universe = set(UNIVERSE_DOMAIN).map(str::to_owned);
        if universe.as_deref().is_some_and(|universe| !is_universe(universe)) {
            return Err(Error::new(Kind::Config, format!("{label}: {UNIVERSE_DOMAIN} is no domain: correct it")));
        }
        let mut places = Vec::new();
        let mut absences = Vec::new();
        match set(KEY) {
            Some(json) => places.push(CredentialsPlace::Text(Secret::new(json), KEY)),
            None => absences.push(format!("{KEY} is not set")),
        }
        match set(FILE) {
            Some(path) => places.push(CredentialsPlace::Named(PathBuf::from(path), FILE)),
            None => absences.push(format!("{FILE} is not set")),
        }
        match well_known(environment) {
            Some(path) => places.push(CredentialsPlace::WellKnown(path)),
            None => absences.push("neither CLOUDSDK_CONFIG nor HOME is set".to_owned()),
        }
        places.insert(if is_legacy { 0 } else { places.len() }, CredentialsPlace::Metadata);
        Ok(Self {
            metadata: GoogleMetadata::of(environment),
            means: SubjectMeans::new(transport, &client),
            account: chosen.account,
            quota_project: chosen.quota_project.or_else(|| set(QUOTA_PROJECT).map(str::to_owned)),
            exchanges: AtomicBool::new(chosen.exchanges),
            label,
            client,
            places,
            absences,
            universe,
        })
    }

    /// From now on, a key's signature is exchanged.
    pub fn exchange(&self) {
        self.exchanges.store(true, Ordering::Relaxed);
    }

    /// Whether a variable holds a key, as in Kong.
    pub fn has_key(&self) -> bool {
        self.places.iter().any(|place| matches!(place, CredentialsPlace::Text(..)))
    }

    /// Gets a new token.
    pub async fn load(&self, stage: &LoadStage) -> Result<GoogleLogin> {
        let login = self.first(stage).await?;
        match &self.account {
            Some(account) => {
                let target = account.target(&login.universe);
                let target =
                    target.ok_or_else(|| self.client.error(Kind::Config, "no valid URL of IAM GoogleCredentials"))?;
                self.stand_for(stage, &target, login).await
            }
            None => Ok(login),
        }
    }

    async fn first(&self, stage: &LoadStage) -> Result<GoogleLogin> {
        let mut absences = self.absences.clone();
        for place in &self.places {
            let (json, origin) = match place {
                CredentialsPlace::Metadata => {
                    stage.asks(metadata::NAME);
                    match self.metadata.token(&self.client).await {
                        Ok(token) => return self.of_machine(token).await,
                        Err(NoToken::Failed(error)) => return Err(error),
                        Err(NoToken::NotSetUp(absence)) => absences.push(absence),
                    }
                    continue;
                }
                CredentialsPlace::Text(json, variable) => (json.clone(), (*variable).to_owned()),
                CredentialsPlace::Named(path, variable) => {
                    stage.asks(*variable);
                    let text = files::read_text(path)
                        .await
                        .map_err(|unread| self.client.error(Kind::Config, format!("{variable}: {unread}")))?;
                    (Secret::new(text.as_bytes()), redact::known_path(path))
                }
                CredentialsPlace::WellKnown(path) => {
                    stage.asks("gcloud's credentials");
                    match files::read_text(path).await {
                        Ok(text) => (Secret::new(text.as_bytes()), redact::known_path(path)),
                        Err(unread) if matches!(unread.state, FileState::Missing | FileState::Closed) => {
                            absences.push(unread.to_string());
                            continue;
                        }
                        Err(unread) => return Err(self.client.error(Kind::Config, unread)),
                    }
                }
            };
            let credentials = GoogleCredentials::parse(json.as_bytes());
            let credentials =
                credentials.map_err(|reason| self.client.error(Kind::Config, format!("{origin} {reason}")))?;
            return self.of_credentials(stage, &credentials, &origin).await;
        }
        Err(Error::new(
            Kind::Config,
            format!(
                "{}: no Google credentials: {}: set one of them up before nginx starts, where nginx's workers may read it",
                self.label,
                absences.join("; ")
            ),
        ))
    }

    async fn of_machine(&self, token: AccessToken) -> Result<GoogleLogin> {
        let universe = match &self.universe {
            Some(universe) => universe,
            None => self.metadata.universe(&self.client).await?,
        };
        Ok(GoogleLogin {
            token,
            universe: universe.into(),
            quota_project: self.quota_project.as_deref().map(Into::into),
            project: None,
            is_of_machine: true,
            is_self_signed: false,
        })
    }

    async fn of_credentials(
        &self,
        stage: &LoadStage,
        credentials: &GoogleCredentials,
        origin: &str,
    ) -> Result<GoogleLogin> {
        let universe = self.universe_of(credentials, origin)?;
        let universe = universe.as_str();
        let mut is_self_signed = false;
        let quota_project = self.quota_project.as_deref().or(credentials.quota_project.as_deref()).map(Into::into);
        let token = match &credentials.kind {
            CredentialsKind::ServiceAccount { account, token_uri } => {
                let of_key = format!("the key of {} ({origin})", shown_email(&account.email));
                // Other universes have no token endpoint.
                if self.exchanges.load(Ordering::Relaxed) && universe == UNIVERSE {
                    stage.asks("the token endpoint");
                    let assertion = self.signed(account.assertion(self.client.clock.now()))?;
                    let assertion = assertion.as_str().unwrap_or_default();
                    exchange::for_assertion(&self.client, token_uri.as_ref(), assertion, &of_key).await?
                } else {
                    is_self_signed = true;
                    self.self_signed(account, &of_key)?
                }
            }
            CredentialsKind::RefreshableUser(user) => {
                stage.asks("the token endpoint");
                exchange::for_user(&self.client, user, universe, &format!("the user's login ({origin})")).await?
            }
            CredentialsKind::ExternalAccount(external) => {
                let of_subject = format!("the subject token ({origin})");
                let subject = subject::token(&self.client, &self.means, stage, external, origin).await?;
                stage.asks("Google's STS");
                let token = exchange::for_subject(&self.client, external, &subject, universe, &of_subject).await?;
                match &external.impersonation {
                    Some(target) => {
                        stage.asks("Google's IAM GoogleCredentials API");
                        exchange::for_account(&self.client, target, &token).await?
                    }
                    None => token,
                }
            }
            CredentialsKind::ImpersonatedAccount(impersonated) => {
                let source = Box::pin(self.of_credentials(stage, &impersonated.source, origin)).await?;
                return Ok(GoogleLogin { quota_project, ..self.stand_for(stage, &impersonated.target, source).await? });
            }
        };
        Ok(GoogleLogin {
            token,
            universe: universe.into(),
            quota_project,
            project: credentials.project.as_deref().map(Into::into),
            is_of_machine: false,
            is_self_signed,
        })
    }

    fn universe_of(&self, credentials: &GoogleCredentials, origin: &str) -> Result<String> {
        let own = credentials.universe.as_deref();
        match (&self.universe, own) {
            (Some(named), Some(own)) if named != own => Err(self.client.error(
                Kind::Config,
                format!("{origin} is for another universe than {UNIVERSE_DOMAIN} names: correct one of them"),
            )),
            (Some(named), _) => Ok(named.clone()),
            (None, own) => Ok(own.unwrap_or(UNIVERSE).to_owned()),
        }
    }

    fn self_signed(&self, account: &ServiceAccount, origin: &str) -> Result<AccessToken> {
        let (jwt, from) = self.signed(account.bearer(self.client.clock.now()))?;
        AccessToken::bearer(jwt.as_str().unwrap_or_default(), origin, from, Some(LIFE))
            .map_err(|_| self.client.error(Kind::Config, format!("{origin} cannot sign a token that can be sent")))
    }

    fn signed<T>(&self, outcome: std::result::Result<T, &'static str>) -> Result<T> {
        outcome.map_err(|reason| self.client.error(Kind::Internal, reason))
    }

    async fn stand_for(
        &self,
        stage: &LoadStage,
        target: &ImpersonationTarget,
        login: GoogleLogin,
    ) -> Result<GoogleLogin> {
        stage.asks("Google's IAM GoogleCredentials API");
        let token = exchange::for_account(&self.client, target, &login.token).await?;
        Ok(GoogleLogin { token, is_self_signed: false, ..login })
    }
}

impl AccountToImpersonate {
    fn target(&self, universe: &str) -> Option<ImpersonationTarget> {
        let usual = || Url::parse(&format!("https://iamcredentials.{universe}/")).ok();
        let mut url = self.base.clone().or_else(usual)?;
        url.set_path("/v1/projects/-/serviceAccounts/");
        let name = format!("{}:generateAccessToken", self.email);
        url.path_segments_mut().ok()?.pop_if_empty().push(&name);
        Some(ImpersonationTarget { url, delegates: self.delegates.clone(), seconds: 3600 })
    }
}

/// A variable that is set to something.
pub fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.text(name).map(str::trim).filter(|text| !text.is_empty())
}

/// Where gcloud leaves the credentials of `gcloud auth application-default login`.
fn well_known(environment: &Environment) -> Option<PathBuf> {
    let folder = match set(environment, "CLOUDSDK_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(set(environment, "HOME")?).join(".config/gcloud"),
    };
    Some(folder.join("application_default_credentials.json"))
}
