//! The tree of a file, and the values in it.

use proptest::prelude::*;
use serde_json::Value;

use super::tree::Tree;

/// What ends a line in YAML.
const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// What another reader of YAML makes of a text. It reads plain texts by YAML 1.2.
fn theirs(text: &str) -> Option<Value> {
    let mut value: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).ok()?;
    value.apply_merge().ok()?;
    serde_yaml_ng::from_value(value).ok()
}

fn ours(text: &str) -> Option<Value> {
    let tree = Tree::parse("kong.yml", text);
    tree.flaw.is_none().then(|| super::value(&tree, tree.root?).ok()).flatten()
}

#[test]
fn values_are_those_that_will_be_read() {
    for text in [
        "[1, -1, +1, 0x1f, 0o17, 0b1, 017, 1.5, 1e3, .5, 1_000, 12:30:45, 2001-01-01]",
        "[true, True, yes, on, No, null, ~, Null, '', \"1\", '~', '---']",
        "- -1\n- --\n- -\n- - --1\n- ---1\n-\n",
        "[++0, +-0, -+0, --0, ++1.5, +0, ++.inf]",
        "[!!str 1]",
        "[! 1]",
        "[!x 1]",
        "[!x {a: 1}]",
        "{a: , b: }",
        "a: |\n  x\n  y\nb: >-\n  x\n  y\nc: x\n  y\n",
        "x: &x {a: 1, b: 2}\ny: &y {a: 3, c: 4}\nz: {<<: [*x, *y], b: 5}\nw:\n  <<: *x\n  d: *y\n",
        "{\"a\": \"\\u00e9\\/\", \"b\": [1.50, 1e400]}",
    ] {
        assert_eq!(ours(text), theirs(text), "{text}");
    }
}

