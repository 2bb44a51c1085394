//! The Rust core without nginx and Lua: what a look-up below the front table is made of.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

use kong_vault::cache::document::Document;
use kong_vault::cache::{Cache, Dated, TtlPolicy};
use kong_vault::config::Config;
use kong_vault::environment::Environment;
use kong_vault::reference;
use kong_vault::resolver::resolved_reference::ResolvedReference;
use kong_vault::resolver::{Lookup, Resolver};
use kong_vault::secret::Secret;

const DOCUMENTS: usize = 200;

const SHORT: &[u8] = b"{vault://hcv/app/password}";
const LONG: &[u8] = b"{vault://aws/team%2Fpayments/database/password?region=eu-central-1&ttl=60#2}";

fn environment() -> Environment {
    let secrets = (0..DOCUMENTS).map(|number| (format!("SECRET_{number}"), format!("value {number}")));
    let token = [("KONG_VAULT_HCV_TOKEN".to_owned(), "token".to_owned())];
    Environment::from_variables(secrets.chain(token))
}

fn config() -> Config {
    Config::load(&BTreeMap::new(), &environment()).unwrap()
}

fn references(c: &mut Criterion) {
    let config = config();
    for (name, text) in [("short", SHORT), ("long", LONG)] {
        c.bench_function(&format!("reference: parse, {name}"), |b| b.iter(|| reference::parse(black_box(text))));
        c.bench_function(&format!("plan: of a reference, {name}"), |b| {
            b.iter(|| ResolvedReference::resolve(black_box(text), &config))
        });
    }
}

fn cache(c: &mut Criterion) {
    let mut cache = Cache::new(NonZeroUsize::new(1000).unwrap(), |key: &String| key.len());
    let ttl_policy = TtlPolicy {
        ttl: None,
        neg_ttl: Duration::ZERO,
        resurrect_ttl: Duration::ZERO,
        min_ttl: Duration::ZERO,
        max_ttl: None,
    };
    let keys: Vec<_> = (0..DOCUMENTS).map(|number| format!("secret {number}")).collect();
    for key in &keys {
        let document = Arc::new(Document::new(Secret::new(r#"{"user":"a","password":"b"}"#)));
        let value = Dated { document, at: Instant::now() };
        let _ = cache.fetched(key.clone(), value, &ttl_policy, Instant::now(), 0.5);
    }
    let (now, mut turn) = (Instant::now(), keys.iter().cycle());
    c.bench_function("cache: look, 200 documents in turn", |b| {
        b.iter(|| cache.look(black_box(turn.next().unwrap()), now));
    });
}

fn lookup(c: &mut Criterion) {
    let resolver = Arc::new(Resolver::new(config(), environment(), Arc::new(AtomicU32::new(1))));
    let references: Vec<_> = (0..DOCUMENTS).map(|number| format!("{{vault://env/secret-{number}}}")).collect();
    for reference in &references {
        assert!(matches!(resolver.lookup(reference.as_bytes()), Ok(Lookup::Value(_))));
    }
    let mut turn = references.iter().cycle();
    c.bench_function("resolver: lookup of what is cached, 200 in turn", |b| {
        b.iter(|| resolver.lookup(black_box(turn.next().unwrap().as_bytes())));
    });
}

fn document(c: &mut Criterion) {
    let text = r#"{"username":"app","password":"correct horse battery staple","host":"db.internal","port":"5432"}"#;
    let document = Document::new(Secret::new(text));
    document.read_fields();
    c.bench_function("document: pick a field", |b| b.iter(|| document.pick(black_box(Some(b"password")), false)));
    c.bench_function("document: read the fields", |b| {
        b.iter(|| Document::new(Secret::new(black_box(text))).read_fields());
    });
}

criterion_group!(benches, references, cache, lookup, document);
criterion_main!(benches);
