//! Subject tokens, which other identity providers issue and Google's STS exchanges: from a file, a URL or a program, or made
//! from AWS credentials.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue, Request};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::aws_subject;
use super::destination::is_local;
use super::written::{ExternalAccount, SubjectSource, TokenFormat};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::http::Transport;
use crate::identity::aws::Chain;
use crate::identity::client::{CloudClient, address};
use crate::identity::credentials_cache::LoadStage;
use crate::identity::files;
use crate::identity::program::Program;
use crate::secret::WipedText;

/// The variable that allows programs, as in Google's own libraries.
pub const ALLOW: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";

/// The longest that a program may run, whatever its file says.
const LONGEST_RUN: Duration = Duration::from_secs(55);

/// The timeout of a request to one of the machine's own services.
const LOCAL: Duration = Duration::from_secs(2);

/// The types of tokens that a program may print; a SAML response has a field of its own.
const SAML: &str = "urn:ietf:params:oauth:token-type:saml2";
const KNOWN_TYPES: [&str; 3] =
    ["urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt", SAML];

/// What is needed to get subject tokens.
pub struct SubjectMeans {
    pub environment: Environment,
    /// AWS credentials, for pools that trust an AWS account. An error matters only to these pools.
    pub aws: Result<Chain>,
}

impl SubjectMeans {
    pub fn new(transport: &Transport<'_>, client: &CloudClient) -> Self {
        Self { environment: transport.environment.clone(), aws: aws_subject::chain(transport, client) }
    }
}

pub async fn token(
    client: &CloudClient,
    means: &SubjectMeans,
    stage: &LoadStage,
    external: &ExternalAccount,
    origin: &str,
) -> Result<Zeroizing<String>> {
    let refuse = |(kind, reason): (Kind, String)| client.error(kind, format!("{origin}: {reason}"));
    match &external.source {
        SubjectSource::File { path, format } => {
            let text = files::read_text(Path::new(path)).await;
            let text = text.map_err(|unread| refuse((Kind::Config, format!("no subject token: {unread}"))))?;
            picked(&text, format).map_err(|reason| refuse((Kind::Config, format!("the token's file {reason}"))))
        }
        SubjectSource::Url { url, headers, format } => {
            stage.asks("the source of subject tokens");
            from_url(client, url, headers, format).await
        }
        SubjectSource::Executable { command, timeout_millis, output_file } => {
            stage.asks("the credentials' executable");
            let asked = Executable { command, timeout_millis: *timeout_millis, output_file: output_file.as_deref() };
            asked.token(means, external).await.map_err(refuse)
        }
        SubjectSource::Aws(source) => {
            let chain = means.aws.as_ref().map_err(Error::clone)?;
            stage.asks("AWS's sources of credentials");
            aws_subject::token(client, chain, stage, source, &external.audience, origin).await
        }
    }
}

/// The token in the text of a file or an answer. The error is a clause that quotes nothing of it.
fn picked(text: &str, format: &TokenFormat) -> std::result::Result<Zeroizing<String>, String> {
    let token = match format {
        TokenFormat::Text => Zeroizing::new(text.trim().to_owned()),
        TokenFormat::Json { field } => {
            let json: Value = serde_json::from_str(text).map_err(|_| "is no JSON, as its format says".to_owned())?;
            let token = json.get(field).and_then(Value::as_str);
            Zeroizing::new(token.ok_or("has no text under its subject_token_field_name")?.to_owned())
        }
    };
    if token.is_empty() { Err("is empty".to_owned()) } else { Ok(token) }
}

async fn from_url(
    client: &CloudClient,
    url: &Url,
    headers: &[(String, WipedText)],
    format: &TokenFormat,
) -> Result<Zeroizing<String>> {
    let at = url.as_str().parse().map_or_else(|_| String::new(), |uri| address(&uri));
    let error = |kind, reason: &str| client.error_at(&at, kind, format!("the source of subject tokens {reason}"));
    let mut request = Request::new(Vec::new());
    *request.uri_mut() = url.as_str().parse().map_err(|_| error(Kind::Config, "has no valid URL"))?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(&value.0)) else {
            return Err(error(Kind::Config, "has headers that cannot be sent: correct the credentials"));
        };
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    let answer = match is_local(url) {
        true => client.send_local(request, LOCAL).await?,
        false => client.services.send(request).await?,
    };
    let status = answer.status;
    if status != 200 {
        let (kind, reason) = match status {
            429 => (Kind::Throttled, "has too many requests"),
            500.. => (Kind::Unavailable, "failed: try again"),
            _ => (Kind::Denied, "gives none: check its url and headers in the credentials"),
        };
        return Err(error(kind, &format!("{reason} (status {status})")).with_retry_after(answer.retry_after()));
    }
    let text = answer.body.as_str().ok_or_else(|| error(Kind::Invalid, "answers with what is no text"))?;
    picked(text, format).map_err(|reason| error(Kind::Invalid, &format!("gives an answer that {reason}")))
}

