//! `jwt`: a JWT that an identity provider gives for client credentials (RFC 6749, 4.4), or one that somebody else has had
//! and wrote down.

use std::path::PathBuf;

use ::http::Method as Verb;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::json::Text;
use super::methods::{login_path, role, secret, text};
use super::outside::Outside;
use super::{Means, Method, Proof, Proving, files};
use crate::backend::hcv::api::object;
use crate::backend::http::Answer;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

pub struct Jwt {
    label: String,
    path: String,
    role: String,
    source: Source,
}

enum Source {
    Value(Secret),
    File(PathBuf),
    Provider(Box<Provider>),
}

/// Who gives us the JWT.
struct Provider {
    outside: Outside,
    endpoint: Url,
    id: String,
    secret: Secret,
    audiences: Vec<String>,
    scopes: Vec<String>,
}

impl Jwt {
    pub fn new(means: &Means<'_>) -> Result<Self> {
        let settings = means.settings;
        let source = if let Some(endpoint) = text(settings, "oauth2_token_endpoint") {
            Source::Provider(Box::new(Provider::new(means, endpoint)?))
        } else if let Some(jwt) = secret(settings, "jwt") {
            Source::Value(jwt)
        } else {
            Source::File(PathBuf::from(role(means, "jwt_file")))
        };
        Ok(Self {
            label: means.api.label.clone(),
            path: login_path(means, "jwt_auth_path")?,
            role: role(means, "jwt_role"),
            source,
        })
    }
}

impl Method for Jwt {
    fn name(&self) -> &'static str {
        "jwt"
    }

    fn remedy(&self) -> &'static str {
        "check `jwt_role`, and whether the role takes the JWT's issuer, audience, subject and signature, and its time"
    }

    fn prove(&self) -> Proving<'_> {
        Box::pin(async {
            let jwt = match &self.source {
                Source::Value(jwt) => jwt.clone(),
                Source::File(path) => {
                    let read = files::read(path).await;
                    let refuse =
                        |clause| Error::new(Kind::Config, format!("{}: no JWT: `jwt_file` {clause}", self.label));
                    read.map_err(refuse)?.0
                }
                Source::Provider(provider) => provider.jwt().await?,
            };
            let jwt = jwt.as_str().unwrap_or_default();
            let mut fields = vec![("jwt", jwt)];
            if !self.role.is_empty() {
                fields.push(("role", &self.role));
            }
            Ok(Proof { path: self.path.clone(), body: object(&fields) })
        })
    }
}

impl Provider {
    fn new(means: &Means<'_>, endpoint: &str) -> Result<Self> {
        let (settings, label) = (means.settings, &means.api.label);
        let url = Url::parse(endpoint).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        let wrong = || {
            Error::new(
                Kind::Config,
                format!("{label}: `oauth2_token_endpoint` is no URL such as https://idp/oauth2/token"),
            )
        };
        Ok(Self {
            outside: means.doors.remote("the identity provider", text(settings, "oauth2_ca_cert"))?,
            endpoint: url.ok_or_else(wrong)?,
            id: role(means, "oauth2_client_id"),
            secret: secret(settings, "oauth2_client_secret").unwrap_or_default(),
            audiences: settings.list("oauth2_audiences").to_vec(),
            scopes: settings.list("oauth2_scopes").to_vec(),
        })
    }

    async fn jwt(&self) -> Result<Secret> {
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
        let answer = self.outside.send(Verb::POST, &self.endpoint, &headers, &self.form()).await?;
        self.read(&answer)
    }

    fn form(&self) -> Zeroizing<Vec<u8>> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("client_id", &self.id);
        form.append_pair("client_secret", self.secret.as_str().unwrap_or_default());
        for audience in &self.audiences {
            form.append_pair("audience", audience);
        }
        if !self.scopes.is_empty() {
            form.append_pair("scope", &self.scopes.join(" "));
        }
        Zeroizing::new(form.finish().into_bytes())
    }

    fn read(&self, answer: &Answer) -> Result<Secret> {
        let given: Option<Given<'_>> = serde_json::from_slice(answer.body.as_bytes()).ok();
        if answer.status != 200 {
            let code = given.and_then(|given| given.error).and_then(|code| known(&code));
            let refused = format!(
                "it refused the client credentials{}: check `oauth2_client_id`, `oauth2_client_secret` and `oauth2_audiences`",
                code.map(|code| format!(" ({code})")).unwrap_or_default()
            );
            return Err(self.outside.refusal(&self.endpoint, answer, &refused));
        }
        let (kind, reason) = match given.and_then(|given| given.access_token) {
            Some(token) if token.split('.').count() == 3 => return Ok(Secret::new(&*token)),
            Some(_) => {
                (Kind::Denied, "it gave an opaque token: have it give JWTs for this audience (`oauth2_audiences`)")
            }
            None => (Kind::Invalid, "the answer holds no access token: check `oauth2_token_endpoint`"),
        };
        Err(self.outside.error(&self.endpoint, kind, reason))
    }
}

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    access_token: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
}

/// One of RFC 6749's error codes (5.2): nothing else of the answer is shown.
fn known(code: &str) -> Option<&'static str> {
    [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ]
    .into_iter()
    .find(|known| *known == code)
}
