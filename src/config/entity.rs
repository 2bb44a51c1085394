//! One vault entity: its fields, and the checks of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::assignment::{begun, find, options_of};
use super::error;
use super::requirements::{self, MissingOption};
use super::verification::Verification;
use crate::backend::{Descriptor, registry::ALL};
use crate::error::{Error, Kind, quote};
use crate::options::Opt;
use crate::redact;
use crate::reference::{is_of_environment, is_reference};

/// The fields of Kong's schema. All but the first three are for people and for the Admin API.
pub const FIELDS: [&str; 8] = ["prefix", "name", "config", "id", "description", "tags", "created_at", "updated_at"];

const PREFIX: &str = "^[a-z][a-z0-9-]*[a-z0-9]+$";

const UUID: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/// How many flaws of an entity are searched for: each takes time and memory.
pub const FLAWS: usize = 100;

/// A vault under a name of the operator's choice. `Debug` shows no option's value.
#[derive(Clone)]
pub struct Entity {
    pub prefix: String,
    pub backend: &'static Descriptor,
    /// Options as text, by the names that they were written with.
    pub config: BTreeMap<String, String>,
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.config.keys().collect();
        write!(f, "Entity({}, {:?}, {options:?})", self.prefix, self.backend)
    }
}

/// One thing that is wrong with an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityFlaw {
    /// The field: `prefix`, `config.token`; empty where it is the entity itself.
    pub path: String,
    /// In one sentence without the field's name, such as `unknown field`. It shows no value of an option.
    pub what: String,
}

impl EntityFlaw {
    fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

/// Reads an entity's fields; `option_flaws` checks its options. An error has at least one flaw, and at most `most`.
pub fn parse(written: &Value, backends: &[&'static Descriptor], most: usize) -> Result<Entity, Vec<EntityFlaw>> {
    match read(written, backends, most) {
        (Some(entity), flaws) if flaws.is_empty() => Ok(entity),
        (_, flaws) => Err(flaws),
    }
}

/// Returns an entity as far as it can be read, and what is wrong with its fields: at least one flaw where it can't.
fn read(written: &Value, backends: &[&'static Descriptor], most: usize) -> (Option<Entity>, Vec<EntityFlaw>) {
    let Some(fields) = written.as_object() else {
        return (None, vec![EntityFlaw::new("", "is not a vault entity: give it fields")]);
    };
    let mut flaws = Vec::new();
    let prefix = prefix(fields, backends).map_err(|flaw| flaws.push(flaw)).unwrap_or_default();
    for field in fields.keys().filter(|field| !FIELDS.contains(&field.as_str())).take(most) {
        let (shown, accepted) = (quote(field.as_bytes(), 64), error::accepted(field, &FIELDS));
        flaws.push(EntityFlaw::new(field, format!("unknown field \"{shown}\"{accepted}")));
    }
    let backend = backend(fields, backends).map_err(|flaw| flaws.push(flaw)).ok();
    let config = config(fields, &mut flaws, most);
    for (field, means, holds) in ABOUT {
        if fields.get(field).is_some_and(|value| !value.is_null() && !holds(value)) {
            flaws.push(EntityFlaw::new(field, format!("its {field} must be {means}")));
        }
    }
    flaws.truncate(most);
    (backend.map(|backend| Entity { prefix, backend, config }), flaws)
}

/// Reads an entity. `place`: where it stands, for error texts.
pub fn listed(written: &Value, backends: &[&'static Descriptor], place: &str) -> EntityResult {
    parse(written, backends, 1).map_err(|flaws| {
        Broken::from_flaws(written, flaws, |prefix, what| {
            let shown = prefix.map_or(String::new(), |prefix| format!(" {prefix}"));
            Error::new(Kind::Config, format!("vault entity{shown} in {place}: {what}"))
        })
    })
}

/// What was written as an entity, but is invalid. `Debug` shows no reference of it.
#[derive(Clone)]
pub struct Broken {
    /// The prefix, where it has one that a reference can name.
    pub prefix: Option<String>,
    /// The first thing that is wrong with it.
    pub error: Error,
    /// All texts in it that are references, wherever they stand: which of them are credentials is not known.
    pub references: Vec<String>,
    /// How the names of variables would begin, if it were an `env` vault.
    pub variables_begin: Option<String>,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Broken({}, {:?})",
            redact::quote(self.prefix.as_deref().unwrap_or_default().as_bytes(), 64),
            self.error
        )
    }
}

impl Broken {
    /// `error` makes an error of the prefix and the first flaw.
    pub fn from_flaws(
        written: &Value,
        flaws: Vec<EntityFlaw>,
        error: impl FnOnce(Option<&str>, String) -> Error,
    ) -> Self {
        let named = !flaws.iter().any(|flaw| flaw.path == "prefix" || flaw.path.is_empty());
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let prefix = text(written.get("prefix")).filter(|_| named);
        let error = error(prefix.as_deref(), flaws.into_iter().next().map(|flaw| flaw.what).unwrap_or_default());
        let variables_begin = text(written.pointer("/config/prefix"));
        Self { prefix, error, references: references(written), variables_begin }
    }

    /// An entity of which only the prefix counts here.
    pub fn known_only(prefix: &str, error: Error) -> Self {
        Self { prefix: Some(prefix.to_owned()), error, references: Vec::new(), variables_begin: None }
    }

    /// An entity with the prefix of another one.
    pub fn twin(entity: Entity, error: impl FnOnce(Option<&str>) -> Error) -> Self {
        let written = entity.config.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let references = references(&Value::Object(written.collect()));
        let variables_begin = entity.config.get("prefix").cloned();
        Self { error: error(Some(&entity.prefix)), references, variables_begin, prefix: Some(entity.prefix) }
    }
}

/// All texts in a value that are references, at any depth, whatever white space is around them; and what stands for one, in
/// whichever backend.
fn references(written: &Value) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), vec![written]);
    let options = ALL.iter().flat_map(|backend| options_of(backend));
    let beginning: Vec<&Opt> = options.filter(|opt| !opt.begins.is_empty()).collect();
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => {
                found.extend(Some(text.trim()).filter(|text| is_reference(text.as_bytes())).map(str::to_owned))
            }
            Value::Array(items) => rest.extend(items),
            Value::Object(fields) => {
                rest.extend(fields.values());
                for opt in &beginning {
                    let value = fields.get(opt.name).and_then(Value::as_str);
                    found.extend(value.into_iter().flat_map(|value| begun(opt, value)));
                }
            }
            _ => {}
        }
    }
    found
}

