//! The grammar, from outside: the table of what Kong's users know, and properties.

use kong_vault::reference::{Piece, Reference, is_reference, name, parse, pieces};
use proptest::prelude::*;

fn refused(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

fn parts(text: &str) -> (String, String, Option<String>) {
    let Reference { name, resource, key, .. } = parse(text.as_bytes()).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(name), text(resource), key.map(text))
}

#[test]
fn errors_quote_the_reference() {
    for (text, expected) in [
        ("{vault://env}", "reference url is missing path [{vault://env}]"),
        ("{vault://env?a=b}", "reference url is missing path [{vault://env?a=b}]"),
        ("{vault://env/}", "reference url has empty path [{vault://env/}]"),
        ("{vault://env/////}", "reference url has invalid path [{vault://env/////}]"),
        ("{vault://env/a#x}", "reference url has invalid version [{vault://env/a#x}]"),
        ("{vault://env/a#}", "reference url has invalid version [{vault://env/a#}]"),
        ("{vault://env/a#+1}", "reference url has invalid version [{vault://env/a#+1}]"),
        ("{vault://env/a#0x1}", "reference url has invalid version [{vault://env/a#0x1}]"),
        ("{vault://env/a#4294967296}", "reference url has invalid version [{vault://env/a#4294967296}]"),
        ("{vault:///a}", "reference url is missing host [{vault:///a}]"),
        ("{vault:/x/y}", "not a reference [{vault:/x/y}]"),
        ("{vault://env/a", "not a reference [{vault://env/a]"),
        ("", "not a reference []"),
    ] {
        assert_eq!(refused(text), expected);
    }
}

/// What `parse_reference` of Kong 3.9.1 makes of each, run with the URL parser that it has, luasocket 3.0-rc1; the first rows are
/// those of its own spec, `spec/01-unit/23-vaults_spec.lua` (Apache-2.0, © Kong Inc.). Name, resource, key and version, or
/// the error's beginning.
type Row = (&'static str, Result<(&'static str, &'static str, Option<&'static str>, Option<u32>), &'static str>);

