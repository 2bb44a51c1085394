//! `aws_ec2`: the instance's identity document, which its metadata service signs (PKCS7), and a nonce.

use ::http::Method as Verb;
use url::Url;

use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role, secret};
use crate::backend::hcv::api::object;
use crate::error::{Error, Kind, Result};
use crate::identity::external::ExternalClient;
use crate::secret::Secret;

const METADATA: &str = "http://169.254.169.254";
const METADATA_PLACE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

pub struct Ec2 {
    path: String,
    role: String,
    nonce: Secret,
    external: ExternalClient,
    base: Url,
}

impl Ec2 {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        if context.clients.variable("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            let text =
                "AWS_EC2_METADATA_DISABLED disables EC2's metadata, which `auth_method = aws_ec2` needs: unset it";
            return Err(Error::new(Kind::Config, format!("{}: {text}", context.api.label)));
        }
        Ok(Self {
            path: login_path(context, "aws_login_path")?,
            role: role(context, "aws_auth_role"),
            nonce: secret(context.settings, "aws_auth_nonce").unwrap_or_default(),
            external: context.clients.local("EC2's metadata service")?,
            base: context.clients.place(METADATA_PLACE, METADATA)?,
        })
    }

    async fn document(&self) -> Result<Secret> {
        let mut url = self.base.clone();
        url.set_path("/latest/api/token");
        let ttl = [("x-aws-ec2-metadata-token-ttl-seconds", "60")];
        let answer = self.external.send(Verb::PUT, &url, &ttl, &[]).await?;
        let refused =
            "it gives no session (IMDSv2): allow it for the instance, with a hop limit that reaches into containers";
        let token = self.external.text(&url, &answer, refused)?;
        let token = token.as_str().filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        let token = token.ok_or_else(|| self.external.error(&url, Kind::Invalid, "the session's token is none"))?;
        url.set_path("/latest/dynamic/instance-identity/pkcs7");
        let answer = self.external.get(&url, &[("x-aws-ec2-metadata-token", token)]).await?;
        self.external.text(&url, &answer, "it returned no identity document: check that this is an EC2 instance")
    }
}

impl Method for Ec2 {
    fn name(&self) -> &'static str {
        "aws_ec2"
    }

    fn remedy(&self) -> &'static str {
        "check `aws_auth_role` and its bindings, and that `aws_auth_nonce` is the one that this instance logged in with \
         first"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            let document = self.document().await?;
            // The vault requires it in one line.
            let pkcs7: String = document.as_str().unwrap_or_default().split_ascii_whitespace().collect();
            let mut fields = vec![("role", self.role.as_str()), ("pkcs7", &pkcs7)];
            fields.push(("nonce", self.nonce.as_str().unwrap_or_default()));
            Ok(LoginRequest { path: self.path.clone(), body: object(&fields) })
        })
    }
}
