use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, Weak};

use tokio::time::sleep;

use super::*;
use crate::backend::{Backend, Fetching, FetchingGroup};
use crate::cache::document::{Document, GroupVersion};
use crate::config::Config;
use crate::environment::Environment;
use crate::resolver::Lookup;
use crate::resolver::batches::BatchContext;
use crate::resolver::instance::Limits;
use crate::runtime::engine::Engine;
use crate::secret::Secret;
use crate::sync::lock;

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(10);

fn resolver() -> Arc<Resolver> {
    let conf = [("vault_fs_prefix", "/nowhere"), ("vault_fetch_timeout", "10")];
    let conf: BTreeMap<_, _> = conf.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let environment = Environment::default();
    let config = Config::load(&conf, &environment).unwrap();
    Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(1))))
}

fn key(resolver: &Arc<Resolver>, name: &str) -> Arc<DocumentKey> {
    match resolver.lookup(format!("{{vault://fs/{name}}}").as_bytes()).unwrap() {
        Lookup::Miss(resolved) => Arc::clone(&resolved.key),
        Lookup::Value(_) => panic!("{name} is cached"),
    }
}

fn group(version: u64) -> Option<GroupVersion> {
    Some(GroupVersion { group: 1, version, has_siblings: true })
}

fn fetched(version: u64) -> Fetched {
    Fetched { group: group(version), ..Fetched::new(Secret::new("value")) }
}

fn cache(resolver: &Resolver, key: &Arc<DocumentKey>, version: u64) {
    resolver.documents().keep_value(key, dated(version), resolver.config());
}

fn dated(version: u64) -> Dated {
    Dated { document: Arc::new(Document::new(Secret::new("value")).of_group(group(version))), at: Instant::now() }
}

fn cached(resolver: &Resolver, key: &Arc<DocumentKey>) -> Option<u64> {
    Some(resolver.documents().own(key)?.document.group()?.version)
}

/// A vault whose group is of version 2.
struct Volume {
    /// How long the whole group takes.
    takes: Duration,
    /// Documents of version 1, one of which is cached during each fetch.
    meanwhile: Mutex<Vec<Arc<DocumentKey>>>,
    resolver: Weak<Resolver>,
}

impl Backend for Volume {
    fn fetch<'a>(&'a self, _: &'a SecretId) -> Fetching<'a> {
        Box::pin(async { Ok(fetched(2)) })
    }

    fn fetch_group<'a>(&'a self, _: &'a SecretId, others: &'a [SecretId]) -> FetchingGroup<'a> {
        Box::pin(async {
            sleep(self.takes).await;
            let key = lock(&self.meanwhile).pop();
            if let (Some(key), Some(resolver)) = (key, self.resolver.upgrade()) {
                cache(&resolver, &key, 1);
            }
            let others = (0..others.len()).map(|at| (at, fetched(2))).collect();
            Ok(FetchedGroup { first: fetched(2), others, siblings: Vec::new() })
        })
    }
}

/// What a fetch of one document brought, in that time, from a vault that the resolver does not know.
fn done(resolver: &Arc<Resolver>, takes: Duration, meanwhile: Vec<Arc<DocumentKey>>, took: Duration) -> Done {
    let vault = Volume { takes, meanwhile: Mutex::new(meanwhile), resolver: Arc::downgrade(resolver) };
    let limits = Limits { timeout: LIMIT, breaker_interval: LIMIT };
    let context = BatchContext::new(resolver.metrics().batches.clone());
    let vault = Arc::new(Instance::new(Arc::new(vault), 1, &limits, context));
    Done { asked: Some(vault), ..Done::of(Ok(fetched(2)), Vec::new(), Instant::now(), took) }
}

/// Asserts that a group whose first fetch took 1 s is given up at the fetch's own end.
async fn assert_ends_in_time(resolver: &Arc<Resolver>, takes: Duration) {
    let meanwhile = ["a", "b", "c", "d"].map(|name| key(resolver, name)).to_vec();
    let start = tokio::time::Instant::now();
    let done = done(resolver, takes, meanwhile, SECOND);
    let done = resolver.with_group(&key(resolver, "first"), done).await;
    assert_eq!(done.fetched.unwrap_err().kind(), Kind::Timeout);
    // The end is counted by the real clock, which has gone on a little.
    let took = start.elapsed();
    assert!((9 * SECOND..12 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn all_fetches_of_a_group_have_the_time_of_one_together() {
    let resolver = resolver();
    cache(&resolver, &key(&resolver, "known"), 1);
    // Two of them come to their end, the third does not.
    assert_ends_in_time(&resolver, 4 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_group_is_fetched_in_the_time_that_its_first_document_left() {
    assert_ends_in_time(&resolver(), 2 * LIMIT).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_comes_from_the_vault_that_was_asked_also_where_it_is_forgotten() {
    let resolver = resolver();
    let (first, other) = (key(&resolver, "first"), key(&resolver, "other"));
    for known in [false, true] {
        if known {
            cache(&resolver, &other, 1);
        }
        assert!(resolver.instances().known(&first.instance).is_none());
        let done = resolver.with_group(&first, done(&resolver, SECOND, Vec::new(), SECOND)).await;
        assert_eq!(done.fetched.unwrap(), fetched(2));
        assert_eq!(done.others.into_iter().map(|(key, _)| key).eq([&other].map(Arc::clone)), known);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_the_worker_has_a_time_of_its_own() {
    let resolver = resolver();
    let key = key(&resolver, "first");
    // The worker's listener, which takes nothing by itself.
    let engine = Engine::of_this_process(&Environment::default()).unwrap();
    let mut stream = UnixStream::connect(engine.address().strip_prefix("unix:").unwrap()).unwrap();
    stream.write_all(&resolver.notifier().number().to_le_bytes()).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    resolver.keep_together(&key, dated(1), Vec::new());
    assert_eq!(cached(&resolver, &key), None);
    resolver.keep_batches();
    assert_eq!(cached(&resolver, &key), Some(1));
    sleep(LEFT - SECOND / 2).await;
    resolver.keep_together(&key, dated(2), Vec::new());
    sleep(SECOND).await;
    assert_eq!(cached(&resolver, &key), Some(1), "the first batch's time is over, not this one's");
    sleep(LEFT).await;
    assert_eq!(cached(&resolver, &key), Some(2));
}
