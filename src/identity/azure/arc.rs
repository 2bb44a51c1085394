//! Azure Arc's agent, on machines elsewhere. It gives tokens to whoever can read a file that it names, which only the group of
//! its own users can.

use std::path::{Component, Path, PathBuf};

use http::header::WWW_AUTHENTICATE;
use url::Url;
use zeroize::Zeroizing;

use super::managed_token::{self, Facts};
use crate::error::{Kind, Result};
use crate::file;
use crate::http::HttpResponse;
use crate::identity::external::ExternalClient;

/// Where the agent's keys are; a file elsewhere is nobody's business of an answer.
pub const KEYS: &str = "/var/opt/azcmagent/tokens";

/// The longest key, as Azure's own clients take it.
const LONGEST: u64 = 4096;

/// A token, for the question `url`; `expected` is what the answer has to name: another identity must not stand in.
pub async fn token(
    external: &ExternalClient,
    url: &Url,
    keys: &str,
    expected: Option<(&'static str, &str)>,
) -> Result<Facts> {
    let answer = external.get(url, &[("metadata", "true")]).await?;
    if answer.status != 401 {
        return Err(managed_token::refusal(external, url, &answer));
    }
    let refused = |kind, reason: &str| external.error(url, kind, reason);
    let path = key_file(&answer, keys).ok_or_else(|| {
        refused(
            Kind::Invalid,
            "its challenge names no key file of Azure Arc's agent (status 401): check IDENTITY_ENDPOINT",
        )
    })?;
    let read = file::read_soon(&path, LONGEST, file::PATIENCE).await;
    let (key, _) = read.map_err(|flaw| {
        let text = format!("the agent's key {}: add nginx's workers to the group `himds`", file::clause(&path, flaw));
        refused(Kind::Config, &text)
    })?;
    let key = std::str::from_utf8(&key).map(str::trim).unwrap_or_default();
    let basic = Zeroizing::new(format!("Basic {key}"));
    let answer = external.get(url, &[("metadata", "true"), ("authorization", &basic)]).await?;
    let facts = managed_token::read(external, url, &answer)?;
    let Some((name, wanted)) = expected else { return Ok(facts) };
    let named = match name {
        "client_id" => facts.client_id.as_deref(),
        "object_id" => facts.object_id.as_deref(),
        _ => facts.resource_id.as_deref(),
    };
    if !named.is_some_and(|named| named.eq_ignore_ascii_case(wanted)) {
        return Err(refused(
            Kind::Denied,
            "it does not know the managed identity that was asked for: update Azure Arc's agent",
        ));
    }
    Ok(facts)
}

/// The file that a challenge names, where it is one of the agent's keys.
fn key_file(answer: &HttpResponse, keys: &str) -> Option<PathBuf> {
    let challenge = answer.headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let (scheme, path) = challenge.split_once('=')?;
    if !scheme.trim().eq_ignore_ascii_case("basic realm") {
        return None;
    }
    let path = PathBuf::from(path.trim().trim_matches('"'));
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let is_key = path.extension().is_some_and(|extension| extension == "key");
    (is_plain && is_key && path.parent() == Some(Path::new(keys))).then_some(path)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::secret::Secret;

    fn named(challenge: &str) -> Option<PathBuf> {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_str(challenge).unwrap())]);
        key_file(&HttpResponse { status: 401, headers, body: Secret::default() }, KEYS)
    }

    #[test]
    fn only_a_key_of_the_agents_is_read() {
        let key = "/var/opt/azcmagent/tokens/a-b.key";
        assert_eq!(named(&format!("Basic realm={key}")), Some(key.into()));
        assert_eq!(named(&format!("basic Realm=\"{key}\"")), Some(key.into()));
        for challenge in [
            "Basic realm=/etc/shadow",
            "Basic realm=/etc/evil.key",
            "Basic realm=/var/opt/azcmagent/tokens/../../../../etc/evil.key",
            "Basic realm=/var/opt/azcmagent/tokens/./a/../../x.key",
            "Basic realm=/var/opt/azcmagent/tokens/below/a.key",
            "Basic realm=/var/opt/azcmagent/tokens/a.txt",
            "Basic realm=/var/opt/azcmagent/tokens/.key",
            "Basic realm=tokens/a.key",
            "Basic realm=",
            "Basic",
            "Bearer realm=/var/opt/azcmagent/tokens/a.key",
        ] {
            assert_eq!(named(challenge), None, "{challenge}");
        }
    }
}
