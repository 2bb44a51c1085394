//! The folder of entities: whole at any time, whoever writes it and whoever is killed while writing.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kong_vault::store::epoch::is_steady;
use kong_vault::store::{Edit, Record, Store};
use serde_json::{Value, json};

fn open(folder: &Path) -> Store {
    Store::open(folder.to_str().unwrap()).unwrap()
}

fn record(prefix: &str, number: u64) -> Record {
    // Long enough that half of it could be seen.
    let padding = "x".repeat(2000);
    serde_json::from_value(json!({"prefix": prefix, "name": "env", "number": number, "description": padding})).unwrap()
}

fn put(store: &Store, record: Record) {
    let outcome = store.change(|vaults| {
        vaults.retain(|vault| vault.text("prefix") != record.text("prefix"));
        vaults.push(record);
        Edit::Changed(())
    });
    outcome.unwrap();
}

fn numbers(vaults: &[Record]) -> BTreeMap<String, u64> {
    vaults.iter().map(|vault| (vault.text("prefix").to_owned(), vault["number"].as_u64().unwrap())).collect()
}

#[test]
fn what_is_put_is_there_for_others_and_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    assert_eq!(other.read().unwrap().vaults, []);
    let before = other.epoch().now();
    put(&one, record("mine", 1));
    assert_ne!(other.epoch().now(), before);
    let snapshot = other.read().unwrap();
    assert_eq!(numbers(&snapshot.vaults), BTreeMap::from([("mine".to_owned(), 1)]));
    assert_eq!(snapshot.mark, other.epoch().now());
    // What changes nothing writes nothing.
    other.change(|_| Edit::Unchanged(())).unwrap();
    assert_eq!(other.epoch().now(), snapshot.mark);
}

#[test]
fn a_file_that_has_another_name_elsewhere_is_not_taken() {
    for name in [".lock", ".changes"] {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "not ours").unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::hard_link(&elsewhere, inside.join(name)).unwrap();
        let error = Store::open(inside.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains(&format!("its {name} is no file of its own")), "{error}");
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"not ours");
    }
}

#[test]
fn files_are_for_their_owner_alone_and_in_kongs_format() {
    let folder = tempfile::tempdir().unwrap();
    put(&open(folder.path()), record("mine", 1));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{entry:?}");
        assert_eq!(metadata.uid(), folder.path().metadata().unwrap().uid());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, [".changes", ".lock", "vaults.json"]);
    let text = std::fs::read(folder.path().join("vaults.json")).unwrap();
    let whole: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(whole["_format_version"], "3.0");
    assert_eq!(whole["vaults"][0]["prefix"], "mine");
}