/// `parse` and `option_flaws` in one: what is wrong with the prefix doesn't hide what is wrong with an option.
pub fn check(
    written: &Value,
    backends: &[&'static Descriptor],
    verification: Verification,
) -> Result<Entity, Vec<EntityFlaw>> {
    let (entity, mut flaws) = read(written, backends, FLAWS);
    if let Some(entity) = &entity
        && !flaws.iter().any(|flaw| flaw.path == "config" || flaw.path.starts_with("config."))
    {
        flaws.extend(option_flaws(entity, FLAWS - flaws.len(), verification));
    }
    entity.filter(|_| flaws.is_empty()).ok_or(flaws)
}

/// Returns what is wrong with an entity's options: invalid ones, and those that are missing; at most `most` flaws.
pub fn option_flaws(entity: &Entity, most: usize, verification: Verification) -> Vec<EntityFlaw> {
    let (backend, mut flaws, mut seen) = (entity.backend, Vec::new(), Vec::new());
    for (name, value) in &entity.config {
        if flaws.len() >= most {
            return flaws;
        }
        let path = format!("config.{name}");
        let Some(opt) = find(backend, name) else {
            let known: Vec<_> = options_of(backend).map(|opt| opt.name).collect();
            flaws.push(EntityFlaw::new(path, format!("unknown field{}", error::accepted(name, &known))));
            continue;
        };
        let left_out = value.is_empty() && opt.default.is_none() && !opt.guards;
        if opt.operators {
            flaws.push(EntityFlaw::new(path, error::OPERATORS));
        } else if seen.contains(&opt.name) {
            flaws.push(EntityFlaw::new(path, format!("is another name of {}, which is set too: keep one", opt.name)));
        } else if is_reference(value.as_bytes()) {
            if !opt.sensitive || !is_of_environment(value) {
                flaws.push(EntityFlaw::new(path, error::ENTITIES_TAKE));
            }
        } else if opt.guards && value.trim().is_empty() {
            flaws.push(EntityFlaw::new(
                path,
                format!("is empty, which is not the same as not set: it must be {}", opt.accepts()),
            ));
        } else if !left_out && opt.parse(value).is_none() {
            flaws.push(EntityFlaw::new(path, format!("must be {}", opt.accepts())));
        } else if verification.forbids_text(opt, value) {
            flaws.push(EntityFlaw::new(path, error::unverified_in_words(opt)));
        }
        seen.push(opt.name);
    }
    for opt in options_of(backend).filter(|opt| opt.required && !seen.contains(&opt.name)) {
        flaws.push(EntityFlaw::new(format!("config.{}", opt.name), "required field missing"));
    }
    for unmet in requirements::of_assignments(backend, &entity.config) {
        flaws.push(match unmet.missing {
            MissingOption::This(name) => EntityFlaw::new(format!("config.{name}"), "required field missing"),
            MissingOption::OneOf(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
                EntityFlaw::new(
                    "config",
                    format!("at least one of these fields must be non-empty: {}", names.join(", ")),
                )
            }
        });
    }
    flaws.truncate(most);
    flaws
}

/// An entity, or what is wrong with it.
pub type EntityResult = std::result::Result<Entity, Broken>;

type About = (&'static str, &'static str, fn(&Value) -> bool);

/// Fields that have no effect on a look-up.
const ABOUT: [About; 5] = [
    ("id", "a uuid", |value| {
        let text = value.as_str().unwrap_or_default();
        static ALLOWED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(UUID).ok());
        ALLOWED.as_ref().is_some_and(|allowed| allowed.is_match(text))
    }),
    ("description", "a text", Value::is_string),
    ("tags", "a list of texts", |value| match value {
        Value::Array(tags) => tags.iter().all(Value::is_string),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }),
    ("created_at", "a time in seconds", |value| value.as_f64().is_some_and(|seconds| seconds >= 0.0)),
    ("updated_at", "a time in seconds", |value| value.as_f64().is_some_and(|seconds| seconds >= 0.0)),
];

