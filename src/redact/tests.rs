use super::*;
use crate::options::Type;

const PLAIN: Opt = Opt::new("plain", Type::Text, "");
const PEM: Opt = PLAIN.holds(Holds::Pem);
const FILE: Opt = PLAIN.holds(Holds::File);
const URL: Opt = PLAIN.holds(Holds::Url);

const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJl";
const TOKEN: &str = "hvs.CAESIHunter2Hunter2Hunter2";

/// The beginning of a certificate, and of keys as PKCS#8, PKCS#1 and encrypted.
const CERTIFICATE: &str = "MIIBszCCAVmgAwIBAgIUJw==";
const KEYS: [&str; 3] = ["MIGHAgEAMBMGByqGSM49AgEG", "MIIEpAIBAAKCAQEAtdVrCqIH", "MIHsMFcGCSqGSIb3DQEFDTBK"];

fn armored(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[test]
fn certificates_alone_may_be_seen_whichever_way_they_are_given() {
    let one = armored("CERTIFICATE", CERTIFICATE);
    let chain = format!("{one}\n{one}");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &chain);
    for public in [one.clone(), chain.clone(), chain.replace('\n', "\\n"), chain.replace('\n', "\r\n"), base64] {
        assert_eq!(answer(Some(&PEM), &public), public);
    }
    for key in KEYS {
        let key = armored("PRIVATE KEY", key);
        let mislabelled = key.replace("PRIVATE KEY", "CERTIFICATE");
        for secret in [format!("{one}{key}"), format!("{key}{one}"), key.replace("-----B", "----B"), key, mislabelled] {
            let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &secret);
            let wrapped = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
            for given in [secret.replace('\n', "\\n"), secret, base64, wrapped] {
                assert_eq!(answer(Some(&PEM), &given), MASK);
                assert_eq!(value(&PEM, &given, 64), None);
                assert_eq!(answer(Some(&FILE), &given), MASK);
            }
        }
    }
    for other in [format!("hunter2 {one}"), format!("{one}hunter2"), one.replace("-----END", "hunter2")] {
        assert_eq!(answer(Some(&PEM), &other), MASK);
    }
}

#[test]
fn a_line_is_bounded_as_it_is_shown() {
    for (text, shown) in
        [("abcd", "abcd"), ("abcde", "abcd…"), ("a\nb", "a\\nb"), ("ab\ncd", "ab\\n…"), ("abc\n", "abc…")]
    {
        assert_eq!(line(text.as_bytes(), 4), shown);
    }
    for text in ["\0".repeat(300), "\u{85}".repeat(300), "\u{1b}[".repeat(300), "\u{e4}".repeat(300)] {
        assert!((195..=201).contains(&line(text.as_bytes(), 200).chars().count()), "{text:?}");
    }
    assert_eq!(line(b"\xff\xfe", 4), "??");
}

#[test]
fn a_key_in_any_option_is_seen_in_no_part() {
    let key = armored("EC PRIVATE KEY", KEYS[0]);
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("# a\n{key}"));
    for secret in [&key, &base64, JWT, TOKEN, "s.hunter2hunter2hunter2HUNT"] {
        for opt in [PLAIN, PEM, FILE, URL, PLAIN.sensitive()] {
            assert_eq!(answer(Some(&opt), secret), MASK, "{opt:?}");
            assert_eq!(mistake(&opt, secret, 64), None);
        }
        assert_eq!(answer(None, secret), MASK);
        let quoted = quote(format!("a [{secret}]").as_bytes(), 64);
        assert_eq!(quoted, format!("(a value of {} characters)", secret.len() + 4));
    }
}

#[test]
fn paths_are_seen_and_what_only_begins_as_one_is_not() {
    for path in [
        "/etc/ssl/certs/ca-certificates.crt",
        "./ca.pem",
        "../conf/Client-1.pem",
        "/run/secrets/kubernetes.io/serviceaccount/token",
        "/var/lib/kubelet/pods/3c1d9b5b-f5cf-4c63-9cab-53a4a6424c46/..2024_05_01_12_00_00.1/ca.crt",
    ] {
        assert_eq!(answer(Some(&FILE), path), path);
        assert_eq!(answer(Some(&PEM), path), path);
    }
    assert_eq!(
        answer(Some(&FILE), "gateway@project.iam.gserviceaccount.com"),
        "gateway@project.iam.gserviceaccount.com"
    );
    for secret in [
        "hunter2",
        "3c1d9b5b-f5cf-4c63-9cab-53a4a6424c46",
        "/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "/hvs.CAESIHunter2Hunter2Hunter2",
        "/etc/ssl\nhunter2",
        "/abc+hunter2==",
    ] {
        assert_eq!(answer(Some(&FILE), secret), MASK, "{secret}");
    }
}

