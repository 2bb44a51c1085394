//! Credentials and region of one vault. The first source that is configured is used: if it fails, no other is asked, as
//! that could be another identity. A source that is not configured says so in a clause. In addition, a role may be
//! assumed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::credentials::{AccessKeys, Login};
use super::ecs::Container;
use super::endpoint::{Endpoint, Located, SSO, SSO_OIDC, STS, Variant};
use super::imds::InstanceMetadata;
use super::profile::{Profile, Profiles};
use super::region::{check_region, environment_region, flag, set};
use super::sources::{Sources, absent_from, from_environment};
use super::sso::SsoClient;
use super::sts::Role;
use crate::error::{Error, Kind, Result};
use crate::http::Transport;
use crate::identity::client::CloudClient;
use crate::identity::clock::Clock;
use crate::identity::credentials_cache::{CredentialsCache, LoadStage};
use crate::sync::lock;

/// The part of a fetch's time that a caller waits for credentials: its error must come before the fetch ends.
const SHARE: f64 = 0.9;

/// What a vault needs from AWS.
pub struct Wanted<'a> {
    pub transport: &'a Transport<'a>,
    /// The region that an option sets.
    pub region: Option<&'a str>,
    /// The option's name and how to set it, for the error where there is no region: `the option region (…)`.
    pub region_option: &'static str,
    /// The keys that options set, in place of the whole chain.
    pub keys: Option<AccessKeys>,
    /// A role to assume with the credentials that the chain finds.
    pub role: Option<Role>,
    /// The name of the option for STS's address, and that address.
    pub sts: Option<(&'static str, &'a str)>,
    pub fips: Option<bool>,
    pub dualstack: Option<bool>,
    /// Whether EC2's metadata service may be asked without a session.
    pub metadata_v1: Option<bool>,
}

/// The credentials of one vault, cached and renewed.
pub struct Chain {
    sources: Arc<Sources>,
    region: Option<(Arc<str>, &'static str)>,
    region_option: &'static str,
    patience: Duration,
    current: Mutex<Option<Current>>,
}

/// A credentials cache, and what its credentials depend on: another profile or another region has other ones.
struct Current {
    profile: Arc<Profile>,
    region: Arc<str>,
    cache: Arc<CredentialsCache<Login>>,
}

/// What one fetch uses: the profile's files are checked once for it.
pub struct AwsContext {
    pub region: Arc<str>,
    /// Where the region is set.
    pub region_origin: String,
    pub variant: Variant,
    profile: Arc<Profile>,
    cache: Arc<CredentialsCache<Login>>,
}

impl AwsContext {
    /// Where a service is.
    pub fn locate(&self, endpoint: &Endpoint) -> Result<Located> {
        endpoint.locate(&self.region, self.variant, &self.profile)
    }

    /// What `doctor` says of the profile, and whether it is doubtful.
    pub fn profile(&self) -> Option<(String, bool)> {
        let remarks = self.profile.remarks.join(", ");
        match (self.profile.is_closed, self.profile.is_found) {
            (true, _) => Some((remarks, true)),
            (false, true) => Some((self.profile.origin.clone(), false)),
            (false, false) => None,
        }
    }

    /// Credentials that are valid now.
    pub async fn login(&self) -> Result<Login> {
        self.cache.get().await
    }

    /// Other credentials, where AWS says that these have expired or are not known (any more).
    pub async fn instead_of(&self, refused: &Login) -> Result<Option<Login>> {
        self.cache.instead_of(refused).await
    }
}

impl Chain {
    /// Reads the environment; files are read only when they are needed. `clock` is shared with the code that signs by
    /// it.
    pub fn new(wanted: Wanted<'_>, clock: Clock) -> Result<Self> {
        let environment = wanted.transport.environment;
        let label = wanted.transport.label.clone();
        let broken = |reason: String| Error::new(Kind::Config, format!("{label}: {reason}"));
        let option = wanted.region.map(|region| ("the option region", region));
        let region = option.or_else(|| environment_region(environment));
        if let Some((origin, region)) = region {
            check_region(&label, origin, region)?;
        }
        let given = wanted.keys.map(|keys| Login::new("the options", &keys)).transpose().map_err(broken)?;
        let in_environment = match from_environment(environment).map_err(broken)? {
            Some(login) => Ok(login),
            None => Err(absent_from(environment)),
        };
        let endpoint = |service, option| Endpoint::choose(wanted.transport, service, option);
        let home = set(environment, "HOME").map(PathBuf::from);
        let sources = Sources {
            client: CloudClient::new(wanted.transport, clock)?,
            environment: environment.clone(),
            given,
            in_environment,
            profiles: Profiles::new(environment, wanted.transport.timeout),
            container: Container::from_environment(environment),
            metadata: InstanceMetadata::from_environment(environment, wanted.metadata_v1),
            sso_client: SsoClient::new(
                endpoint(&SSO, None)?,
                endpoint(&SSO_OIDC, None)?,
                home,
                wanted.transport.timeout,
            ),
            sts: endpoint(&STS, wanted.sts)?,
            role: wanted.role,
            fips: wanted.fips.or_else(|| flag(environment, "AWS_USE_FIPS_ENDPOINT")),
            dualstack: wanted.dualstack.or_else(|| flag(environment, "AWS_USE_DUALSTACK_ENDPOINT")),
            label: label.clone(),
        };
        Ok(Self {
            region: region.map(|(origin, region)| (region.into(), origin)),
            region_option: wanted.region_option,
            patience: wanted.transport.timeout.mul_f64(SHARE),
            sources: Arc::new(sources),
            current: Mutex::default(),
        })
    }

