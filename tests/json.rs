//! JSON's odd ends in a secret, read as Kong reads them. The inputs are facts of JSONTestSuite (github.com/nst/JSONTestSuite,
//! MIT, © Nicolas Seriot), and others of ours; what becomes of each is what lua-cjson 2.1.0.13 made of it, which Kong 3.9
//! reads secrets with.

use kong_vault::cache::document::Document;
use kong_vault::secret::Secret;
use proptest::prelude::*;

fn pick(document: &[u8], key: &str) -> Result<Vec<u8>, String> {
    let picked = Document::new(Secret::new(document)).pick(Some(key.as_bytes()), false);
    picked.map(|secret| secret.as_bytes().to_vec()).map_err(|error| error.to_string())
}

/// A document with `value` in a field that nobody asks for.
fn beside(value: &[u8]) -> Vec<u8> {
    [b"{\"other\":", value, b",\"password\":\"hunter2\"}"].concat()
}

const READ: &[&[u8]] = &[
    // Numbers.
    b"0",
    b"-0",
    b"1.5",
    b"1E22",
    b"1e-2",
    b"123e65",
    b"0e+1",
    b"-1e+9999",
    b"123e-10000000",
    b"100000000000000000000",
    b"+1",
    b"-01",
    b"012",
    b"00",
    b"2.",
    b"-2.",
    b"0.e1",
    b"2.e+3",
    b"-.123",
    b"+.5",
    b"0x1",
    b"0X42",
    b"-0x1",
    b"0x1.8p-3",
    b"0x.8",
    b"NaN",
    b"-NaN",
    b"nan",
    b"nan(ab_1)",
    b"Inf",
    b"+Inf",
    b"-inf",
    b"Infinity",
    b"-iNFINITY",
    // Texts.
    b"\"new\nline\"",
    b"\"\t\"",
    b"\"\r\x01\x1f\x7f\"",
    b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    b"\"\\u0000\"",
    b"\"\\\\u0000\"",
    b"\"\\uD834\\uDd1e\"",
    b"\"\\ud83d\\ude39\\ud83d\\udc8d\"",
    b"\"\\uDBFF\\uDFFF\"",
    b"\"\\uFFFF\\uFFFE\\uFDD0\"",
    b"\"\xff\xfe\"",
    b"\"\xe9\"",
    b"\"\xed\xa0\x80\"",
    b"\"\xc0\xaf\"",
    b"\"\xf4\xbf\xbf\xbf\"",
    b"\"a/*b*/c//d\"",
    // What is nested, and white space.
    b"[]",
    b"{}",
    b"[[]   ]",
    b"[null, 1, \"1\", {}, NaN]",
    b" \t\r\n[1] ",
    b"{\"\":0,\"\":{\"x\":[{}]}}",
    b"true",
    b"false",
    b"null",
];

