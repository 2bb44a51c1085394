//! The Admin API without a server: what hostile and arbitrary requests can do, and many at once.

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::admin::Bed;

#[test]
fn hostile_requests_change_nothing() {
    let bed = Bed::new();
    bed.json("PUT", "/vaults/mine", json!({"name": "hcv", "config": {"token": "hunter2"}}));
    let before = bed.file();
    let deep = |open: &str, close: &str| format!("{{\"config\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
    let deep = [deep("[", "]"), deep("{\"a\":", "}"), "[".repeat(500_000), "{\"a\":".repeat(50_000)];
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(10 * 1024 * 1024));
    let mut bodies: Vec<(&str, Vec<u8>)> = vec![
        ("application/json", large.into_bytes()),
        ("application/json", b"{\"description\":\"\xff\xfe\"}".to_vec()),
        ("application/json", b"{\"description\":\"\\ud800\"}".to_vec()),
        ("application/json", br#"{"description":"a\u0000b"}"#.to_vec()),
        ("application/json", br#"{"prefix":"../../etc/passwd"}"#.to_vec()),
        ("application/json", br#"{"prefix":"a\r\nSet-Cookie: b"}"#.to_vec()),
        ("application/json", br#"{"prefix":"mine2\n"}"#.to_vec()),
        ("application/json", br#"{"config":{"token":"a\r\nb"}}"#.to_vec()),
        ("application/json", br#"{"config":{"host":"a\r\nb"}}"#.to_vec()),
        ("application/json", br#"{"config":{"port":1e400}}"#.to_vec()),
        ("application/json", br#"{"config":{"port":99999999999999999999}}"#.to_vec()),
        ("application/json", br#"{"config":{"ttl":-1}}"#.to_vec()),
        ("application/json", br#"{"config":{"ca_cert":"a\u0000b"}}"#.to_vec()),
        ("application/json", b"[]".to_vec()),
        ("application/json", b"null".to_vec()),
        ("application/json", b"{} {}".to_vec()),
        ("application/json", b"\xef\xbb\xbf{}".to_vec()),
        ("application/x-www-form-urlencoded", b"description=%ff%fe".to_vec()),
        ("application/x-www-form-urlencoded", b"prefix=..%2F..%2Fetc".to_vec()),
        ("application/x-www-form-urlencoded", b"prefix=a%0D%0Ab".to_vec()),
        ("application/x-www-form-urlencoded", "a=1&".repeat(2000).into_bytes()),
        ("application/x-www-form-urlencoded", format!("a{}=1", "[b]".repeat(1000)).into_bytes()),
        ("application/x-www-form-urlencoded", vec![b'a'; 2 * 1024 * 1024]),
    ];
    bodies.extend(deep.into_iter().map(|body| ("application/json", body.into_bytes())));
    for (content_type, body) in &bodies {
        for (method, path) in [("PATCH", "/vaults/mine"), ("PUT", "/vaults/other"), ("POST", "/vaults")] {
            let answer = bed.send(method, path, Some(content_type), body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert!((400..500).contains(&answer.status), "{method} {shown}: {answer:?}");
            assert!(answer.json()["message"].is_string(), "{method} {shown}");
            assert!(answer.body.is_some_and(|body| body.len() < 16384), "{method} {shown}");
        }
    }
    for key in ["..%2f..%2fetc%2fpasswd", "%00", "a%0d%0ab", "%ff%fe", ".", "..", "a%2fb", "env", &"a".repeat(10), "A1"]
    {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let answer = bed.send(method, &format!("/vaults/{key}"), Some("application/json"), b"{}");
            let absent = answer.status == 204 && method == "DELETE";
            assert!(absent || (400..500).contains(&answer.status), "{method} {key}: {answer:?}");
        }
    }
    assert_eq!(bed.file(), before);
    assert_eq!(bed.names(), [".changes", ".lock", "vaults.json"]);
}

#[test]
fn many_at_once_are_answered_as_if_each_were_alone() {
    let bed = Bed::new();
    let json = Some("application/json");
    let answers = bed.send_all(&[
        ("PUT", "/vaults/one", json, br#"{"name":"env"}"#),
        ("GET", "/vaults/one", None, b""),
        ("POST", "/vaults", json, br#"{"name":"env","prefix":"one"}"#),
        ("PUT", "/vaults/two", json, b"{"),
        ("PATCH", "/vaults/one", json, br#"{"description":"x"}"#),
        ("PUT", "/vaults/three", json, br#"{"name":"env"}"#),
        ("DELETE", "/vaults/three", None, b""),
    ]);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 409, 400, 200, 200, 204]);
    let list = bed.get("/vaults").json();
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["description"]), (1, &json!("x")));
}

#[test]
fn those_that_fit_are_kept_where_all_together_are_too_large() {
    let bed = Bed::new();
    let large = |name: &str| format!(r#"{{"name":"{name}","description":"{}"}}"#, "x".repeat(1024 * 1024 - 100));
    let (good, bad) = (large("env"), large("nope"));
    let mut requests: Vec<_> = Vec::new();
    let paths: Vec<_> = (10..30).map(|number| format!("/vaults/v{number}")).collect();
    for path in &paths {
        requests.push(("PUT", path.as_str(), Some("application/json"), good.as_bytes()));
    }
    requests.push(("PUT", "/vaults/bad", Some("application/json"), bad.as_bytes()));
    let answers = bed.send_all(&requests);
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(413), count(400)), (15, 5, 1));
    assert_eq!(bed.get("/vaults?size=1000").json()["data"].as_array().unwrap().len(), 15);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_get_an_answer(
        method in "GET|PUT|POST|PATCH|DELETE|[A-Z]{0,6}",
        path in "(/vaults|/vaults-beta|/x)?(/[ -~]{0,20})?(\\?[ -~]{0,30})?",
        content_type in proptest::option::of("application/json|application/x-www-form-urlencoded|[ -~]{0,20}"),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bed = Bed::new();
        let answer = bed.send(&method, &path, content_type.as_deref(), &body);
        prop_assert!((200..300).contains(&answer.status) || (400..500).contains(&answer.status), "{:?}", answer);
    }

    #[test]
    fn arbitrary_json_is_kept_whole_or_not_at_all(fields in proptest::collection::btree_map(
        "prefix|name|config|id|description|tags|created_at|[a-z]{0,8}",
        prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            "env|hcv|[ -~]{0,12}|\\PC{0,8}".prop_map(Value::from),
            proptest::collection::vec("[ -~]{0,6}".prop_map(Value::from), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("prefix|ttl|token|host|[a-z]{0,5}", "[ -~]{0,9}", 0..4).prop_map(|map| json!(map)),
        ],
        0..8,
    )) {
        let bed = Bed::new();
        let answer = bed.json("PUT", "/vaults/mine", json!(fields));
        match answer.status {
            200 => prop_assert_eq!(bed.get("/vaults/mine").body, answer.body),
            status => {
                prop_assert_eq!(status, 400);
                prop_assert_eq!(bed.file(), None);
            }
        }
    }
}
