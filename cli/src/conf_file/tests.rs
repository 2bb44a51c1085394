use super::*;

/// A file, and the keys that it sets; `None` where Kong does not start with it. The keys are those that Penlight 1.14
/// returns under LuaJIT 2.1, called as in Kong 3.9.1 (`kong/conf_loader`), with comments cut off and values trimmed as
/// there.
type Row = (&'static [u8], Option<&'static [(&'static str, &'static str)]>);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (b"\n\n", Some(&[])),
    (b"a=b", Some(&[("a", "b")])),
    (b"a = b", Some(&[("a", "b")])),
    (b"  a  =  b  ", Some(&[("a", "b")])),
    (b"\ta\t=\tb\t", Some(&[("a", "b")])),
    (b"a=", Some(&[("a", "")])),
    (b"a = ", Some(&[("a", "")])),
    (b"=b", Some(&[("", "b")])),
    (b" = b", Some(&[("", "b")])),
    (b"a", Some(&[])),
    (b"just words", Some(&[])),
    (b"a b = c", Some(&[("a_b", "c")])),
    (b"a-b = c", Some(&[("a_b", "c")])),
    (b"a.b = c", Some(&[("a_b", "c")])),
    (b"A = b", Some(&[("A", "b")])),
    (b"\xc3\xa9 = b", Some(&[("__", "b")])),
    (b"a = b # c", Some(&[("a", "b")])),
    (b"a = b#c", Some(&[("a", "b")])),
    (b"a = b\\#c", Some(&[("a", "b#c")])),
    (b"a = b\\#c # d", Some(&[("a", "b#c")])),
    (b"a = #b", Some(&[("a", "")])),
    (b"a = # b", Some(&[("a", "")])),
    (b"# a = b", Some(&[])),
    (b"; a = b", Some(&[])),
    (b"  # a = b", Some(&[])),
    (b"  ; a = b", Some(&[])),
    (b"a = b ; c", Some(&[("a", "b ; c")])),
    (b"a = \\# \\#b # c \\# d", Some(&[("a", "# #b")])),
    (b"a = b\\\\#c", Some(&[("a", "b\\#c")])),
    (b"a = \"b\"", Some(&[("a", "\"b\"")])),
    (b"a = 'b'", Some(&[("a", "'b'")])),
    (b"a = \"b # c\"", Some(&[("a", "\"b")])),
    (b"a = \"b\" # c", Some(&[("a", "\"b\"")])),
    (b"a = \"\"", Some(&[("a", "\"\"")])),
    (b"a = b\"c\"", Some(&[("a", "b\"c\"")])),
    (b"a = 007", Some(&[("a", "7")])),
    (b"a = 12345678901234567890", Some(&[("a", "1.2345678901235e+19")])),
    (b"a = 0x10", Some(&[("a", "16")])),
    (b"a = 1e3", Some(&[("a", "1000")])),
    (b"a = 1.0", Some(&[("a", "1")])),
    (b"a = -0", Some(&[("a", "-0")])),
    (b"a = +5", Some(&[("a", "5")])),
    (b"a = -5", Some(&[("a", "-5")])),
    (b"a = 1_000", Some(&[("a", "1_000")])),
    (b"a = 5 kB", Some(&[("a", "5")])),
    (b"a = 5 kB # x", Some(&[("a", "5 kB")])),
    (b"a = 5kB", Some(&[("a", "5kB")])),
    (b"a = 1.50", Some(&[("a", "1.5")])),
    (b"a = .5", Some(&[("a", ".5")])),
    (b"a = 5.", Some(&[("a", "5")])),
    (b"a = 0b101", Some(&[("a", "5")])),
    (b"a = 1e400", Some(&[("a", "inf")])),
    (b"a = -inf", Some(&[("a", "-inf")])),
    (b"a = +nan", Some(&[("a", "nan")])),
    (b"a = 12 # c", Some(&[("a", "12")])),
    (b"a = 12#c", Some(&[("a", "12")])),
    (b"a = 3 4", Some(&[("a", "3 4")])),
    (b"a = 12345678901234", Some(&[("a", "12345678901234")])),
    (b"a = 123456789012345", Some(&[("a", "1.2345678901235e+14")])),
    (b"a = 0.1", Some(&[("a", "0.1")])),
    (b"a = 1e15", Some(&[("a", "1e+15")])),
    (b"a = 1e14", Some(&[("a", "1e+14")])),
    (b"a = 0x1p4", Some(&[("a", "16")])),
    (b"a = 1LL", Some(&[("a", "1LL")])),
    (b"a = 1i", Some(&[("a", "1i")])),
    (b"a = 010", Some(&[("a", "10")])),
    (b"a = 1.2.3.4", Some(&[("a", "1.2.3.4")])),
    (b"a = 10.0.0.0/8", Some(&[("a", "10.0.0.0/8")])),
    (b"a = 2024-01-01", Some(&[("a", "2024-01-01")])),
    (b"a = 1,2,3", Some(&[("a", "1,2,3")])),
    (b"a = +", Some(&[("a", "+")])),
    (b"a = -", Some(&[("a", "-")])),
    (b"a = 0x", Some(&[("a", "0x")])),
    (b"a = 9007199254740993", Some(&[("a", "9.007199254741e+15")])),
    (b"a = 100000000000000", Some(&[("a", "1e+14")])),
    (b"a = 123456789.123456789", Some(&[("a", "123456789.12346")])),
    (b"a = -0.0", Some(&[("a", "-0")])),
    (b"a = 1E5", Some(&[("a", "100000")])),
    (b"a = 00", Some(&[("a", "0")])),
    (b"a = 0x1G", Some(&[("a", "0x1G")])),
    (b"a = 1 kB kB", Some(&[("a", "1")])),
    (b"a = 123 ", Some(&[("a", "123")])),
    (b"a = 0777777777777", Some(&[("a", "777777777777")])),
    (b"a = 1e-5", Some(&[("a", "1e-05")])),
    (b"a = 1e-4", Some(&[("a", "0.0001")])),
    (b"a = -nan", Some(&[("a", "nan")])),
    (b"a = +infinity", Some(&[("a", "inf")])),
    (b"a = 5e", Some(&[("a", "5e")])),
    (b"a = 1d", Some(&[("a", "1d")])),
    (b"a = 2u", Some(&[("a", "2u")])),
    (b"a=\t7", Some(&[("a", "7")])),
    (b"a = 7\t", Some(&[("a", "7")])),
    (b"a = b\\", Some(&[])),
    (b"a = b\\\nc", Some(&[("a", "bc")])),
    (b"a = b \\\n  c = d", Some(&[("a", "b   c = d")])),
    (b"a = b\\  \nc", Some(&[("a", "bc")])),
    (b"a = b\\\n# x\nc", Some(&[("a", "bc")])),
    (b"a = b\\\n\nc\nd = e", Some(&[("a", "bc"), ("d", "e")])),
    (b"a = b\\\\\nc", Some(&[("a", "b\\c")])),
    (b"a = b # c\\\nd = e", Some(&[("a", "b")])),
    (b"# a\\\nb = c", Some(&[("b", "c")])),
    (b"a = b\\\nc\\\nd", Some(&[("a", "bcd")])),
    (b"\\\na = b", Some(&[("a", "b")])),
    (b"a \\\n= b", Some(&[("a", "b")])),
    (b"[s]\na = b", Some(&[])),
    (b"a = b\n[s]\nc = d", Some(&[("a", "b")])),
    (b"[s]", Some(&[])),
    (b"[]", None),
    (b"[s", None),
    (b" [s]\na = b", Some(&[("a", "b")])),
    (b"[a b]\nc=d", Some(&[])),
    (b"[s] a = b", Some(&[])),
    (b"a = b\n[s]\n[t]\nx=y", Some(&[("a", "b")])),
    (b"[a]\na=1\n", Some(&[])),
    (b"{a}\nb = c", Some(&[("b", "c")])),
    (b"a]=b", Some(&[("a_", "b")])),
    (b"[x=y]", Some(&[])),
    (b"[vault_env_prefix]\nb = c", Some(&[])),
    (b"a = b\r\n", Some(&[("a", "b")])),
    (b"a = b\r\nc = d\r\n", Some(&[("a", "b"), ("c", "d")])),
    (b"a = b\rc = d", Some(&[("a", "b\rc = d")])),
    (b"a = 12\r\n", Some(&[("a", "12")])),
    (b"a = b\\\r\nc\r\n", Some(&[("a", "bc")])),
    (b"\r\na = b", Some(&[("a", "b")])),
    (b"a = b # c\r\n", Some(&[("a", "b")])),
    (b"\r\n[s]\r\na=b", Some(&[])),
    (b"\xef\xbb\xbfa = b", Some(&[])),
    (b"\xef\xbb\xbf# x\na = b", Some(&[("a", "b")])),
    (b"\xef\xbb\xbf\na = b", Some(&[("a", "b")])),
    (b"a = b\na = c", Some(&[("a", "c")])),
    (b"a = b\na =", Some(&[("a", "")])),
    (b"a = b\nA = c", Some(&[("A", "c"), ("a", "b")])),
    (b"a-b = 1\na_b = 2", Some(&[("a_b", "2")])),
    (b"a.b = 1\na_b = 2", Some(&[("a_b", "2")])),
    (b"export a = b", Some(&[("export_a", "b")])),
    (b"export a=b", Some(&[("export_a", "b")])),
    (b"a == b", Some(&[("a", "= b")])),
    (b"a = b = c", Some(&[("a", "b = c")])),
    (b"a=b=c", Some(&[("a", "b=c")])),
    (b"a := b", Some(&[("a__", "b")])),
    (b"a: b", Some(&[])),
    (b"a : b = c", Some(&[("a___b", "c")])),
    (b"a b", Some(&[])),
    (b"a = true", Some(&[("a", "true")])),
    (b"a = on", Some(&[("a", "on")])),
    (b"a = off", Some(&[("a", "off")])),
    (b"a = false", Some(&[("a", "false")])),
    (b"a = nil", Some(&[("a", "nil")])),
    (b"a = null", Some(&[("a", "null")])),
    (b"a = ~", Some(&[("a", "~")])),
    (b"a = yes", Some(&[("a", "yes")])),
    (b"a = b, c", Some(&[("a", "b, c")])),
    (b"a = b,c", Some(&[("a", "b,c")])),
    (b"a = b\\,c", Some(&[("a", "b\\,c")])),
    (b"a = [b", Some(&[("a", "[b")])),
    (b"a = %d", Some(&[("a", "%d")])),
    (b"a = %%", Some(&[("a", "%%")])),
    (b"%a = b", Some(&[("_a", "b")])),
    (b"a = b%", Some(&[("a", "b%")])),
    (b"a = $b", Some(&[("a", "$b")])),
    (b"a = ${b}", Some(&[("a", "${b}")])),
    (b"a = `b`", Some(&[("a", "`b`")])),
    (b"a = \xc3\xa9", Some(&[("a", "é")])),
    (b"a = \xff\xfe", Some(&[("a", "��")])),
    (b"a = \0b", Some(&[("a", "\0b")])),
    (b"a\0b = c", Some(&[("a_b", "c")])),
    (b"a = b\0", Some(&[("a", "b\0")])),
    (b"a = b\x0b", Some(&[("a", "b")])),
    (b"\x0ba = b", Some(&[("a", "b")])),
    (b"\x0ca = b\x0c", Some(&[("a", "b")])),
    (b"a = \xc2\xa0b\xc2\xa0", Some(&[("a", "\u{a0}b\u{a0}")])),
    (b"a\xc2\xa0= b", Some(&[("a__", "b")])),
    (b"a = b \\", Some(&[])),
    (b"a = {vault://env/a}", Some(&[("a", "{vault://env/a}")])),
    (b"a = {vault://env/a#2}", Some(&[("a", "{vault://env/a")])),
    (b"a = {vault://env/a\\#2}", Some(&[("a", "{vault://env/a#2}")])),
    (b"a = {vault://env/a?x=y}", Some(&[("a", "{vault://env/a?x=y}")])),
    (b"a = {vault://env/a} , {vault://env/b}", Some(&[("a", "{vault://env/a} , {vault://env/b}")])),
    (b"a = a \\# b", Some(&[("a", "a # b")])),
    (b"a = \\\\# b", Some(&[("a", "\\# b")])),
    (b"a = b  #", Some(&[("a", "b")])),
    (b"a = b #", Some(&[("a", "b")])),
    (b"#", Some(&[])),
    (b"a =#", Some(&[("a", "")])),
    (b"a = 1#2", Some(&[("a", "1")])),
    (b"a = 1\\#2", Some(&[("a", "1#2")])),
    (b"a = \"1\"", Some(&[("a", "\"1\"")])),
    (b"a = '", Some(&[("a", "'")])),
    (b"a\n= b", Some(&[("", "b")])),
    (b"a = b\n\n\n", Some(&[("a", "b")])),
    (b" \t \na = b", Some(&[("a", "b")])),
    (b"a = x\ty", Some(&[("a", "x\ty")])),
    (b"a = x  y", Some(&[("a", "x  y")])),
    (b"a=b\n=c", Some(&[("", "c"), ("a", "b")])),
    (b"1 = 2", Some(&[("1", "2")])),
    (b"a = 0x10 # hex", Some(&[("a", "0x10")])),
    (b"a = 08", Some(&[("a", "8")])),
    (b"a = 09.50", Some(&[("a", "9.5")])),
    (b"a = -08", Some(&[("a", "-8")])),
    (b"a = 1 ", Some(&[("a", "1")])),
];

