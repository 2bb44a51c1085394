//! Credentials files of Google's tools: JSON with a `type`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::destination::{self, is_universe};
use super::service_account::ServiceAccount;
use crate::secret::WipedText;

/// The largest number of delegates.
const DELEGATES: usize = 16;

const TIMEOUT_MILLIS: std::ops::RangeInclusive<u64> = 5_000..=120_000;
const USUAL_TIMEOUT_MILLIS: u64 = 30_000;
const IMPERSONATED_SECONDS: std::ops::RangeInclusive<u64> = 600..=43_200;
const USUAL_IMPERSONATED_SECONDS: u64 = 3600;

/// The contents of a credentials file.
pub struct GoogleCredentials {
    pub kind: CredentialsKind,
    pub project: Option<String>,
    pub quota_project: Option<String>,
    pub universe: Option<String>,
}

pub enum CredentialsKind {
    ServiceAccount { account: Box<ServiceAccount>, token_uri: Option<Url> },
    RefreshableUser(Box<RefreshableUser>),
    ExternalAccount(Box<ExternalAccount>),
    ImpersonatedAccount(Box<ImpersonatedAccount>),
}

/// A user with a refresh token.
pub struct RefreshableUser {
    pub id: String,
    pub secret: WipedText,
    pub refresh: WipedText,
    /// `None`: Google's own.
    pub token_url: Option<Url>,
    /// Whether it is of a workforce pool, whose endpoint expects id and secret by HTTP Basic.
    pub of_pool: bool,
}

/// A token of another identity provider, to be exchanged.
pub struct ExternalAccount {
    pub audience: String,
    pub subject_token_type: String,
    /// `None`: the universe's own.
    pub token_url: Option<Url>,
    pub source: SubjectSource,
    pub impersonation: Option<ImpersonationTarget>,
    pub client: Option<(String, WipedText)>,
    pub workforce_project: Option<String>,
}

pub enum SubjectSource {
    File { path: String, format: TokenFormat },
    Url { url: Url, headers: Vec<(String, WipedText)>, format: TokenFormat },
    Aws(Box<AwsSubjectSource>),
    Executable { command: String, timeout_millis: u64, output_file: Option<String> },
}

pub struct AwsSubjectSource {
    pub region_url: Option<Url>,
    pub url: Option<Url>,
    pub session_url: Option<Url>,
    /// It contains `{region}`.
    pub verification_url: String,
}

/// Where in a text a token is.
pub enum TokenFormat {
    Text,
    Json { field: String },
}

/// Credentials, and the account that they impersonate.
pub struct ImpersonatedAccount {
    pub source: GoogleCredentials,
    pub target: ImpersonationTarget,
}

/// An account to impersonate.
#[derive(Clone)]
pub struct ImpersonationTarget {
    pub url: Url,
    pub delegates: Vec<String>,
    pub seconds: u64,
}

