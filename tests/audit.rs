//! The audit log: what it writes where, what it drops, and that no secret is in it.

use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use kong_vault::admin::EntityChange;
use kong_vault::audit::{Audit, Change, Fetch, Read, Who};
use kong_vault::backend::registry::ALL;
use kong_vault::config::options_of;
use kong_vault::store::Record;
use proptest::prelude::*;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

fn worker(destination: &str) -> Audit {
    let audit = Audit::new(destination, "all");
    audit.enter(Some(3));
    audit
}

fn read(audit: &Audit, reference: &str) {
    audit.read(&Read { reference: reference.as_bytes(), served: true, phase: b"access", ..Read::default() });
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_off_writes_nothing() {
    let audit = worker("off");
    assert!(!audit.is_on() && audit.open(PATIENCE).is_ok());
    read(&audit, "{vault://env/a}");
    audit.note(|| -> Value { unreachable!("nobody wants it") });
    audit.flush(PATIENCE);
    assert_eq!((audit.levels().written, audit.levels().dropped), (0, 0));
}

#[test]
fn a_line_is_json_in_the_order_of_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.json");
    let audit = worker(path.to_str().unwrap());
    audit.read(&Read {
        reference: b"{vault://prod/db/password?token=hunter2#7}",
        phase: b"rewrite",
        plugin: b"a \"plugin\"\n",
        route: "caf\u{e9}".as_bytes(),
        location: b"/\xff",
        ..Read::default()
    });
    audit.note(|| Fetch {
        event: "failed",
        vault: "prod",
        backend: "hcv",
        secret: Fetch::secret("db\n"),
        version: None,
        purpose: "miss",
        seconds: 0.5,
        reason: Some("denied"),
        error: Some("no"),
    });
    audit.flush(PATIENCE);
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    let expected = json!({
        "event": "read", "reference": "{vault://prod/db/password?…}", "vault": "prod", "version": 7, "served": false,
        "phase": "rewrite", "plugin": "a \"plugin\"\\n", "route": "caf\u{e9}", "location": "/?",
        "time": lines[0]["time"], "pid": std::process::id(), "worker": 3,
    });
    assert_eq!(lines[0], expected);
    assert_eq!((&lines[1]["secret"], &lines[1]["reason"]), (&json!("db\\n"), &json!("denied")));
    assert!(lines[1].get("version").is_none());
}

#[test]
fn several_processes_worth_of_lines_stay_whole_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.json");
    let others: Vec<_> = (0..3).map(|_| kong_vault_log(&path)).collect();
    for audit in &others {
        for number in 0..5_000 {
            read(audit, &format!("{{vault://env/name-{number}}}"));
        }
    }
    others.iter().for_each(|audit| audit.flush(PATIENCE));
    assert_eq!(lines(&path).len(), 15_000);
}

/// A log of its own to the same file: the path is written in another way.
fn kong_vault_log(path: &Path) -> Audit {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    worker(&format!("{}{}", "/".repeat(number + 1), path.to_str().unwrap().trim_start_matches('/')))
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_it_goes_on_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.json");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let audit = worker(path.to_str().unwrap());
    let (told, heard) = std::sync::mpsc::channel();
    audit.tell_by(std::sync::Arc::new(move |is_over, text| drop(told.send((is_over, text)))));
    (0..10).for_each(|_| read(&audit, "{vault://env/a}"));
    audit.flush(PATIENCE);
    assert_eq!((audit.levels().written, audit.levels().dropped), (0, 10));
    let (is_over, text) = heard.recv_timeout(PATIENCE).unwrap();
    assert!(!is_over && text.contains("can't be written (No space left on device"), "{text}");
    read(&audit, "{vault://env/a}");
    audit.flush(PATIENCE);
    assert!(heard.try_recv().is_err(), "it is told once a minute");
    std::fs::remove_file(&path).unwrap();
    until("it is written again", || {
        read(&audit, "{vault://env/b}");
        audit.flush(PATIENCE);
        path.exists()
    });
    let (is_over, _) = heard.recv_timeout(PATIENCE).unwrap();
    assert!(is_over);
    let lines = lines(&path);
    assert_eq!(lines[0]["event"], "dropped");
    assert_eq!(lines[0]["count"], audit.levels().dropped);
}

