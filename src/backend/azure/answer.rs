//! What Key Vault answers: a secret, or a page of a secret's versions.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::identity::json::Text;

/// A secret's value and what Key Vault says of it.
pub struct Found {
    pub value: Zeroizing<String>,
    pub content_type: Option<String>,
    pub attributes: Attributes,
}

/// Times are seconds since 1970. None of them keeps Key Vault from answering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Attributes {
    /// From when on it is valid, and until when.
    pub nbf: Option<i64>,
    pub exp: Option<i64>,
    pub created: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    #[serde(borrow)]
    value: Text<'a>,
    content_type: Option<String>,
    #[serde(default)]
    attributes: Attributes,
}

/// The secret of an answer; or a clause that quotes nothing of it.
pub fn secret(body: &[u8]) -> Result<Found, &'static str> {
    let bundle: Bundle<'_> =
        serde_json::from_slice(body).map_err(|_| "the answer is not the JSON of a secret: check `vault_uri`")?;
    Ok(Found {
        value: Zeroizing::new(bundle.value.to_owned()),
        content_type: bundle.content_type,
        attributes: bundle.attributes,
    })
}

/// A page of a secret's versions, and what the next one is asked by.
#[derive(Debug)]
pub struct Page {
    pub versions: Vec<Listed>,
    /// The query of the next page's address: the address itself counts for nothing.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub version: String,
    pub created: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    value: Option<Vec<Item>>,
    next_link: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    attributes: Attributes,
}

pub fn page(body: &[u8]) -> Result<Page, &'static str> {
    const WRONG: &str = "the answer is not the JSON of a list of versions: check `vault_uri`";
    let listed: Versions = serde_json::from_slice(body).map_err(|_| WRONG)?;
    let versions = listed.value.unwrap_or_default().into_iter().map(|item| {
        let version = item.id.trim_end_matches('/').rsplit('/').next()?;
        let is_one = version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(Listed { version: version.to_owned(), created: item.attributes.created? }).filter(|_| is_one)
    });
    let versions = versions.collect::<Option<_>>().ok_or(WRONG)?;
    let next = listed.next_link.filter(|link| !link.is_empty());
    let query = |link: String| link.split_once('?').map(|(_, query)| query.to_owned()).ok_or(WRONG);
    Ok(Page { versions, next: next.map(query).transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_value_whatever_else_is_said_of_it() {
        let body =
            br#"{"value":"a\u0026\n\"b","id":"https://v/secrets/n/0","contentType":"text/plain","tags":{"a":"b"},
            "attributes":{"enabled":true,"exp":1500000000,"created":1,"updated":2,"recoveryLevel":"Purgeable"}}"#;
        let found = secret(body).unwrap();
        assert_eq!((found.value.as_str(), found.content_type.as_deref()), ("a&\n\"b", Some("text/plain")));
        assert_eq!(found.attributes, Attributes { nbf: None, exp: Some(1_500_000_000), created: Some(1) });
        assert_eq!(*secret(br#"{"value":""}"#).unwrap().value, "");
        for wrong in ["", "hunter2", "[]", r#"{"id":"hunter2"}"#, r#"{"value":null}"#, r#"{"value":["hunter2"]}"#] {
            assert!(!secret(wrong.as_bytes()).err().unwrap().contains("hunter2"), "{wrong}");
        }
    }

    #[test]
    fn a_page_has_versions_and_the_next_ones_query_alone() {
        let (one, two) = ("a".repeat(32), "B".repeat(32));
        let body = format!(
            r#"{{"value":[{{"id":"https://v/secrets/n/{one}","attributes":{{"created":5}}}},
            {{"id":"https://v/secrets/n/{two}/","attributes":{{"created":7}}}}],
            "nextLink":"https://evil.example:443/x?api-version=7.4&$skiptoken=abc&maxresults=25"}}"#
        );
        let page = page(body.as_bytes()).unwrap();
        assert_eq!(page.versions[1], Listed { version: two, created: 7 });
        assert_eq!(
            (page.versions.len(), page.next.as_deref()),
            (2, Some("api-version=7.4&$skiptoken=abc&maxresults=25"))
        );
        for (body, is_good) in [
            (r#"{"value":[],"nextLink":null}"#, true),
            (r#"{"value":null,"nextLink":""}"#, true),
            (r#"{"value":[{"id":"https://v/secrets/n/../../x","attributes":{"created":1}}]}"#, false),
            (&format!(r#"{{"value":[{{"id":"{one}"}}]}}"#), false),
            (r#"{"value":[],"nextLink":"https://v/none"}"#, false),
            ("[]", false),
        ] {
            assert_eq!(super::page(body.as_bytes()).is_ok(), is_good, "{body}");
        }
    }
}
