//! `azure`: a token of the machine's managed identity, and the names that identify the machine.

use serde::Deserialize;
use url::Url;

use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role};
use crate::backend::hcv::api::object;
use crate::error::{Error, Kind, Result};
use crate::identity::external::ExternalClient;
use crate::secret::Secret;

const METADATA: &str = "http://169.254.169.254";
/// The variable that Azure's own clients read instead of using that address.
const METADATA_PLACE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

const REFUSED: &str = "it gives no token: assign a managed identity to the machine (`azure_client_id` picks one of \
                       several), and check `azure_resource`";

pub struct ManagedIdentity {
    label: String,
    path: String,
    role: String,
    resource: String,
    client_id: String,
    external: ExternalClient,
    base: Url,
    /// The endpoint of App Service and similar services, with a secret that only the application knows.
    app: Option<(Url, Secret)>,
}

impl ManagedIdentity {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        let clients = context.clients;
        let app = match (clients.variable("IDENTITY_ENDPOINT"), clients.variable("IDENTITY_HEADER")) {
            (Some(_), Some(secret)) => Some((clients.place("IDENTITY_ENDPOINT", METADATA)?, Secret::new(secret))),
            _ => None,
        };
        Ok(Self {
            label: context.api.label.clone(),
            path: login_path(context, "azure_login_path")?,
            role: role(context, "azure_auth_role"),
            resource: role(context, "azure_resource"),
            client_id: role(context, "azure_client_id"),
            external: clients.local("Azure's metadata service")?,
            base: clients.place(METADATA_PLACE, METADATA)?,
            app,
        })
    }

    async fn token(&self) -> Result<AzureToken> {
        let (mut url, version, header) = match &self.app {
            Some((url, secret)) => {
                (url.clone(), "2019-08-01", ("x-identity-header", secret.as_str().unwrap_or_default()))
            }
            None => {
                let mut url = self.base.clone();
                url.set_path("/metadata/identity/oauth2/token");
                (url, "2018-02-01", ("metadata", "true"))
            }
        };
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", &self.resource);
        if !self.client_id.is_empty() {
            url.query_pairs_mut().append_pair("client_id", &self.client_id);
        }
        if !header.1.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::new(Kind::Config, format!("{}: IDENTITY_HEADER can't be sent", self.label)));
        }
        let answer = self.external.get(&url, &[header]).await?;
        self.external.json(&url, &answer, REFUSED)
    }

    async fn machine(&self) -> Result<Compute> {
        let mut url = self.base.clone();
        url.set_path("/metadata/instance");
        url.query_pairs_mut().append_pair("api-version", "2021-02-01");
        let answer = self.external.get(&url, &[("metadata", "true")]).await?;
        let instance: AzureInstance =
            self.external.json(&url, &answer, "the answer names no machine: check that this machine runs on Azure")?;
        Ok(instance.compute)
    }
}

#[derive(Deserialize)]
struct AzureToken {
    access_token: String,
}

#[derive(Deserialize)]
struct AzureInstance {
    compute: Compute,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Compute {
    name: String,
    resource_group_name: String,
    subscription_id: String,
    vm_scale_set_name: String,
}

impl Method for ManagedIdentity {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn remedy(&self) -> &'static str {
        "check `azure_auth_role`, its bindings (subscriptions, resource groups, identities), and that `azure_resource` \
         is the method's own"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            let token = Secret::new(self.token().await?.access_token);
            let machine = if self.app.is_some() { Compute::default() } else { self.machine().await? };
            let mut fields = vec![("role", self.role.as_str()), ("jwt", token.as_str().unwrap_or_default())];
            // A machine in a scale set is named by the scale set.
            let vm = if machine.vm_scale_set_name.is_empty() { machine.name.as_str() } else { "" };
            for (name, value) in [
                ("subscription_id", machine.subscription_id.as_str()),
                ("resource_group_name", &machine.resource_group_name),
                ("vm_name", vm),
                ("vmss_name", &machine.vm_scale_set_name),
            ] {
                if !value.is_empty() {
                    fields.push((name, value));
                }
            }
            Ok(LoginRequest { path: self.path.clone(), body: object(&fields) })
        })
    }
}
