//! What Kong accepts and refuses: the results are those of its own schema's code.

use super::*;

fn of(text: &str, is_json: bool) -> Vec<(String, String)> {
    let tree = Tree::parse(if is_json { "kong.json" } else { "kong.yml" }, text);
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
        ("yes Yes YES no on Off OFF true False", KongType::Boolean),
        ("yEs y n tRUE 1x 0b 0b1 0x 0xg 1:x x:1 - + . e5 1e 1.2.3 2001-01-01 -- inf nan _ 0o7", KongType::Text),
        ("0 -1 +1 007 08 0x1f 0b11 1_000 _1 12:30:45 -1:0 1e3 5. 1.0 .inf", KongType::Number { whole: true }),
        ("1.5 .5 -1.5e-3 1_0.5 .nan 12:30.5", KongType::Number { whole: false }),
        ("null ~ Null NULL", KongType::Null),
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
        let loaded = super::super::parse_text("kong.yml", &text, crate::backend::registry::ALL).unwrap();
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
        "oauth2_audiences: [a]",
        "tls_min_version: 1.2",
        "ttl: '5'",
        "ttl: [5]",
        "ttl: .inf",
        "port: -.Inf",
        "nope: null",
        "kube_role: null_\n  token: off",
    ] {
        let found = paths(&format!("name: hcv\nconfig:\n  {wrong}\n"));
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
    }
    for right in [
        "namespace: ''",
        "tls_server_name: ''",
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
        "kube_role: ''",
        "proxy: ''",
        "oauth2_audiences: a,b",
    ] {
        assert_eq!(paths(&format!("name: hcv\nconfig:\n  {right}\n")), [""; 0], "{right}");
    }
    let found = of("name: hcv\nconfig: {port: '8200', token: 5, no_proxy: 'a,b', ssl_verify: 'true'}\n", false);
    let whats: Vec<_> = found.iter().map(|(_, what)| what.rsplit_once(": ").unwrap().1).collect();
    let hints = ["write true or false without quotes", "write [a, b]", "put it in quotes", "write it without quotes"];
    assert_eq!(whats, hints);
    let json = |config: &str| paths(&format!("{{\"name\": \"hcv\", \"config\": {{{config}}}}}"));
    assert_eq!(json("\"port\": 8200.0, \"ttl\": 5, \"ssl_verify\": true, \"token\": null, \"no_proxy\": []"), [""; 0]);
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
        ("prefix: on\ndescription: 5\ntags: a\ncreated_at: 1.5", &["prefix", "description", "tags", "created_at"][..]),
        ("description: ''\ntags: [yes, a]\n_comment: 5\n_ignore: x", &["description", "tags", "_comment", "_ignore"]),
        ("tags: ['a,b']", &["tags"]),
        ("tags: [a b, 'ä']\n_comment: x\n_ignore: [1, {a: b}]\ncreated_at: 5\nupdated_at: 5.0", &[]),
        ("tags: {}\n_ignore: {}\ndescription:\nconfig: {}", &[]),
        ("config:", &["config"]),
        ("config: ~", &["config"]),
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

#[test]
fn a_version_of_the_format_is_one_of_kongs_in_quotes() {
    for (text, is_taken) in [
        ("'3.0'", true),
        ("\"1.1\"", true),
        ("!!str 2.1", true),
        ("3.0", false),
        ("'1.0'", false),
        ("", false),
        ("['3.0']", false),
    ] {
        let tree = Tree::parse("kong.yml", &format!("_format_version: {text}\nvaults: []\n"));
        assert_eq!(version(&tree).is_none(), is_taken, "{text}");
    }
    assert_eq!(version(&Tree::parse("kong.yml", "vaults: []\n")), None);
}

#[test]
fn an_empty_text_means_not_set_where_an_option_has_no_default() {
    let entity = |name: &str, option: &str| format!("name: {name}\nprefix: my-vault\nconfig: {{ {option}: '' }}\n");
    for (name, option) in [
        ("hcv", "namespace"),
        ("hcv", "token"),
        ("hcv", "jwt_role"),
        ("aws", "region"),
        ("aws", "endpoint_url"),
        ("aws", "assume_role_arn"),
    ] {
        assert_eq!(paths(&entity(name, option)), [""; 0], "{option}");
    }
    for (name, option) in [("hcv", "host"), ("hcv", "mount"), ("hcv", "protocol"), ("hcv", "auth_method")] {
        assert_eq!(paths(&entity(name, option)), [format!("config.{option}")], "{option}");
    }
}
