//! `aws_iam`: a signed request to AWS's STS, `GetCallerIdentity`. The vault sends it, and AWS's answer tells the vault
//! who signed it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role, secret, text};
use crate::backend::hcv::api::object;
use crate::error::{Kind, Result};
use crate::http::Transport;
use crate::identity::aws::{AccessKeys, Chain, Role, SESSION, Wanted, caller_identity};
use crate::identity::clock::Clock;

/// By this header, the vault knows that the request was made for it and not for another.
const SERVER: &str = "x-vault-aws-iam-server-id";

pub struct CallerIdentity {
    path: String,
    role: String,
    server: Option<String>,
    chain: Chain,
    clock: Clock,
}

impl CallerIdentity {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        let (settings, clients) = (context.settings, context.clients);
        let transport = Transport { ca_cert: clients.variable("AWS_CA_BUNDLE"), ..clients.usual.clone() };
        let (id, key) = (secret(settings, "aws_access_key_id"), secret(settings, "aws_secret_access_key"));
        let keys = id
            .as_ref()
            .zip(key.as_ref())
            .and_then(|(id, key)| Some(AccessKeys::new(id.as_str()?, key.as_str()?, None)));
        let clock = Clock::default();
        let wanted = Wanted {
            transport: &transport,
            region: text(settings, "aws_auth_region"),
            region_option: "`aws_auth_region`",
            keys,
            role: text(settings, "aws_assume_role_arn").map(|arn| Role {
                arn: arn.to_owned(),
                session: text(settings, "aws_role_session_name").unwrap_or(SESSION).to_owned(),
                external_id: None,
                duration: None,
            }),
            sts: text(settings, "aws_sts_endpoint_url").map(|url| ("aws_sts_endpoint_url", url)),
            fips: None,
            dualstack: None,
            metadata_v1: None,
        };
        Ok(Self {
            path: login_path(context, "aws_login_path")?,
            role: role(context, "aws_auth_role"),
            server: text(settings, "aws_iam_server_id").map(str::to_owned),
            chain: Chain::new(wanted, clock.clone())?,
            clock,
        })
    }

    async fn question(&self) -> Result<LoginRequest> {
        let region = self.chain.region().await?;
        let login = self.chain.login(&region).await?;
        let (url, region) = self.chain.sts(&region).await?;
        let server = self.server.as_ref().map(|server| (SERVER, server.as_str()));
        let more: Vec<_> = server.into_iter().collect();
        let request = caller_identity(&url, &region, &login, &more, self.clock.now())?;
        let headers = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), serde_json::Value::from(vec![value.to_str().ok()?]))));
        let headers = serde_json::Value::from_iter(headers.map(|(name, values)| (name.to_owned(), values)));
        // Wiped, as anyone who has it can log in with it for some minutes.
        let headers = Zeroizing::new(STANDARD.encode(Zeroizing::new(headers.to_string()).as_bytes()));
        let fields = [
            ("role", self.role.as_str()),
            ("iam_http_request_method", request.method().as_str()),
            ("iam_request_url", &STANDARD.encode(&url)),
            ("iam_request_body", &STANDARD.encode(request.body())),
            ("iam_request_headers", &headers),
        ];
        Ok(LoginRequest { path: self.path.clone(), body: object(&fields) })
    }
}

impl Method for CallerIdentity {
    fn name(&self) -> &'static str {
        "aws_iam"
    }

    fn remedy(&self) -> &'static str {
        "check `aws_auth_role` and the ARNs that it is bound to, the keys, that `aws_auth_region` is where the vault itself \
         asks STS, and `aws_iam_server_id`"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            // A configuration error is not the vault's fault. Any other error prevents the login.
            self.question().await.map_err(|error| if error.kind() == Kind::Config { error } else { error.of_login() })
        })
    }
}