fn prefix(fields: &Map<String, Value>, backends: &[&'static Descriptor]) -> Result<String, EntityFlaw> {
    let wrong = |what: String| EntityFlaw::new("prefix", what);
    let prefix = fields.get("prefix").and_then(Value::as_str);
    let prefix = prefix.ok_or_else(|| wrong("it has no prefix: set prefix to a text".to_owned()))?;
    let shown = redact::word(prefix, 64);
    static ALLOWED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(PREFIX).ok());
    if !ALLOWED.as_ref().is_some_and(|allowed| allowed.is_match(prefix)) {
        return Err(wrong(format!("prefix \"{shown}\" is not like {PREFIX}")));
    }
    if error::names(backends).contains(&prefix) {
        return Err(wrong(format!("prefix {shown} is the name of a backend: choose another")));
    }
    Ok(prefix.to_owned())
}

fn backend(fields: &Map<String, Value>, backends: &[&'static Descriptor]) -> Result<&'static Descriptor, EntityFlaw> {
    let (wrong, names) = (|what: String| EntityFlaw::new("name", what), error::names(backends));
    let name = fields
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| wrong(format!("it has no name: set name to a backend ({})", names.join(", "))))?;
    backends.iter().copied().find(|backend| backend.name == name).ok_or_else(|| {
        let (shown, meant) = (redact::word(name, 64), error::did_you_mean(name, &names));
        wrong(format!("name \"{shown}\" is not a backend{meant}: the backends are {}", names.join(", ")))
    })
}

fn config(fields: &Map<String, Value>, flaws: &mut Vec<EntityFlaw>, most: usize) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    match fields.get("config") {
        None | Some(Value::Null) => {}
        Some(Value::Object(options)) => {
            for (option, value) in options {
                match text(value) {
                    Ok(Some(value)) => drop(config.insert(option.clone(), value)),
                    Ok(None) => {}
                    Err(_) if flaws.len() >= most => {}
                    Err(what) => {
                        let path = format!("config.{}", quote(option.as_bytes(), 64));
                        flaws.push(EntityFlaw { what: format!("{path} is {what}"), path });
                    }
                }
            }
        }
        // In Lua, and so in Kong, an empty list is the same as an empty mapping.
        Some(Value::Array(items)) if items.is_empty() => {}
        Some(_) => flaws.push(EntityFlaw::new("config", "its config must be options and their values")),
    }
    config
}

