//! Makes the API's path of a secret. A reference is not trusted: no part of it may lead out of the mount.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::backend::SecretId;
use crate::error::Kind;

/// The version of the key/value engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KvVersion {
    V1,
    V2,
}

/// A path and its query.
pub(super) struct Path {
    /// From `/v1/` on, percent-encoded.
    pub path: String,
    pub query: Option<String>,
}

/// Encodes all but RFC 3986's unreserved characters.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest encoded path. Vaults and proxies refuse longer ones, each in its own way.
const LONGEST: usize = 8 * 1024;

/// A mount without the slashes that users put around it.
pub(super) fn mount(text: &str) -> Result<String, String> {
    let mount = text.trim_matches('/');
    match encode(mount) {
        Ok(_) => Ok(mount.to_owned()),
        Err(fault) => Err(format!("`mount` {fault}")),
    }
}

pub(super) fn for_secret(mount: &str, engine: KvVersion, secret_id: &SecretId) -> Result<Path, (Kind, String)> {
    let invalid = |fault| (Kind::Reference, format!("the secret's path {fault}"));
    let resource = encode(&secret_id.resource).map_err(invalid)?;
    let mount = encode(mount).map_err(invalid)?;
    match engine {
        KvVersion::V1 => match secret_id.version {
            None | Some(1) => Ok(Path { path: format!("/v1/{mount}/{resource}"), query: None }),
            Some(version) => Err((
                Kind::NotFound,
                format!("kv v1 has no old versions: remove #{version}, or set `kv` to v2 if the mount is one"),
            )),
        },
        KvVersion::V2 => Ok(Path {
            path: format!("/v1/{mount}/data/{resource}"),
            query: secret_id.version.map(|version| format!("version={version}")),
        }),
    }
}

/// Encodes each segment, or says what is wrong with one. The error does not quote the text, which may be a secret.
pub(super) fn encode(path: &str) -> Result<String, &'static str> {
    if path.chars().any(char::is_control) {
        return Err("may not hold control characters");
    }
    let mut encoded = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        match segment {
            "" => return Err("may not hold an empty part (two slashes, or one at its start or end)"),
            "." | ".." => return Err("may not hold `.` or `..` as a part"),
            _ => {}
        }
        if index > 0 {
            encoded.push('/');
        }
        encoded.extend(utf8_percent_encode(segment, ENCODED));
        if encoded.len() > LONGEST {
            return Err("is too long");
        }
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn path(engine: KvVersion, mount: &str, resource: &str, version: Option<u32>) -> Result<String, Kind> {
        match for_secret(mount, engine, &SecretId { resource: resource.to_owned(), version }) {
            Ok(path) => Ok(path.path + &path.query.map(|query| format!("?{query}")).unwrap_or_default()),
            Err((kind, _)) => Err(kind),
        }
    }

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(path(KvVersion::V1, "secret", "hello", None).unwrap(), "/v1/secret/hello");
        assert_eq!(path(KvVersion::V2, "team/kv", "a/b/c", Some(3)).unwrap(), "/v1/team/kv/data/a/b/c?version=3");
        assert_eq!(path(KvVersion::V1, "secret", "hello", Some(1)).unwrap(), "/v1/secret/hello");
        assert_eq!(path(KvVersion::V1, "secret", "hello", Some(2)), Err(Kind::NotFound));
        assert_eq!(path(KvVersion::V2, "secret", "hello", Some(0)).unwrap(), "/v1/secret/data/hello?version=0");
        assert_eq!(path(KvVersion::V1, "s", "a b?c#d%2e\\é", None).unwrap(), "/v1/s/a%20b%3Fc%23d%252e%5C%C3%A9");
        assert_eq!(path(KvVersion::V1, "s", "...", None).unwrap(), "/v1/s/...");
    }

    #[test]
    fn nothing_leads_out_of_the_mount() {
        for resource in
            ["", "/", "..", ".", "a/../b", "../sys/health", "a//b", "/a", "a/", "a/.", "a\0b", "a\r\nb", "a\u{85}b"]
        {
            assert_eq!(path(KvVersion::V2, "secret", resource, None), Err(Kind::Reference), "{resource:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_stays_below_the_mount(resource in r"([a./%\\?#\PC]|%2e|%2f|\.\./){0,20}") {
            if let Ok(path) = path(KvVersion::V2, "secret", &resource, None) {
                let mut url = Url::parse("http://vault:8200").unwrap();
                url.set_path(&path);
                prop_assert_eq!(url.path(), &path);
                let decoded = percent_encoding::percent_decode_str(url.path()).decode_utf8().unwrap();
                prop_assert_eq!(decoded, format!("/v1/secret/data/{resource}"));
                prop_assert_eq!(url.path().matches('/').count(), 4 + resource.matches('/').count());
            }
        }
    }

    #[test]
    fn a_path_has_an_end() {
        assert!(path(KvVersion::V2, "secret", &"a".repeat(4096), None).is_ok());
        assert_eq!(path(KvVersion::V2, "secret", &"é".repeat(32 * 1024), None), Err(Kind::Reference));
    }

    #[test]
    fn a_mount_may_be_written_with_slashes_around_it() {
        assert_eq!(mount("/team/kv/").unwrap(), "team/kv");
        for text in ["", "/", "a//b", "../sys", "a\n"] {
            assert!(mount(text).is_err(), "{text:?}");
        }
    }
}
