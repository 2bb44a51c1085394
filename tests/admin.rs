//! The Admin API without a server: verbs, statuses, bodies.

mod support;

use serde_json::{Value, json};
use support::admin::{Bed, id};

#[test]
fn a_vault_is_put_shown_listed_changed_and_deleted() {
    let bed = Bed::new();
    let put = bed.form("PUT", "/vaults-beta/my-env-vault", "name=env&description=ENV+vault&config.prefix=SECRET_");
    assert_eq!(put.status, 200);
    let vault = put.json();
    assert_eq!(vault["config"], json!({"prefix": "SECRET_"}));
    assert_eq!((&vault["name"], &vault["prefix"]), (&json!("env"), &json!("my-env-vault")));
    assert_eq!((&vault["description"], &vault["tags"]), (&json!("ENV vault"), &Value::Null));
    assert!(vault["created_at"].is_u64() && vault["created_at"] == vault["updated_at"]);
    // By prefix, by id, under both names, wherever it is mounted.
    for path in ["/vaults/my-env-vault", "/a/b/vaults-beta/my-env-vault/", &format!("/vaults/{}", id(&vault))] {
        assert_eq!(bed.get(path).json(), vault, "{path}");
    }
    assert_eq!(bed.get("/vaults").json(), json!({"data": [vault], "next": null}));
    let patched = bed.json("PATCH", "/vaults/my-env-vault", json!({"config": {"ttl": 60}, "tags": ["a"]}));
    assert_eq!(patched.status, 200);
    assert_eq!(patched.json()["config"], json!({"prefix": "SECRET_", "ttl": 60}));
    assert_eq!((&patched.json()["id"], &patched.json()["tags"]), (&vault["id"], &json!(["a"])));
    // PUT replaces all but id and birth.
    let put = bed.json("PUT", "/vaults/my-env-vault", json!({"name": "env"})).json();
    assert_eq!((&put["config"], &put["tags"], &put["description"]), (&json!({}), &Value::Null, &Value::Null));
    assert_eq!((&put["id"], &put["created_at"]), (&vault["id"], &vault["created_at"]));
    for _ in 0..2 {
        let deleted = bed.call("DELETE", "/vaults/my-env-vault");
        assert_eq!((deleted.status, deleted.body), (204, None));
    }
    assert_eq!(bed.get("/vaults/my-env-vault").json(), json!({"message": "Not found"}));
    assert_eq!(bed.get("/vaults").json(), json!({"data": [], "next": null}));
}

#[test]
fn post_creates_and_put_creates_by_id() {
    let bed = Bed::new();
    let created =
        bed.json("POST", "/vaults", json!({"prefix": "one", "name": "aws", "config": {"region": "eu-west-1"}}));
    assert_eq!(created.status, 201);
    let given = "F4AECADC-05c7-11e6-8d41-1f3b3d5fa15c";
    let put = bed.json("PUT", &format!("/vaults/{given}"), json!({"prefix": "two", "name": "env"}));
    assert_eq!((put.status, &put.json()["id"]), (200, &json!(given.to_lowercase())));
    // Renamed by its id.
    let put = bed.json("PUT", &format!("/vaults/{given}"), json!({"prefix": "three", "name": "env"}));
    assert_eq!(put.json()["prefix"], "three");
    assert_eq!(bed.get("/vaults/two").status, 404);
    let posted = bed.json("POST", "/vaults", json!({"prefix": "four", "name": "env", "id": given}));
    assert_eq!((posted.status, &posted.json()["code"]), (400, &json!(3)));
    // What was given can be sent back as it is.
    for path in ["/vaults/three", &format!("/vaults/{given}")] {
        let sent = bed.get(path).json();
        let mut back = bed.json("PUT", path, sent.clone()).json();
        back["updated_at"] = sent["updated_at"].clone();
        assert_eq!(back, sent);
    }
}