#[rustfmt::skip]
const KONG: &[Row] = &[
    ("{vault://env/test}", Ok(("env", "test", None, None))),
    ("{vault://env}", Err("reference url is missing path")),
    ("{vault://env/}", Err("reference url has empty path")),
    ("{vault://env/////}", Err("reference url has invalid path")),
    ("{vault://env/test-secret/test-key}", Ok(("env", "test-secret", Some("test-key"), None))),
    ("{vault://env/test%3Asecret/test%3Akey}", Ok(("env", "test:secret", Some("test:key"), None))),
    ("{vault://env//////test-secret//////test-key}", Ok(("env", "test-secret", Some("test-key"), None))),
    ("{vault://env/test-secret/test-key/}", Ok(("env", "test-secret/test-key", None, None))),
    ("{vault://env//////test-secret//////test-key//////}", Ok(("env", "test-secret/test-key", None, None))),
    ("{vault://env/test?opt1=val1&opt2=val2}", Ok(("env", "test", None, None))),
    ("{vault://env/test#1}", Ok(("env", "test", None, Some(1)))),
    ("{vault://;/xx-x}", Ok((";", "xx-x", None, None))),
    ("{vault://x/x}", Ok(("x", "x", None, None))),
    ("{vault://}", Err("reference url is missing host")),
    ("{vault:///a}", Err("reference url is missing host")),
    ("{vault:///a/b}", Err("reference url is missing host")),
    ("{vault:////}", Err("reference url is missing host")),
    ("{vault:///env/a}", Err("reference url is missing host")),
    ("{vault://#1}", Err("reference url is missing host")),
    ("{vault://#x}", Err("reference url is missing host")),
    ("{vault://user@/a}", Err("reference url is missing host")),
    ("{vault://:80/a}", Err("reference url is missing host")),
    ("{vault://@:80/a}", Err("reference url is missing host")),
    ("{vault://@}", Err("reference url is missing host")),
    ("{vault://?}", Err("reference url is missing path")),
    ("{vault://?a=b}", Err("reference url is missing path")),
    ("{vault://env?a=b}", Err("reference url is missing path")),
    ("{vault://env#1}", Err("reference url is missing path")),
    ("{vault://env#1/a}", Err("reference url is missing path")),
    ("{vault://env:80}", Err("reference url is missing path")),
    ("{vault://env/?a=b}", Err("reference url has empty path")),
    ("{vault://env/#1}", Err("reference url has empty path")),
    ("{vault://env/#x}", Err("reference url has empty path")),
    ("{vault://env//#x}", Err("reference url has invalid version")),
    ("{vault://env//#1}", Err("reference url has invalid path")),
    ("{vault://env//?x=y}", Err("reference url has invalid path")),
    ("{vault://env/a#}", Err("reference url has invalid version")),
    ("{vault://env/a#x}", Err("reference url has invalid version")),
    ("{vault://env/a#latest}", Err("reference url has invalid version")),
    ("{vault://env/a##1}", Err("reference url has invalid version")),
    ("{vault://env/a#1#2}", Err("reference url has invalid version")),
    ("{vault://env/a#1?x=y}", Err("reference url has invalid version")),
    ("{vault://env/a#1/b}", Err("reference url has invalid version")),
    ("{vault://env/a#0}", Ok(("env", "a", None, Some(0)))),
    ("{vault://env/a#02}", Ok(("env", "a", None, Some(2)))),
    ("{vault://env/a?#1}", Ok(("env", "a", None, Some(1)))),
    ("{vault://env/a?x=/b/c}", Ok(("env", "a", None, None))),
    ("{vault://env/a?x=1/}", Ok(("env", "a", None, None))),
    ("{vault://env/a/b/?x=1#2}", Ok(("env", "a/b", None, Some(2)))),
    ("{vault://env/a%3Bb/c}", Ok(("env", "a;b", Some("c"), None))),
    ("{vault://env/a?x=;y}", Ok(("env", "a", None, None))),
    ("{vault://[]/a}", Ok(("[]", "a", None, None))),
    ("{vault://env/a@b}", Ok(("env", "a@b", None, None))),
    ("{vault://env/a:b}", Ok(("env", "a:b", None, None))),
    ("{vault://ENV/a}", Ok(("ENV", "a", None, None))),
    ("{vault://en%76/a}", Ok(("en%76", "a", None, None))),
    ("{vault://my_vault.x/a}", Ok(("my_vault.x", "a", None, None))),
    ("{vault://env/../a}", Ok(("env", "..", Some("a"), None))),
    ("{vault://env/a/./b/}", Ok(("env", "a/./b", None, None))),
    ("{vault://env/%2F}", Ok(("env", "/", None, None))),
    ("{vault://env/a%2Fb/c}", Ok(("env", "a/b", Some("c"), None))),
    ("{vault://env/%}", Ok(("env", "%", None, None))),
    ("{vault://env/%zz}", Ok(("env", "%zz", None, None))),
    ("{vault://env/a%3Fb%23c}", Ok(("env", "a?b#c", None, None))),
    ("{vault://env/a b}", Ok(("env", "a b", None, None))),
    ("{vault://env/}}", Ok(("env", "}", None, None))),
    ("{vault://}}", Err("reference url is missing path")),
    ("{vault://env/a}{vault://env/b}", Ok(("env", "a}{vault:/env", Some("b"), None))),
    ("{vault:/env/a}", Err("not a reference")),
    ("{vault:/}", Err("not a reference")),
    ("{vault//env/a}", Err("not a reference")),
    ("{VAULT://env/a}", Err("not a reference")),
    ("{vaults://env/a}", Err("not a reference")),
    ("vault://env/a", Err("not a reference")),
    ("{vault://env/a", Err("not a reference")),
    ("vault://env/a}", Err("not a reference")),
    (" {vault://env/a}", Err("not a reference")),
    ("{vault://env/a} ", Err("not a reference")),
    ("{{vault://env/a}}", Err("not a reference")),
    ("{ vault://env/a}", Err("not a reference")),
    ("{}", Err("not a reference")),
];

#[test]
fn no_password_in_the_place_of_a_vaults_name_is_shown() {
    for (reference, shown) in [
        ("{vault://deploy:hunter2/db/password#x}", "{vault://***/db/password#x}"),
        ("{vault://deploy:hunter2#x}", "{vault://***}"),
        ("{vault://deploy:12hunter2/a#x}", "{vault://***/a#x}"),
        ("{vault://:hunter2/a#x}", "{vault://***/a#x}"),
        ("{vault://env:80/a#x}", "{vault://env:80/a#x}"),
    ] {
        let error = parse(reference.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(shown) && !error.contains("hunter2"), "{error}");
        assert!(!name(reference.as_bytes()).contains("hunter2"));
    }
}