#[test]
fn a_file_is_read_as_kong_reads_it() {
    for (text, expected) in TABLE {
        let (mut keys, mut is_fatal) = (BTreeMap::new(), false);
        for line in lines(text) {
            match line {
                Line::Key(setting) => drop(keys.insert(setting.key, setting.value)),
                Line::Fatal { .. } => is_fatal = true,
                Line::Skipped { .. } => {}
            }
        }
        let shown = text.escape_ascii();
        let Some(expected) = expected else {
            assert!(is_fatal, "{shown}: {keys:?}");
            continue;
        };
        let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert!(!is_fatal && keys == expected, "{shown}: {keys:?}");
    }
}

/// Returns the warnings about a file.
fn told(text: &str) -> Vec<String> {
    parse(text.as_bytes()).unwrap().surprises
}

#[test]
fn our_keys_are_taken_and_others_left() {
    let text = "\u{feff}# a comment\n\n  ; another\r\ndatabase = off\r\n vaults=env, hcv\r\nvault_hcv_token = a=b\n\
                vault-env-prefix = A_\nvault_env_prefix = B_\nvault_aws_region =\n";
    let conf = parse(text.as_bytes()).unwrap();
    let expected =
        [("vault_aws_region", ""), ("vault_env_prefix", "B_"), ("vault_hcv_token", "a=b"), ("vaults", "env, hcv")];
    assert_eq!(conf.keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(conf.surprises, Vec::<String>::new());
}

#[test]
fn what_will_surprise_is_told_with_its_line_and_without_the_value() {
    for (text, parts) in [
        ("vault_hcv_host = \"hunter2\"", &["line 1: vault_hcv_host has quotes"][..]),
        ("\nvault_hcv_token = 'hunter2'", &["line 2: vault_hcv_token has quotes"]),
        ("vault_hcv_token = \"hunter2", &["line 1: vault_hcv_token has quotes"]),
        (
            "vault_hcv_token = 12345678901234567890",
            &["line 1: vault_hcv_token is a number to Kong, which changes its digits"],
        ),
        ("vault_hcv_token = 007", &["line 1: vault_hcv_token is a number to Kong"]),
        ("vault_hcv_namespace = 1e3", &["line 1: vault_hcv_namespace is a number to Kong"]),
        ("vault_hcv_token = hunter2#hunter2", &["line 1: vault_hcv_token ends where a `#` begins a comment"]),
        ("a = b\nhunter2\n", &["line 2 has no `=`, so Kong skips it"]),
        ("a = b\nhunter2: x\n", &["line 2 has no `=`, so Kong skips it"]),
        (
            "a = b\n[hunter2]\nvault_hcv_token = hunter2",
            &["line 2 begins a section", "line 3: vault_hcv_token is below"],
        ),
        ("a = b\n\n# c\nvault_hcv_token = hunter2\\\n", &["line 4 ends with a `\\`, and no line follows"]),
        ("\u{feff}vault_hcv_token = hunter2", &["line 1: vault_hcv_token is after a byte order mark"]),
        ("export vault_hcv_token = hunter2", &["line 1: vault_hcv_token is not known to Kong"]),
        ("KONG_VAULT_HCV_TOKEN=hunter2", &["line 1: vault_hcv_token is not known to Kong"]),
        ("Vault_HCV_Token=hunter2", &["line 1: vault_hcv_token is not known to Kong"]),
        ("vaults = env\\\nvault_hcv_token = hunter2", &["line 1: vaults ends with a `\\`, which joins"]),
        ("pg_user = hunter2 \\\n# c\nvault_hcv_token = hunter2", &["line 1: pg_user ends with a `\\`, which joins"]),
        // No warnings: Kong reads these as they are meant.
        ("vault_hcv_port = 08200\nvault_hcv_ttl = 300.0\nvault_fetch_timeout = 1e1\nvault_cache_size = 0x10", &[]),
        ("vault_hcv_token = a\\#b # c\nvault_env_prefix = A'B\nvault_hcv_namespace = 12", &[]),
        ("vault_hcv_ca_cert = a \\\n  b", &[]),
        ("pg_password = \"hunter2\"\npg_port = 0007\na = b#c", &[]),
    ] {
        let told = told(text);
        assert_eq!(told.len(), parts.len(), "{text:?}: {told:?}");
        for (told, part) in told.iter().zip(parts) {
            assert!(told.starts_with(part) && !told.contains("hunter2"), "{text:?}: {told}");
        }
    }
    let many = told(&format!("a = b\n{}", "x\n".repeat(100)));
    assert!(many.len() == TOLD + 1 && many[TOLD].starts_with("80 more lines"), "{many:?}");
}

#[test]
fn what_is_no_kong_conf_is_said_and_not_shown() {
    for (text, parts) in [
        (&b"hunter2\n"[..], "no line is `key = value`"),
        (b"vaults:\n- prefix: hunter2\n", "no line is `key = value`"),
        (b"a = b\n[hunter2\n", "line 2 begins with `[` and names no section"),
        (b"a = b\n[]\n", "line 2 begins with `[`"),
        (b"a = b\nvault_hcv_token = hunter2\xff", "line 2: vault_hcv_token is no UTF-8 text"),
    ] {
        let error = parse(text).err().unwrap();
        assert!(error.starts_with(parts) && !error.contains("hunter2"), "{error}");
    }
    assert!(parse(b"").unwrap().keys.is_empty() && parse(b"# nothing\n").unwrap().keys.is_empty());
    // The values of other keys are not checked.
    let conf = parse(b"a = \xff\n# \xff\nvault_hcv_token = a").unwrap();
    assert_eq!(conf.keys["vault_hcv_token"], "a");
}