#[test]
fn a_urls_user_query_and_fragment_are_not_seen() {
    for (text, expected) in [
        ("https://idp.example.com/oauth2/token", "https://idp.example.com/oauth2/token"),
        ("https://idp/token?sig=hunter2", "https://idp/token?***"),
        ("https://idp/token#hunter2", "https://idp/token#***"),
        ("https://u:hunter2@idp:8443/token", "https://***@idp:8443/token"),
        ("https://u:hun/ter?2#@idp/?a=hunter2", "https://***@idp/?***"),
        ("u:hunter2@proxy:3128", "***@proxy:3128"),
        ("https://idp/token?", "https://idp/token?"),
    ] {
        assert_eq!(url(text, HIDDEN), expected);
        assert!(!mistake(&URL, text, 64).unwrap_or_default().contains("hunter2"));
        let shown = answer(Some(&PLAIN), text);
        assert_eq!(shown, expected.replace(HIDDEN, MASK));
    }
    assert_eq!(mistake(&PLAIN, "hunter2@host", 64), None);
    assert_eq!(answer(Some(&PLAIN), "gateway@prod"), "gateway@prod");
    assert_eq!(answer(Some(&PLAIN), "unix:///run/vault/agent.sock"), "unix:///run/vault/agent.sock");
}

#[test]
fn nothing_that_stands_before_a_host_is_seen() {
    let list = Opt::new("list", Type::List, "");
    for text in [
        "u:hunter2@proxy,http://other",
        "u:hun://ter2hunter2@proxy",
        "hunter2://u@proxy",
        "u:hunter2://x@proxy",
        "http://ok,u:hunter2@proxy",
        "a@b,u:hunter2@proxy",
        "a,b,hunter2:hunter2@proxy,c",
        "u:hun,ter2hunter2,@proxy",
        "http://u:hunter2@a,http://u:hunter2@b",
        "http://u:hunter2@a,b",
        "//u:hunter2@a",
        "u:hunter2@a://b",
        "https://a/?k=hunter2,http://b",
        "a.example,https://b?hunter2",
        "https://a#hunter2,b",
        "1http://u:hunter2@b",
        "ht tp://hunter2@b",
    ] {
        for opt in [PLAIN, URL, list, list.holds(Holds::Url)] {
            let shown = answer(Some(&opt), text);
            assert!(!shown.contains("unter2") && !shown.contains("hun"), "{opt:?}: {shown}");
            let shown = value(&opt, text, 256).unwrap_or_default();
            assert!(!shown.contains("unter2") && !shown.contains("hun"), "{opt:?}: {shown}");
            assert!(!mistake(&opt, text, 256).unwrap_or_default().contains("hun"), "{opt:?}");
        }
        assert!(!url(text, HIDDEN).contains("hun"), "{text}");
    }
    for plain in ["a.example,10.0.0.0/8,b:8080,*", "https://a.example,http://b:1", "HTTPS://a", "socks5h://a:1080"] {
        assert_eq!(answer(Some(&list), plain), plain);
    }
}

#[test]
fn a_token_is_none_to_be_seen_behind_whatever_prefix() {
    const OLD: &str = "s.Hunter2Hunter2Hunter2HUNT";
    for token in
        [TOKEN, JWT, OLD, "b.Hunter2Hunter2Hunter2HUNT", "hvb.AAAAAQHunter2Hunter2Hunter2", "hvr.Hunter2Hunter2Hunter2"]
    {
        for prefix in
            ["", "SECRET_", "my_", "x-", "a.b.", "SECRET", "my", "0", "Bearer ", "X-Vault-Token:", "team/", "__"]
        {
            let text = format!("{prefix}{token}");
            assert_eq!(quote(text.as_bytes(), 256), format!("({})", length(&text)));
            assert_eq!(answer(Some(&PLAIN), &text), MASK);
            assert_eq!(vault(text.as_bytes(), 256), format!("({})", length(&text)));
            // The name of a variable is in upper case.
            let name = text.to_uppercase();
            let shown = |made_of: &[&str]| variable(made_of, &name, 256);
            assert_eq!(shown(&[&text]), format!("({})", length(&text)));
            assert_eq!(shown(&["nothing", prefix, token]), format!("({})", length(&text)));
        }
    }
    for name in [
        "monkeyjungle-production-database-1",
        "journeyjournalproductiondatabase",
        "archvs.internal.example.company",
        "SECRET_hvs.short",
        "apps.s.eu-central-1.amazonaws.com",
        "tools.productionclusterofthenorth.example",
        "db.productionclusterofthenorth.example",
        "a.s.productionclusterofthenorth.example",
    ] {
        assert_eq!(quote(name.as_bytes(), 256), name);
    }
    // However many beginnings there are, each is looked at within bounds: eight times the text must not take 64 times
    // as long.
    for part in ["aeyJ", "hvs.", "s.a", "xs.", "eyJ-"] {
        // Others use the machine as well, but not during each of fifty tries.
        let took = |times: usize| {
            let text = part.repeat(times);
            let once = |_| {
                let began = std::time::Instant::now();
                quote(text.as_bytes(), 256);
                began.elapsed()
            };
            (0..50).map(once).min().unwrap_or_default()
        };
        let (short, long) = (took(1_000), took(8_000));
        assert!(long < short * 24, "{part}: {short:?}, then {long:?}");
    }
}

