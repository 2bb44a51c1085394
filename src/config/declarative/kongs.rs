//! What Kong's schema says of a vault entity's types, and we don't mind: Kong's reader makes numbers, booleans and texts of
//! what stands in a file, and turns nothing into anything else. Our own loader reads every option from text.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::plain::{EXACT, boolean, is_whole, number};
use super::tree::{Id, Kind, Tree};
use crate::backend::{Descriptor, find};
use crate::config::entity::Flaw;
use crate::config::options_of;
use crate::error::quote;
use crate::options::{Opt, Type};

/// What Kong takes a value for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Null,
    Text,
    Number {
        whole: bool,
    },
    Boolean,
    List,
    Map,
    /// An empty list or mapping: Lua doesn't tell one from the other.
    Nothing,
}

/// The options that Kong's own vault of environment variables has. It stays Kong's, where the others are ours.
const OF_KONGS_ENV: &[Opt] = &[Opt::new("prefix", Type::Text, "")
    .pattern("[A-Za-z_-][A-Za-z0-9_-]*", "letters, digits, _ and -, with no digit at the beginning")];

/// The fields beside `config`, by the types of Kong's schema.
const FIELDS: [(&str, Type); 8] = [
    ("prefix", Type::Text),
    ("name", Type::Text),
    ("id", Type::Text),
    ("description", Type::Text),
    ("tags", Type::List),
    ("created_at", WHOLE),
    ("updated_at", WHOLE),
    ("_comment", Type::Text),
];

const WHOLE: Type = Type::Integer { min: 0, max: i64::MAX };

/// What Kong will refuse of an entity; `most` at the most.
pub fn flaws(tree: &Tree, entity: Id, backend: Option<&'static Descriptor>, most: usize) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut wrong = |path: &str, what: String| flaws.push(Flaw { path: path.to_owned(), what });
    for (field, kind) in FIELDS {
        let Some((_, value)) = tree.find(entity, field) else { continue };
        if let Some(what) = misfit(tree, value, kind).or_else(|| blank(tree, value)) {
            wrong(field, what);
        }
    }
    let tags = tree.find(entity, "tags").and_then(|(_, tags)| tree.meant(tags));
    let is_no_tag = |c: char| matches!(c, ',' | '/' | '\0'..='\x1f' | '\x7f');
    if tags.is_some_and(|tags| tree.items(tags).any(|tag| tree.text(tag).is_some_and(|tag| tag.contains(is_no_tag)))) {
        wrong("tags", "has a tag with a comma, a slash or a control character, which Kong refuses".to_owned());
    }
    let ignored = tree.find(entity, "_ignore").and_then(|(_, ignored)| means(tree, ignored));
    if ignored.is_some_and(|means| !matches!(means, Means::Null | Means::List | Means::Nothing)) {
        wrong("_ignore", "has to be a list in Kong".to_owned());
    }
    if let (Some(backend), Some((_, config))) = (backend, tree.find(entity, "config")) {
        for (name, value) in options(tree, config) {
            if flaws.len() >= most {
                break;
            }
            if let Some(what) = option(tree, backend, name, value) {
                flaws.push(Flaw { path: format!("config.{}", quote(name.as_bytes(), 64)), what });
            }
        }
    }
    flaws.truncate(most);
    flaws
}