const REFUSED: &[&[u8]] = &[
    b"",
    b"-",
    b"+",
    b"++1",
    b"- 1",
    b"-foo",
    b".1",
    b".2e-3",
    b"-1.0.",
    b"0.1.2",
    b"0e",
    b"0E+",
    b"1.0e-",
    b"1eE2",
    b"1_000",
    b"1 000.0",
    b"1+2",
    b"0x",
    b"0x.",
    b"0x1G",
    b"1.8011670033376514H-308",
    b"nan(a-b)",
    b"infinit",
    b"in",
    b"na",
    b"\xef\xbc\x91",
    b"fals",
    b"True",
    b"Null",
    b"truth",
    b"nil",
    b"abc",
    b"*",
    b"<null>",
    b"'single quote'",
    b"\xc3\xa9",
    b"\\u0020\"asd\"",
    b"\"\\uDADA\"",
    b"\"\\uDFAA\"",
    b"\"\\uD888\\u1234\"",
    b"\"\\uDd1e\\uD834\"",
    b"\"\\uD800\\n\"",
    b"\"\\uD800\\uD800\\n\"",
    b"\"\\u00A\"",
    b"\"\\uqqqq\"",
    b"\"\\u\"",
    b"\"\\x00\"",
    b"\"\\a\"",
    b"\"\\U0041\"",
    b"\"\\\t\"",
    b"\"\\\xe5\"",
    b"\"a\x00a\"",
    b"\"a",
    b"\"\"x",
    b"\x0b1",
    b"\x0c1",
    b"\xc2\xa01",
    b"\xef\xbb\xbf1",
    b"/**/1",
    b"[1,]",
    b"[,1]",
    b"[1,,2]",
    b"[1 true]",
    b"[1:2]",
    b"[1]]",
    b"[1",
    b"[",
    b"]",
    b"{",
    b"{]",
    b"{,}",
    b"{\"id\":0,}",
    b"{\"a\" \"b\"}",
    b"{\"x\"::\"b\"}",
    b"{\"x\", null}",
    b"{:\"b\"}",
    b"{key: 1}",
    b"{1:1}",
    b"{null:null}",
    b"{'a':0}",
    b"{\"a\":1 2}",
    b"{}}",
];

