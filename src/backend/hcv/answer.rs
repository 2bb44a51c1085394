//! What the vault's answers mean. The error texts are fixed: of a body, only parts that can't be secret decide which
//! one is used.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::path::{KvVersion, Path};
use crate::backend::{Fetched, SecretId};
use crate::error::Kind;
use crate::http::HttpResponse;
use crate::redact;
use crate::secret::Secret;

/// The request, for the error texts.
pub(super) struct ReadContext<'a> {
    pub secret_id: &'a SecretId,
    pub path: &'a Path,
    pub engine: KvVersion,
    pub mount: &'a str,
    /// Whether a token was sent.
    pub token: bool,
}

pub(super) type ReadFailure = (Kind, String);

#[derive(Deserialize)]
struct ReadEnvelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    lease_id: Option<String>,
    renewable: Option<bool>,
    lease_duration: Option<i64>,
    warnings: Option<Vec<String>>,
    errors: Option<Vec<String>>,
}

impl ReadEnvelope<'_> {
    fn says(&self, text: &str) -> bool {
        [&self.warnings, &self.errors].into_iter().flatten().flatten().any(|line| line.contains(text))
    }
}

/// The `data` of a KV v2 answer.
#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: Option<VersionMetadata>,
}

#[derive(Deserialize)]
struct VersionMetadata {
    deletion_time: Option<String>,
    destroyed: Option<bool>,
}

/// The keys by which a writer to KV v1 sets how long a value is good for.
#[derive(Deserialize)]
struct Hint<'a> {
    #[serde(borrow)]
    ttl: Option<&'a RawValue>,
    #[serde(borrow)]
    lease: Option<&'a RawValue>,
}

pub(super) fn parse_document(answer: &HttpResponse, asked: &ReadContext<'_>) -> Result<Fetched, ReadFailure> {
    let envelope = serde_json::from_slice::<ReadEnvelope<'_>>(answer.body.as_bytes()).ok();
    match answer.status {
        200 => {
            let envelope = envelope.ok_or_else(no_vault)?;
            match asked.engine {
                KvVersion::V1 => unversioned(&envelope),
                KvVersion::V2 => versioned(&envelope, asked),
            }
        }
        404 => Err(missing(envelope.as_ref(), asked)),
        status => Err(refused(status, envelope.as_ref(), answer.retry_after(), asked)),
    }
}

fn unversioned(envelope: &ReadEnvelope<'_>) -> Result<Fetched, ReadFailure> {
    let data = envelope.data.and_then(object).ok_or_else(|| {
        (Kind::Invalid, "the answer lacks `data`: check that the mount is a key/value engine".to_owned())
    })?;
    // KV v1 sets a duration on every answer, 768 hours by default, which says nothing about the value. Only a lease, or
    // the writer's own `ttl`, does.
    let meant = envelope.lease_id.as_ref().is_some_and(|id| !id.is_empty())
        || envelope.renewable == Some(true)
        || serde_json::from_str::<Hint<'_>>(data).is_ok_and(|hint| hint.ttl.is_some() || hint.lease.is_some());
    let lease =
        envelope.lease_duration.filter(|seconds| meant && *seconds > 0).and_then(|seconds| seconds.try_into().ok());
    let lease = lease.map(Duration::from_secs);
    Ok(Fetched { lease, ..Fetched::new(Secret::new(data)) })
}