/// A value as kong.conf would have it; `None` for one that is not set.
fn text(value: &Value) -> Result<Option<String>, &'static str> {
    Ok(match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        Value::Object(fields) if fields.is_empty() => Some(String::new()),
        _ => return Err("no text, number, boolean or list of texts"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::registry::ALL;

    fn flaws(entity: &Value) -> Vec<(String, String)> {
        let flaws = check(entity, ALL, Verification::Optional).err().unwrap_or_default();
        flaws.into_iter().map(|flaw| (flaw.path, flaw.what)).collect()
    }

    #[test]
    fn every_flaw_is_told_with_its_field() {
        let found = flaws(&json!({"prefix": "B_ad", "name": "awz", "confg": {}, "tags": [1], "id": "7", "config": 1}));
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["prefix", "confg", "name", "config", "id", "tags"]);
        let found = flaws(&json!({"prefix": "mine", "name": "hcv", "config": {
            "prot": 1, "port": "x", "protocol": "ftp", "host": "{vault://env/host}", "token": "{vault://aws/token}",
            "ssl_verify": true, "tls_verify": true}}));
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["config.host", "config.port", "config.prot", "config.protocol", "config.tls_verify", "config.token"]
        );
        assert!(found.iter().any(|(_, what)| what == "must be http or https"), "{found:?}");
    }

    #[test]
    fn what_an_option_makes_necessary_is_missed() {
        let missing = |config: Value| flaws(&json!({"prefix": "mine", "name": "hcv", "config": config}));
        let found = missing(json!({"auth_method": "approle"}));
        assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["config.approle_role_id"]);
        // A role with `bind_secret_id=false` has no secret id.
        assert_eq!(missing(json!({"auth_method": "approle", "approle_role_id": "a"})), []);
        assert_eq!(
            missing(json!({"auth_method": "approle", "approle_role_id": "a", "approle_secret_id_file": "/a"})),
            []
        );
        assert_eq!(missing(json!({"auth_method": "token"})), []);
        let found = missing(
            json!({"auth_method": "jwt", "oauth2_token_endpoint": "https://idp/token", "oauth2_client_id": "a"}),
        );
        assert_eq!(found, [("config.oauth2_client_secret".to_owned(), "required field missing".to_owned())]);
    }

    #[test]
    fn a_credential_may_be_a_reference_to_the_environment() {
        let entity = json!({"prefix": "mine", "name": "hcv", "config": {"token": "{vault://env/hcv-token}"}});
        assert_eq!(flaws(&entity), []);
    }

    #[test]
    fn no_flaw_shows_a_value_of_an_option() {
        let entity = json!({"prefix": "mine", "name": "hcv", "config": {
            "token": "a hunter2", "host": "hunter2 hunter2", "port": "hunter2", "ssl_verify": {"a": "hunter2"}}});
        assert!(!format!("{:?}", check(&entity, ALL, Verification::Optional)).contains("hunter2"));
        let entity = json!({"prefix": "mine", "name": "hcv", "config": {"token": "a hunter2", "port": "hunter2"}});
        assert!(!format!("{:?}", flaws(&entity)).contains("hunter2"));
        let read = parse(&entity, ALL, FLAWS).unwrap();
        assert!(read.config.contains_key("token") && !format!("{read:?}").contains("hunter2"), "{read:?}");
    }
}