#[test]
fn an_options_name_is_seen_where_somebody_meant_it() {
    let options = [Opt::new("token", Type::Text, ""), Opt::new("ca_cert", Type::Text, "").aliases(&["ca_bundle"])];
    for name in
        ["token", "tokn", "TOKEN", "tokens", "ca_cert", "ca-cert", "ca_bundel", "ａｂ", "ＴＯＫＥＮ", "t", "abc", ""]
    {
        assert!(is_option(name, &options), "{name}");
    }
    for secret in ["hunter2", "ss-hunter2", "ss_hunter", "tokenhunter2", &"token".repeat(20), "word"] {
        assert!(!is_option(secret, &options), "{secret}");
    }
}

#[test]
fn names_are_quoted_as_they_are() {
    for name in [
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf",
        "b.vault-prod-eu-west-1.compute.internal.example.com",
        "s.eu-central-1.amazonaws.com",
        "team/kv/MixedCase/with-2-digits",
        "3c1d9b5b-f5cf-4c63-9cab-53a4a6424c46",
    ] {
        assert_eq!(quote(name.as_bytes(), 256), name);
    }
    assert_eq!(quote(b"a\n[error] b", 256), "a\\n[error] b");
    assert_eq!(quote(&[b'x'; 300], 2), "xx…");
    assert_eq!(quote(b"\xff", 2), "?");
}

#[test]
fn a_mistake_is_quoted_where_it_helps() {
    assert_eq!(mistake(&PLAIN, "eu_central", 64).as_deref(), Some("eu_central"));
    assert_eq!(mistake(&PLAIN, &"x ".repeat(40), 64), None);
    assert_eq!(mistake(&PLAIN, "hunter2hunter2hunter2", 64), None);
}

#[test]
fn a_path_is_seen_where_there_is_something() {
    let directory = tempfile::tempdir().unwrap();
    let there = directory.path().join("a\nb");
    std::fs::write(&there, "").unwrap();
    assert!(path(&there).is_some_and(|text| text.ends_with("/a\\nb")));
    for secret in ["/hunter2", "hunter2", ""] {
        assert_eq!(path(Path::new(secret)), None, "{secret}");
    }
    assert_eq!(likely_path(Path::new("/root/.aws/config")), "/root/.aws/config");
    assert_eq!(likely_path(Path::new("hunter2")), "(a value of 7 characters)");
    assert!(own_path(&there).ends_with("/a\\nb"));
    assert_eq!(own_path(Path::new("hunter2")), "(a value of 7 characters)");
}

#[test]
fn a_folder_made_for_a_while_is_a_path_and_a_random_part_is_none() {
    for path in ["/tmp/kong-vault-spec-aB3xYz/missing", "/var/lib/kong", "./data"] {
        assert_eq!(likely(Path::new(path)).as_deref(), Some(path));
    }
    for secret in [
        "/aB3xYz9Kd03mQp7Lr2Tn5",
        "/x/Ab3-Yz9Kd03mQp7Lr2Tn5vW8-cD4fG6hJ",
        "/x/hvs.CAESIJaB3xYz9Kd03mQp7Lr2Tn5",
        "/x/s.aB3xYz9Kd03mQp7Lr2Tn5vW8.Ab1cD",
    ] {
        assert_eq!(likely(Path::new(secret)), None, "{secret}");
    }
}
