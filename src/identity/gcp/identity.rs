//! The Google credentials of a vault, cached and renewed. Vaults that need the same share them.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use url::Url;

use super::destination;
use super::login::GoogleLogin;
use super::metadata;
use super::sources::{self, AccountToImpersonate, ChosenOptions, GoogleSources, PROJECTS};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::http::{HttpResponse, Transport};
use crate::identity::client::CloudClient;
use crate::identity::clock::Clock;
use crate::identity::credentials_cache::CredentialsCache;
use crate::secret::Secret;
use crate::sync::{Mutex, lock};

/// The part of a fetch's time that it waits for a token: the error must come before the fetch ends.
const SHARE: f64 = 0.9;

/// How long after a correction of the clock a refusal can still be that of a token which was signed before it.
const SETTLES: Duration = Duration::from_secs(10);

/// The variable with another address of the IAM Credentials API, as in Google's command line.
const IAM_CREDENTIALS: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";

/// What determines the credentials of a vault.
pub struct IdentityOptions<'a> {
    pub transport: &'a Transport<'a>,
    /// An account to impersonate, and the delegates before it.
    pub account: Option<&'a str>,
    pub delegates: &'a [String],
    pub quota_project: Option<&'a str>,
    /// Whether a key's signature is always exchanged for an access token.
    pub exchanges: bool,
    /// Whether other vaults may share it. Not in init, whose connections end with the call.
    pub is_shared: bool,
}

/// The Google credentials of a vault.
pub struct GoogleIdentity {
    sources: Arc<GoogleSources>,
    cache: CredentialsCache<GoogleLogin>,
    /// The project from the environment, and its variable.
    project: Option<(Arc<str>, &'static str)>,
    /// The time of the last correction of the clock.
    corrected: Mutex<Option<Instant>>,
}

impl GoogleIdentity {
    /// Reads the environment; files are read later. Vaults of one name share it if they need the same: a `project_id` in a
    /// reference makes a vault of its own, and one login serves them all.
    pub fn of(wanted: IdentityOptions<'_>) -> Result<Arc<Self>> {
        if !wanted.is_shared {
            return Self::new(&wanted).map(Arc::new);
        }
        static SHARED: Mutex<Vec<(Likeness, Weak<GoogleIdentity>)>> = Mutex::new(Vec::new());
        let likeness = Likeness::of(&wanted);
        let known = |shared: &[(Likeness, Weak<GoogleIdentity>)]| {
            shared.iter().find(|(known, _)| *known == likeness).and_then(|(_, identity)| identity.upgrade())
        };
        if let Some(identity) = known(&lock(&SHARED)) {
            return Ok(identity);
        }
        // The lock is not held: this may read certificates.
        let identity = Arc::new(Self::new(&wanted)?);
        let mut shared = lock(&SHARED);
        shared.retain(|(_, identity)| identity.strong_count() > 0);
        // Another thread may have been faster, and may have logged in.
        if let Some(theirs) = known(&shared) {
            return Ok(theirs);
        }
        shared.push((likeness, Arc::downgrade(&identity)));
        Ok(identity)
    }

    fn new(wanted: &IdentityOptions<'_>) -> Result<Self> {
        let transport = wanted.transport;
        let client = CloudClient::new(transport, Clock::default())?;
        let chosen = ChosenOptions {
            account: wanted.account.map(|email| account(wanted, email)).transpose()?,
            quota_project: wanted.quota_project.map(str::to_owned),
            exchanges: wanted.exchanges,
        };
        let sources = Arc::new(GoogleSources::new(transport, client, chosen)?);
        let loads = Arc::clone(&sources);
        let patience = transport.timeout.mul_f64(SHARE);
        let clock = sources.client.clock.clone();
        let cache = CredentialsCache::new(&transport.label, patience, clock, move |stage| {
            let sources = Arc::clone(&loads);
            Box::pin(async move { sources.load(&stage).await })
        });
        let named = PROJECTS.into_iter().find_map(|name| Some((sources::set(transport.environment, name)?, name)));
        let project = named.map(|(project, name)| (project.into(), name));
        Ok(Self { cache, sources, project, corrected: Mutex::new(None) })
    }

    /// A token that is valid now.
    pub async fn login(&self) -> Result<GoogleLogin> {
        self.cache.get().await
    }