#[test]
fn a_reference_is_read_as_kong_reads_it() {
    for (text, expected) in KONG {
        match (parse(text.as_bytes()), expected) {
            (Ok(parsed), Ok((name, resource, key, version))) => {
                let found = (&parsed.name[..], &parsed.resource[..], parsed.key.as_deref(), parsed.version);
                let expected = (name.as_bytes(), resource.as_bytes(), key.map(str::as_bytes), *version);
                assert_eq!(found, expected, "{text}");
            }
            (Err(error), Err(expected)) => {
                // A user may be a credential.
                let quoted = if text.contains('@') { "".to_owned() } else { format!(" [{text}]") };
                assert!(error.to_string().starts_with(&format!("{expected}{quoted}")), "{text}: {error}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
        assert_eq!(is_reference(text.as_bytes()), !matches!(expected, Err("not a reference")), "{text}");
    }
}

/// Where Kong is followed in what its documentation says of references, and not in what its parser makes of them.
#[test]
fn what_differs_from_kongs_parser_on_purpose() {
    // Its parser decodes twice, and takes a plus for a blank, as in a form: such names could not be written at all.
    assert_eq!(parts("{vault://aws/a+b/c+d}"), ("aws".into(), "a+b".into(), Some("c+d".into())));
    assert_eq!(parts("{vault://aws/a%2Bb%252F}"), ("aws".into(), "a+b%2F".into(), None));
    // A query before the path belongs to the name there, and would be shown as the name of a vault.
    assert!(
        refused("{vault://hcv?token=hunter2/a}").starts_with("reference url is missing path [{vault://hcv?token=***")
    );
    // A user, a port, brackets and what follows a `;` are passed over there. No vault has such a name, and what somebody wrote as a
    // server's is not to be lost.
    for name in ["user@env", "user:pass@env", "@env", "env:80", "env:", "[env]", "[::1]"] {
        assert_eq!(parts(&format!("{{vault://{name}/a}}")), (name.into(), "a".into(), None));
    }
    assert_eq!(parts("{vault://env/a;b/c;d}"), ("env".into(), "a;b".into(), Some("c;d".into())));
    // Any number of Lua is a version there.
    for version in ["-1", "+1", "1.5", "1e3", "0x10", " 1", "4294967296"] {
        assert!(refused(&format!("{{vault://env/a#{version}}}")).starts_with("reference url has invalid version"));
    }
}

#[test]
fn what_errors_quote_is_bounded_on_one_line_and_no_credential() {
    assert_eq!(refused("{vault://env/\na#x\r}"), "reference url has invalid version [{vault://env/\\na#x\\r}]");
    assert_eq!(
        refused("{vault://hcv/a?Token=hunter2&ttl=1&pri%6Bey=hunter2#x}"),
        "reference url has invalid version [{vault://hcv/a?Token=***&ttl=1&***]"
    );
    assert!(refused(&"x".repeat(65536)).len() < 400);
    assert!(parse(b"{vault://env/\xff#x}").unwrap_err().to_string().contains("env/?#x"));
}

#[test]
fn slashes_separate_and_escapes_do_not() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(parts("{vault://env/test}"), ("env".into(), "test".into(), None));
    assert_eq!(parts("{vault://aws/a/b/c}"), ("aws".into(), "a/b".into(), some("c")));
    assert_eq!(parts("{vault://env/a/b/}"), ("env".into(), "a/b".into(), None));
    assert_eq!(parts("{vault://env////a////b}"), ("env".into(), "a".into(), some("b")));
    assert_eq!(parts("{vault://env////a////b//}"), ("env".into(), "a/b".into(), None));
    assert_eq!(parts("{vault://aws/%2Fsecret/key}"), ("aws".into(), "/secret".into(), some("key")));
    assert_eq!(parts("{vault://aws/%zz%2/%}"), ("aws".into(), "%zz%2".into(), some("%")));
    assert_eq!(
        parts("{vault://aws/arn:aws:secretsmanager:eu-west-1:1:secret:db%2Fpass-Ab/user}"),
        ("aws".into(), "arn:aws:secretsmanager:eu-west-1:1:secret:db/pass-Ab".into(), some("user"))
    );
}

#[test]
fn an_escape_never_becomes_a_separator() {
    let parsed = parse(b"{vault://hcv/a%2Fb/c%2F%23%3Fd?x=1%262%3D3%23#2}").unwrap();
    assert_eq!(parsed.resource, b"a/b");
    assert_eq!(parsed.key.as_deref(), Some(&b"c/#?d"[..]));
    assert_eq!(parsed.options, [(b"x".to_vec(), Some(b"1&2=3#".to_vec()))]);
    assert_eq!(parsed.version, Some(2));
    // Only what stands there separates: an escaped slash is no empty part, an escaped name stays what it is.
    assert_eq!(parts("{vault://env/%2F}"), ("env".into(), "/".into(), None));
    assert_eq!(parts("{vault://env/%2F%2F/}"), ("env".into(), "//".into(), None));
    assert_eq!(parts("{vault://e%6Ev/a}"), ("e%6Ev".into(), "a".into(), None));
    assert_eq!(refused("{vault://env%2Fa}"), "reference url is missing path [{vault://env%2Fa}]");
    assert_eq!(refused("{vault://env/a#%32}"), "reference url has invalid version [{vault://env/a#%32}]");
    // Once only: what an escape yields is not decoded again.
    assert_eq!(parts("{vault://env/%252F}"), ("env".into(), "%2F".into(), None));
    assert_eq!(parts("{vault://env/a%7D}"), ("env".into(), "a}".into(), None));
}

#[test]
fn any_byte_may_stand_in_a_reference() {
    let parsed = parse(b"{vault://env/a\0b%00\xff%fe/\xc3\x28?\0=\xff}").unwrap();
    assert_eq!(parsed.resource, b"a\0b\0\xff\xfe");
    assert_eq!(parsed.key.as_deref(), Some(&b"\xc3("[..]));
    assert_eq!(parsed.options, [(b"\0".to_vec(), Some(b"\xff".to_vec()))]);
    assert_eq!(parse(b"{vault://\0\xff/a}").unwrap().name, b"\0\xff");
    assert_eq!(refused("{vault://env\0}"), "reference url is missing path [{vault://env\\u{0}}]");
    assert!(is_reference(b"{vault://\0\xff}") && !is_reference(b"\0{vault://a/b}") && !is_reference(b""));
}

#[test]
fn a_long_reference_is_read_whole_and_quoted_in_part() {
    const LONG: usize = 64 * 1024;
    let long = "x".repeat(LONG);
    assert_eq!(parts(&format!("{{vault://env/{long}/{long}}}")), ("env".into(), long.clone(), Some(long.clone())));
    assert_eq!(parse(format!("{{vault://{long}/a}}").as_bytes()).unwrap().name.len(), LONG);
    assert_eq!(
        parse(format!("{{vault://env/a?{}}}", "a=b&".repeat(LONG / 4)).as_bytes()).unwrap().options.len(),
        LONG / 4
    );
    for text in [
        format!("{{vault://{long}}}"),
        format!("{{vault://env{}}}", "/".repeat(LONG)),
        format!("{{vault://env/a#{}}}", "9".repeat(LONG)),
        format!("{{vault://env/a#0{}1}}", "0".repeat(LONG) + "x"),
        format!("{{vault://env/a?{}#}}", "token=hunter2&".repeat(LONG / 14)),
    ] {
        let error = refused(&text);
        assert!(error.starts_with("reference url ") && error.len() < 700, "{}", error.len());
        assert!(!error.contains("hunter2"));
    }
}

#[test]
fn a_version_is_a_decimal_number() {
    for (text, version) in [("#0", 0), ("#1", 1), ("#02", 2), ("#4294967295", u32::MAX)] {
        assert_eq!(parse(format!("{{vault://hcv/a{text}}}").as_bytes()).unwrap().version, Some(version));
    }
}

#[test]
fn options_are_form_decoded() {
    let options = |text: &str| parse(text.as_bytes()).unwrap().options;
    assert_eq!(options("{vault://env/a}"), vec![]);
    assert_eq!(options("{vault://env/a?}"), vec![]);
    assert_eq!(
        options("{vault://env/a?x=1+2%26&&y&z=#1}"),
        vec![(b"x".to_vec(), Some(b"1 2&".to_vec())), (b"y".to_vec(), None), (b"z".to_vec(), Some(vec![]))]
    );
}

proptest! {
    #[test]
    fn nothing_panics_and_what_parses_looks_like_a_reference(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reference = b"{vault://".to_vec();
        reference.extend_from_slice(&text);
        reference.push(b'}');
        let _ = parse(&text);
        if let Ok(parsed) = parse(&reference) {
            prop_assert!(is_reference(&reference));
            prop_assert!(!parsed.name.is_empty() && !parsed.resource.is_empty());
        }
    }

    #[test]
    fn what_is_escaped_comes_back_whole(
        name in "[a-z][a-z0-9-]{0,8}",
        resource in proptest::collection::vec("[^/]{1,12}", 1..4),
        key in proptest::option::of("\\PC{1,12}"),
        version in proptest::option::of(any::<u32>()),
        options in proptest::collection::vec(("[a-z_]{1,8}", "\\PC{0,12}"), 0..4),
    ) {
        let escape = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let path: Vec<_> = resource.iter().map(|part| escape(part)).collect();
        let mut text = format!("{{vault://{name}/{}/{}", path.join("//"), key.as_deref().map(escape).unwrap_or_default());
        for (index, (option, value)) in options.iter().enumerate() {
            text.push_str(&format!("{}{option}={}", if index == 0 { "?" } else { "&" }, escape(value)));
        }
        text.push_str(&version.map(|version| format!("#{version}")).unwrap_or_default());
        text.push('}');
        let parsed = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(parsed.name, name.into_bytes());
        prop_assert_eq!(parsed.resource, resource.join("/").into_bytes());
        prop_assert_eq!(parsed.key, key.map(String::into_bytes));
        prop_assert_eq!(parsed.version, version);
        prop_assert_eq!(parsed.options.len(), options.len());
        for ((name, value), (option, expected)) in parsed.options.iter().zip(&options) {
            prop_assert_eq!(name, option.as_bytes());
            prop_assert_eq!(value.as_deref(), Some(expected.as_bytes()));
        }
    }

    #[test]
    fn splitting_comes_before_decoding(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..8), 1..5),
        open in any::<bool>(),
    ) {
        let escape = |part: &Vec<u8>| part.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let path = parts.iter().map(escape).collect::<Vec<_>>().join("/");
        let parsed = parse(format!("{{vault://env/{path}{}}}", if open { "/" } else { "" }).as_bytes()).unwrap();
        let (key, resource) = match parts.split_last() {
            Some((key, rest)) if !rest.is_empty() && !open => (Some(key.clone()), rest),
            _ => (None, &parts[..]),
        };
        prop_assert_eq!(parsed.key, key);
        prop_assert_eq!(parsed.resource, resource.join(&b'/'));
    }

    #[test]
    fn what_an_error_quotes_forges_no_line_and_shows_no_credential(
        path in proptest::collection::vec(any::<u8>(), 0..40),
        name in "[a-z_]{0,4}(token|Secret|PASSWORD|kEy|credentiaL)[A-Z_]{0,4}",
    ) {
        let mut text = b"{vault://".to_vec();
        text.extend(path.iter().filter(|byte| **byte != b'?'));
        text.extend_from_slice(format!("?a=1&{name}=hunter2&b#x}}").as_bytes());
        let error = parse(&text).unwrap_err().to_string();
        prop_assert!(!error.chars().any(char::is_control) && !error.contains("hunter2"), "{}", error);
    }

    #[test]
    fn long_references_take_linear_time(length in 60_000usize..65_536) {
        let text = format!("{{vault://env/{}}}", "/%2F".repeat(length / 4));
        prop_assert!(parse(text.as_bytes()).is_ok());
    }
}