#[test]
fn a_folder_that_cannot_be_used_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for bad in [folder.path().join("missing"), file] {
        let text = Store::open(bad.to_str().unwrap()).unwrap_err().to_string();
        assert!(text.contains("vault_data_dir") && text.contains("install -d -o"), "{text}");
    }
    // Links lead elsewhere: root would write there.
    let target = folder.path().join("target");
    std::fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, folder.path().join(".changes")).unwrap();
    assert!(Store::open(folder.path().to_str().unwrap()).is_err());
    assert_eq!(std::fs::read(&target).unwrap(), b"");
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Why the folder can't be opened, nor used by those who have opened it before.
#[track_caller]
fn refused(folder: &Path, before: &Store, why: &str) {
    let opened = Store::open(folder.to_str().unwrap()).unwrap_err().to_string();
    let read = before.read().unwrap_err().to_string();
    let changed = before.change(|_| Edit::Changed(())).unwrap_err().to_string();
    for text in [opened, read, changed] {
        assert!(text.contains(why) && text.contains("vault_data_dir") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_folder_that_everybody_may_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, record("mine", 1));
    for bad in [0o777, 0o1777, 0o702, 0o2773] {
        mode(folder.path(), bad);
        refused(folder.path(), &store, "every user can write to it");
    }
    // A group is whom the operator shares it with.
    for good in [0o700, 0o755, 0o770, 0o2775] {
        mode(folder.path(), good);
        open(folder.path());
        assert_eq!(numbers(&store.read().unwrap().vaults).len(), 1);
    }
}

#[test]
fn files_that_others_have_made_or_may_write_to_are_refused() {
    for name in ["vaults.json", ".lock", ".changes"] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        put(&store, record("mine", 1));
        let path = folder.path().join(name);
        let read_refused = |why: &str| match name {
            "vaults.json" => {
                let text = store.read().unwrap_err().to_string();
                assert!(text.contains(why) && text.contains("vaults.json"), "{text}");
                let text = store.change(|_| Edit::Changed(())).unwrap_err().to_string();
                assert!(text.contains(why), "{text}");
            }
            _ => {
                let text = Store::open(folder.path().to_str().unwrap()).unwrap_err().to_string();
                assert!(text.contains(why) && text.contains(name), "{text}");
            }
        };
        for bad in [0o666, 0o620, 0o602] {
            mode(&path, bad);
            read_refused("users other than its owner can write");
        }
        mode(&path, 0o600);
        // Only root can give a file away.
        if chown(&path, Some(4242), Some(4242)).is_ok() {
            read_refused("belongs to another user");
            chown(folder.path(), Some(4242), Some(4242)).unwrap();
            assert!(store.read().is_ok(), "the folder's owner is whom it is for");
            chown(&path, Some(0), Some(0)).unwrap();
            assert!(store.read().is_ok(), "root may do everything anyway");
        }
    }
}

#[test]
fn entities_are_read_from_a_regular_file_alone() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("vaults.json");
    std::fs::write(&target, r#"{"vaults":[]}"#).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let path = folder.path().join("vaults.json");
    symlink(&target, &path).unwrap();
    assert!(store.read().is_err() && store.change(|_| Edit::Changed(())).is_err());
    std::fs::remove_file(&path).unwrap();
    // Nobody writes to it: it must not be waited for.
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let text = store.read().unwrap_err().to_string();
    assert!(text.contains("no regular file"), "{text}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(store.read().is_err());
    std::fs::remove_dir(&path).unwrap();
    assert!(store.read().is_ok());
    // The folder itself may be a link of the operator's, and not one of another user's.
    let link = elsewhere.path().join("link");
    symlink(folder.path(), &link).unwrap();
    let linked = open(&link);
    if std::os::unix::fs::lchown(&link, Some(4242), Some(4242)).is_ok() {
        refused(&link, &linked, "a symbolic link of another user's");
    }
}

#[test]
fn a_damaged_file_is_an_error_that_shows_nothing_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let path = folder.path().join("vaults.json");
    for damaged in ["", "{", r#"{"vaults":[{"token":"hunter2"}"#, r#"{"vaults":["hunter2"]}"#, "\u{feff}[]"] {
        std::fs::write(&path, damaged).unwrap();
        let read = store.read().unwrap_err().to_string();
        let changed = store.change(|_| Edit::Changed(())).unwrap_err().to_string();
        for text in [read, changed] {
            assert!(text.contains("vaults.json") && !text.contains("hunter2"), "{text}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
    }
}

#[test]
fn an_epoch_file_that_was_replaced_stops_writers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, record("mine", 1));
    std::fs::remove_file(folder.path().join(".changes")).unwrap();
    let text = store.change(|_| Edit::Changed(())).unwrap_err().to_string();
    assert!(text.contains("restart nginx"), "{text}");
    assert_eq!(numbers(&store.read().unwrap().vaults).len(), 1);
    // Whoever comes now has the new one, and goes on.
    put(&open(folder.path()), record("mine", 2));
}

