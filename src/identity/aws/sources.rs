//! Asks the sources in their order, and follows a profile's chain. The order is that of AWS's command line: the keys in
//! options, the environment's keys, a profile that is a role, a web identity, the profile's other credentials, a
//! container's agent, an EC2 instance's metadata.

use std::borrow::Cow;
use std::path::PathBuf;

use super::client::shown;
use super::credentials::{AccessKeys, ENVIRONMENT, Login, NoCredentials};
use super::ecs::Container;
use super::endpoint::{Endpoint, Variant};
use super::imds::InstanceMetadata;
use super::process;
use super::profile::{Base, Named, Profile, Profiles, SourceChain, Unfit, WebIdentity};
use super::region::{set, truth};
use super::sso::SsoClient;
use super::sts::{Role, SESSION, StsTarget};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::identity::client::CloudClient;
use crate::identity::credentials_cache::LoadStage;
use crate::identity::files;

const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// The regions for which `sts_regional_endpoints = legacy` uses the global STS, and its address and region.
const GLOBAL: [&str; 15] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];
const GLOBAL_STS: (&str, &str) = ("https://sts.amazonaws.com/", "us-east-1");

pub struct Sources {
    pub label: String,
    pub client: CloudClient,
    pub environment: Environment,
    pub given: Option<Login>,
    pub in_environment: std::result::Result<Login, String>,
    pub profiles: Profiles,
    pub container: Container,
    pub metadata: InstanceMetadata,
    pub sso_client: SsoClient,
    pub sts: Endpoint,
    pub role: Option<Role>,
    pub fips: Option<bool>,
    pub dualstack: Option<bool>,
}

impl Sources {
    pub fn variant(&self, profile: &Profile) -> Variant {
        let says = |own: Option<bool>, key| own.or_else(|| truth(profile.property(key)?)).unwrap_or(false);
        Variant {
            fips: says(self.fips, "use_fips_endpoint"),
            dualstack: says(self.dualstack, "use_dualstack_endpoint"),
        }
    }

    pub async fn load(&self, stage: &LoadStage, profile: &Profile, region: &str) -> Result<Login> {
        let login = self.first(stage, profile, region).await?.map_err(|absences| {
            Error::new(
                Kind::Config,
                format!(
                    "{}: no AWS credentials: {}: set one of them up before nginx starts, or give the profile credentials that \
                     nginx's workers may read",
                    self.label,
                    absences.join("; ")
                ),
            )
        })?;
        match &self.role {
            Some(role) => {
                stage.asks("STS (assume_role_arn)");
                self.assume(&login, role, profile, region).await
            }
            None => Ok(login),
        }
    }

    /// Those of the first source that is set up, or why each is not.
    pub async fn first(
        &self,
        stage: &LoadStage,
        profile: &Profile,
        region: &str,
    ) -> Result<std::result::Result<Login, Vec<String>>> {
        if let Some(login) = &self.given {
            return Ok(Ok(login.clone()));
        }
        let mut absences = match &self.in_environment {
            Ok(login) => return Ok(Ok(login.clone())),
            Err(absence) => vec![absence.clone()],
        };
        match self.web_identity(profile)? {
            Some((identity, origin)) => {
                stage.asks(format!("STS ({origin})"));
                return self.exchange(&identity, &origin, profile, region).await.map(Ok);
            }
            None if !profile.assumes => {
                absences.push("AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set".to_owned());
            }
            None => {}
        }
        let name = shown(self.profiles.name());
        match &profile.source_chain {
            Ok(source_chain) => return self.resolve(source_chain, stage, profile, region).await.map(Ok),
            Err(Unfit::Absent(reason)) => absences.push(format!("profile {name}: {reason}")),
            Err(Unfit::Broken(reason)) => {
                let text = format!("{}: no AWS credentials from profile {name}: {reason}", self.label);
                return Err(Error::new(Kind::Config, text));
            }
        }
        stage.asks("the container's agent");
        match self.container.login(&self.client).await {
            Ok(login) => return Ok(Ok(login)),
            Err(NoCredentials::Failed(error)) => return Err(error),
            Err(NoCredentials::Absent(absence)) => absences.push(absence),
        }
        stage.asks("EC2's metadata service");
        match self.metadata.login(&self.client, profile).await {
            Ok(login) => return Ok(Ok(login)),
            Err(NoCredentials::Failed(error)) => return Err(error),
            Err(NoCredentials::Absent(absence)) => absences.push(absence),
        }
        Ok(Err(absences))
    }

    /// The credentials of a profile's chain.
    async fn resolve(
        &self,
        source_chain: &SourceChain,
        stage: &LoadStage,
        profile: &Profile,
        region: &str,
    ) -> Result<Login> {
        let origin = &source_chain.origin;
        let mut login = match &source_chain.base {
            Base::AccessKeys(login) => login.clone(),
            Base::Named(Named::Environment) => self.in_environment.clone().map_err(|absence| {
                Error::new(
                    Kind::Config,
                    format!("{}: {origin} takes credentials of Environment: {absence}", self.label),
                )
            })?,
            Base::Named(Named::Container) => {
                stage.asks("the container's agent");
                let login = self.container.login(&self.client).await;
                login.map_err(|missing| self.named_but_missing(origin, "EcsContainer", missing))?
            }
            Base::Named(Named::Metadata) => {
                stage.asks("EC2's metadata service");
                let login = self.metadata.login(&self.client, profile).await;
                login.map_err(|missing| self.named_but_missing(origin, "Ec2InstanceMetadata", missing))?
            }
            Base::WebIdentity(identity) => {
                stage.asks("STS (web_identity_token_file)");
                let origin = format!("web_identity_token_file of {origin}");
                self.exchange(identity, &origin, profile, region).await?
            }
            Base::SignOn(sign_on) => {
                stage.asks("IAM Identity Center");
                self.sso_client.login(&self.client, sign_on, origin, profile, self.variant(profile)).await?
            }
            Base::Process(command) => {
                stage.asks(format!("credential_process of {origin}"));
                let failed =
                    |(kind, reason)| self.client.error(kind, format!("credential_process of {origin}: {reason}"));
                let keys = process::keys(command, &self.environment).await.map_err(failed)?;
                if keys.expiry.is_some_and(|end| end <= self.client.clock.now()) {
                    let reason = "its credentials have expired: make it renew them";
                    return Err(failed((Kind::Invalid, reason.to_owned())));
                }
                let login = Login::new(format!("credential_process of {origin}"), &keys);
                login.map_err(|reason| failed((Kind::Invalid, reason)))?
            }
        };
        for role in &source_chain.roles {
            stage.asks(format!("STS (role_arn of profile {})", shown(self.profiles.name())));
            login = self.assume(&login, role, profile, region).await?;
        }
        Ok(login)
    }