/// A program that speaks Google's protocol for executables.
struct Executable<'a> {
    command: &'a str,
    timeout_millis: u64,
    output_file: Option<&'a str>,
}

#[derive(Deserialize)]
struct ExecutableReply {
    version: Option<Value>,
    success: Option<bool>,
    token_type: Option<String>,
    id_token: Option<WipedText>,
    saml_response: Option<WipedText>,
    expiration_time: Option<i64>,
}

impl Executable<'_> {
    async fn token(
        &self,
        means: &SubjectMeans,
        external: &ExternalAccount,
    ) -> std::result::Result<Zeroizing<String>, (Kind, String)> {
        if means.environment.text(ALLOW).map(str::trim) != Some("1") {
            let reason = format!("its executable is not run: set {ALLOW}=1 in nginx's environment to allow it");
            return Err((Kind::Config, reason));
        }
        if let Some(token) = self.written(external).await {
            return Ok(token);
        }
        let email = external.impersonation.as_ref().map(|target| target.email().to_owned()).unwrap_or_default();
        let mut variables: Vec<(&str, OsString)> = vec![
            ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", external.audience.clone().into()),
            ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", external.subject_token_type.clone().into()),
            ("GOOGLE_EXTERNAL_ACCOUNT_ID", email.clone().into()),
            ("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0".into()),
            ("GOOGLE_EXTERNAL_ACCOUNT_REVOKE", "0".into()),
        ];
        if !email.is_empty() {
            variables.push(("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email.into()));
        }
        variables.extend(self.output_file.map(|path| ("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", path.into())));
        let arguments: Vec<_> = self.command.split_whitespace().map(OsStr::new).collect();
        let program = Program {
            arguments: &arguments,
            environment: &means.environment,
            variables: &variables,
            limit: Duration::from_millis(self.timeout_millis).min(LONGEST_RUN),
        };
        let fail = |(kind, reason): (Kind, String)| (kind, format!("its executable: {reason}"));
        let written = program.run().await.map_err(fail)?;
        let reply = read(written.json()).ok_or("its output is not the JSON of Google's protocol".to_owned());
        match (written.status, reply) {
            (0, Ok(reply)) => reply.token(external).map_err(|reason| fail((Kind::Invalid, reason.to_owned()))),
            (0, Err(reason)) => Err(fail((Kind::Invalid, reason))),
            // Its message is not shown.
            (status, _) => Err(fail((Kind::Unavailable, format!("the program failed with status {status}")))),
        }
    }

    /// The token that an earlier run has written, while it is valid.
    async fn written(&self, external: &ExternalAccount) -> Option<Zeroizing<String>> {
        let text = files::read_text(Path::new(self.output_file?)).await.ok()?;
        let reply = read(text.as_bytes())?;
        reply.expiration_time?;
        reply.token(external).ok()
    }
}

fn read(json: &[u8]) -> Option<ExecutableReply> {
    serde_json::from_slice(json).ok()
}

impl ExecutableReply {
    fn token(self, external: &ExternalAccount) -> std::result::Result<Zeroizing<String>, &'static str> {
        if self.version.as_ref().and_then(Value::as_i64) != Some(1) {
            return Err("its output is not of version 1");
        }
        if self.success != Some(true) {
            return Err("it says that it has no token (success is not true)");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.expiration_time.is_some_and(|ends| ends <= now as i64) {
            return Err("its token has expired");
        }
        let kind = self.token_type.unwrap_or_default();
        if kind != external.subject_token_type || !KNOWN_TYPES.contains(&kind.as_str()) {
            return Err("its token_type is another than the credentials' subject_token_type");
        }
        let token = if kind == SAML { self.saml_response } else { self.id_token };
        token.map(|token| token.0).filter(|token| !token.is_empty()).ok_or("its output holds no token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_picked_as_its_format_says() {
        let json = TokenFormat::Json { field: "token".to_owned() };
        assert_eq!(*picked(" a.b.c\n", &TokenFormat::Text).unwrap(), "a.b.c");
        assert_eq!(*picked(r#"{"token":"a.b.c"}"#, &json).unwrap(), "a.b.c");
        for (text, format) in [
            (" \n", &TokenFormat::Text),
            ("hunter2", &json),
            (r#"{"token":7}"#, &json),
            (r#"{"tokens":"hunter2"}"#, &json),
            (r#"{"token":""}"#, &json),
        ] {
            assert!(!picked(text, format).unwrap_err().contains("hunter2"), "{text}");
        }
    }
}