fn versioned(envelope: &ReadEnvelope<'_>, asked: &ReadContext<'_>) -> Result<Fetched, ReadFailure> {
    let inner = envelope.data.and_then(|data| serde_json::from_str::<Versioned<'_>>(data.get()).ok());
    if let Some(gone) = inner.as_ref().and_then(|inner| gone(inner, asked)) {
        return Err(gone);
    }
    let ends = inner.as_ref().and_then(ends);
    let Some(document) = inner.and_then(|inner| inner.data).and_then(object) else {
        return Err((
            Kind::Invalid,
            format!("the answer lacks `data.data`: check that {} is a kv v2 mount, or set `kv` to v1", asked.mount),
        ));
    };
    Ok(Fetched { ends, ..Fetched::new(Secret::new(document)) })
}

/// When the vault deletes a version that has an end (`delete_version_after` of its secret), in seconds since 1970.
fn ends(inner: &Versioned<'_>) -> Option<u64> {
    let time = inner.metadata.as_ref()?.deletion_time.as_deref()?;
    DateTime::from_str(time, Format::DateTimeWithOffset).ok()?.secs().try_into().ok()
}

fn object(value: &RawValue) -> Option<&str> {
    Some(value.get()).filter(|text| text.starts_with('{'))
}

/// The failure for a version that existed, but was deleted or destroyed.
fn gone(inner: &Versioned<'_>, asked: &ReadContext<'_>) -> Option<ReadFailure> {
    if inner.data.is_some() {
        return None;
    }
    let metadata = inner.metadata.as_ref()?;
    let version = asked
        .secret_id
        .version
        .map_or_else(|| "the current version".to_owned(), |version| format!("version {version}"));
    let fate = if metadata.destroyed == Some(true) {
        "is destroyed for good: write a new version or refer to another one"
    } else if metadata.deletion_time.as_ref().is_some_and(|time| !time.is_empty()) {
        "is deleted: undelete it, write a new version or refer to another one"
    } else {
        return None;
    };
    Some((Kind::NotFound, format!("{version} of {} {fate} (status 404)", shown(&asked.path.path))))
}

fn missing(envelope: Option<&ReadEnvelope<'_>>, asked: &ReadContext<'_>) -> ReadFailure {
    let path = shown(&asked.path.path);
    let Some(envelope) = envelope else { return no_vault() };
    let inner = envelope.data.and_then(|data| serde_json::from_str::<Versioned<'_>>(data.get()).ok());
    if let Some(gone) = inner.as_ref().and_then(|inner| gone(inner, asked)) {
        return gone;
    }
    let reason = if envelope.says("Invalid path for a versioned K/V") {
        format!("{} is a kv v2 mount: set `kv` to v2", asked.mount)
    } else if envelope.says("namespace not found") {
        "there is no such namespace: correct `namespace`".to_owned()
    } else if envelope.says("no handler for route") {
        format!("no secrets engine is mounted for {path}: correct `mount` or `namespace`")
    } else {
        let version =
            asked.secret_id.version.map(|version| format!(", or no version {version} of it")).unwrap_or_default();
        let set = match asked.engine {
            KvVersion::V1 => "v1",
            KvVersion::V2 => "v2",
        };
        format!("there is no {path}{version}: correct the reference, or `kv` if the mount is not {set}")
    };
    (Kind::NotFound, format!("{reason} (status 404)"))
}

fn refused(
    status: u16,
    envelope: Option<&ReadEnvelope<'_>>,
    wait: Option<Duration>,
    asked: &ReadContext<'_>,
) -> ReadFailure {
    let says = |text: &str| envelope.is_some_and(|envelope| envelope.says(text));
    let (kind, reason) = match status {
        400 if envelope.is_none() => (
            Kind::Invalid,
            "the answer is not from a vault: set `protocol` to https if the port expects TLS".to_owned(),
        ),
        400 | 401 | 403 if !asked.token => {
            (Kind::Denied, "permission denied: no token was sent: set `token`".to_owned())
        }
        400 => (Kind::Invalid, "the request was refused as invalid: check the secret's path and `mount`".to_owned()),
        401 | 403 => (
            Kind::Denied,
            format!(
                "permission denied: the token is wrong or expired, or no policy of it lets it read {}",
                shown(&asked.path.path)
            ),
        ),
        _ => outage(status, says("sealed"), wait),
    };
    (kind, format!("{reason} (status {status})"))
}

/// The failure for a status that is about the vault as a whole.
pub(super) fn outage(status: u16, sealed: bool, wait: Option<Duration>) -> ReadFailure {
    let text = |text: &str| text.to_owned();
    match status {
        412 => (Kind::Unavailable, text("this node has not caught up with its cluster yet: try again")),
        429 => (Kind::Throttled, format!("too many requests: {}", patience(wait))),
        472 => (Kind::Unavailable, text("this node is a disaster-recovery standby: set `host` to an active one")),
        473 => (Kind::Unavailable, text("this node is a standby: set `host` to the active one")),
        501 => (Kind::Unavailable, text("the vault is not initialised: initialise and unseal it")),
        503 if sealed => (Kind::Unavailable, text("the vault is sealed: unseal it")),
        503 => (Kind::Unavailable, text("the vault is sealed or in maintenance, or a proxy cannot reach it")),
        500..=599 => (Kind::Unavailable, text("the vault failed: see the vault's log")),
        _ => (Kind::Invalid, text("the answer is not from a vault: check `host`, `port` and `mount`")),
    }
}

fn patience(wait: Option<Duration>) -> String {
    match wait.map(|wait| wait.as_secs()) {
        Some(seconds) => format!("the vault asks to wait {seconds} seconds; raise its rate limit quota, or `ttl`"),
        None => "raise the vault's rate limit quota, or `ttl`".to_owned(),
    }
}

pub(super) fn no_vault() -> ReadFailure {
    (Kind::Invalid, "the answer is not the JSON of a vault: check `host`, `port` and `protocol`".to_owned())
}

/// A path as errors show it; it may be long.
fn shown(path: &str) -> String {
    const LONGEST: usize = 200;
    redact::quote(path.strip_prefix("/v1/").unwrap_or(path).as_bytes(), LONGEST)
}

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

    use super::*;
    use crate::backend::hcv::path;

    /// The result of an answer to a request with a token for `hello` in the mount `secret`.
    fn of(engine: KvVersion, version: Option<u32>, status: u16, body: &str) -> Result<Fetched, ReadFailure> {
        let secret_id = SecretId { resource: "hello".to_owned(), version };
        let path = path::for_secret("secret", engine, &secret_id)?;
        let answer = HttpResponse { status, headers: HeaderMap::new(), body: Secret::new(body) };
        parse_document(
            &answer,
            &ReadContext { secret_id: &secret_id, path: &path, engine, mount: "secret", token: true },
        )
    }

    fn fails(engine: KvVersion, status: u16, body: &str) -> ReadFailure {
        let failure = of(engine, None, status, body).expect_err(body);
        assert!(!failure.1.contains("s3cret"), "{}", failure.1);
        failure
    }

    #[test]
    fn the_document_is_the_text_as_written() {
        let body = r#"{"lease_id":"","renewable":false,"lease_duration":2764800,"data":{"b": 1.50,"a":"\u00e9"},"errors":null}"#;
        let fetched = of(KvVersion::V1, None, 200, body).unwrap();
        assert_eq!(fetched.document.as_str(), Some(r#"{"b": 1.50,"a":"\u00e9"}"#));
        assert_eq!(fetched.lease, None, "KV v1's default is no lease");
        let body =
            r#"{"lease_id":null,"data":{"data":{"a":{"data":2}},"metadata":{"deletion_time":"2030","version":1}}}"#;
        assert_eq!(of(KvVersion::V2, None, 200, body).unwrap().document.as_str(), Some(r#"{"a":{"data":2}}"#));
    }

    #[test]
    fn a_version_that_the_vault_deletes_ends_then() {
        let ends = |time: &str| {
            let body = format!(r#"{{"data":{{"data":{{"a":"b"}},"metadata":{{"deletion_time":"{time}"}}}}}}"#);
            of(KvVersion::V2, None, 200, &body).unwrap().ends
        };
        assert_eq!(ends("2030-01-01T00:00:00.123456789Z"), Some(1_893_456_000));
        assert_eq!(ends("2030-01-01T02:00:00+02:00"), Some(1_893_456_000));
        for none in ["", "soon", "1969-12-31T23:59:59Z"] {
            assert_eq!(ends(none), None, "{none}");
        }
    }

    #[test]
    fn a_lease_is_taken_where_somebody_meant_it() {
        let lease = |body: &str| of(KvVersion::V1, None, 200, body).unwrap().lease.map(|lease| lease.as_secs());
        assert_eq!(lease(r#"{"lease_id":"db/1","lease_duration":60,"data":{}}"#), Some(60));
        assert_eq!(lease(r#"{"renewable":true,"lease_duration":60,"data":{}}"#), Some(60));
        assert_eq!(lease(r#"{"lease_duration":30,"data":{"ttl":"30s"}}"#), Some(30));
        assert_eq!(lease(r#"{"lease_id":"db/1","lease_duration":0,"data":{}}"#), None);
        assert_eq!(lease(r#"{"lease_id":"db/1","lease_duration":-1,"data":{}}"#), None);
    }

    #[test]
    fn what_is_no_answer_of_a_vault_is_invalid_and_not_repeated() {
        for body in [
            "",
            "s3cret",
            "<html>s3cret",
            "[]",
            "\"s3cret\"",
            "null",
            "{\"data\":\"s3cret\"}",
            "{}",
            "{\"data\":null}",
            "{\"data\":{\"s3cret",
        ] {
            for engine in [KvVersion::V1, KvVersion::V2] {
                assert_eq!(fails(engine, 200, body).0, Kind::Invalid, "{body}");
            }
        }
        let flat = fails(KvVersion::V2, 200, r#"{"data":{"foo":"s3cret"}}"#);
        assert!(flat.1.contains("set `kv` to v1"), "{}", flat.1);
        assert_eq!(fails(KvVersion::V1, 404, "<html>s3cret").0, Kind::Invalid);
    }

    #[test]
    fn each_status_says_what_to_do() {
        let nothing = r#"{"errors":["s3cret"]}"#;
        for (status, body, kind, text) in [
            (400, "Client sent an HTTP request to an HTTPS server.", Kind::Invalid, "`protocol` to https"),
            (400, nothing, Kind::Invalid, "refused as invalid"),
            (403, nothing, Kind::Denied, "token is wrong or expired"),
            (404, nothing, Kind::NotFound, "there is no secret/hello"),
            (405, nothing, Kind::Invalid, "(status 405)"),
            (412, nothing, Kind::Unavailable, "not caught up"),
            (429, nothing, Kind::Throttled, "too many requests"),
            (472, nothing, Kind::Unavailable, "disaster-recovery"),
            (473, nothing, Kind::Unavailable, "standby"),
            (500, nothing, Kind::Unavailable, "the vault's log"),
            (501, nothing, Kind::Unavailable, "not initialised"),
            (502, "s3cret", Kind::Unavailable, "(status 502)"),
            (503, r#"{"errors":["Vault is sealed"]}"#, Kind::Unavailable, "the vault is sealed: unseal it"),
            (503, "s3cret", Kind::Unavailable, "maintenance"),
            (204, "", Kind::Invalid, "(status 204)"),
        ] {
            let failure = fails(KvVersion::V1, status, body);
            assert!(failure.0 == kind && failure.1.contains(text), "{status}: {failure:?}");
        }
    }

    #[test]
    fn a_wait_that_the_vault_asks_for_is_told() {
        assert!(patience(Some(Duration::from_secs(7))).contains("wait 7 seconds"));
        assert!(!patience(None).contains("wait"));
    }

    #[test]
    fn a_path_in_an_error_is_bounded() {
        assert_eq!(shown("/v1/secret/a"), "secret/a");
        assert!(shown(&"x".repeat(70_000)).len() < 300);
    }
}
