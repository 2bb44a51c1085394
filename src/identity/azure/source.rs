//! Which identity it is: an application with its secret, its certificate or a federated token, or the machine's own; chosen
//! once, by options and variables. The first one that is set up is who we are: where it fails, no other is asked.

use std::path::PathBuf;
use std::time::Duration;

use super::application::{self, Application, Proof};
use super::cloud::{self, Cloud, broken, variable};
use super::managed::{ManagedIdentity, UserAssigned};
use crate::error::{Error, Kind, Result};
use crate::http::Transport;
use crate::identity::clock::Clock;
use crate::identity::external::ClientFactory;
use crate::identity::oauth::OauthToken;
use crate::secret::Secret;

/// The ways to prove who we are, as the option that fixes one has them; the first one takes whichever is set up.
pub const METHODS: &[&str] = &["auto", CLIENT_SECRET, CERTIFICATE, WORKLOAD, MANAGED];

const CLIENT_SECRET: &str = "client_secret";
const CERTIFICATE: &str = "certificate";
const WORKLOAD: &str = "workload_identity";
const MANAGED: &str = "managed_identity";

/// What a vault wants of Azure. Options are none where they are not set.
pub struct Wanted<'a> {
    pub transport: &'a Transport<'a>,
    /// Where the vault is: its authority is asked where nothing names another.
    pub cloud: &'static Cloud,
    /// One of `METHODS`.
    pub method: &'a str,
    /// What stands before the names of variables, such as `AZURE`.
    pub prefix: &'a str,
    pub tenant: Option<&'a str>,
    pub client: Option<&'a str>,
    pub client_secret: Option<&'a str>,
    /// Certificate and key: PEM, or a file's path.
    pub certificate: Option<&'a str>,
    /// Whether the certificate's chain is sent along.
    pub sends_chain: bool,
    /// Of several managed identities the one, where it isn't named by `client`.
    pub user_assigned: Option<UserAssigned>,
    /// For how long a metadata service is asked again that is not ready.
    pub retries: Duration,
}

/// Whoever it is.
pub enum Source {
    Application(Application),
    /// With what else there is to do where nobody gives its tokens.
    Managed(ManagedIdentity, Option<String>),
}

impl Source {
    pub fn choose(wanted: &Wanted<'_>, clock: Clock, timeout: Duration) -> Result<Self> {
        let transport = wanted.transport;
        let set = |name: &str| variable(transport.environment, &format!("{}_{name}", wanted.prefix));
        let client = wanted.client.or_else(|| set("CLIENT_ID"));
        let is_wanted = |method: &str| matches!(wanted.method, "auto" | "") || wanted.method == method;
        // What is said of the vault's own server is not said of others.
        let usual = Transport {
            timeout,
            server_name: None,
            client_cert: None,
            client_key: None,
            socket: None,
            ..transport.clone()
        };
        let clients = ClientFactory { usual };
        let proof = Self::proof(wanted, &set, &is_wanted);
        if let Some((proof, origin)) = proof {
            let missing = |option: &str, name: &str| {
                let prefix = wanted.prefix;
                broken(transport, format!("{origin} is of an application: set `{option}` as well, or {prefix}_{name}"))
            };
            let tenant = wanted.tenant.or_else(|| set("TENANT_ID"));
            let tenant = tenant.ok_or_else(|| missing("tenant_id", "TENANT_ID"))?;
            let client = client.ok_or_else(|| missing("client_id", "CLIENT_ID"))?;
            let authority = cloud::authority(transport, wanted.cloud)?;
            let endpoint = application::endpoint(transport, &authority, tenant)?;
            let external = clients.remote("Entra ID", transport.ca_cert)?;
            let who = (tenant.to_owned(), client.to_owned());
            return Ok(Self::Application(Application::new(who, (proof, origin), endpoint, external, clock)));
        }
        if !is_wanted(MANAGED) {
            let text = match wanted.method {
                CLIENT_SECRET => format!("set `client_secret` or {}_CLIENT_SECRET", wanted.prefix),
                CERTIFICATE => format!("set `client_certificate` or {}_CLIENT_CERTIFICATE_PATH", wanted.prefix),
                _ => format!("set {}_FEDERATED_TOKEN_FILE, as Kubernetes' webhook does", wanted.prefix),
            };
            return Err(broken(
                transport,
                format!("`auth_method` is {}, and what it needs is not set: {text}", wanted.method),
            ));
        }
        let user_assigned =
            wanted.user_assigned.clone().or_else(|| client.map(|id| UserAssigned::Client(id.to_owned())));
        let [secret, tenant, id] =
            ["CLIENT_SECRET", "TENANT_ID", "CLIENT_ID"].map(|it| format!("{}_{it}", wanted.prefix));
        let advice = format!("to log in as an application instead, set {secret}, {tenant} and {id}");
        let advice = Some(advice).filter(|_| wanted.method != MANAGED);
        Ok(Self::Managed(ManagedIdentity::new(&clients, user_assigned, wanted.retries)?, advice))
    }