#[test]
fn a_field_that_nobody_asked_for_is_read_as_leniently_as_by_kong() {
    for value in READ {
        let document = beside(value);
        assert_eq!(pick(&document, "password").as_deref(), Ok(&b"hunter2"[..]), "{}", document.escape_ascii());
    }
    for value in REFUSED {
        let document = beside(value);
        let error = pick(&document, "password").expect_err(&document.escape_ascii().to_string());
        assert!(error.starts_with("unable to json decode value"), "{}: {error}", document.escape_ascii());
        assert!(error.contains("line ") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_text_is_what_its_escapes_mean_and_its_bytes_are() {
    for (written, meant) in [
        (
            &b"-----BEGIN KEY-----\nMII\n\tx\r\n-----END KEY-----\n"[..],
            &b"-----BEGIN KEY-----\nMII\n\tx\r\n-----END KEY-----\n"[..],
        ),
        (b"\\u00e4\\u00E4", "ää".as_bytes()),
        (b"\\ud83d\\udd10", "🔐".as_bytes()),
        (b"\\\"\\\\\\/\\b\\f\\n\\r\\t", b"\"\\/\x08\x0c\n\r\t"),
        (b"a\\u0000b", b"a\0b"),
        (b"\xff\xfe\x80", b"\xff\xfe\x80"),
        (b"\\u007f\\uffff", "\u{7f}\u{ffff}".as_bytes()),
        (b"", b""),
    ] {
        let document = [b"{\"key\":\"", written, b"\"}"].concat();
        assert_eq!(pick(&document, "key").as_deref(), Ok(meant), "{}", document.escape_ascii());
    }
}

#[test]
fn the_ends_of_a_document() {
    let value = Ok(&b"1"[..]);
    for document in [
        &b" \t\r\n{ \"a\" : \"1\" } \n"[..],
        b"{\"a\":\"0\",\"a\":\"1\"}",
        b"{\"a\":{},\"a\":\"1\"}",
        b"{\"\\u0061\":\"1\"}",
        b"{\"a\":\"1\"}\0anything",
        b"{\"\":\"0\",\"a\":\"1\"}",
    ] {
        assert_eq!(pick(document, "a").as_deref(), value, "{}", document.escape_ascii());
    }
    for (document, wrong) in [
        (&b""[..], "no JSON object"),
        (b"  ", "no JSON object"),
        (b"\0{\"a\":\"1\"}", "no JSON object"),
        (b"hunter2", "no JSON object"),
        (b"\"text\"", "no JSON object"),
        (b"[{\"a\":\"1\"}]", "no JSON object"),
        (b"5432", "no JSON object"),
        (b"\xef\xbb\xbf{\"a\":\"1\"}", "line 1, column 1: a byte order mark"),
        (b"{\"a\":\"1\"} tail", "line 1, column 11: a letter where the end is expected"),
        (b"{\"a\":\"1\"}{}", "line 1, column 10: a brace"),
        (b"{\"a\":\"1\"}#", "line 1, column 10: another character"),
        (b"{\"a\":\"1\"}//", "line 1, column 10: another character"),
        (b"{\"a\":\0\"1\"}", "line 1, column 6: the end where a value"),
        (b"{\"a\":\"1\",}", "line 1, column 10: a brace where a field's name"),
        (b"{\"a\":\n  \"\xc3\xa9\xc3\xa9\" hunter2}", "line 2, column 8: a letter where a comma or a closing brace"),
        (b"{\"a\":\r\n\t'hunter2'}", "line 2, column 2: a single quote where a value"),
        (b"{\"a\" = \"hunter2\"}", "line 1, column 6: another character where a colon"),
        (b"{\"a\":[1\n,2;3]}", "line 2, column 3: another character where a comma or a closing bracket"),
        (b"{\"a\":\"hunter2", "line 1, column 6: a text that begins here has no closing quote"),
        (b"{\"a\":\"hunter2\\", "line 1, column 6: a text that begins here has no closing quote"),
        (b"{\"a\":\"hunter2\\q\"}", "line 1, column 14: a backslash that begins no escape"),
        (b"{\"a\":\"hunter2\\ud800\"}", "line 1, column 14: one half of a surrogate pair"),
        (b"{\"a\":\"hunter2\\u12\"}", "line 1, column 14: `\\u` without four"),
        (b"{\"a\":hunter2}", "line 1, column 6: a letter where a value"),
        (b"{\"a\":\xc3\xa9}", "line 1, column 6: a character beyond ASCII where a value"),
    ] {
        let error = pick(document, "a").unwrap_err();
        assert!(error.starts_with("unable to json decode value ("), "{error}");
        assert!(error.contains(wrong) && !error.contains("hunter2"), "{}: {error}", document.escape_ascii());
    }
}

#[test]
fn a_thousand_levels_and_no_more() {
    for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "" } else { "1" };
            format!("{{\"a\":\"1\",\"b\":{}{inner}{}}}", open.repeat(depth), close.repeat(depth))
        };
        assert_eq!(pick(nested(999).as_bytes(), "a").as_deref(), Ok(&b"1"[..]));
        let error = pick(nested(1000).as_bytes(), "a").unwrap_err();
        assert!(error.contains("more than 1000 objects and arrays in one another"), "{error}");
    }
    // What goes on for ever is read no deeper, and in linear time.
    for endless in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 20), format!("{{\"a\":\"{}", "\\\\".repeat(1 << 20))] {
        assert!(pick(endless.as_bytes(), "a").is_err());
    }
}

proptest! {
    #[test]
    fn what_serde_json_reads_is_read_the_same(document in "\\{(\"[a-c]\":(\"[^\"\\\\\u{0}-\u{1f}]{0,6}\"|-?[1-9][0-9]{0,3}|null|\\[\\]),){0,4}\"z\":\"1\"\\}") {
        let theirs: serde_json::Value = serde_json::from_str(&document).unwrap();
        for key in ["a", "b", "c", "z"] {
            let ours = pick(document.as_bytes(), key).ok();
            prop_assert_eq!(ours, theirs.get(key).and_then(|value| value.as_str()).map(|text| text.as_bytes().to_vec()));
        }
    }

    #[test]
    fn nothing_panics_and_no_error_shows_a_secret(
        before in proptest::collection::vec(any::<u8>(), 0..12),
        after in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let document = [b"{\"a\":", &before[..], b"m4rk3r", &after[..], b"}"].concat();
        if let Err(error) = pick(&document, "a") {
            prop_assert!(!error.contains("m4rk3r") && !error.chars().any(char::is_control), "{}", error);
        }
    }
}