impl ImpersonationTarget {
    /// The account's address, from the URL.
    pub fn email(&self) -> &str {
        let last = self.url.path().rsplit('/').next().unwrap_or_default();
        last.split(':').next().unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct CredentialsFile {
    #[serde(rename = "type")]
    kind: Option<String>,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    universe_domain: Option<String>,
    token_uri: Option<String>,
    token_url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<WipedText>,
    refresh_token: Option<WipedText>,
    audience: Option<String>,
    subject_token_type: Option<String>,
    credential_source: Option<CredentialSourceFile>,
    service_account_impersonation_url: Option<String>,
    #[serde(default)]
    service_account_impersonation: ImpersonationFile,
    workforce_pool_user_project: Option<String>,
    #[serde(default)]
    delegates: Vec<String>,
    source_credentials: Option<Box<serde_json::value::RawValue>>,
}

#[derive(Deserialize, Default)]
struct ImpersonationFile {
    token_lifetime_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct CredentialSourceFile {
    file: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, WipedText>,
    #[serde(default)]
    format: TokenFormatFile,
    environment_id: Option<String>,
    region_url: Option<String>,
    regional_cred_verification_url: Option<String>,
    imdsv2_session_token_url: Option<String>,
    executable: Option<ExecutableFile>,
    certificate: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
struct TokenFormatFile {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
struct ExecutableFile {
    command: Option<String>,
    timeout_millis: Option<u64>,
    output_file: Option<String>,
}

impl GoogleCredentials {
    /// Reads a file's text. The error is a clause that shows nothing of it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        Self::parse_at(json, true)
    }

    fn parse_at(json: &[u8], may_impersonate: bool) -> Result<Self, String> {
        let mut written: CredentialsFile =
            serde_json::from_slice(json).map_err(|_| "is not the JSON of Google's credentials".to_owned())?;
        let kind = match written.kind.as_deref() {
            Some("service_account") => {
                let account = Box::new(ServiceAccount::parse(json)?);
                let token_uri = written.token_uri.as_deref().map(|text| destination::of_tokens("token_uri", text));
                CredentialsKind::ServiceAccount { account, token_uri: token_uri.transpose()? }
            }
            Some("authorized_user") => CredentialsKind::RefreshableUser(Box::new(written.user(false)?)),
            Some("external_account_authorized_user") => CredentialsKind::RefreshableUser(Box::new(written.user(true)?)),
            Some("external_account") => CredentialsKind::ExternalAccount(Box::new(written.external()?)),
            Some("impersonated_service_account") if may_impersonate => {
                let raw = written.source_credentials.as_deref().ok_or("lacks source_credentials")?;
                let source = Self::parse_at(raw.get().as_bytes(), false)
                    .map_err(|reason| format!("has source_credentials of which the JSON {reason}"))?;
                let target = written.target()?.ok_or("lacks service_account_impersonation_url")?;
                CredentialsKind::ImpersonatedAccount(Box::new(ImpersonatedAccount { source, target }))
            }
            Some("impersonated_service_account") => {
                return Err("is of an impersonated account again: list the accounts between in `delegates`".to_owned());
            }
            Some("gdch_service_account") => {
                return Err("is of type gdch_service_account, which Secret Manager does not take".to_owned());
            }
            Some(_) => return Err("is of a type that is not known: make the file anew with gcloud".to_owned()),
            None => return Err("has no type: name a credentials file of Google's".to_owned()),
        };
        if written.universe_domain.as_deref().is_some_and(|universe| !universe.is_empty() && !is_universe(universe)) {
            return Err("has a universe_domain that is no domain".to_owned());
        }
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self {
            kind,
            project: set(written.project_id),
            quota_project: set(written.quota_project_id),
            universe: set(written.universe_domain),
        })
    }
}

impl CredentialsFile {
    fn user(&mut self, of_pool: bool) -> Result<RefreshableUser, String> {
        let url = if of_pool { ("token_url", &self.token_url) } else { ("token_uri", &self.token_uri) };
        let (Some(id), Some(secret), Some(refresh)) =
            (self.client_id.take(), self.client_secret.take(), self.refresh_token.take())
        else {
            return Err("lacks client_id, client_secret or refresh_token: log in again (gcloud auth \
                        application-default login)"
                .to_owned());
        };
        let token_url = url.1.as_deref().map(|text| destination::of_tokens(url.0, text)).transpose()?;
        Ok(RefreshableUser { id, secret, refresh, token_url, of_pool })
    }

    fn target(&self) -> Result<Option<ImpersonationTarget>, String> {
        let Some(text) = &self.service_account_impersonation_url else { return Ok(None) };
        if self.delegates.len() > DELEGATES {
            return Err(format!("has more than {DELEGATES} delegates"));
        }
        let seconds = self.service_account_impersonation.token_lifetime_seconds.unwrap_or(USUAL_IMPERSONATED_SECONDS);
        if !IMPERSONATED_SECONDS.contains(&seconds) {
            return Err("has a token_lifetime_seconds that is not from 600 to 43200".to_owned());
        }
        let url = destination::of_tokens("service_account_impersonation_url", text)?;
        Ok(Some(ImpersonationTarget { url, delegates: self.delegates.clone(), seconds }))
    }

    fn external(&mut self) -> Result<ExternalAccount, String> {
        let (Some(audience), Some(subject_token_type), Some(source)) =
            (self.audience.take(), self.subject_token_type.take(), self.credential_source.take())
        else {
            return Err("lacks audience, subject_token_type or credential_source: make the file anew (gcloud iam \
                        workload-identity-pools create-cred-config)"
                .to_owned());
        };
        let token_url = self.token_url.as_deref().map(|text| destination::of_tokens("token_url", text));
        Ok(ExternalAccount {
            audience,
            subject_token_type,
            token_url: token_url.transpose()?,
            source: source.read()?,
            impersonation: self.target()?,
            client: self.client_id.take().zip(self.client_secret.take()),
            workforce_project: self.workforce_pool_user_project.take(),
        })
    }
}

impl CredentialSourceFile {
    fn read(self) -> Result<SubjectSource, String> {
        if self.certificate.is_some() {
            return Err(
                "has a credential_source of type certificate, which is not supported: use a file, a url, aws or \
                        an executable"
                    .to_owned(),
            );
        }
        if let Some(id) = &self.environment_id {
            return self.aws(id);
        }
        if let Some(executable) = self.executable {
            let timeout_millis = executable.timeout_millis.unwrap_or(USUAL_TIMEOUT_MILLIS);
            if !TIMEOUT_MILLIS.contains(&timeout_millis) {
                return Err("has a timeout_millis that is not from 5000 to 120000".to_owned());
            }
            let command = executable.command.filter(|command| !command.trim().is_empty());
            let command = command.ok_or("has an executable without a command")?;
            return Ok(SubjectSource::Executable { command, timeout_millis, output_file: executable.output_file });
        }
        let format = match (self.format.kind.as_deref(), self.format.subject_token_field_name) {
            (None | Some("text"), _) => TokenFormat::Text,
            (Some("json"), Some(field)) => TokenFormat::Json { field },
            (Some("json"), None) => return Err("has a format of type json without subject_token_field_name".to_owned()),
            (Some(_), _) => return Err("has a format that is neither text nor json".to_owned()),
        };
        match (self.file, self.url) {
            (Some(path), None) => Ok(SubjectSource::File { path, format }),
            (None, Some(url)) => {
                let url = destination::of_source("credential_source url", &url)?;
                Ok(SubjectSource::Url { url, headers: self.headers.into_iter().collect(), format })
            }
            _ => Err("has a credential_source that is not one of file, url, aws and executable".to_owned()),
        }
    }

    fn aws(&self, id: &str) -> Result<SubjectSource, String> {
        if id != "aws1" {
            return Err("has an environment_id other than aws1".to_owned());
        }
        let verification_url = self.regional_cred_verification_url.clone();
        let place = |field: &str, text: &Option<String>| {
            text.as_deref().filter(|text| !text.is_empty()).map(|text| destination::of_source(field, text)).transpose()
        };
        Ok(SubjectSource::Aws(Box::new(AwsSubjectSource {
            region_url: place("region_url", &self.region_url)?,
            url: place("credential_source url", &self.url)?,
            session_url: place("imdsv2_session_token_url", &self.imdsv2_session_token_url)?,
            verification_url: verification_url.ok_or("lacks regional_cred_verification_url")?,
        })))
    }
}