#[test]
fn a_taken_prefix_is_a_conflict() {
    let bed = Bed::new();
    for prefix in ["one", "two"] {
        bed.json("PUT", &format!("/vaults/{prefix}"), json!({"name": "env"}));
    }
    let before = bed.file();
    let conflicts = [
        bed.json("POST", "/vaults", json!({"prefix": "one", "name": "env"})),
        bed.json("PATCH", "/vaults/two", json!({"prefix": "one"})),
        bed.json("PUT", "/vaults/f4aecadc-05c7-11e6-8d41-1f3b3d5fa15c", json!({"prefix": "one", "name": "env"})),
        // Those of the declarative file are not this API's.
        bed.json("POST", "/vaults", json!({"prefix": "fixed", "name": "env"})),
        bed.json("PUT", "/vaults/fixed", json!({"name": "env"})),
        bed.json("PATCH", "/vaults/fixed", json!({})),
        bed.call("DELETE", "/vaults/fixed"),
    ];
    for answer in conflicts {
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["code"], &body["name"]),
            (409, &json!(5), &json!("unique constraint violation"))
        );
        assert!(body["fields"]["prefix"].is_string() && body["message"].is_string(), "{body}");
    }
    assert_eq!(bed.file(), before);
}

#[test]
fn violations_are_told_by_field() {
    let bed = Bed::new();
    let violation = |sent: Value| {
        let answer = bed.json("POST", "/vaults", sent);
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["code"], &body["name"]),
            (400, &json!(2), &json!("schema violation")),
            "{body}"
        );
        (body["fields"].clone(), body["message"].as_str().unwrap().to_owned())
    };
    let (fields, message) = violation(json!({}));
    assert_eq!(fields, json!({"prefix": "required field missing", "name": "required field missing"}));
    assert_eq!(message, "2 schema violations (prefix: required field missing; name: required field missing)");
    let (fields, message) = violation(json!({"prefix": "mine", "name": "env", "surprise": 1}));
    assert_eq!(fields, json!({"surprise": "unknown field"}));
    assert_eq!(message, "schema violation (surprise: unknown field)");
    let (fields, _) = violation(json!({
        "prefix": {}, "name": 1, "description": [], "config": "x", "tags": "a", "id": "7", "created_at": "now"}));
    for field in ["prefix", "name", "description", "config", "tags", "created_at"] {
        assert!(fields[field].as_str().is_some_and(|what| what.starts_with("expected a")), "{field}: {fields}");
    }
    let config = json!({"port": "8200", "ssl_verify": 1, "token": 5, "ttl": "soon", "redirect_hosts": "a", "host": true,
        "prot": "http", "kv": "v3", "tls_verify": true});
    let (fields, _) = violation(json!({"prefix": "mine", "name": "hcv", "config": config}));
    let of_config = fields["config"].as_object().unwrap();
    let named: Vec<_> = of_config.keys().map(String::as_str).collect();
    assert_eq!(named, ["host", "kv", "port", "prot", "redirect_hosts", "ssl_verify", "tls_verify", "token", "ttl"]);
    let (fields, _) = violation(json!({"prefix": "mine", "name": "nope"}));
    assert!(fields["name"].is_string(), "{fields}");
    let (fields, _) = violation(json!({"prefix": "env", "name": "env"}));
    assert!(fields["prefix"].is_string(), "{fields}");
    for tags in [json!(["a,b"]), json!(["a/b"]), json!([""]), json!(["a\n"]), json!([1]), json!({})] {
        let (fields, _) = violation(json!({"prefix": "mine", "name": "env", "tags": tags}));
        assert!(fields["tags"].is_string(), "{fields}");
    }
    let (fields, _) = violation(json!({"prefix": "f4aecadc-05c7-11e6-8d41-1f3b3d5fa15c", "name": "env"}));
    assert!(fields["prefix"].is_string(), "{fields}");
    assert_eq!(bed.file(), None);
}