    /// Another token in place of one that Google refuses: signed by Google's clock, or exchanged, or new.
    pub async fn instead_of(&self, refused: &GoogleLogin, answer: &HttpResponse) -> Result<Option<GoogleLogin>> {
        if self.sources.client.clock.learn(&answer.headers) {
            *lock(&self.corrected) = Some(Instant::now());
        }
        let is_corrected = lock(&self.corrected).is_some_and(|at| at.elapsed() < SETTLES);
        if refused.is_self_signed && !is_corrected {
            self.sources.exchange();
        }
        self.cache.instead_of(refused).await
    }

    /// The address of the machine's account.
    pub async fn email(&self) -> Result<Secret> {
        self.sources.metadata.email(&self.sources.client).await.map_err(Error::of_login)
    }

    /// A JWT of the metadata server that proves to `audience` which machine this is.
    pub async fn identity_token(&self, audience: &str) -> Result<Secret> {
        self.sources.metadata.identity(&self.sources.client, audience).await.map_err(Error::of_login)
    }

    /// By how much this machine's clock is wrong, as far as known.
    pub fn clock_flaw(&self) -> String {
        self.sources.client.clock.flaw()
    }

    /// A remark for `doctor`.
    pub fn remark(&self, login: &GoogleLogin) -> Option<&'static str> {
        (login.is_of_machine && self.sources.has_key()).then_some(
            "the key in GCP_SERVICE_ACCOUNT is not used, as the metadata server answers: set GCP_AUTH_METHOD_ORDER=adc before \
             nginx starts to use it",
        )
    }

    /// The project if no option sets it, and its origin: the environment, the credentials, the machine.
    pub async fn project(&self, login: &GoogleLogin) -> Result<Option<(Arc<str>, &'static str)>> {
        if let Some((project, origin)) = &self.project {
            return Ok(Some((Arc::clone(project), origin)));
        }
        if let Some(project) = &login.project {
            return Ok(Some((Arc::clone(project), "the credentials")));
        }
        match login.is_of_machine {
            true => {
                let project = self.sources.metadata.project(&self.sources.client).await.map_err(Error::of_login)?;
                Ok(Some((project.into(), metadata::NAME)))
            }
            false => Ok(None),
        }
    }
}

/// The account to impersonate, and the API's address if the environment sets it.
fn account(wanted: &IdentityOptions<'_>, email: &str) -> Result<AccountToImpersonate> {
    let base = iam_credentials_api(wanted.transport)?;
    Ok(AccountToImpersonate { email: email.to_owned(), delegates: wanted.delegates.to_vec(), base })
}

/// The address of the IAM Credentials API if the environment sets one. Tokens go there, so it must have TLS.
pub fn iam_credentials_api(transport: &Transport<'_>) -> Result<Option<Url>> {
    let address = sources::set(transport.environment, IAM_CREDENTIALS);
    address
        .map(|address| destination::of_tokens(IAM_CREDENTIALS, address))
        .transpose()
        .map_err(|reason| Error::new(Kind::Config, format!("{}: the environment {reason}", transport.label)))
}

/// All that an identity is built from: equal ones are shared.
#[derive(PartialEq)]
struct Likeness {
    environment: Environment,
    label: String,
    ca_cert: Option<String>,
    verify: bool,
    tls_1_3: bool,
    proxy: Option<Secret>,
    no_proxy: Vec<String>,
    timeout: Duration,
    account: Option<String>,
    delegates: Vec<String>,
    quota_project: Option<String>,
    exchanges: bool,
}

impl Likeness {
    fn of(wanted: &IdentityOptions<'_>) -> Self {
        let Transport { environment, label, ca_cert, verify, tls_1_3, proxy, no_proxy, timeout, .. } =
            wanted.transport.clone();
        Self {
            environment: environment.clone(),
            label,
            ca_cert: ca_cert.map(str::to_owned),
            verify,
            tls_1_3,
            proxy: proxy.map(Secret::new),
            no_proxy: no_proxy.to_vec(),
            timeout,
            account: wanted.account.map(str::to_owned),
            delegates: wanted.delegates.to_vec(),
            quota_project: wanted.quota_project.map(str::to_owned),
            exchanges: wanted.exchanges,
        }
    }
}
