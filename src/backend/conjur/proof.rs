//! What proves to Conjur who logs in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::aws_proof::AwsProof;
use super::options::{AZURE, GCP, IAM, JWT, TOKEN_FILE};
use super::written::WrittenOptions;
use crate::error::{Error, Kind, Result};
use crate::http::Transport;
use crate::identity::azure::{CLOUDS, Source, Wanted};
use crate::identity::clock::Clock;
use crate::identity::credentials_cache::LoadStage;
use crate::identity::files;
use crate::identity::gcp::{GoogleIdentity, IdentityOptions};
use crate::identity::oauth::{self, FORM};
use crate::redact;
use crate::secret::Secret;

/// The token that Kubernetes gives each pod.
const KUBERNETES_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The part of a fetch's time that one question to Azure may take.
const LIMIT: f64 = 0.8;

/// For how long a machine's metadata service is asked again that is not ready, beside the fetches that wait.
const RETRIES: Duration = Duration::from_secs(50);

const TEXT: &str = "text/plain";

pub enum Proof {
    ApiKey(Secret),
    Jwt(JwtSource),
    Aws(Box<AwsProof>),
    Google {
        identity: Arc<GoogleIdentity>,
        audience: String,
    },
    Azure {
        source: Box<Source>,
        resource: String,
    },
    /// An access token that another program gets.
    TokenFile(PathBuf),
}

pub enum JwtSource {
    Text(Secret, &'static str),
    File(PathBuf),
}

/// The body of a login, and its type.
pub struct LoginBody {
    pub kind: &'static str,
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What is logged in with.
pub struct Credentials {
    pub proof: Proof,
    /// Such as `authn-jwt`.
    pub authenticator: &'static str,
    pub service: Option<String>,
    pub login: Option<String>,
    /// For errors, such as `the API key of host/app`.
    pub origin: String,
}

impl Credentials {
    /// `outer` is the transport to other servers than Conjur.
    pub fn of(
        written: &WrittenOptions<'_>,
        account: &str,
        outer: &Transport<'_>,
        lasts: bool,
        clock: &Clock,
    ) -> Result<Self> {
        let login = written.text("login", &["CONJUR_AUTHN_LOGIN"]).map(str::to_owned);
        let needs_login = || {
            login.clone().ok_or_else(|| written.lacks("login", "host or user that logs in", &["CONJUR_AUTHN_LOGIN"]))
        };
        let service = |variables: &'static [&'static str]| {
            let service = written.text("service_id", variables).map(str::to_owned);
            service.ok_or_else(|| written.lacks("service_id", "service id of the authenticator", variables))
        };
        Ok(match written.text("auth_method", &[]).unwrap_or_default() {
            JWT => {
                let source = jwt(written);
                let origin = match &source {
                    JwtSource::Text(_, origin) => format!("the JWT in {origin}"),
                    JwtSource::File(path) => format!("the JWT in {}", redact::likely_path(path)),
                };
                Self {
                    proof: Proof::Jwt(source),
                    authenticator: "authn-jwt",
                    service: Some(service(&["CONJUR_AUTHN_JWT_SERVICE_ID", "CONJUR_SERVICE_ID"])?),
                    login: login.or_else(|| written.variable("CONJUR_AUTHN_JWT_HOST_ID").map(host)),
                    origin,
                }
            }
            IAM => Self {
                proof: Proof::Aws(Box::new(AwsProof::new(written, outer, clock.clone())?)),
                authenticator: "authn-iam",
                service: Some(service(&["CONJUR_SERVICE_ID"])?),
                login: Some(needs_login()?),
                origin: "the AWS credentials".to_owned(),
            },
            AZURE => Self {
                proof: Proof::Azure {
                    source: Box::new(azure(written, outer, clock)?),
                    resource: written.text("azure_resource", &[]).unwrap_or_default().to_owned(),
                },
                authenticator: "authn-azure",
                service: Some(service(&["CONJUR_SERVICE_ID"])?),
                login: Some(needs_login()?),
                origin: "the Azure token".to_owned(),
            },
            GCP => {
                let login = needs_login()?;
                let Some(host) = login.strip_prefix("host/") else {
                    let text = "`login` must be a host, such as host/BotApp/myDemoApp, for auth_method gcp: correct it";
                    return Err(Error::new(Kind::Config, format!("{}: {text}", written.label)));
                };
                Self {
                    proof: Proof::Google {
                        identity: google(outer, lasts)?,
                        audience: format!("conjur/{account}/host/{host}"),
                    },
                    authenticator: "authn-gcp",
                    service: None,
                    // Conjur takes it from the audience.
                    login: None,
                    origin: "the identity token of Google's metadata server".to_owned(),
                }
            }
            TOKEN_FILE => {
                let variables = &["CONJUR_AUTHN_TOKEN_FILE"];
                let path = written.text("token_file", variables);
                let path = path.ok_or_else(|| written.lacks("token_file", "file with an access token", variables))?;
                let path = PathBuf::from(path);
                Self {
                    origin: format!("the access token in {}", redact::likely_path(&path)),
                    proof: Proof::TokenFile(path),
                    authenticator: "authn",
                    service: None,
                    login: None,
                }
            }
            _ => {
                let variables = &["CONJUR_AUTHN_API_KEY"];
                let key = written.secret("api_key", variables);
                Self {
                    login: Some(needs_login()?),
                    proof: Proof::ApiKey(key.ok_or_else(|| written.lacks("api_key", "API key", variables))?),
                    authenticator: "authn",
                    service: None,
                    origin: "the API key".to_owned(),
                }
            }
        })
    }