#[test]
fn what_a_path_and_a_body_disagree_on_is_refused() {
    let bed = Bed::new();
    let vault = bed.json("PUT", "/vaults/one", json!({"name": "env"})).json();
    let before = bed.file();
    let other = "f4aecadc-05c7-11e6-8d41-1f3b3d5fa15c";
    for (method, path, body) in [
        ("PUT", "/vaults/one".to_owned(), json!({"name": "env", "prefix": "two"})),
        ("PUT", "/vaults/one".to_owned(), json!({"name": "env", "id": other})),
        ("PATCH", "/vaults/one".to_owned(), json!({"id": other})),
        ("PUT", format!("/vaults/{}", id(&vault)), json!({"name": "env", "prefix": "one", "id": other})),
    ] {
        let answer = bed.json(method, &path, body);
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(2)), "{method} {path}");
    }
    assert_eq!(bed.file(), before);
}

#[test]
fn forms_carry_types() {
    let bed = Bed::new();
    let form = "name=hcv&config.port=8300&config.ssl_verify=false&config[ttl]=1.5&config.token=t&tags[]=a&tags[]=b\
                &config.redirect_hosts[]=one&config.redirect_hosts[]=two&description=";
    let vault = bed.form("PUT", "/vaults/mine", form).json();
    let config = json!({"port": 8300, "ssl_verify": false, "ttl": 1.5, "token": "********",
        "redirect_hosts": ["one", "two"]});
    assert_eq!((&vault["config"], &vault["tags"]), (&config, &json!(["a", "b"])));
    assert_eq!(vault["description"], Value::Null);
    let vault = bed.form("PATCH", "/vaults/mine", "config.ttl=&config.redirect_hosts=three,four&tags=c").json();
    assert_eq!(vault["config"].get("ttl"), None);
    assert_eq!(vault["config"]["redirect_hosts"], json!(["three", "four"]));
    assert_eq!(vault["tags"], json!(["c"]));
    assert_eq!(bed.form("PATCH", "/vaults/mine", "tags=").json()["tags"], Value::Null);
    for bad in ["config.port=x", "config.ttl=x", "config.ssl_verify=x", "config=x", "config.port=1&config=x"] {
        assert_eq!(bed.form("PATCH", "/vaults/mine", bad).status, 400, "{bad}");
    }
}

#[test]
fn credentials_are_never_shown_and_their_mask_keeps_them() {
    let bed = Bed::new();
    let stored = || bed.file().unwrap().contains("hunter2");
    let token = json!({"name": "hcv", "config": {"token": "hunter2", "host": "a"}});
    let answers = [
        bed.json("PUT", "/vaults/mine", token.clone()),
        bed.get("/vaults/mine"),
        bed.get("/vaults"),
        bed.json("PATCH", "/vaults/mine", json!({"description": "x"})),
        bed.json("PATCH", "/vaults/mine", json!({"config": {"token": "hunter2", "host": "not a host hunter2"}})),
        bed.json("PUT", "/vaults/mine", json!({"name": "hcv", "config": {"token": "a hunter2"}})),
    ];
    for answer in answers {
        assert!(!answer.body.unwrap().contains("hunter2"));
    }
    assert!(stored());
    // Sent back, the mask stands for what is there.
    let shown = bed.get("/vaults/mine").json();
    assert_eq!(shown["config"]["token"], "********");
    assert_eq!(bed.json("PUT", "/vaults/mine", shown.clone()).status, 200);
    assert_eq!(bed.json("PATCH", "/vaults/mine", json!({"config": shown["config"]})).status, 200);
    assert!(stored());
    // Where nothing is there, it is no token.
    for (method, path, body) in [
        ("POST", "/vaults", json!({"prefix": "other", "name": "hcv", "config": {"token": "********"}})),
        ("PUT", "/vaults/other", json!({"name": "hcv", "config": {"token": "********"}})),
    ] {
        let answer = bed.json(method, path, body);
        assert!(answer.status == 400 && answer.json()["fields"]["config"]["token"].is_string(), "{answer:?}");
    }
    // Left out or null, it goes; a reference is shown.
    let reference = "{vault://env/hcv-token}";
    let vault = bed.json("PATCH", "/vaults/mine", json!({"config": {"token": reference}})).json();
    assert_eq!(vault["config"]["token"], reference);
    assert!(!stored());
    let vault = bed.json("PATCH", "/vaults/mine", json!({"config": {"token": null}})).json();
    assert_eq!(vault["config"], json!({"host": "a"}));
    // Of another backend, nothing stays.
    bed.json("PUT", "/vaults/mine", token);
    assert_eq!(bed.json("PATCH", "/vaults/mine", json!({"name": "env"})).json()["config"], json!({}));
}

