//! What is fed in costs work and memory that its size bounds, whatever stands in it.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use kong_vault::backend::registry::ALL;
use kong_vault::cache::document::Document;
use kong_vault::config::{Config, declarative, entity};
use kong_vault::environment::Environment;
use kong_vault::resolver::Resolver;
use kong_vault::resolver::resolved_reference::ResolvedReference;
use kong_vault::secret::Secret;
use support::cost::{self, Counting};
use support::{admin, heavy};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_declarative_file_is_loaded_in_time_linear_to_its_size() {
    for (what, make) in heavy::FILES {
        // What is called so is read as JSON and then, where it is none, as YAML.
        cost::is_linear(what, *make, |text| drop(declarative::parse_text("kong.json", text, ALL)));
    }
}

#[test]
fn a_request_to_the_admin_api_is_answered_in_time_linear_to_its_size() {
    let bed = admin::Bed::new();
    let kinds = [("application/json", heavy::BODIES), ("application/x-www-form-urlencoded", heavy::FORMS)];
    for (content_type, bodies) in kinds {
        for (what, make) in bodies {
            cost::is_linear(&format!("{what} as {content_type}"), *make, |body| {
                drop(bed.send("PUT", "/vaults/mine", Some(content_type), body.as_bytes()));
            });
        }
    }
}

#[test]
fn a_field_is_picked_in_time_linear_to_its_document() {
    for (what, make) in heavy::DOCUMENTS {
        cost::is_linear(what, *make, |text| {
            let document = Document::new(Secret::new(text));
            let picked = document.pick(Some(b"z"), false).is_ok();
            assert_eq!(
                picked,
                // As in Kong, a thousand levels are read, and a number of any length.
                !matches!(*what, "no JSON" | "a deep list that is broken off" | "deep lists" | "deep objects"),
                "{what}"
            );
            let _ = (document.pick(Some(b"z"), true), document.pick(None, true), document.bytes());
        });
    }
}

#[test]
fn a_reference_is_understood_in_time_linear_to_its_length() {
    let config = Config::load(&BTreeMap::new(), &Environment::default()).unwrap();
    for (what, make) in heavy::REFERENCES {
        cost::is_linear(what, *make, |text| {
            if let Err(error) = ResolvedReference::resolve(text.as_bytes(), &config) {
                assert!(error.to_string().len() < 4096, "{what}: {error}");
            }
        });
    }
}

#[test]
fn an_entity_is_taken_in_time_linear_to_its_reference() {
    let prefixes: (&str, fn(usize) -> String) = ("prefixes", |size| {
        let prefixes: String = (0..size / 24).map(|at| format!("prefix=a{at:06}&")).collect();
        format!("{{vault://env/{}?{prefixes}ttl=1}}", "R".repeat(size / 3))
    });
    for (what, make) in heavy::REFERENCES.iter().chain([&prefixes]) {
        cost::is_linear(what, *make, |text| {
            let config = Config::load(&BTreeMap::new(), &Environment::default()).unwrap();
            let entity = serde_json::json!({"prefix": "mine", "name": "hcv", "config": {"token": text}});
            let engine = Arc::new(AtomicU32::new(0));
            let resolver = Arc::new(Resolver::new(config, Environment::default(), engine));
            resolver.replace_entities(vec![entity::listed(&entity, ALL, "a test")], "a test");
        });
    }
}

/// What one MB may cost, in a build as it is released.
#[test]
#[ignore = "a measurement of seconds: cargo test --release --package kong-vault --test bounds -- --ignored --nocapture"]
fn a_megabyte_of_anything_is_answered_within_a_second_and_100_mb() {
    let bed = admin::Bed::new();
    let mut costs = Vec::new();
    let mut measure = |what: String, make: heavy::Made, work: &dyn Fn(&str)| {
        let input = make(1_000_000);
        costs.push((cost::of(|| work(&input)), what));
    };
    for (what, make) in heavy::FILES {
        measure(format!("load {what}"), *make, &|text| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kong.yml");
            std::fs::write(&path, text).unwrap();
            let conf = [("vault_declarative_config".to_owned(), path.to_str().unwrap().to_owned())];
            drop(Config::load(&conf.into(), &Environment::default()));
        });
    }
    for (kind, bodies) in [("application/json", heavy::BODIES), ("application/x-www-form-urlencoded", heavy::FORMS)] {
        for (what, make) in bodies {
            measure(format!("{kind} {what}"), *make, &|body| {
                drop(bed.send("PUT", "/vaults/mine", Some(kind), body.as_bytes()));
            });
        }
    }
    cost::of_a_megabyte(costs);
}
