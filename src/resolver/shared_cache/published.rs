//! A call's outcome as the other workers of the node are given it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::Dated;
use crate::node::{Node, SealedOutcome};
use crate::resolver::document_cache::DocumentCache;
use crate::resolver::resolved_reference::DocumentKey;

/// How long a value stays for other workers after its `ttl`: long enough for an outage with a reload in it.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Adds to a failure the newer one of this worker's value and `known`'s that still serve; returns a value as it is.
pub fn with_old(
    documents: &DocumentCache,
    key: &Arc<DocumentKey>,
    sealed_outcome: SealedOutcome,
    known: Option<&SealedOutcome>,
) -> SealedOutcome {
    let SealedOutcome::Failure { error, began, at, .. } = sealed_outcome else { return sealed_outcome };
    // A value fetched under other options is never given to other workers.
    let own = documents.own(key);
    let serves = |value: &Dated| key.ttl_policy.serves_for(value, at).is_none_or(|left| !left.is_zero());
    let known = known.and_then(SealedOutcome::value).cloned();
    let old = own.into_iter().chain(known).filter(serves).max_by_key(|value| value.at);
    SealedOutcome::Failure { error, began, at, old }
}

/// Seals an outcome for the node's cache, where `known` lies now, sealed, or nothing. Also returns for how many seconds
/// others may keep it (0: for ever). `None` where it is not to be stored: `known` is newer, or nobody has use for it.
pub fn seal(
    node: &Node,
    documents: &DocumentCache,
    key: &Arc<DocumentKey>,
    sealed_outcome: SealedOutcome,
    known: &[u8],
) -> Option<(Vec<u8>, f64)> {
    let name = key.name(node);
    let known = Some(known).filter(|known| !known.is_empty()).and_then(|known| node.open(name, known));
    if known.as_ref().is_some_and(|known| known.began() > sealed_outcome.began()) {
        return None;
    }
    let sealed_outcome = with_old(documents, key, sealed_outcome, known.as_ref());
    let keep = match keeps_for(key, &sealed_outcome) {
        Some(keep) if keep.is_zero() => return None,
        // A value in use is renewed before that, and each renewal is published again.
        Some(keep) => keep.min(key.ttl_policy.ttl.unwrap_or_default() + KEPT).as_secs_f64(),
        None => 0.0,
    };
    Some((node.seal(name, &sealed_outcome)?, keep))
}

/// For how long others have use for an outcome; `None`: for ever.
fn keeps_for(key: &DocumentKey, sealed_outcome: &SealedOutcome) -> Option<Duration> {
    let serves_for = |value| key.ttl_policy.serves_for(value, Instant::now());
    match sealed_outcome {
        // A failure that is not remembered doesn't replace the value that lies there.
        SealedOutcome::Failure { error, .. } if key.ttl_policy.remembers(error).is_zero() => Some(Duration::ZERO),
        SealedOutcome::Failure { error, old, .. } => {
            let serves = old.as_ref().map_or(Some(Duration::ZERO), serves_for);
            serves.map(|serves| serves.max(key.ttl_policy.remembers(error)))
        }
        SealedOutcome::Value(value) => serves_for(value),
    }
}