/// Puts the numbers and booleans into an entity's options that Kong has there, where ours are of those types.
pub fn settle(tree: &Tree, entity: Id, fields: &mut Map<String, Value>) {
    let name = fields.get("name").and_then(Value::as_str).and_then(find);
    let config = tree.meant(entity).and_then(|entity| tree.find(entity, "config"));
    let (Some(backend), Some((_, config)), Some(Value::Object(values))) = (name, config, fields.get_mut("config"))
    else {
        return;
    };
    for (name, written) in options(tree, config) {
        let Some(opt) = options_of(backend).find(|opt| opt.is_called(name)) else { continue };
        let plain = matches!(tree.meaning(written), Some((id, Kind::Text { plain: true })) if tree.tag(id).is_none());
        let Some(text) = tree.text(written).filter(|_| plain) else { continue };
        let value = match opt.kind {
            Type::Boolean if boolean(text) => {
                Value::Bool(matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on"))
            }
            Type::Integer { .. } | Type::Seconds { .. } => match number(text) {
                Some(number) if is_whole(number) && number.abs() <= EXACT => Value::from(number as i64),
                Some(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
                None => continue,
            },
            _ => continue,
        };
        values.insert(name.to_owned(), value);
    }
}

/// Names and values of a mapping, with what it merges in; of a name that is there twice, the value that counts.
fn options(tree: &Tree, map: Id) -> Vec<(&str, Id)> {
    let (mut found, mut names, mut seen) = (Vec::new(), HashSet::new(), HashSet::new());
    let mut maps = vec![map];
    while let Some(map) = maps.pop().and_then(|map| tree.meant(map)) {
        let mut own: Vec<_> = tree.pairs(map).filter(|(key, _)| !tree.is_merge(*key)).collect();
        own.reverse();
        for (key, value) in own {
            found.extend(tree.text(key).filter(|name| names.insert(*name)).map(|name| (name, value)));
        }
        maps.extend(tree.merged(map).into_iter().rev().filter(|map| seen.insert(*map)));
    }
    found
}

fn option(tree: &Tree, backend: &'static Descriptor, name: &str, value: Id) -> Option<String> {
    let opt = options_of(backend).find(|opt| opt.is_called(name))?;
    if backend.name != "env" {
        return misfit(tree, value, opt.kind);
    }
    let Some(opt) = OF_KONGS_ENV.iter().find(|opt| opt.name == name) else {
        let known: Vec<_> = OF_KONGS_ENV.iter().map(|opt| opt.name).collect();
        return Some(format!(
            "is no option of env in Kong 3.9, whose own that vault is: it takes {}",
            known.join(", ")
        ));
    };
    let refused = || tree.text(value).is_some_and(|text| opt.read(text).is_none());
    let is_null = means(tree, value) == Some(Means::Null);
    misfit(tree, value, opt.kind)
        .or_else(|| (!is_null && refused()).then(|| format!("has to be {} in Kong", opt.accepts())))
}

/// How a value is of another type than Kong's schema wants; nothing where it is of that one, or isn't there.
fn misfit(tree: &Tree, value: Id, wanted: Type) -> Option<String> {
    let is = means(tree, value)?;
    let text = tree.text(value).unwrap_or_default();
    let unquoted = || number(text).is_some() || boolean(text);
    let (wants, hint) = match (wanted, is) {
        (_, Means::Null)
        | (Type::Text, Means::Text)
        | (Type::Boolean, Means::Boolean)
        | (Type::Integer { .. }, Means::Number { whole: true })
        | (Type::Seconds { .. }, Means::Number { .. })
        | (Type::List, Means::Nothing) => return None,
        (Type::List, Means::List) => {
            let list = tree.meant(value)?;
            let item = tree.items(list).find_map(|item| {
                let is_text = means(tree, item) == Some(Means::Text);
                if is_text { blank(tree, item) } else { Some("is no text: put it in quotes".to_owned()) }
            })?;
            return Some(format!("has an item that {item}"));
        }
        (Type::Text, Means::Number { .. } | Means::Boolean) => ("a text", ": put it in quotes"),
        (Type::Text, _) => ("a text", ""),
        (Type::List, Means::Text) => ("a list", ": write [a, b]"),
        (Type::List, _) => ("a list", ""),
        (Type::Boolean, Means::Text) if unquoted() => ("a boolean", ": write true or false without quotes"),
        (Type::Boolean, _) => ("a boolean", ": write true or false"),
        (Type::Integer { .. }, Means::Text) if unquoted() => ("a whole number", ": write it without quotes"),
        (Type::Integer { .. }, _) => ("a whole number", ""),
        (Type::Seconds { .. }, Means::Text) if unquoted() => ("a number", ": write it without quotes"),
        (Type::Seconds { .. }, _) => ("a number", ""),
    };
    let is = match is {
        Means::Null => return None,
        Means::Text => "a text",
        Means::Number { .. } => "a number",
        Means::Boolean => "a boolean",
        Means::List => "a list",
        Means::Map | Means::Nothing => "a mapping",
    };
    Some(format!("is {is}, where Kong's schema wants {wants}{hint}"))
}

fn blank(tree: &Tree, value: Id) -> Option<String> {
    let is_blank = means(tree, value) == Some(Means::Text) && tree.text(value) == Some("");
    is_blank.then(|| "is empty, which Kong refuses".to_owned())
}

fn means(tree: &Tree, id: Id) -> Option<Means> {
    let (id, kind) = tree.meaning(id)?;
    Some(match kind {
        Kind::List | Kind::Map if tree.items(id).next().is_none() => Means::Nothing,
        Kind::List => Means::List,
        Kind::Map => Means::Map,
        Kind::Alias => return None,
        Kind::Text { plain } => {
            let text = tree.text(id)?;
            match (tree.tag(id).and_then(|tag| tag.strip_prefix("tag:yaml.org,2002:")), plain) {
                (Some("str"), _) => Means::Text,
                (Some("null"), _) => Means::Null,
                (Some("bool"), _) => Means::Boolean,
                (Some("int"), _) => Means::Number { whole: true },
                (Some("float"), _) => Means::Number { whole: number(text).is_some_and(is_whole) },
                (_, false) => Means::Text,
                (_, true) => plain_text(text),
            }
        }
    })
}

/// What Kong takes a text without quotes for: by YAML 1.1, as its reader has it. Of JSON, only words come here that are the
/// same in both.
fn plain_text(text: &str) -> Means {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Means::Null,
        _ if boolean(text) => Means::Boolean,
        _ => number(text).map_or(Means::Text, |number| Means::Number { whole: is_whole(number) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, is_json: bool) -> Vec<(String, String)> {
        let tree = Tree::read(if is_json { "kong.json" } else { "kong.yml" }, text);
        assert_eq!((&tree.flaw, tree.merges), (&None, !is_json), "{text}");
        let entity = tree.root.unwrap();
        let name = tree.find(entity, "name").and_then(|(_, name)| tree.text(name));
        let flaws = flaws(&tree, entity, name.and_then(find), 100);
        flaws.into_iter().map(|flaw| (flaw.path, flaw.what)).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        of(text, text.starts_with('{')).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_plain_text_is_what_kongs_reader_takes_it_for() {
        for (text, expected) in [
            ("yes Yes YES no on Off OFF true False", Means::Boolean),
            ("yEs y n tRUE 1x 0b 0b1 0x 0xg 1:x x:1 - + . e5 1e 1.2.3 2001-01-01 -- inf nan _ 0o7", Means::Text),
            ("0 -1 +1 007 08 0x1f 0b11 1_000 _1 12:30:45 -1:0 1e3 5. 1.0 .inf", Means::Number { whole: true }),
            ("1.5 .5 -1.5e-3 1_0.5 .nan 12:30.5", Means::Number { whole: false }),
            ("null ~ Null NULL", Means::Null),
        ] {
            for text in text.split(' ') {
                assert_eq!(plain_text(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn a_loader_takes_the_number_that_it_is_in_kong() {
        let loaded = |config: &str| {
            let text = format!("vaults: [{{prefix: hv, name: hcv, config: {config}}}]\n");
            let loaded = super::super::of_text("kong.yml", &text, crate::backend::ALL).unwrap();
            loaded.entities[0].config.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(loaded("{port: 8200.0, ssl_verify: On, ttl: 1_0.5}"), ["port=8200", "ssl_verify=true", "ttl=10.5"]);
        assert_eq!(loaded("{port: 1e3, ssl_verify: No, ttl: 1:00}"), ["port=1000", "ssl_verify=false", "ttl=60"]);
        assert_eq!(loaded("{<<: {port: 020000}, token: On, mount: 1.0}"), ["mount=1.0", "port=8192", "token=On"]);
        assert_eq!(loaded("{port: '8200', ssl_verify: 'on', ttl: '1.50'}"), ["port=8200", "ssl_verify=on", "ttl=1.50"]);
    }

    #[test]
    fn what_is_of_another_type_than_kongs_schema_wants_is_told() {
        for wrong in [
            "port: '8200'",
            "port: 8200.5",
            "port: true",
            "port: [8200]",
            "ssl_verify: 'true'",
            "tls_verify: 1",
            "ssl_verify: 'off'",
            "token: 5",
            "token: yes",
            "token: 12:30",
            "token: 1e5",
            "token: []",
            "token: {}",
            "token: !!int '5'",
            "host: 0x1f",
            "no_proxy: a,b",
            "no_proxy: [1]",
            "no_proxy: [a, '']",
            "no_proxy: {a: b}",
            "redirect_hosts: a",
            "tls_min_version: 1.2",
            "ttl: '5'",
            "ttl: [5]",
            "kube_role: null_\n  token: off",
        ] {
            let found = paths(&format!("name: hcv\nconfig:\n  {wrong}\n"));
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
        }
        for right in [
            "port: 8200",
            "port: 8200.0",
            "port: 0x2008",
            "port: !!int '8200'",
            "port:",
            "ssl_verify: yes",
            "ssl_verify: Off",
            "token: '5'",
            "token: !!str 5",
            "token: ~",
            "token: hvs.x",
            "token: ''",
            "no_proxy: [a, '1']",
            "no_proxy: []",
            "no_proxy: {}",
            "tls_min_version: '1.2'",
            "ttl: 5.5",
            "nope: 5",
        ] {
            assert_eq!(paths(&format!("name: hcv\nconfig:\n  {right}\n")), [""; 0], "{right}");
        }
        let found = of("name: hcv\nconfig: {port: '8200', token: 5, no_proxy: 'a,b', ssl_verify: 'true'}\n", false);
        let whats: Vec<_> = found.iter().map(|(_, what)| what.rsplit_once(": ").unwrap().1).collect();
        let hints =
            ["write true or false without quotes", "write [a, b]", "put it in quotes", "write it without quotes"];
        assert_eq!(whats, hints);
        let json = |config: &str| paths(&format!("{{\"name\": \"hcv\", \"config\": {{{config}}}}}"));
        assert_eq!(
            json("\"port\": 8200.0, \"ttl\": 5, \"ssl_verify\": true, \"token\": null, \"no_proxy\": []"),
            [""; 0]
        );
        assert_eq!(json("\"port\": \"8200\""), ["config.port"]);
        assert_eq!(json("\"token\": true"), ["config.token"]);
    }

    #[test]
    fn kongs_own_vault_of_the_environment_takes_less_than_ours() {
        for (config, expected) in [
            ("{prefix: A_}", &[][..]),
            ("{prefix: a-1, }", &[]),
            ("{prefix: }", &[]),
            ("[]", &[]),
            ("{prefix: 5}", &["config.prefix"]),
            ("{prefix: '5'}", &["config.prefix"]),
            ("{prefix: ''}", &["config.prefix"]),
            ("{prefix: 'a b'}", &["config.prefix"]),
            ("{ttl: 5, base64_decode: true}", &["config.base64_decode", "config.ttl"]),
        ] {
            assert_eq!(paths(&format!("name: env\nconfig: {config}\n")), expected, "{config}");
        }
    }

    #[test]
    fn other_fields_have_types_as_well() {
        for (fields, expected) in [
            (
                "prefix: on\ndescription: 5\ntags: a\ncreated_at: 1.5",
                &["prefix", "description", "tags", "created_at"][..],
            ),
            (
                "description: ''\ntags: [yes, a]\n_comment: 5\n_ignore: x",
                &["description", "tags", "_comment", "_ignore"],
            ),
            ("tags: ['a,b']", &["tags"]),
            ("tags: [a b, 'ä']\n_comment: x\n_ignore: [1, {a: b}]\ncreated_at: 5\nupdated_at: 5.0", &[]),
            ("tags: {}\n_ignore: {}\ndescription:", &[]),
        ] {
            assert_eq!(paths(&format!("name: env\n{fields}\n")), expected, "{fields}");
        }
    }

    #[test]
    fn of_what_is_written_twice_or_merged_in_the_value_counts_that_kong_takes() {
        assert_eq!(paths("name: hcv\nconfig: {port: 'x', port: 1}\n"), [""; 0]);
        assert_eq!(paths("name: hcv\nconfig: {port: 1, port: 'x'}\n"), ["config.port"]);
        assert_eq!(paths("name: hcv\nconfig: {<<: {port: 'x'}, port: 1}\n"), [""; 0]);
        assert_eq!(paths("name: hcv\nconfig: {<<: [{port: 1}, {port: 'x'}], <<: {token: 5}}\n"), ["config.token"]);
    }
}
