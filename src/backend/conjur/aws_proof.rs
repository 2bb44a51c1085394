//! The proof for authn-iam: the headers of a signed request to AWS's STS, `GetCallerIdentity`. Conjur sends that request, and
//! AWS's answer tells it whose credentials signed it.

use http::header::HOST;
use http::{HeaderName, HeaderValue, Request};
use zeroize::Zeroizing;

use super::written::WrittenOptions;
use crate::error::{Error, Kind, Result};
use crate::http::Transport;
use crate::identity::aws::{Chain, Role, SESSION, Wanted, set, signed};
use crate::identity::clock::Clock;
use crate::identity::credentials_cache::LoadStage;

/// Conjur sends the request without a body, and wants the body's digest among the headers.
const DIGEST: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DIGEST_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The region without any, as CyberArk's own clients have it.
const USUAL_REGION: &str = "us-east-1";

pub struct AwsProof {
    label: String,
    chain: Chain,
    clock: Clock,
}

impl AwsProof {
    pub fn new(written: &WrittenOptions<'_>, outer: &Transport<'_>, clock: Clock) -> Result<Self> {
        let transport = Transport { ca_cert: set(outer.environment, "AWS_CA_BUNDLE"), ..outer.clone() };
        let wanted = Wanted {
            transport: &transport,
            region: written.text("aws_region", &[]),
            region_option: "`aws_region`",
            keys: None,
            role: written.text("aws_assume_role_arn", &[]).map(|arn| Role {
                arn: arn.to_owned(),
                session: written.text("aws_role_session_name", &[]).unwrap_or(SESSION).to_owned(),
                external_id: None,
                duration: None,
            }),
            sts: None,
            fips: None,
            dualstack: None,
            metadata_v1: None,
        };
        Ok(Self { label: written.label.to_owned(), chain: Chain::new(wanted, clock.clone())?, clock })
    }

    /// The headers as a JSON object. Anyone who has them can log in with them for some minutes, so they are wiped.
    pub async fn headers(&self, stage: &LoadStage) -> Result<Zeroizing<String>> {
        stage.asks("the sources of AWS credentials");
        let region = self.chain.region_if_any().await?.unwrap_or_else(|| USUAL_REGION.into());
        let login = self.chain.login(&region).await?;
        let host = format!("sts.{region}.amazonaws.com");
        let mut request = Request::new(Vec::new());
        let unfit =
            || Error::new(Kind::Config, format!("{}: the region {region} names no STS: correct it", self.label));
        *request.uri_mut() =
            format!("https://{host}/?Action=GetCallerIdentity&Version=2011-06-15").parse().map_err(|_| unfit())?;
        // Conjur accepts no signature that covers other headers than these, the time and the session's token.
        request.headers_mut().insert(HOST, HeaderValue::from_str(&host).map_err(|_| unfit())?);
        request.headers_mut().insert(DIGEST, HeaderValue::from_static(DIGEST_OF_NOTHING));
        let request = signed(request, "sts", &region, &login.identity, self.clock.now())?;
        let headers = request.headers().iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), serde_json::Value::from(value.to_str().ok()?))));
        Ok(Zeroizing::new(serde_json::Value::from_iter(headers).to_string()))
    }
}