proptest! {
    #[test]
    fn a_plain_scalar_is_what_will_be_read(text in "[0-9a-fA-FxorutnlyesNO+.~_:-]{1,8}") {
        if let (Some(ours), Some(theirs)) = (ours(&format!("- {text}\n")), theirs(&format!("- {text}\n"))) {
            prop_assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn a_value_is_where_its_key_is_and_an_item_where_it_is() {
    let tree = Tree::parse("kong.yml", "\u{feff}# c\r\na:\r\n  - 1\r\n\n  -\n    b: |\n      x\n    c:\n      d\n");
    assert_eq!(tree.flaw, None);
    let places: Vec<_> = tree.ids().map(|id| (tree.path(id), tree.line(id))).collect();
    let expected = [
        ("", 2),
        ("{key}", 2),
        ("a", 2),
        ("a[0]", 3),
        ("a[1]", 6),
        ("a[1]{key}", 6),
        ("a[1].b", 6),
        ("a[1]{key}", 8),
        ("a[1].c", 8),
    ];
    assert_eq!(places, expected.map(|(path, line)| (path.to_owned(), line)));
}

proptest! {
    #[test]
    fn whatever_stands_in_a_file_there_is_an_end(
        name in prop_oneof![Just("a.yml"), Just("a.json")],
        text in "([-?:,\\[\\]{}&*!|>'\"%@`#a-c0 \n\t=\u{feff}\0]|---|\\.\\.\\.|<<: |: |- |&a |\\*a|!!str |%TAG |\\\\u){0,60}"
    ) {
        let tree = Tree::parse(name, &text);
        prop_assert!(tree.ids().len() <= 2 * text.len() + 2);
        for id in tree.ids() {
            prop_assert!(tree.line(id) >= 1 && tree.line(id) <= text.split(BREAKS).count() + 1);
            let _ = (tree.path(id), tree.find(id, "a"));
        }
    }
}

#[test]
fn json_is_read_as_json_wherever_it_is_some() {
    let json = "{\"a\": \"\\ud83d\\udd10\", \"b\u{7f}\": \"\u{ffff}\\/\", \"<<\": [1, -0.5e3, true, null],\n \"c\": {\"a\": {}}, \"a\": []}";
    for name in ["kong.json", "kong.yml"] {
        let tree = Tree::parse(name, json);
        assert_eq!(tree.flaw, None, "{name}");
        let root = tree.root.unwrap();
        let expected: Value = serde_json::from_str(json).unwrap();
        assert_eq!(super::value(&tree, root).unwrap(), expected);
        let (key, value) = tree.find(root, "c").unwrap();
        assert_eq!((tree.place(key).line, tree.place(key).column, tree.path(value)), (2, 2, "c".to_owned()));
    }
    for no_json in ["{a: 1}", "{\"a\": 1,}", "{\"a\": [1 2]}", "{\"a\": nil}", "{\"a\" 1}", "{]", "{} {}", "{\"a\"}"] {
        let tree = Tree::parse("kong.json", no_json);
        assert!(tree.no_json.is_some() || tree.flaw.is_some(), "{no_json} is left to YAML");
    }
}

#[test]
fn tags_of_yaml_are_taken_and_others_are_not() {
    let read = |text: &str| {
        let tree = Tree::parse("kong.yml", text);
        tree.root.and_then(|root| super::value(&tree, root).ok())
    };
    assert_eq!(
        read("[!!str 1, !!int \"1\", !!float 1, !!bool 'true', !!null '', !!seq [], !!map {}]").unwrap(),
        serde_json::json!(["1", 1, 1, true, null, [], {}])
    );
    for refused in ["!!int x", "!!bool 1", "!!map []", "!mine 1", "!mine {}", "!!set {}", "!!binary aGk="] {
        assert_eq!(read(refused), None, "{refused}");
    }
}

#[test]
fn a_file_may_end_in_the_middle_of_a_line() {
    for text in [
        "|\n {",
        "a: |\n  x",
        "a: >\n  x\n\n  y",
        "a: |",
        "a: |\n ",
        "a: 'x",
        "a: \"x\\",
        "%TAG",
        "- &a",
        "- !a",
        "a: #",
        "? ",
    ] {
        let tree = Tree::parse("kong.yml", text);
        assert!(tree.flaw.is_none_or(|flaw| flaw.why != "the parser gave up"), "{text:?}");
    }
}

#[test]
fn what_the_parser_stumbles_over_is_told_with_its_line() {
    for (text, line) in [
        ("a: [!!str, b]\n", 1),
        ("# one\nvaults:\n- {tags: [!x,\n  y]}\n", 3),
        ("a: {b: !<tag:yaml.org,2002:str>, c: 1}\n", 1),
        ("[!:i_nt !l:tA,", 1),
        ("a: \"x, y\"\nb: [\"!z, w\", !!str, c]", 2),
    ] {
        let flaw = Tree::parse("kong.yml", text).flaw.unwrap_or_else(|| panic!("{text:?}"));
        assert_eq!((flaw.line, flaw.why.as_str()), (line, "a blank is missing between a tag and a comma"), "{text}");
    }
    assert!(Tree::parse("kong.yml", "a: [!!str , b]\n").flaw.is_none());
}

#[test]
fn json_is_read_as_kong_reads_it() {
    let read = |name: &str, text: &str| {
        let tree = Tree::parse(name, text);
        assert_eq!((&tree.flaw, tree.merges), (&None, false), "{text}");
        super::value(&tree, tree.root.unwrap()).unwrap()
    };
    for name in ["kong.json", "kong.yml"] {
        let text = "{\"a\": \"x\n  y\tz \u{7f} \u{ffff} \\ud83d\\udd10\\/\",\n \"b\": [01, +1, 2., 0x1F, -007, 1e3, NaN, -inf, 00]}";
        let expected = serde_json::json!({
            "a": "x\n  y\tz \u{7f} \u{ffff} \u{1f510}/",
            "b": [1, 1, 2.0, 31, -7, 1000.0, null, null, 0],
        });
        assert_eq!(read(name, text), expected);
        let tree = Tree::parse(name, text);
        let (key, _) = tree.find(tree.root.unwrap(), "b").unwrap();
        assert_eq!((tree.place(key).line, tree.place(key).column), (3, 2));
    }
    // Kong does not accept these as JSON either.
    for (text, line, column, why) in [
        ("{\"a\": \"\u{ffff}\",\n \"b\" 1}", 2, 6, "a colon"),
        ("{\"a\": \"\\ud83d\\udd10\",\n \"b\": [1 2]}", 2, 10, "a comma or an end"),
        ("{\"a\": \"\u{7f}\", b: 1}", 1, 12, "a name in double quotes"),
        ("{\"a\": \"\u{7f}\",\n}", 2, 1, "a name in double quotes"),
        ("{\"a\": \"\u{7f}\", \"b\": ,}", 1, 17, "a value"),
        ("{\"a\": \"\u{7f}\", \"b\": \"\\ud83d\"}", 1, 17, "an escape that is none"),
        ("{\"a\": \"\u{7f}\", \"b\": \"\\\n\"}", 1, 17, "an escape that is none"),
        ("{\"a\": \"\u{7f}\", \"b\": \"c}", 1, 17, "has no end"),
        ("{\"a\": \"\u{7f}\"", 1, 10, "too early"),
        ("{\"a\": \"\u{7f}\", \"b\": 0x}", 1, 17, "a value"),
        ("{\"a\": \"\u{7f}\", \"b\": 1x}", 1, 17, "a value"),
        ("{\"a\": \"\u{7f}\", \"b\": .5}", 1, 17, "a value"),
    ] {
        let flaw = Tree::parse("kong.json", text).flaw.unwrap();
        assert_eq!((flaw.line, flaw.column), (line, column), "{text}: {}", flaw.why);
        assert!(flaw.why.starts_with("as JSON: ") && flaw.why.contains(why), "{text}: {}", flaw.why);
    }
}

#[test]
fn the_first_document_counts_as_in_kong() {
    let tree = Tree::parse("kong.yml", "a: 1\n---\nb: *none\n---\nc: 3\n");
    assert_eq!((tree.flaw.as_ref(), tree.further), (None, Some(2)));
    assert_eq!(super::value(&tree, tree.root.unwrap()).unwrap(), serde_json::json!({"a": 1}));
    assert_eq!(Tree::parse("kong.yml", "---\na: 1\n...\n").further, None);
    assert!(Tree::parse("kong.yml", "a: 1\n---\nb: [\n").flaw.is_some());
}

#[test]
fn every_merge_of_a_mapping_counts() {
    assert_eq!(
        ours("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: *a, <<: [*b], z: 3}\nd: {<<: *b, <<: *a, <<: {w: 4}}\n"),
        Some(serde_json::json!({
            "a": {"x": 1, "y": 1},
            "b": {"y": 2, "z": 2},
            "c": {"x": 1, "y": 1, "z": 3},
            "d": {"x": 1, "y": 2, "z": 2, "w": 4},
        }))
    );
    let tree = Tree::parse("kong.yml", "a: {<<: {x: 1}, <<: {y: 2}}\n");
    let (_, map) = tree.find(tree.root.unwrap(), "a").unwrap();
    assert!(tree.find(map, "x").is_some() && tree.find(map, "y").is_some());
}

#[test]
fn a_flaw_is_in_a_line_that_there_is() {
    for text in [
        "a: [",
        "a:\n  - b\n c: \"",
        "a: 1\r\nb: [\r\n1",
        "a: 1\rb: [",
        "a: 1\u{2028}b: [",
        "a: {b: 1",
        "# x\r\u{1}",
        "a\n\n\n: [",
        "a: *b",
    ] {
        for end in ["", "\n", "\r\n"] {
            let text = format!("{text}{end}");
            let flaw = Tree::parse("kong.yml", &text).flaw.unwrap();
            let lines = text.trim_end_matches(BREAKS).replace("\r\n", "\n").split(BREAKS).count();
            let most = lines + usize::from(!end.is_empty());
            assert!((1..=most).contains(&flaw.line), "{text:?}: {flaw:?}");
            assert!(flaw.line >= lines || text.starts_with("a\n"), "{text:?}: {flaw:?}");
        }
    }
}

#[test]
fn directives_are_few_and_short_wherever_a_line_begins() {
    let flaw = |text: &str| Tree::parse("kong.yml", text).flaw.map(|flaw| flaw.why).unwrap_or_default();
    let long = format!("%TAG !a! {}", "b".repeat(128));
    for start in ["", "\u{feff}", "%YAML 1.1\n", "%YAML 1.1\r", "%A\u{2028}", "# a\u{85}"] {
        assert_eq!(flaw(&format!("{start}{long}\n---\na: !a!b 1\n")), "a `%TAG` line is too long", "{start:?}");
    }
    assert_eq!(flaw(&format!("{}---\na: 1\n", "%TAG !a! b\r".repeat(65))), "it has too many `%TAG` lines");
    assert_eq!(flaw("%TAG !y! tag:yaml.org,2002:\n---\na: !y!str 1\n"), "");
}
