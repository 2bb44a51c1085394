//! `azure`: a token of Entra ID, with what names the machine where it is a virtual one.

use serde::Deserialize;
use url::Url;

use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role, text};
use crate::backend::hcv::api::object;
use crate::error::Result;
use crate::identity::azure::{CLOUDS, METADATA, METADATA_PLACE, Source, Wanted};
use crate::identity::clock::Clock;
use crate::identity::external::ExternalClient;

pub struct Entra {
    path: String,
    role: String,
    resource: String,
    source: Source,
    metadata: ExternalClient,
    base: Url,
}

impl Entra {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        let clients = context.clients;
        let wanted = Wanted {
            transport: &clients.usual,
            cloud: &CLOUDS[0],
            method: "auto",
            prefix: "AZURE",
            tenant: None,
            client: text(context.settings, "azure_client_id"),
            client_secret: None,
            certificate: None,
            sends_chain: false,
            user_assigned: None,
            retries: context.timeout / 2,
        };
        Ok(Self {
            path: login_path(context, "azure_login_path")?,
            role: role(context, "azure_auth_role"),
            resource: role(context, "azure_resource"),
            source: Source::choose(&wanted, Clock::default(), context.timeout)?,
            metadata: clients.local("Azure's metadata service")?,
            base: clients.place(METADATA_PLACE, METADATA)?,
        })
    }

    async fn machine(&self) -> Result<Compute> {
        let mut url = self.base.clone();
        url.set_path("/metadata/instance");
        url.query_pairs_mut().append_pair("api-version", "2021-02-01");
        let answer = self.metadata.get(&url, &[("metadata", "true")]).await?;
        let instance: AzureInstance =
            self.metadata.json(&url, &answer, "the answer names no machine: check that this machine runs on Azure")?;
        Ok(instance.compute)
    }
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

impl Method for Entra {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn remedy(&self) -> &'static str {
        "check `azure_auth_role`, its bindings (subscriptions, resource groups, identities), and that `azure_resource` \
         is the method's own"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            let granted = self.source.token(&self.resource, &|_| {}).await?;
            let machine = if self.source.is_of_machine() { self.machine().await? } else { Compute::default() };
            let mut fields = vec![("role", self.role.as_str()), ("jwt", granted.token.as_str())];
            // A machine of a scale set is named by that.
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