    /// The body of a login. The error is one of the proof's source.
    pub async fn body(&self, label: &str, stage: &LoadStage) -> Result<LoginBody> {
        let refuse = |reason: String| Error::new(Kind::Config, format!("{label}: no JWT to log in with: {reason}"));
        match &self.proof {
            Proof::ApiKey(key) => Ok(text(key.as_bytes())),
            Proof::Jwt(JwtSource::Text(jwt, _)) => Ok(form(jwt.as_str().unwrap_or_default())),
            Proof::Jwt(JwtSource::File(path)) => {
                stage.asks("the file system");
                let jwt = files::token(path).await;
                Ok(form(&jwt.map_err(|clause| refuse(format!("{clause}: set jwt_file, or mount the token there")))?))
            }
            Proof::Aws(aws) => Ok(text(aws.headers(stage).await?.as_bytes())),
            Proof::Google { identity, audience } => {
                stage.asks("Google's metadata server");
                let token = identity.identity_token(audience).await?;
                Ok(form(token.as_str().unwrap_or_default()))
            }
            Proof::Azure { source, resource } => {
                let token = source.token(resource, &|who| stage.asks(who)).await?;
                Ok(form(&token.token))
            }
            Proof::TokenFile(_) => Ok(text(b"")),
        }
    }
}

fn jwt(written: &WrittenOptions<'_>) -> JwtSource {
    if let Some(jwt) = written.secret("jwt", &[]) {
        return JwtSource::Text(jwt, "the option jwt");
    }
    if let Some(path) = written.text("jwt_file", &[]) {
        return JwtSource::File(PathBuf::from(path));
    }
    if let Some(jwt) = written.variable("CONJUR_AUTHN_JWT_TOKEN") {
        return JwtSource::Text(Secret::new(jwt), "CONJUR_AUTHN_JWT_TOKEN");
    }
    JwtSource::File(PathBuf::from(written.variable("JWT_TOKEN_PATH").unwrap_or(KUBERNETES_TOKEN)))
}

/// CyberArk's variable has a host with or without `host/`.
fn host(id: &str) -> String {
    if id.starts_with("host/") { id.to_owned() } else { format!("host/{id}") }
}

fn google(outer: &Transport<'_>, lasts: bool) -> Result<Arc<GoogleIdentity>> {
    GoogleIdentity::of(IdentityOptions {
        transport: outer,
        account: None,
        delegates: &[],
        quota_project: None,
        exchanges: false,
        is_shared: lasts,
    })
}

fn azure(written: &WrittenOptions<'_>, outer: &Transport<'_>, clock: &Clock) -> Result<Source> {
    if !written.may_get_azure_tokens() {
        let text = "a token of Azure is not sent to an address that only `endpoint_url` has: add it to azure_endpoints \
                    (vault_conjur_azure_endpoints), which only the operator can set, or set CONJUR_APPLIANCE_URL to it";
        return Err(Error::new(Kind::Config, format!("{}: {text}", written.label)));
    }
    let wanted = Wanted {
        transport: outer,
        cloud: &CLOUDS[0],
        // Conjur takes tokens of managed identities alone, not those of an application whose secret is set for other vaults.
        method: match outer.environment.text("AZURE_FEDERATED_TOKEN_FILE") {
            Some(file) if !file.trim().is_empty() => "workload_identity",
            _ => "managed_identity",
        },
        prefix: "AZURE",
        tenant: None,
        client: written.text("azure_client_id", &["CONJUR_AUTHN_AZURE_CLIENT_ID"]),
        client_secret: None,
        certificate: None,
        sends_chain: false,
        user_assigned: None,
        retries: RETRIES,
    };
    Source::choose(&wanted, clock.clone(), outer.timeout.mul_f64(LIMIT))
}

fn text(bytes: &[u8]) -> LoginBody {
    LoginBody { kind: TEXT, bytes: Zeroizing::new(bytes.to_vec()) }
}

fn form(jwt: &str) -> LoginBody {
    LoginBody { kind: FORM, bytes: oauth::form(&[("jwt", jwt)]) }
}
