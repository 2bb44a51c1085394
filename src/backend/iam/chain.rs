//! The chain of sources, in the order of AWS's own clients: what is given by options, the environment, the profile, a web
//! identity, a container's agent, an EC2 instance's metadata. The first that is set up is who we are; one that is not says
//! so in a clause of its own. On top, a role may be assumed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ENVIRONMENT;
use super::asker::Asker;
use super::clock::Clock;
use super::container::Container;
use super::endpoint::{Endpoint, SSO, SSO_OIDC, STS, Variant};
use super::files;
use super::keeper::{Keeper, Stage};
use super::login::{Keys, Login};
use super::metadata::Metadata;
use super::process;
use super::profile::{Base, Named, Profile, Profiles, Recipe, Unfit, WebIdentity};
use super::region::{check_region, environment_region, flag, set, truth};
use super::sso::Center;
use super::sts::{Place, Role, SESSION};
use crate::backend::http::Transport;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};

/// A part of the time that a fetch has: whoever waits for credentials in vain has to say so before the fetch ends.
const SHARE: f64 = 0.9;

/// What a vault wants of AWS.
pub struct Wanted<'a> {
    pub transport: &'a Transport<'a>,
    /// An option's region.
    pub region: Option<&'a str>,
    /// An option's keys, in place of the whole chain.
    pub keys: Option<Keys>,
    /// A role to assume with whatever the chain finds.
    pub role: Option<Role>,
    /// An option's name and address of STS.
    pub sts: Option<(&'static str, &'a str)>,
    pub fips: Option<bool>,
    pub dualstack: Option<bool>,
    /// Whether EC2's metadata may be asked without a session.
    pub metadata_v1: Option<bool>,
}

/// Why a source gives nothing.
pub enum Missing {
    /// It is not set up: a clause.
    Absent(String),
    Failed(Error),
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        Missing::Failed(error)
    }
}

/// The credentials of one vault, kept and renewed.
pub struct Chain {
    sources: Arc<Sources>,
    region: Option<Arc<str>>,
    patience: Duration,
    current: Mutex<Option<Current>>,
}

/// A keeper, and what its credentials depend on: another profile's, or another region's, are others.
struct Current {
    profile: Arc<Profile>,
    region: Arc<str>,
    keeper: Arc<Keeper>,
}

/// What holds for one fetch: the profile's files are looked at once for it.
pub struct Stand {
    pub region: Arc<str>,
    pub variant: Variant,
    keeper: Arc<Keeper>,
}

impl Stand {
    /// Credentials that are good now.
    pub async fn login(&self) -> Result<Login> {
        self.keeper.get().await
    }

    /// Others, where AWS says that these have ended or are not known (any more).
    pub async fn instead_of(&self, refused: &Login) -> Option<Login> {
        self.keeper.instead_of(refused).await
    }
}

struct Sources {
    label: String,
    asker: Asker,
    environment: Environment,
    given: Option<Login>,
    in_environment: std::result::Result<Login, String>,
    profiles: Profiles,
    identity: Option<WebIdentity>,
    container: Container,
    metadata: Metadata,
    center: Center,
    sts: Endpoint,
    role: Option<Role>,
    fips: Option<bool>,
    dualstack: Option<bool>,
}

