//! The machine's own identity: who is asked for its tokens, by the variables that each place of Azure's sets, in the order of
//! Azure's own clients; and how.

use std::path::Path;
use std::time::Duration;

use http::Method;
use url::Url;

use super::arc;
use super::cloud::broken;
use super::imds;
use super::managed_token::{self, Facts};
use crate::error::{Error, Kind, Result};
use crate::file;
use crate::http::HttpResponse;
use crate::identity::external::{ClientFactory, ExternalClient};
use crate::identity::oauth::{self, FORM, OauthToken};
use crate::redact;
use crate::secret::Secret;

/// Where Azure Arc's agent is where no variable says so, and by which file it is known to be there.
const ARC: &str = "http://localhost:40342/metadata/identity/oauth2/token";
const ARC_AGENT: &str = "/opt/azcmagent/bin/himds";

/// The longest for one question: a token that is made anew takes its time.
const LIMIT: Duration = Duration::from_secs(5);

/// One of several identities of a machine, by what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAssigned {
    Client(String),
    Object(String),
    Resource(String),
}

impl UserAssigned {
    fn id(&self) -> &str {
        match self {
            Self::Client(id) | Self::Object(id) | Self::Resource(id) => id,
        }
    }
}

/// How a place of Azure's is asked.
enum Place {
    ServiceFabric {
        header: Secret,
    },
    AppService {
        header: Secret,
    },
    Arc,
    MachineLearning {
        secret: Secret,
    },
    CloudShell,
    /// The metadata service of a virtual machine; or Arc's agent, where that is there.
    Imds,
}

pub struct ManagedIdentity {
    place: Place,
    url: Url,
    external: ExternalClient,
    user_assigned: Option<UserAssigned>,
    /// For how long a metadata service is asked again that is not ready.
    retries: Duration,
}

impl ManagedIdentity {
    pub fn new(clients: &ClientFactory<'_>, user_assigned: Option<UserAssigned>, retries: Duration) -> Result<Self> {
        let set = |name| clients.variable(name);
        let secret = |name| set(name).map(Secret::new);
        let (place, variable) = match (set("IDENTITY_ENDPOINT"), secret("IDENTITY_HEADER")) {
            (Some(_), Some(header)) if set("IDENTITY_SERVER_THUMBPRINT").is_some() => {
                (Place::ServiceFabric { header }, "IDENTITY_ENDPOINT")
            }
            (Some(_), Some(header)) => (Place::AppService { header }, "IDENTITY_ENDPOINT"),
            (Some(_), None) if set("IMDS_ENDPOINT").is_some() => (Place::Arc, "IDENTITY_ENDPOINT"),
            _ => match (set("MSI_ENDPOINT"), secret("MSI_SECRET")) {
                (Some(_), Some(secret)) => (Place::MachineLearning { secret }, "MSI_ENDPOINT"),
                (Some(_), None) => (Place::CloudShell, "MSI_ENDPOINT"),
                (None, _) => (Place::Imds, imds::PLACE),
            },
        };
        let mut url = clients.place(variable, imds::USUAL)?;
        if matches!(place, Place::Imds) {
            url.set_path(imds::PATH);
        }
        let external = match &place {
            Place::ServiceFabric { .. } => {
                let thumbprint = managed_token::thumbprint(set("IDENTITY_SERVER_THUMBPRINT").unwrap_or_default());
                let thumbprint = thumbprint.filter(|_| url.scheme() == "https").ok_or_else(|| {
                    broken(
                        &clients.usual,
                        "IDENTITY_ENDPOINT must be https, and IDENTITY_SERVER_THUMBPRINT a SHA-1 in hex",
                    )
                })?;
                if user_assigned.is_some() {
                    let text = "Service Fabric's managed identity is chosen by the cluster: leave out `client_id`, \
                                `identity_object_id` and `identity_resource_id`";
                    return Err(broken(&clients.usual, text));
                }
                clients.pinned(name(&place), thumbprint)?
            }
            Place::CloudShell if user_assigned.is_some() => {
                let text = "Cloud Shell has no user-assigned identities: leave out `client_id`, `identity_object_id` and \
                            `identity_resource_id`";
                return Err(broken(&clients.usual, text));
            }
            _ => clients.local_within(name(&place), LIMIT)?,
        };
        Ok(Self { place, url, external, user_assigned, retries })
    }