#[test]
fn a_writer_that_died_in_the_middle_leaves_nobody_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (dead, alive) = (open(folder.path()), open(folder.path()));
    put(&dead, record("mine", 1));
    dead.epoch().begin();
    // Whoever reads now has what is there, and sees the next change all the same.
    let snapshot = alive.read().unwrap();
    assert_eq!(numbers(&snapshot.vaults)["mine"], 1);
    assert_eq!(snapshot.mark, alive.epoch().now());
    put(&dead, record("mine", 2));
    assert_ne!(snapshot.mark, alive.epoch().now());
    assert_eq!(numbers(&alive.read().unwrap().vaults)["mine"], 2);
    assert!(is_steady(alive.epoch().now()));
}

#[test]
fn a_folder_that_goes_away_is_an_error_and_not_an_empty_list() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, record("mine", 1));
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert!(store.read().is_err());
    assert!(store.change(|_| Edit::Changed(())).is_err());
}

#[test]
fn what_would_be_too_large_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, record("mine", 1));
    let huge: Record = serde_json::from_value(json!({"description": "x".repeat(17 * 1024 * 1024)})).unwrap();
    let changed = store.change(|vaults| {
        vaults.push(huge);
        Edit::Changed(())
    });
    let text = changed.unwrap_err().to_string();
    assert!(text.contains("delete some"), "{text}");
    assert_eq!(store.read().unwrap().vaults.len(), 1);
}

/// Where `a_writer` writes, and under which prefix.
const FOLDER: &str = "KONG_VAULT_TEST_FOLDER";
const PREFIX: &str = "KONG_VAULT_TEST_PREFIX";

/// No test, but what the children of the next one do: write numbers, and tell of each that is written.
#[test]
fn a_writer() {
    let (Ok(folder), Ok(prefix)) = (std::env::var(FOLDER), std::env::var(PREFIX)) else { return };
    let (folder, file) = (Path::new(&folder), format!("{prefix}.told"));
    let store = open(&folder.join("data"));
    // Past the one that a killed one may have written without telling.
    for number in told(folder, &prefix) + 2.. {
        put(&store, record(&prefix, number));
        let draft = folder.join(format!("{file}.new"));
        std::fs::write(&draft, number.to_string()).unwrap();
        std::fs::rename(draft, folder.join(&file)).unwrap();
    }
}

fn start(folder: &Path, prefix: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_writer"]).env(FOLDER, folder).env(PREFIX, prefix);
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

fn told(folder: &Path, prefix: &str) -> u64 {
    std::fs::read_to_string(folder.join(format!("{prefix}.told"))).map_or(0, |text| text.parse().unwrap())
}

fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn writers_that_are_killed_lose_and_tear_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let store = open(&folder.path().join("data"));
    // Two write on; one is killed again and again, at whatever it is.
    let steady = ["steady-1", "steady-2"].map(|prefix| (prefix, start(folder.path(), prefix)));
    for round in 0..25 {
        let wanted = told(folder.path(), "killed") + 2 + round % 3;
        let mut child = start(folder.path(), "killed");
        eventually("a child writes", || {
            store.read().unwrap();
            told(folder.path(), "killed") >= wanted
        });
        child.kill().unwrap();
        child.wait().unwrap();
        // What was told is there: that number, or the next, of which it could not tell any more.
        let (found, told) = (numbers(&store.read().unwrap().vaults)["killed"], told(folder.path(), "killed"));
        assert!((told..=told + 1).contains(&found), "{found} of {told}");
    }
    for (prefix, mut child) in steady {
        child.kill().unwrap();
        child.wait().unwrap();
        let (found, told) = (numbers(&store.read().unwrap().vaults)[prefix], told(folder.path(), prefix));
        assert!(told > 0 && (told..=told + 1).contains(&found), "{prefix}: {found} of {told}");
    }
    // Whatever they left, the next writer gets on, and everybody sees it.
    let mark = store.read().unwrap().mark;
    put(&store, record("last", 1));
    assert!(is_steady(store.epoch().counter().load(Ordering::Acquire)) && store.epoch().now() != mark);
    assert!(!folder.path().join("data/.vaults.json.new").exists());
}