impl Chain {
    /// Reads the environment; files are not touched before they are needed. `clock` is shared with whoever signs by it.
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
        let endpoint = |service, option| Endpoint::choose(&label, service, option, environment);
        let home = set(environment, "HOME").map(PathBuf::from);
        let sources = Sources {
            asker: Asker::new(wanted.transport, clock)?,
            environment: environment.clone(),
            given,
            in_environment,
            profiles: Profiles::new(environment),
            identity: web_identity(environment),
            container: Container::of(environment),
            metadata: Metadata::of(environment, wanted.metadata_v1),
            center: Center::new(endpoint(&SSO, None)?, endpoint(&SSO_OIDC, None)?, home),
            sts: endpoint(&STS, wanted.sts)?,
            role: wanted.role,
            fips: wanted.fips.or_else(|| flag(environment, "AWS_USE_FIPS_ENDPOINT")),
            dualstack: wanted.dualstack.or_else(|| flag(environment, "AWS_USE_DUALSTACK_ENDPOINT")),
            label: label.clone(),
        };
        Ok(Self {
            region: region.map(|(_, region)| region.into()),
            patience: wanted.transport.timeout.mul_f64(SHARE),
            sources: Arc::new(sources),
            current: Mutex::default(),
        })
    }

    /// Where and as whom AWS is asked now. Fails where nobody says which region.
    pub async fn stand(&self) -> Result<Stand> {
        let profile = self.sources.profiles.current().await;
        let region = self.region_of(&profile)?;
        let variant = self.sources.variant(&profile);
        Ok(Stand { keeper: self.keeper(profile, &region), region, variant })
    }

    /// The region: an option's, the environment's, the profile's.
    pub async fn region(&self) -> Result<Arc<str>> {
        self.region_of(&*self.sources.profiles.current().await)
    }

    /// Where STS is.
    pub async fn sts_url(&self, region: &str) -> Result<String> {
        let variant = self.sources.variant(&*self.sources.profiles.current().await);
        self.sources.sts.url(&self.sources.label, region, variant)
    }

    /// Credentials that are good now, for whoever knows the region.
    pub async fn login(&self, region: &str) -> Result<Login> {
        self.keeper(self.sources.profiles.current().await, region).get().await
    }

    fn region_of(&self, profile: &Profile) -> Result<Arc<str>> {
        if let Some(region) = &self.region {
            return Ok(Arc::clone(region));
        }
        let label = &self.sources.label;
        let Some(region) = profile.property("region") else {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "{label}: no region: set the option region (vault_aws_region, KONG_VAULT_AWS_REGION or ?region= in the \
                     reference), AWS_REGION or AWS_DEFAULT_REGION before nginx starts, or region for {}",
                    profile.origin
                ),
            ));
        };
        check_region(label, &profile.origin, region)?;
        Ok(region.into())
    }

    fn keeper(&self, profile: Arc<Profile>, region: &str) -> Arc<Keeper> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(known) if Arc::ptr_eq(&known.profile, &profile) && *known.region == *region => {
                Arc::clone(&known.keeper)
            }
            _ => {
                let region: Arc<str> = region.into();
                let keeper = Arc::new(self.keep(Arc::clone(&profile), Arc::clone(&region)));
                *current = Some(Current { profile, region, keeper: Arc::clone(&keeper) });
                keeper
            }
        }
    }

    fn keep(&self, profile: Arc<Profile>, region: Arc<str>) -> Keeper {
        let sources = Arc::clone(&self.sources);
        let label = self.sources.label.clone();
        Keeper::new(&label, self.patience, self.sources.asker.clock.clone(), move |stage| {
            let (sources, profile, region) = (Arc::clone(&sources), Arc::clone(&profile), region.clone());
            Box::pin(async move { sources.load(&stage, &profile, &region).await })
        })
    }
}

impl Sources {
    fn variant(&self, profile: &Profile) -> Variant {
        let says = |own: Option<bool>, key| own.or_else(|| truth(profile.property(key)?)).unwrap_or(false);
        Variant {
            fips: says(self.fips, "use_fips_endpoint"),
            dualstack: says(self.dualstack, "use_dualstack_endpoint"),
        }
    }

    async fn load(&self, stage: &Stage, profile: &Profile, region: &str) -> Result<Login> {
        let login = self.first(stage, profile, region).await?;
        match &self.role {
            Some(role) => {
                stage.asks("STS (assume_role_arn)".to_owned());
                self.assume(&login, role, profile, region).await
            }
            None => Ok(login),
        }
    }

    async fn first(&self, stage: &Stage, profile: &Profile, region: &str) -> Result<Login> {
        if let Some(login) = &self.given {
            return Ok(login.clone());
        }
        let mut absences = match &self.in_environment {
            Ok(login) => return Ok(login.clone()),
            Err(absence) => vec![absence.clone()],
        };
        let name = self.profiles.name();
        match &profile.recipe {
            Ok(recipe) => return self.cook(recipe, stage, profile, region).await,
            Err(Unfit::Absent(reason)) => absences.push(format!("profile {name}: {reason}")),
            Err(Unfit::Broken(reason)) => {
                let text = format!("{}: no AWS credentials from profile {name}: {reason}", self.label);
                return Err(Error::new(Kind::Config, text));
            }
        }
        match &self.identity {
            Some(identity) => {
                stage.asks("STS (AWS_WEB_IDENTITY_TOKEN_FILE)".to_owned());
                return self.exchange(identity, "AWS_WEB_IDENTITY_TOKEN_FILE", profile, region).await;
            }
            None => absences.push("AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set".to_owned()),
        }
        stage.asks("the container's agent".to_owned());
        match self.container.login(&self.asker).await {
            Ok(login) => return Ok(login),
            Err(Missing::Failed(error)) => return Err(error),
            Err(Missing::Absent(absence)) => absences.push(absence),
        }
        stage.asks("EC2's metadata service".to_owned());
        match self.metadata.login(&self.asker, profile).await {
            Ok(login) => return Ok(login),
            Err(Missing::Failed(error)) => return Err(error),
            Err(Missing::Absent(absence)) => absences.push(absence),
        }
        Err(Error::new(
            Kind::Config,
            format!(
                "{}: no AWS credentials: {}: set one of them up before nginx starts, or give the profile credentials that \
                 nginx's workers may read",
                self.label,
                absences.join("; ")
            ),
        ))
    }