    fn named_but_missing(&self, origin: &str, source: &str, missing: NoCredentials) -> Error {
        match missing {
            NoCredentials::Failed(error) => error,
            NoCredentials::Absent(absence) => {
                Error::new(Kind::Config, format!("{}: {origin} takes credentials of {source}: {absence}", self.label))
            }
        }
    }

    async fn assume(&self, login: &Login, role: &Role, profile: &Profile, region: &str) -> Result<Login> {
        let (url, region) = self.sts_of(profile, region)?;
        StsTarget { client: &self.client, url: &url, region: &region }.assume(login, role).await
    }

    /// Where STS is, and for which region requests to it are signed.
    pub fn sts_of<'a>(&self, profile: &Profile, region: &'a str) -> Result<(String, Cow<'a, str>)> {
        let variant = self.variant(profile);
        let located = self.sts.locate(region, variant, profile)?;
        let (variable, key) = ("AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints");
        let says = set(&self.environment, variable).map(|text| (text, variable)).or_else(|| profile.setting(key));
        let is_legacy = match says {
            Some(("legacy", _)) => true,
            None | Some(("regional", _)) => false,
            Some((_, origin)) => {
                let text = format!("{}: {origin} is neither legacy nor regional: correct it", self.label);
                return Err(Error::new(Kind::Config, text));
            }
        };
        if is_legacy && located.origin.is_none() && variant == Variant::default() && GLOBAL.contains(&region) {
            let (url, region) = GLOBAL_STS;
            return Ok((url.to_owned(), Cow::Borrowed(region)));
        }
        Ok((located.url, Cow::Borrowed(region)))
    }

    /// The web identity that the environment and the profile define together, and where its token is set.
    fn web_identity(&self, profile: &Profile) -> Result<Option<(WebIdentity, String)>> {
        if profile.assumes {
            return Ok(None);
        }
        let text = |name: &str| set(&self.environment, name).map(str::to_owned);
        let (token_file, origin) = match (text(TOKEN_FILE), &profile.web.token_file) {
            (Some(path), _) => (PathBuf::from(path), TOKEN_FILE.to_owned()),
            (None, Some(path)) => {
                (path.clone(), format!("web_identity_token_file of profile {}", shown(self.profiles.name())))
            }
            (None, None) => return Ok(None),
        };
        let Some(arn) = text("AWS_ROLE_ARN").or_else(|| profile.web.role_arn.clone()) else {
            let text = format!("{}: {origin} is set, and no role for it: set AWS_ROLE_ARN or role_arn", self.label);
            return Err(Error::new(Kind::Config, text));
        };
        let session = text("AWS_ROLE_SESSION_NAME").or_else(|| profile.web.session.clone());
        let session = session.unwrap_or_else(|| SESSION.to_owned());
        let role = Role { arn, session, external_id: None, duration: None };
        Ok(Some((WebIdentity { token_file, role }, origin)))
    }

    /// Exchanges a web identity's token for a role's credentials. The file is read each time, as its writer renews it.
    async fn exchange(&self, identity: &WebIdentity, origin: &str, profile: &Profile, region: &str) -> Result<Login> {
        let (url, region) = self.sts_of(profile, region)?;
        let token = files::token(&identity.token_file).await;
        let token = token.map_err(|reason| self.client.error(Kind::Config, format!("{origin}: {reason}")))?;
        let place = StsTarget { client: &self.client, url: &url, region: &region };
        place.assume_with_token(&identity.role, &token, &format!("the token of {origin}")).await
    }
}

pub fn from_environment(environment: &Environment) -> std::result::Result<Option<Login>, String> {
    let (Some(id), Some(key)) = (set(environment, "AWS_ACCESS_KEY_ID"), set(environment, "AWS_SECRET_ACCESS_KEY"))
    else {
        return Ok(None);
    };
    let token = set(environment, "AWS_SESSION_TOKEN").or_else(|| set(environment, "AWS_SECURITY_TOKEN"));
    Login::new(ENVIRONMENT, &AccessKeys::new(id, key, token)).map(Some)
}

pub fn absent_from(environment: &Environment) -> String {
    let missing = match (set(environment, "AWS_ACCESS_KEY_ID"), set(environment, "AWS_SECRET_ACCESS_KEY")) {
        (Some(_), None) => "AWS_SECRET_ACCESS_KEY is not set, though AWS_ACCESS_KEY_ID is",
        (None, Some(_)) => "AWS_ACCESS_KEY_ID is not set, though AWS_SECRET_ACCESS_KEY is",
        _ => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set",
    };
    missing.to_owned()
}
