//! The cache against a simple model of it: what was brought last, and when.
#![no_main]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kong_vault::cache::document::Document;
use kong_vault::cache::{Cache, CacheLookup, Dated, Due, TtlPolicy};
use kong_vault::error::{Error, Kind};
use kong_vault::secret::Secret;
use kong_vault_fuzz::{Bytes, bounded};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    bounded(data.len(), || cache(Bytes(data)));
});

/// What was brought last of one document: a number that grows, and when.
#[derive(Clone, Copy)]
struct Newest {
    number: usize,
    at: Instant,
}

fn cache(mut bytes: Bytes<'_>) {
    let start = Instant::now();
    let seconds = |bytes: &mut Bytes<'_>| Duration::from_secs(u64::from(bytes.byte() % 16));
    let optional = |bytes: &mut Bytes<'_>| (!bytes.byte().is_multiple_of(4)).then(|| seconds(bytes));
    let ttl_policy = TtlPolicy {
        ttl: optional(&mut bytes),
        neg_ttl: seconds(&mut bytes),
        resurrect_ttl: seconds(&mut bytes),
        min_ttl: Duration::ZERO,
        max_ttl: None,
    };
    let size = usize::from(bytes.byte() % 4) + 1;
    let mut cache: Cache<u8> = Cache::new(NonZeroUsize::new(size).expect("at least one"), |_| 1);
    let mut newest: [Option<Newest>; 4] = [None; 4];
    let (mut now, mut count) = (start, 0);
    while !bytes.is_empty() {
        let key = bytes.byte() % 4;
        match bytes.byte() % 8 {
            0 => now += Duration::from_millis(u64::from(bytes.byte()) * 50),
            1 | 2 => {
                // A fetch takes its time, and may have begun before one that is there already.
                let at = now.checked_sub(seconds(&mut bytes)).unwrap_or(start).max(start);
                count += 1;
                let document = Arc::new(Document::new(Secret::new(count.to_string())));
                let place = &mut newest[usize::from(key)];
                // What the cache has let go it doesn't know.
                if cache.peek(&key).and_then(|entry| entry.value()).is_none() {
                    *place = None;
                }
                let _ = cache.fetched(key, Dated { document, at }, &ttl_policy, now, 0.5);
                if place.is_none_or(|known| at >= known.at) {
                    *place = Some(Newest { number: count, at });
                }
            }
            3 => {
                let kind = *bytes.one_of(&[Kind::Unavailable, Kind::Denied, Kind::NotFound]);
                let _ = cache.failed(key, Error::new(kind, "away"), &ttl_policy, now, now, 0.5);
            }
            4 | 5 => {
                let document = match cache.look(&key, now) {
                    CacheLookup::Fresh(document) => Some((document, ttl_policy.ttl)),
                    CacheLookup::Stale { document, .. } => {
                        Some((document, ttl_policy.ttl.map(|ttl| ttl + ttl_policy.resurrect_ttl)))
                    }
                    CacheLookup::Failure(_) | CacheLookup::Nothing => None,
                };
                if let Some((document, limit)) = document {
                    let number: usize = document.whole().as_str().and_then(|text| text.parse().ok()).expect("a number");
                    let known = newest[usize::from(key)].expect("something was brought");
                    assert_eq!(number, known.number, "an older value than was brought");
                    assert!(limit.is_none_or(|limit| now < known.at + limit), "older than it may be");
                }
            }
            6 => {
                while let Some((key, due)) = cache.due(now, Duration::from_secs(20)) {
                    assert!(due == Due::Renew || cache.peek(&key).is_none());
                }
                assert!(cache.next().is_none_or(|next| next > now));
            }
            _ => match bytes.byte() % 8 {
                0 => drop(cache.clear()),
                1 => cache.put_off(&key, Error::new(Kind::Unavailable, "away"), now + seconds(&mut bytes)),
                _ => {}
            },
        }
        assert!(cache.len() <= size);
    }
}