#[test]
fn lists_come_by_pages_and_tags() {
    let bed = Bed::new();
    for number in 10..35 {
        let tags = match number % 5 {
            0 => json!(["five", "all"]),
            1 => json!(["all", "a b&c"]),
            _ => json!(["all"]),
        };
        bed.json("PUT", &format!("/vaults/v{number}"), json!({"name": "env", "tags": tags}));
    }
    let pages = |first: &str| {
        let (mut next, mut sizes, mut seen) = (first.to_owned(), Vec::new(), std::collections::BTreeSet::new());
        loop {
            let page = bed.get(&next).json();
            let data = page["data"].as_array().unwrap().clone();
            sizes.push(data.len());
            for vault in &data {
                assert!(seen.insert(vault["prefix"].to_string()));
            }
            match page["next"].as_str() {
                Some(further) => further.clone_into(&mut next),
                None => {
                    assert_eq!(page.get("offset"), None);
                    return sizes;
                }
            }
        }
    };
    assert_eq!(pages("/vaults"), [25]);
    assert_eq!(pages("/mounted/vaults-beta?size=10"), [10, 10, 5]);
    assert_eq!(pages("/vaults?size=5"), [5; 5]);
    assert_eq!(pages("/vaults?tags=five"), [5]);
    assert_eq!(pages("/vaults?tags=five,all&size=2"), [2, 2, 1]);
    assert_eq!(pages("/vaults?tags=five/a%20b%26c&size=6"), [6, 4]);
    assert_eq!(pages("/vaults?tags=five,none"), [0]);
    for (query, code) in [
        ("size=0", 9),
        ("size=1001", 9),
        ("size=x", 9),
        ("offset=x", 7),
        ("offset=bm9wZQ", 7),
        ("tags=", 11),
        ("tags=a,b/c", 11),
        ("tags=a,,b", 11),
        ("tags=1,2,3,4,5,6", 11),
    ] {
        let answer = bed.get(&format!("/vaults?{query}"));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{query}");
    }
}

#[test]
fn other_methods_places_and_types_are_refused() {
    let bed = Bed::new();
    for (method, path, allow) in [
        ("PUT", "/vaults", "POST"),
        ("PATCH", "/vaults", "POST"),
        ("DELETE", "/vaults", "POST"),
        ("POST", "/vaults/mine", "PATCH"),
        ("TRACE", "/vaults/mine", "PATCH"),
        ("", "/vaults", "GET"),
    ] {
        let answer = bed.call(method, path);
        assert!(answer.status == 405 && answer.allow.is_some_and(|all| all.contains(allow)), "{method} {path}");
        assert_eq!(answer.json(), json!({"message": "Method not allowed"}));
    }
    for path in ["/", "/other", "/vaults/a/b", ""] {
        assert_eq!(bed.get(path).status, 404, "{path}");
    }
    let options = bed.call("OPTIONS", "/vaults/mine");
    assert!(options.status == 204 && options.allow.is_some_and(|all| all.contains("PATCH")));
    let head = bed.call("HEAD", "/vaults");
    assert_eq!((head.status, head.body), (200, None));
    for content_type in [None, Some("text/plain"), Some("multipart/form-data; boundary=x"), Some("application/yaml")] {
        assert_eq!(bed.send("POST", "/vaults", content_type, b"name=env").status, 415, "{content_type:?}");
    }
    let with_charset = bed.send("PUT", "/vaults/mine", Some("Application/JSON; charset=utf-8"), b"{\"name\":\"env\"}");
    assert_eq!(with_charset.status, 200);
}