    /// A new token for `resource`. `note` is told who is asked.
    pub async fn token(&self, resource: &str, note: &(dyn Fn(String) + Send + Sync)) -> Result<OauthToken> {
        note(format!("{} ({})", self.origin(), self.url.host_str().unwrap_or_default()));
        let agent = if self.is_on_arc().await { Url::parse(ARC).ok() } else { None };
        let granted = match (&self.place, &agent) {
            (Place::Arc, _) => self.of_arc(&self.url, resource).await,
            (_, Some(agent)) => self.of_arc(agent, resource).await,
            (Place::Imds, None) => {
                let url = self.asked(&self.place, &self.url, resource);
                let answer = imds::ask(&self.external, &url, self.retries, note).await?;
                self.read(&url, &answer)
            }
            (Place::CloudShell, None) => {
                let form = oauth::form(&[("resource", resource)]);
                let headers = [("metadata", "true"), ("content-type", FORM)];
                let answer = self.external.send(Method::POST, &self.url, &headers, &form).await?;
                self.read(&self.url, &answer)
            }
            (Place::ServiceFabric { header }, None) => self.ask(resource, &[("secret", header)]).await,
            (Place::AppService { header }, None) => self.ask(resource, &[("x-identity-header", header)]).await,
            (Place::MachineLearning { secret }, None) => self.ask(resource, &[("secret", secret)]).await,
        };
        granted.map(|facts| facts.granted)
    }

    async fn of_arc(&self, url: &Url, resource: &str) -> Result<Facts> {
        let url = self.asked(&Place::Arc, url, resource);
        arc::token(&self.external, &url, arc::KEYS, self.expected()).await
    }

    async fn ask(&self, resource: &str, secrets: &[(&'static str, &Secret)]) -> Result<Facts> {
        let url = self.asked(&self.place, &self.url, resource);
        let mut headers = vec![("metadata", "true")];
        for (name, secret) in secrets {
            let text = secret.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
            let broken = || self.error(Kind::Config, "the secret in IDENTITY_HEADER or MSI_SECRET cannot be sent");
            headers.push((name, text.ok_or_else(broken)?));
        }
        let answer = self.external.get(&url, &headers).await?;
        self.read(&url, &answer)
    }

    fn read(&self, url: &Url, answer: &HttpResponse) -> Result<Facts> {
        managed_token::read(&self.external, url, answer)
    }

    /// The question for a token. Each place has names of its own for which identity is meant.
    fn asked(&self, place: &Place, url: &Url, resource: &str) -> Url {
        let (version, client, of_resource) = match place {
            Place::ServiceFabric { .. } => ("2019-07-01-preview", "client_id", "mi_res_id"),
            Place::AppService { .. } => ("2019-08-01", "client_id", "mi_res_id"),
            Place::MachineLearning { .. } => ("2017-09-01", "clientid", "mi_res_id"),
            Place::Arc => ("2020-06-01", "client_id", "msi_res_id"),
            Place::Imds | Place::CloudShell => ("2018-02-01", "client_id", "msi_res_id"),
        };
        let mut url = url.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("api-version", version).append_pair("resource", resource);
        match &self.user_assigned {
            Some(UserAssigned::Client(id)) => drop(query.append_pair(client, id)),
            Some(UserAssigned::Object(id)) => drop(query.append_pair("object_id", id)),
            Some(UserAssigned::Resource(id)) => drop(query.append_pair(of_resource, id)),
            None => {}
        }
        drop(query);
        url
    }

    /// What Arc's agent has to confirm: older ones give the machine's own identity, whichever was asked for.
    fn expected(&self) -> Option<(&'static str, &str)> {
        let name = match self.user_assigned.as_ref()? {
            UserAssigned::Client(_) => "client_id",
            UserAssigned::Object(_) => "object_id",
            UserAssigned::Resource(_) => "msi_res_id",
        };
        Some((name, self.user_assigned.as_ref()?.id()))
    }

    /// Whether the machine is one of Azure Arc's, where no variable names another place.
    async fn is_on_arc(&self) -> bool {
        let is_usual = matches!(self.place, Place::Imds) && self.url.as_str().starts_with(imds::USUAL);
        is_usual && file::status(Path::new(ARC_AGENT), file::PATIENCE).await.is_ok()
    }

    /// Where tokens come from, for error texts.
    pub fn origin(&self) -> &'static str {
        name(&self.place)
    }

    /// Whether it is a virtual machine, which its metadata service knows more of.
    pub fn is_of_machine(&self) -> bool {
        matches!(self.place, Place::Imds)
    }

    pub fn describe(&self) -> String {
        let which = match &self.user_assigned {
            None => "the machine's own (system-assigned) managed identity".to_owned(),
            Some(UserAssigned::Client(id)) => {
                format!("the managed identity of the client id {}", redact::quote(id.as_bytes(), 64))
            }
            Some(UserAssigned::Object(_)) => "the managed identity of `identity_object_id`".to_owned(),
            Some(UserAssigned::Resource(_)) => "the managed identity of `identity_resource_id`".to_owned(),
        };
        format!("{which}, from {}", self.origin())
    }

    pub fn error(&self, kind: Kind, reason: &str) -> Error {
        self.external.error(&self.url, kind, reason)
    }
}

fn name(place: &Place) -> &'static str {
    match place {
        Place::ServiceFabric { .. } => "Service Fabric's managed identity",
        Place::AppService { .. } => "App Service's managed identity",
        Place::Arc => "Azure Arc's managed identity",
        Place::MachineLearning { .. } => "Azure Machine Learning's managed identity",
        Place::CloudShell => "Cloud Shell's managed identity",
        Place::Imds => "Azure's metadata service",
    }
}
