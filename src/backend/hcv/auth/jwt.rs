//! `jwt`: a JWT that an identity provider issues for client credentials (RFC 6749, 4.4), or one from an option or a
//! file.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use ::http::Method as Verb;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::files;
use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role, secret, text};
use crate::backend::hcv::api::object;
use crate::error::{Error, Kind, Result};
use crate::http::HttpResponse;
use crate::identity::external::ExternalClient;
use crate::identity::json::Text;
use crate::secret::Secret;

pub struct Jwt {
    label: String,
    path: String,
    role: String,
    source: JwtSource,
}

enum JwtSource {
    Value(Secret),
    File(PathBuf),
    Provider(Box<Provider>),
}

/// The identity provider that issues the JWT.
struct Provider {
    external: ExternalClient,
    endpoint: Url,
    id: String,
    secret: Secret,
    audiences: Vec<String>,
    scopes: Vec<String>,
    auth: ClientAuth,
    /// Whether HTTP Basic was accepted after the form was refused.
    takes_basic: AtomicBool,
}

/// How the identity provider learns the client's id and secret (RFC 6749, 2.3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    Post,
    Basic,
    /// In the form first, then by HTTP Basic if the form is refused.
    Either,
}

impl Jwt {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        let settings = context.settings;
        let source = if let Some(endpoint) = text(settings, "oauth2_token_endpoint") {
            JwtSource::Provider(Box::new(Provider::new(context, endpoint)?))
        } else if let Some(jwt) = secret(settings, "jwt") {
            JwtSource::Value(jwt)
        } else {
            JwtSource::File(PathBuf::from(role(context, "jwt_file")))
        };
        Ok(Self {
            label: context.api.label.clone(),
            path: login_path(context, "jwt_auth_path")?,
            role: role(context, "jwt_role"),
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

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            let jwt = match &self.source {
                JwtSource::Value(jwt) => jwt.clone(),
                JwtSource::File(path) => {
                    let read = files::read_text(path).await;
                    let refuse =
                        |clause| Error::new(Kind::Config, format!("{}: no JWT: `jwt_file` {clause}", self.label));
                    read.map_err(refuse)?.0
                }
                JwtSource::Provider(provider) => provider.jwt().await?,
            };
            let jwt = jwt.as_str().unwrap_or_default();
            let mut fields = vec![("jwt", jwt)];
            if !self.role.is_empty() {
                fields.push(("role", &self.role));
            }
            Ok(LoginRequest { path: self.path.clone(), body: object(&fields) })
        })
    }
}

impl Provider {
    fn new(context: &AuthContext<'_>, endpoint: &str) -> Result<Self> {
        let (settings, label) = (context.settings, &context.api.label);
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
            external: context.clients.remote("the identity provider", text(settings, "oauth2_ca_cert"))?,
            endpoint: url.ok_or_else(wrong)?,
            id: role(context, "oauth2_client_id"),
            secret: secret(settings, "oauth2_client_secret").unwrap_or_default(),
            audiences: settings.list("oauth2_audiences").to_vec(),
            scopes: settings.list("oauth2_scopes").to_vec(),
            auth: match text(settings, "oauth2_client_auth") {
                Some("client_secret_basic") => ClientAuth::Basic,
                Some(_) => ClientAuth::Post,
                None => ClientAuth::Either,
            },
            takes_basic: AtomicBool::new(false),
        })
    }

    async fn jwt(&self) -> Result<Secret> {
        let basic = self.auth == ClientAuth::Basic || self.takes_basic.load(Ordering::Relaxed);
        let answer = self.ask(basic).await?;
        if basic || self.auth != ClientAuth::Either || !is_invalid_client(&answer) {
            return self.parse_token(&answer);
        }
        let by_basic = self.ask(true).await?;
        if by_basic.status == 200 {
            self.takes_basic.store(true, Ordering::Relaxed);
            return self.parse_token(&by_basic);
        }
        self.parse_token(&answer)
    }

    async fn ask(&self, basic: bool) -> Result<HttpResponse> {
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
        let credentials = Zeroizing::new(if basic { self.basic() } else { String::new() });
        if basic {
            headers.push(("authorization", &credentials));
        }
        self.external.send(Verb::POST, &self.endpoint, &headers, &self.form(basic)).await
    }

    /// The header for HTTP Basic. Id and secret are form-encoded before they are joined, so that a colon in the id does
    /// not end it.
    fn basic(&self) -> String {
        let encoded = |text: &str| Zeroizing::new(byte_serialize(text.as_bytes()).collect::<String>());
        let (id, secret) = (encoded(&self.id), encoded(self.secret.as_str().unwrap_or_default()));
        let pair = Zeroizing::new(format!("{}:{}", *id, *secret));
        format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes()))
    }

    fn form(&self, basic: bool) -> Zeroizing<Vec<u8>> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !basic {
            form.append_pair("client_id", &self.id);
            form.append_pair("client_secret", self.secret.as_str().unwrap_or_default());
        }
        for audience in &self.audiences {
            form.append_pair("audience", audience);
        }
        if !self.scopes.is_empty() {
            form.append_pair("scope", &self.scopes.join(" "));
        }
        Zeroizing::new(form.finish().into_bytes())
    }

    fn parse_token(&self, answer: &HttpResponse) -> Result<Secret> {
        let given: Option<Given<'_>> = serde_json::from_slice(answer.body.as_bytes()).ok();
        if answer.status != 200 {
            let code = given.and_then(|given| given.error).and_then(|code| known(&code));
            let refused = format!(
                "it refused the client credentials{}: check `oauth2_client_id`, `oauth2_client_secret`, \
                 `oauth2_client_auth` and `oauth2_audiences`",
                code.map(|code| format!(" ({code})")).unwrap_or_default()
            );
            return Err(self.external.refusal(&self.endpoint, answer, &refused));
        }
        let (kind, reason) = match given.and_then(|given| given.access_token) {
            Some(token) if token.split('.').count() == 3 => return Ok(Secret::new(&*token)),
            Some(_) => {
                (Kind::Denied, "it returned an opaque token: make it issue JWTs for this audience (`oauth2_audiences`)")
            }
            None => (Kind::Invalid, "the answer holds no access token: check `oauth2_token_endpoint`"),
        };
        Err(self.external.error(&self.endpoint, kind, reason))
    }
}

/// Whether an identity provider does not know the client, or requires the other way of authentication.
fn is_invalid_client(answer: &HttpResponse) -> bool {
    let given: Option<Given<'_>> = serde_json::from_slice(answer.body.as_bytes()).ok();
    let code = given.and_then(|given| given.error);
    matches!(answer.status, 400 | 401) && code.is_some_and(|code| *code == *"invalid_client")
}

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    access_token: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
}

/// The code, if it is one of RFC 6749's error codes (5.2): nothing else of the answer is shown.
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