#[test]
fn nobody_waits_for_a_reader_that_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let audit = worker(path.to_str().unwrap());
    assert!(audit.open(PATIENCE).is_err(), "nobody reads");
    let reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    for _ in 0..100_000 {
        let before = Instant::now();
        read(&audit, "{vault://env/a-name-that-takes-its-room-in-a-pipe}");
        longest = longest.max(before.elapsed());
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}, the longest {longest:?}", begun.elapsed());
    until("lines are dropped", || audit.levels().dropped > 0);
    let begun = Instant::now();
    audit.flush(Duration::from_millis(100));
    assert!(begun.elapsed() < PATIENCE);
    let mut some = [0; 512];
    let count = (&reader).read(&mut some).unwrap();
    assert!(some[..count].starts_with(b"{\"time\":"));
}

#[test]
fn syslog_gets_a_datagram_for_each_line_and_no_long_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let audit = worker(&format!("syslog:server=unix:{},facility=local0,tag=kv", path.display()));
    read(&audit, "{vault://env/lost}");
    audit.flush(PATIENCE);
    assert_eq!(audit.levels().dropped, 1);
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let (before, who) = (json!({"prefix": "x".repeat(10_000)}), Who::default());
    let change = Change {
        event: "admin",
        who: &who,
        action: "delete",
        entity: "x",
        before: Some(&before),
        after: None,
        cut: false,
    };
    audit.changed(&change);
    let mut bytes = vec![0; 1 << 16];
    let mut receive = || {
        let count = server.recv(&mut bytes).unwrap();
        let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
        let head = format!("<134>kv[{}]: ", std::process::id());
        serde_json::from_str::<Value>(text.strip_prefix(&head).unwrap_or_else(|| panic!("{text}"))).unwrap()
    };
    assert_eq!(receive()["event"], "dropped");
    let cut = receive();
    assert_eq!((&cut["entity"], &cut["cut"], cut.get("before")), (&json!("x"), &json!(true), None));
    drop(server);
    std::fs::remove_file(&path).unwrap();
    let server = UnixDatagram::bind(&path).unwrap();
    until("it connects again", || {
        read(&audit, "{vault://env/again}");
        audit.flush(PATIENCE);
        server.set_nonblocking(true).unwrap();
        server.recv(&mut [0; 4096]).is_ok()
    });
}

proptest! {
    /// Whatever an entity's options are set to: a credential is in no line.
    #[test]
    fn no_credential_is_in_a_line(backend in 0..ALL.len(), secret in "[a-zA-Z0-9/+]{12,40}", list in any::<bool>()) {
        let backend = ALL[backend];
        let secret = format!("m4rk3d{secret}");
        let mut config = serde_json::Map::new();
        for opt in options_of(backend).filter(|opt| opt.sensitive) {
            config.insert(opt.name.to_owned(), if list { json!([secret]) } else { json!(secret) });
        }
        config.insert("no_such_option".to_owned(), json!(secret));
        let record = json!({"prefix": "p", "name": backend.name, "config": config});
        let record: Record = serde_json::from_value(record).unwrap();
        let change = EntityChange::new(Some(&record), Some(&record), ALL);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.json");
        let audit = Audit::new(path.to_str().unwrap(), "all");
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let who = Who::at(Some("alice".to_owned()), &[b"127.0.0.1", b"127.0.0.1"]);
        audit.changed(&Change { event: "admin", who: &who, action: change.action, entity: &change.prefix, before, after, cut: false });
        let reference = format!("{{vault://{}/a?token={secret}&no_such_option={secret}}}", backend.name);
        read(&audit, &reference);
        audit.flush(PATIENCE);
        let text = std::fs::read_to_string(&path).unwrap();
        prop_assert!(text.lines().count() == 2 && !text.contains("m4rk3d"), "{text}");
    }
}