const START: &str = "{vault://";
const END: u8 = b'}';

#[test]
fn a_text_is_split_at_its_references() {
    let (plain, reference) =
        (|text: &'static str| Piece::Plain(text.as_bytes()), |text: &'static str| Piece::Reference(text.as_bytes()));
    for (text, expected) in [
        ("", vec![]),
        ("plain {text}", vec![plain("plain {text}")]),
        ("{vault://a/b}", vec![reference("{vault://a/b}")]),
        (
            "x{vault://a/b}{vault://c/d}}",
            vec![plain("x"), reference("{vault://a/b}"), reference("{vault://c/d}"), plain("}")],
        ),
        ("{{vault://a/b}", vec![plain("{"), reference("{vault://a/b}")]),
        ("{vault://a/{vault://b/c}", vec![reference("{vault://a/{vault://b/c}")]),
    ] {
        assert_eq!(pieces(text.as_bytes()), Some(expected), "{text}");
    }
    assert_eq!(pieces(b"x{vault://a/b} {vault://c"), None);
}

proptest! {
    #[test]
    fn pieces_are_the_whole_text(text in r"([a{}]|\{vault://|\{vault://x/y\}){0,12}") {
        let found = pieces(text.as_bytes());
        prop_assert!(found.is_some() || text.contains(START));
        for piece in found.iter().flatten() {
            let whole = match piece {
                Piece::Reference(it) => is_reference(it) && it.iter().filter(|byte| **byte == END).count() == 1,
                Piece::Plain(it) => !it.is_empty() && !it.windows(START.len()).any(|part| part == START.as_bytes()),
            };
            prop_assert!(whole);
        }
        let parts = found.iter().flatten().map(|piece| match piece {
            Piece::Plain(it) | Piece::Reference(it) => *it,
        });
        prop_assert!(found.is_none() || parts.collect::<Vec<_>>().concat() == text.as_bytes());
    }
}