    /// What proves an application, and where it stands.
    fn proof<'a>(
        wanted: &Wanted<'a>,
        set: &impl Fn(&str) -> Option<&'a str>,
        is_wanted: &impl Fn(&str) -> bool,
    ) -> Option<(Proof, String)> {
        let named = |name: &str| format!("{}_{name}", wanted.prefix);
        let either = |option: Option<&'a str>, what: &str, name: &str| {
            option.map(|value| (value, format!("`{what}`"))).or_else(|| Some((set(name)?, named(name))))
        };
        if is_wanted(CLIENT_SECRET)
            && let Some((secret, origin)) = either(wanted.client_secret, "client_secret", "CLIENT_SECRET")
        {
            return Some((Proof::Secret(Secret::new(secret)), origin));
        }
        if is_wanted(CERTIFICATE)
            && let Some((certificate, origin)) =
                either(wanted.certificate, "client_certificate", "CLIENT_CERTIFICATE_PATH")
        {
            let sends_chain = wanted.sends_chain || set("CLIENT_SEND_CERTIFICATE_CHAIN").is_some_and(is_true);
            return Some((Proof::certificate(certificate, sends_chain), origin));
        }
        let file = set("FEDERATED_TOKEN_FILE").filter(|_| is_wanted(WORKLOAD))?;
        Some((Proof::Federated(PathBuf::from(file)), named("FEDERATED_TOKEN_FILE")))
    }

    /// A new token for `resource`. `note` is told who is asked.
    pub async fn token(&self, resource: &str, note: &(dyn Fn(String) + Send + Sync)) -> Result<OauthToken> {
        match self {
            Self::Application(application) => application.token(resource, note).await,
            Self::Managed(managed, advice) => managed.token(resource, note).await.map_err(|error| match advice {
                Some(advice) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout) => error.with_advice(advice),
                _ => error,
            }),
        }
    }

    /// Whether it is the identity of a virtual machine, of which Azure's metadata service knows more.
    pub fn is_of_machine(&self) -> bool {
        matches!(self, Self::Managed(managed, _) if managed.is_of_machine())
    }

    /// Where tokens come from, for error texts.
    pub fn origin(&self) -> String {
        match self {
            Self::Application(application) => application.origin.clone(),
            Self::Managed(managed, _) => managed.origin().to_owned(),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Application(application) => application.describe(),
            Self::Managed(managed, _) => managed.describe(),
        }
    }

    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Application(application) => Some(&application.tenant),
            Self::Managed(..) => None,
        }
    }

    pub fn error(&self, kind: Kind, reason: &str) -> Error {
        match self {
            Self::Application(application) => application.error(kind, reason),
            Self::Managed(managed, _) => managed.error(kind, reason),
        }
    }
}

/// As Azure's own clients read it.
fn is_true(text: &str) -> bool {
    text == "1" || text.eq_ignore_ascii_case("true")
}