    /// A profile's credentials.
    async fn cook(&self, recipe: &Recipe, stage: &Stage, profile: &Profile, region: &str) -> Result<Login> {
        let origin = &recipe.origin;
        let mut login = match &recipe.base {
            Base::Keys(login) => login.clone(),
            Base::Named(Named::Environment) => self.in_environment.clone().map_err(|absence| {
                Error::new(
                    Kind::Config,
                    format!("{}: {origin} takes credentials of Environment: {absence}", self.label),
                )
            })?,
            Base::Named(Named::Container) => {
                stage.asks("the container's agent".to_owned());
                let login = self.container.login(&self.asker).await;
                login.map_err(|missing| self.named_but_missing(origin, "EcsContainer", missing))?
            }
            Base::Named(Named::Metadata) => {
                stage.asks("EC2's metadata service".to_owned());
                let login = self.metadata.login(&self.asker, profile).await;
                login.map_err(|missing| self.named_but_missing(origin, "Ec2InstanceMetadata", missing))?
            }
            Base::WebIdentity(identity) => {
                stage.asks("STS (web_identity_token_file)".to_owned());
                let origin = format!("web_identity_token_file of {origin}");
                self.exchange(identity, &origin, profile, region).await?
            }
            Base::SignOn(sign_on) => {
                stage.asks("IAM Identity Center".to_owned());
                self.center.login(&self.asker, sign_on, origin, self.variant(profile)).await?
            }
            Base::Process(command) => {
                stage.asks(format!("credential_process of {origin}"));
                let failed =
                    |(kind, reason)| self.asker.error(kind, format!("credential_process of {origin}: {reason}"));
                let keys = process::keys(command, &self.environment).await.map_err(failed)?;
                let login = Login::new(format!("credential_process of {origin}"), &keys);
                login.map_err(|reason| failed((Kind::Invalid, reason)))?
            }
        };
        for role in &recipe.roles {
            stage.asks(format!("STS (role_arn of profile {})", self.profiles.name()));
            login = self.assume(&login, role, profile, region).await?;
        }
        Ok(login)
    }

    fn named_but_missing(&self, origin: &str, source: &str, missing: Missing) -> Error {
        match missing {
            Missing::Failed(error) => error,
            Missing::Absent(absence) => {
                Error::new(Kind::Config, format!("{}: {origin} takes credentials of {source}: {absence}", self.label))
            }
        }
    }

    async fn assume(&self, login: &Login, role: &Role, profile: &Profile, region: &str) -> Result<Login> {
        let url = self.sts.url(&self.label, region, self.variant(profile))?;
        Place { asker: &self.asker, url: &url, region }.assume(login, role).await
    }

    /// A web identity's token for a role. The file is read each time: whoever wrote it renews it.
    async fn exchange(&self, identity: &WebIdentity, origin: &str, profile: &Profile, region: &str) -> Result<Login> {
        let url = self.sts.url(&self.label, region, self.variant(profile))?;
        let token = files::token(&identity.token_file).await;
        let token = token.map_err(|reason| self.asker.error(Kind::Config, format!("{origin}: {reason}")))?;
        let place = Place { asker: &self.asker, url: &url, region };
        place.assume_with_token(&identity.role, &token, &format!("the token of {origin}")).await
    }
}

fn from_environment(environment: &Environment) -> std::result::Result<Option<Login>, String> {
    let (Some(id), Some(key)) = (set(environment, "AWS_ACCESS_KEY_ID"), set(environment, "AWS_SECRET_ACCESS_KEY"))
    else {
        return Ok(None);
    };
    Login::new(ENVIRONMENT, &Keys::of(id, key, set(environment, "AWS_SESSION_TOKEN"))).map(Some)
}

fn absent_from(environment: &Environment) -> String {
    let missing = match (set(environment, "AWS_ACCESS_KEY_ID"), set(environment, "AWS_SECRET_ACCESS_KEY")) {
        (Some(_), None) => "AWS_SECRET_ACCESS_KEY is not set, though AWS_ACCESS_KEY_ID is",
        (None, Some(_)) => "AWS_ACCESS_KEY_ID is not set, though AWS_SECRET_ACCESS_KEY is",
        _ => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set",
    };
    missing.to_owned()
}

fn web_identity(environment: &Environment) -> Option<WebIdentity> {
    Some(WebIdentity {
        token_file: PathBuf::from(set(environment, "AWS_WEB_IDENTITY_TOKEN_FILE")?),
        role: Role {
            arn: set(environment, "AWS_ROLE_ARN")?.to_owned(),
            session: set(environment, "AWS_ROLE_SESSION_NAME").unwrap_or(SESSION).to_owned(),
            external_id: None,
            duration: None,
        },
    })
}

#[cfg(test)]
mod tests;