    /// The region, the credentials and the profile of a fetch that begins now. Fails where no region is set.
    pub async fn context(&self) -> Result<AwsContext> {
        let profile = self.profile().await?;
        let (region, region_origin) = self.region_of(&profile)?;
        let variant = self.sources.variant(&profile);
        Ok(AwsContext { cache: self.cache(Arc::clone(&profile), &region), region, region_origin, variant, profile })
    }

    /// The region, from the option, the environment or the profile.
    pub async fn region(&self) -> Result<Arc<str>> {
        Ok(self.region_of(&*self.profile().await?)?.0)
    }

    /// The region, where anybody says one.
    pub async fn region_if_any(&self) -> Result<Option<Arc<str>>> {
        let profile = self.profile().await?;
        let is_said = self.region.is_some() || profile.setting("region").is_some();
        is_said.then(|| self.region_of(&profile).map(|(region, _)| region)).transpose()
    }

    /// New credentials, where any source is set up; for whoever keeps what is made of them.
    pub async fn login_if_any(&self, stage: &LoadStage, region: &str) -> Result<Option<Login>> {
        let profile = self.profile().await?;
        Ok(self.sources.first(stage, &profile, region).await?.ok())
    }

    /// Where STS is, and for which region requests to it are signed.
    pub async fn sts(&self, region: &str) -> Result<(String, String)> {
        let (url, region) = self.sources.sts_of(&*self.profile().await?, region)?;
        Ok((url, region.into_owned()))
    }

    /// Credentials that are valid now, for a caller that knows the region.
    pub async fn login(&self, region: &str) -> Result<Login> {
        self.cache(self.profile().await?, region).get().await
    }

    /// The profile. Fails where it is not known for certain, as it might name another server or other credentials.
    async fn profile(&self) -> Result<Arc<Profile>> {
        let profile = self.sources.profiles.current().await;
        match &profile.refusal {
            Some((kind, reason)) => Err(Error::new(*kind, format!("{}: {reason}", self.sources.label))),
            None => Ok(profile),
        }
    }

    fn region_of(&self, profile: &Profile) -> Result<(Arc<str>, String)> {
        if let Some((region, origin)) = &self.region {
            return Ok((Arc::clone(region), (*origin).to_owned()));
        }
        let label = &self.sources.label;
        let Some((region, origin)) = profile.setting("region") else {
            let remarks = profile.remarks.join(", ");
            let remarks = if remarks.is_empty() { remarks } else { format!(" ({remarks})") };
            return Err(Error::new(
                Kind::Config,
                format!(
                    "{label}: no region: set {}, AWS_REGION or AWS_DEFAULT_REGION before nginx starts, or region for \
                     {}{remarks}",
                    self.region_option, profile.origin
                ),
            ));
        };
        check_region(label, origin, region)?;
        Ok((region.into(), origin.to_owned()))
    }

    fn cache(&self, profile: Arc<Profile>, region: &str) -> Arc<CredentialsCache<Login>> {
        let mut current = lock(&self.current);
        match &*current {
            Some(known) if Arc::ptr_eq(&known.profile, &profile) && *known.region == *region => {
                Arc::clone(&known.cache)
            }
            _ => {
                let region: Arc<str> = region.into();
                let cache = Arc::new(self.keep(Arc::clone(&profile), Arc::clone(&region)));
                *current = Some(Current { profile, region, cache: Arc::clone(&cache) });
                cache
            }
        }
    }

    fn keep(&self, profile: Arc<Profile>, region: Arc<str>) -> CredentialsCache<Login> {
        let sources = Arc::clone(&self.sources);
        let label = self.sources.label.clone();
        CredentialsCache::new(&label, self.patience, self.sources.client.clock.clone(), move |stage| {
            let (sources, profile, region) = (Arc::clone(&sources), Arc::clone(&profile), region.clone());
            Box::pin(async move { sources.load(&stage, &profile, &region).await })
        })
    }
}

#[cfg(test)]
mod tests;
