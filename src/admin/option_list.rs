//! The options that a vault entity may set, as JSON: forms are made of it.

use serde_json::{Value, json};

use crate::backend::{Descriptor, Requirement, When};
use crate::options::{COMMON, Holds, LONGEST, Opt, Type};

/// All backends with their options. `COMMON` are those of every vault.
pub fn list(backends: &[&'static Descriptor]) -> Value {
    let backend = |backend: &&'static Descriptor| {
        json!({
            "name": backend.name,
            "title": backend.title,
            "options": all(backend.options),
            "needs": backend.requirements.iter().map(need).collect::<Vec<_>>(),
        })
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "backends": backends.iter().map(backend).collect::<Vec<_>>(),
        "common": all(COMMON),
    })
}

/// Those that are the operator's alone are left out: no entity may set them.
fn all(options: &[Opt]) -> Vec<Value> {
    options.iter().filter(|opt| !opt.operators).map(option).collect()
}

fn option(opt: &Opt) -> Value {
    let (min, max) = match opt.kind {
        Type::Integer { min, max } => (json!(min), json!(max)),
        Type::Seconds { min } => (json!(min), json!(LONGEST)),
        Type::Text | Type::Boolean | Type::List => (Value::Null, Value::Null),
    };
    json!({
        "name": opt.name,
        "type": opt.kind.name(),
        "default": opt.default,
        "required": opt.required,
        "one_of": opt.one_of,
        "min": min,
        "max": max,
        "accepts": opt.accepts(),
        "secret": opt.sensitive,
        "lines": opt.holds == Holds::Pem,
        "help": opt.help,
    })
}

fn need(need: &Requirement) -> Value {
    let when = match need.when {
        When::Is(option, value) => json!({ "option": option, "is": value }),
        When::Set(option) => json!({ "option": option }),
    };
    json!({ "when": when, "all": need.all, "any": need.any })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::registry::ALL;

    #[test]
    fn it_has_what_an_entity_may_set() {
        let list = list(ALL);
        let backend = |name: &str| list["backends"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
        let options = backend("hcv")["options"].as_array().unwrap();
        let option = |name: &str| options.iter().find(|it| it["name"] == name);
        assert_eq!(option("token").unwrap()["secret"], true);
        assert_eq!(option("port").unwrap()["max"], 65535);
        assert_eq!(option("port").unwrap()["type"], "integer");
        assert!(option("kv").unwrap()["one_of"].as_array().unwrap().contains(&json!("v2")));
        let needs = backend("hcv")["needs"].as_array().unwrap();
        let approle = json!({ "option": "auth_method", "is": "approle" });
        assert!(needs.iter().any(|it| it["when"] == approle && it["all"] == json!(["approle_role_id"])));
        assert!(list["common"].as_array().unwrap().iter().any(|it| it["name"] == "ttl"));
        for described in ALL {
            let listed = backend(described.name)["options"].as_array().unwrap();
            for opt in described.options {
                assert_eq!(listed.iter().any(|it| it["name"] == opt.name), !opt.operators, "{}", opt.name);
            }
        }
    }
}
