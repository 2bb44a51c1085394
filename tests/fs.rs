//! The `fs` vault: what a reference means, what is read and what is not, and that what belongs together is of one
//! version.

#[path = "support/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use files::{Volume, Worker};
use kong_vault::error::Kind;
use kong_vault::runtime::notifier::Event;
use proptest::prelude::*;

fn write(prefix: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = prefix.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

#[test]
fn a_reference_names_a_file_or_a_field_of_one() {
    let worker = Worker::new(&[], |prefix| {
        write(
            prefix,
            &[
                ("my-secret.txt", "plain"),
                ("creds.json", r#"{"password": "field", "a/b": "slash", "n": 1}"#),
                ("db/password.txt", "deeper"),
                ("db/deep/creds.json", r#"{"user": "root"}"#),
                ("line", "with a break\n"),
                ("empty", ""),
                ("a b%c", "odd name"),
                ("encoded", "aGVsbG8="),
            ],
        );
    });
    for (path, value) in [
        ("my-secret.txt", "plain"),
        ("my-secret.txt/", "plain"),
        ("creds.json/password", "field"),
        ("creds.json/a%2Fb", "slash"),
        ("db/password.txt", "deeper"),
        ("db/password.txt/", "deeper"),
        ("db//password.txt", "deeper"),
        ("db%2Fpassword.txt", "deeper"),
        ("db/deep/creds.json/user", "root"),
        ("db/deep/creds.json/", r#"{"user": "root"}"#),
        ("db/deep/creds.json", r#"{"user": "root"}"#),
        ("line", "with a break\n"),
        ("empty", ""),
        ("a%20b%25c", "odd name"),
        ("encoded?base64_decode", "hello"),
        ("my-secret.txt#1", "plain"),
    ] {
        assert_eq!(worker.get(path).as_deref(), Ok(value), "{path}");
    }
    for (path, kind, part) in [
        ("none", Kind::NotFound, "has no file none in "),
        ("db/none", Kind::NotFound, "has no file db/none in "),
        ("none/deeper", Kind::NotFound, "has no file none/deeper in "),
        ("db", Kind::Invalid, "db in "),
        ("db/deep/", Kind::Invalid, "is a directory: name a file in it"),
        ("creds.json/none", Kind::NotFound, "subfield none not found in JSON secret"),
        ("creds.json/n", Kind::Invalid, "unexpected number value in JSON secret for subfield n"),
        ("my-secret.txt/field", Kind::Invalid, "unable to json decode value"),
        ("creds.json/password/", Kind::NotFound, "since a part of that path is a file"),
        ("my-secret.txt#2", Kind::NotFound, "keeps no version 2 of a file: remove #2"),
    ] {
        let error = worker.get(path).unwrap_err();
        assert_eq!(error.kind(), kind, "{path}: {error}");
        assert!(error.to_string().contains(part), "{path}: {error}");
    }
    // Bytes that are no text stay as they are.
    std::fs::write(worker.prefix.join("bytes"), b"\xff\0\xfe").unwrap();
    assert_eq!(worker.bytes("{vault://fs/bytes}").unwrap(), b"\xff\0\xfe");
}

#[test]
fn nothing_is_read_from_outside_and_each_reason_is_told() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "hunter2").unwrap();
    let worker = Worker::new(&[], |prefix| {
        write(prefix, &[("file", "fine"), ("sub/file", "fine")]);
        std::fs::write(prefix.join("../beside"), "hunter2").unwrap();
        symlink(outside.path().join("secret"), prefix.join("absolute")).unwrap();
        symlink("../beside", prefix.join("relative")).unwrap();
        symlink("../../beside", prefix.join("sub/relative")).unwrap();
        symlink("..", prefix.join("parent")).unwrap();
        symlink(outside.path(), prefix.join("folder")).unwrap();
        symlink(outside.path(), prefix.join("sub/..data")).unwrap();
        symlink("loop", prefix.join("loop")).unwrap();
        symlink("/proc/self/fd/0", prefix.join("magic")).unwrap();
        symlink("/proc/self/root", prefix.join("root")).unwrap();
        symlink("none", prefix.join("dangling")).unwrap();
        write(prefix, &[("large", &"x".repeat(1024 * 1024 + 1))]);
        assert!(std::process::Command::new("mkfifo").arg(prefix.join("fifo")).status().unwrap().success());
        let _ = std::os::unix::net::UnixListener::bind(prefix.join("socket")).unwrap();
    });
    for (path, kind, part) in [
        ("absolute", Kind::Denied, "leads outside the vault's directory by a link"),
        ("relative", Kind::Denied, "leads outside"),
        ("parent/beside", Kind::Denied, "leads outside"),
        ("folder/secret", Kind::Denied, "leads outside"),
        ("sub/file", Kind::Denied, "leads outside"),
        ("root/etc/passwd", Kind::Denied, "leads outside"),
        ("magic", Kind::Denied, "leads outside"),
        ("..%2Fbeside", Kind::Reference, "must not have `.` or `..` as a part"),
        ("../beside", Kind::Reference, "must not have"),
        ("sub/../file", Kind::Reference, "must not have"),
        ("%2e%2e/beside", Kind::Reference, "must not have"),
        ("%2Fetc%2Fpasswd", Kind::NotFound, "has no file"),
        ("file%00.txt", Kind::Reference, "must not have a zero byte"),
        ("loop", Kind::Invalid, "is a link in a loop"),
        ("dangling", Kind::NotFound, "has no file dangling"),
        ("large", Kind::Invalid, "is larger than 1 MiB"),
        ("fifo", Kind::Invalid, "is no regular file"),
        ("socket", Kind::Invalid, "is no regular file"),
    ] {
        let error = worker.get(path).unwrap_err();
        assert_eq!(error.kind(), kind, "{path}: {error}");
        assert!(error.to_string().contains(part) && !error.to_string().contains("hunter2"), "{path}: {error}");
    }
    for path in ["x".repeat(300), "x/".repeat(60) + "x", "x/".repeat(3000) + "x"] {
        assert!(worker.get(&path).is_err(), "{} bytes", path.len());
    }
    assert_eq!(worker.get("file").as_deref(), Ok("fine"), "one bad file is no outage of the vault");
}

#[test]
fn what_is_wrong_with_the_directory_is_told() {
    let worker = Worker::new(&[], |prefix| std::fs::remove_dir(prefix).unwrap());
    assert!(worker.error("file").contains("does not exist: create it, or correct prefix"), "{}", worker.error("file"));
    std::fs::write(&worker.prefix, "").unwrap();
    let is_no_directory = |text: &str| text.contains("is no directory: correct prefix");
    worker.eventually("file", |found| found.as_ref().is_err_and(|error| is_no_directory(error.text())));
    std::fs::remove_file(&worker.prefix).unwrap();
    std::fs::create_dir(&worker.prefix).unwrap();
    worker.write("file", "there");
    worker.eventually("file", |found| found.as_deref() == Ok("there"));
    // The superuser may read everything.
    let is_root = std::fs::metadata("/proc/self").map(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0).unwrap();
    worker.write("closed", "x");
    std::fs::set_permissions(worker.prefix.join("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if !is_root {
        assert!(worker.error("closed").contains("is not readable by this process's user"));
    }
}

#[test]
fn prefix_has_to_be_an_absolute_path_and_is_no_references_to_set() {
    let load = |prefix: &str| {
        let conf = BTreeMap::from([("vault_fs_prefix".to_owned(), prefix.to_owned())]);
        let config = kong_vault::config::Config::load(&conf, &Default::default()).unwrap();
        config.check().map_err(|error| error.to_string())
    };
    for relative in ["secrets", "./secrets", "~/secrets", " /secrets\n"] {
        let refused = load(relative);
        assert!(relative.starts_with(' ') || refused.unwrap_err().contains("an absolute path"), "{relative}");
    }
    assert_eq!(load("/run/secrets"), Ok(()));
    let worker = Worker::new(&[], |prefix| write(prefix, &[("file", "x")]));
    let error = worker.error("file?prefix=/etc");
    assert!(error.contains("prefix"), "{error}");
}

#[test]
fn two_keys_of_a_volume_are_always_of_one_version() {
    let worker = Worker::new(&[("vault_fs_ttl", "3600")], |prefix| {
        Volume::new(&prefix.join("db")).publish(&[("user", "0"), ("password", "0"), ("all.json", r#"{"v":"0"}"#)]);
        write(prefix, &[("other.json", r#"{"a":"0","b":"0"}"#)]);
    });
    let volume = Volume::new(&worker.prefix.join("db"));
    volume.publish(&[("user", "1"), ("password", "1"), ("all.json", r#"{"v":"1"}"#), ("sub/x", "1")]);
    assert_eq!(worker.get("db/user").as_deref(), Ok("1"));
    assert_eq!(
        worker.cached("db/password").as_deref(),
        Some("1"),
        "the keys of a volume come along with the first one"
    );
    for path in ["db/user", "db/password", "db/all.json/v", "db/sub/x"] {
        assert_eq!(worker.get(path).as_deref(), Ok("1"), "{path}");
    }
    for version in 2..60 {
        let value = version.to_string();
        let json = format!(r#"{{"v":"{value}"}}"#);
        volume.publish(&[("user", &value), ("password", &value), ("all.json", &json), ("sub/x", &value)]);
        assert!(worker.until("db/user", &value) < Duration::from_secs(5));
        // They came along with it, in one step.
        for path in ["db/password", "db/all.json/v", "db/sub/x"] {
            assert_eq!(worker.cached(path).as_deref(), Some(value.as_str()), "{path}");
        }
    }
    // A key that comes to be wanted brings the others along.
    assert_eq!(worker.get("other.json/a").as_deref(), Ok("0"));
    worker.replace("other.json", r#"{"a":"1","b":"1"}"#);
    assert_eq!(worker.get("other.json/b").as_deref(), Ok("1"));
    assert_eq!(worker.cached("other.json/a").as_deref(), Some("1"));
}

#[test]
fn what_was_read_is_seen_when_the_worker_takes_it_and_all_of_it_then() {
    let worker = Worker::new(&[], |prefix| Volume::new(prefix).publish(&[("user", "1"), ("password", "1")]));
    let volume = Volume::new(&worker.prefix);
    assert_eq!((worker.get("user").as_deref(), worker.get("password").as_deref()), (Ok("1"), Ok("1")));
    let mut listener = worker.listen();
    volume.publish(&[("user", "2"), ("password", "2")]);
    let pair = || (worker.cached("user").unwrap(), worker.cached("password").unwrap());
    let mut last = pair();
    while last.0 != "2" {
        match listener.next() {
            Event::Start { ticket, .. } => drop(worker.resolver.start_shared(ticket, None)),
            Event::Replaced => {
                assert_eq!(pair(), last, "nothing changes before the worker takes it");
                worker.resolver.keep_batches();
                last = pair();
                assert_eq!(last.0, last.1);
            }
            _ => {}
        }
    }
}

#[test]
fn a_volume_that_is_swapped_all_the_time_is_read_without_a_failure() {
    let worker = Worker::new(&[("vault_fs_ttl", "0.001")], |prefix| {
        Volume::new(prefix).publish(&[("user", "0"), ("password", "0")]);
    });
    let volume = Volume::new(&worker.prefix);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The first one's name is that of the one that is there.
            for version in 0..400 {
                let value = version.to_string();
                volume.publish(&[("user", &value), ("password", &value)]);
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            for reference in ["{vault://fs/user}", "{vault://fs/password}"] {
                let values = worker.resolver.fetch_blocking(&[reference.as_bytes().to_vec()]);
                assert!(values.iter().all(Result::is_ok), "{values:?}");
            }
            for key in ["user", "password"] {
                worker.get(key).unwrap();
            }
        }
    });
}

#[test]
fn a_change_is_seen_at_once_however_it_is_made() {
    let worker = Worker::new(&[("vault_fs_neg_ttl", "3600")], |prefix| {
        write(
            prefix,
            &[
                ("replaced", "1"),
                ("written", "1"),
                ("sub/deep", "1"),
                ("remade/key", "1"),
                ("releases/1/key", "1"),
                ("releases/2/key", "2"),
            ],
        );
        symlink("releases/1", prefix.join("current")).unwrap();
    });
    for path in ["replaced", "written", "sub/deep", "remade/key", "current/key"] {
        assert_eq!(worker.get(path).as_deref(), Ok("1"), "{path}");
    }
    assert!(worker.get("late").is_err() && worker.get("later/on").is_err());
    let soon = |path: &str, value: &str| {
        let took = worker.until(path, value);
        assert!(took < Duration::from_secs(1), "{path}: {took:?}");
    };
    for version in 2..6 {
        let value = version.to_string();
        worker.replace("replaced", &value);
        soon("replaced", &value);
        worker.write("written", &value);
        soon("written", &value);
        worker.replace("sub/deep", &value);
        soon("sub/deep", &value);
        std::fs::remove_dir_all(worker.prefix.join("remade")).unwrap();
        write(&worker.prefix, &[("remade/key", &value)]);
        soon("remade/key", &value);
    }
    symlink("releases/2", worker.prefix.join("next")).unwrap();
    std::fs::rename(worker.prefix.join("next"), worker.prefix.join("current")).unwrap();
    soon("current/key", "2");
    worker.write("late", "now");
    soon("late", "now");
    write(&worker.prefix, &[("later/on", "now")]);
    soon("later/on", "now");
    // The whole directory is another one.
    std::fs::rename(&worker.prefix, worker.folder.path().join("old")).unwrap();
    std::fs::create_dir(&worker.prefix).unwrap();
    write(&worker.prefix, &[("replaced", "anew"), ("sub/deep", "anew")]);
    soon("replaced", "anew");
    soon("sub/deep", "anew");
    // What is gone serves on.
    std::fs::remove_file(worker.prefix.join("replaced")).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(worker.cached("replaced").as_deref(), Some("anew"));
}

/// What a tree of files and directories gives, by the rule in words: the whole path if that is a file, else all but the
/// last part as a JSON file and the last as its field.
fn by_rule(files: &BTreeMap<String, String>, parts: &[String], is_whole: bool) -> Option<String> {
    if let Some(content) = files.get(&parts.join("/")) {
        return Some(content.clone());
    }
    let (last, rest) = parts.split_last()?;
    let content = files.get(&rest.join("/")).filter(|_| !is_whole)?;
    let object: serde_json::Value = serde_json::from_str(content).ok()?;
    object.get(last)?.as_str().map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_rule_holds_for_any_tree(
        tree in prop::collection::btree_map(
            prop::collection::vec("[abc]", 1..4),
            prop_oneof![Just("text".to_owned()), Just(r#"{"a":"1","b":"2"}"#.to_owned()), Just("{}".to_owned())],
            1..6,
        ),
        asked in prop::collection::vec((prop::collection::vec("[abc]", 1..5), any::<bool>()), 1..12),
    ) {
        // A file has nothing below it.
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for (parts, content) in tree {
            let above: Vec<_> = (1..parts.len()).map(|length| parts[..length].join("/")).collect();
            let path = parts.join("/");
            if above.iter().any(|above| files.contains_key(above)) || taken.contains(&path) {
                continue;
            }
            taken.extend(above);
            files.insert(path, content);
        }
        let worker = Worker::new(&[], |prefix| {
            let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
            write(prefix, &files);
        });
        for (parts, slash) in asked {
            // With one part there is nothing that a slash could say.
            let path = parts.join("/") + if slash { "/" } else { "" };
            prop_assert_eq!(worker.get(&path).ok(), by_rule(&files, &parts, slash), "{}", path);
        }
    }
}
