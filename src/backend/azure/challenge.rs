//! The refusal of a question without a token, by which a key vault tells whose it is. It is shown to people, and nothing is
//! sent anywhere because of it.

use ::http::HeaderMap;
use ::http::header::WWW_AUTHENTICATE;
use url::Url;

/// What a key vault says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The tenant that it belongs to.
    pub tenant: String,
    /// Whom its tokens are for.
    pub resource: Option<String>,
}

impl Challenge {
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
        let (scheme, rest) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |names: &[&str]| {
            rest.split(',').find_map(|part| {
                let (name, value) = part.split_once('=')?;
                names.contains(&name.trim()).then(|| value.trim().trim_matches('"').to_owned())
            })
        };
        let authority = Url::parse(&value(&["authorization", "authorization_uri"])?).ok()?;
        let tenant = authority.path_segments()?.next()?.to_owned();
        let is_plain = tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        let without = |text: String, end: &str| text.strip_suffix(end).map(str::to_owned).unwrap_or(text);
        let resource = value(&["resource", "scope"]).map(|text| without(without(text, "/.default"), "/"));
        (!tenant.is_empty() && is_plain).then_some(Self { tenant, resource })
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn of(text: &'static str) -> Option<(String, Option<String>)> {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(text))]);
        Challenge::of(&headers).map(|challenge| (challenge.tenant, challenge.resource))
    }

    #[test]
    fn a_challenge_names_tenant_and_resource() {
        let some = |tenant: &str, resource: &str| Some((tenant.to_owned(), Some(resource.to_owned())));
        for (text, found) in [
            (
                r#"Bearer authorization="https://login.microsoftonline.com/t-1", resource="https://vault.azure.net""#,
                some("t-1", "https://vault.azure.net"),
            ),
            (
                r#"bearer authorization_uri="https://login.windows.net/t-1/", scope="https://vault.azure.net/.default""#,
                some("t-1", "https://vault.azure.net"),
            ),
            (r#"Bearer authorization="https://a/t-1""#, Some(("t-1".to_owned(), None))),
            (r#"Bearer authorization="https://a/""#, None),
            (r#"Bearer authorization="https://a/%0a[error]""#, None),
            (r#"Bearer realm="x""#, None),
            (r#"Basic authorization="https://a/t-1""#, None),
            ("Bearer", None),
            ("", None),
        ] {
            assert_eq!(of(text), found, "{text}");
        }
    }
}
