//! Keeps the house as it was planned: arrows between rooms point down, and what is dangerous stays in its room.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;

#[path = "support/abi.rs"]
mod abi;
#[path = "support/imports.rs"]
mod imports;

/// The rooms from the ground up. A room uses those below it, and none beside or above it. A new module has to be given its
/// floor here.
#[rustfmt::skip]
const FLOORS: &[(&str, &[&str])] = &[
    ("what everybody uses", &["secret", "sync"]),
    ("what an operator is told", &["notice"]),
    ("options", &["environment", "options"]),
    ("what may be shown", &["redact"]),
    ("errors", &["error"]),
    ("threads for what blocks", &["pool"]),
    ("files", &["file"]),
    ("what is known, here and on disk", &["cache", "diagnosis", "store"]),
    ("what goes over sockets", &["http", "node"]),
    ("spans of fetches", &["spans"]),
    ("who we are, and what runs", &["identity", "runtime"]),
    ("vaults", &["backend"]),
    ("what names a value in them", &["reference"]),
    ("configuration", &["config"]),
    ("the audit log", &["audit"]),
    ("the Admin API", &["admin"]),
    ("entities that are followed", &["entities"]),
    ("from a reference to its value", &["resolver"]),
    ("one Lua VM's", &["vm"]),
    ("ways in from C and from a shell", &["ffi", "cli"]),
    ("the way in from Lua", &["lua"]),
];

/// The files that lie in `src/` itself.
const FLAT: usize = 10;

/// Above this, a file has more than one job.
const LONGEST: usize = 400;

/// A source file: where it is below the project's root, and its code without comments and tests. The command line's crate
/// is read as a room of the library, `cli`; the rooms of the Lua module's crate as if they were the library's.
struct File {
    path: String,
    code: String,
}

impl File {
    /// Where it is, or where it would be if its crate were a room.
    fn place(&self) -> String {
        let path = self.path.replace("cli/src/lib.rs", "cli/src/mod.rs").replace("cli/src/", "src/cli/");
        path.trim_start_matches("native/").to_owned()
    }

    /// The module of a `lib.rs` that it belongs to; `None` for `lib.rs`.
    fn room(&self) -> Option<String> {
        let place = self.place();
        let room = place.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
        (room != "lib").then(|| room.to_owned())
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    fn finds(&self, pattern: &str) -> bool {
        regex(pattern).is_match(&self.code)
    }
}

/// The library is built without Unicode's tables, which these classes would need.
fn regex(pattern: &str) -> Regex {
    let ascii = pattern.replace(r"\s", "[[:space:]]").replace(r"\S", "[^[:space:]]").replace(r"\b", r"(?-u:\b)");
    Regex::new(&ascii).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn text(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder with one of the endings, by path.
fn below(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)) else { continue };
        for entry in entries.flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_str().expect("a name in UTF-8"));
            if entry.path().is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| path.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<File> {
    let is_test = |path: &String| path.ends_with("/tests.rs") || path.contains("/tests/");
    let code = |path: &str| {
        let text = text(path);
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let paths = ["src", "cli/src", "native/src"].map(|folder| below(folder, &[".rs"])).concat();
    let as_room = |path: &str, code: String| match path.starts_with("cli/") {
        true => code.replace("crate::", "crate::cli::").replace("kong_vault::", "crate::"),
        false => code.replace("kong_vault::", "crate::"),
    };
    let read = |path: String| File { code: as_room(&path, code(&path)), path };
    paths.into_iter().filter(|path| !is_test(path)).map(read).collect()
}

/// Fails with every file outside of `places` that holds `pattern`.
fn only_in(places: &[&str], pattern: &str, what: &str) {
    let elsewhere: Vec<_> = sources().into_iter().filter(|file| !file.is_in(places) && file.finds(pattern)).collect();
    let paths: Vec<_> = elsewhere.iter().map(|file| file.path.as_str()).collect();
    assert!(paths.is_empty(), "{what} belongs into {places:?} only, but is in {paths:?}");
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, rooms)| rooms.contains(&room))
}

#[test]
fn every_room_has_a_floor_and_every_floor_its_rooms() {
    let contents = text("src/lib.rs") + &text("native/src/lib.rs");
    let modules = regex(r"(?m)^(?:pub )?mod ([a-z_]+);");
    let modules = modules.captures_iter(&contents).map(|found| found[1].to_owned()).chain(["cli".to_owned()]);
    let modules: Vec<_> = modules.collect();
    for module in &modules {
        assert!(floor(module).is_some(), "a lib.rs has the module {module}: give it a floor in FLOORS");
    }
    for (_, rooms) in FLOORS {
        for room in *rooms {
            assert!(modules.iter().any(|module| module == room), "FLOORS has {room}, which no lib.rs has");
        }
    }
    for file in sources() {
        let Some(room) = file.room() else { continue };
        assert!(floor(&room).is_some(), "{} belongs to no module of a lib.rs", file.path);
    }
}

#[test]
fn arrows_between_rooms_point_down() {
    for file in sources() {
        let Some(room) = file.room() else { continue };
        let own = floor(&room).expect("a floor");
        assert!(!file.finds(r"\bcrate::\{"), "{}: write one `use crate::…` for each room", file.path);
        for found in regex(r"\bcrate::([a-z_]+)").captures_iter(&file.code) {
            let other = &found[1];
            let theirs = floor(other).unwrap_or_else(|| panic!("{}: crate::{other} is no room", file.path));
            assert!(
                theirs < own || other == room,
                "{} of {room} ({}) uses {other} ({}): arrows point down",
                file.path,
                FLOORS[own].0,
                FLOORS[theirs].0
            );
        }
        let depth = file.place().trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count();
        let climbs = format!(r"\b(super::){{{depth},}}");
        assert!(!file.finds(&climbs), "{}: `super` leaves the room: write `crate::…`", file.path);
    }
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let files: Vec<_> = sources().into_iter().map(|file| (file.place(), file.code)).collect();
    let arrows = imports::arrows(&files);
    assert!(arrows.len() > 100, "the arrows are found: {}", arrows.len());
    let found = imports::circles(&arrows);
    assert!(found.is_empty(), "circles of files: {found:#?}");
}

#[test]
fn the_house_is_laid_out_in_rooms_of_a_size() {
    let flat: Vec<_> = below("src", &[".rs"]).into_iter().filter(|path| path.matches('/').count() == 1).collect();
    assert!(flat.len() <= FLAT, "{flat:?}");
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for file in sources() {
        // Each vault has a room of its own.
        let vault = file.path.strip_prefix("src/backend/").and_then(|rest| Some(rest.split_once('/')?.0));
        let room = vault.map_or_else(|| file.room().unwrap_or_default(), |vault| format!("backend/{vault}"));
        *lines.entry(room).or_default() += text(&file.path).lines().count();
    }
    let whole: usize = lines.values().sum();
    for (room, own) in lines {
        assert!(own * 4 <= whole, "{room} has {own} of {whole} lines, more than a quarter");
    }
}

#[test]
fn a_vaults_room_knows_no_other_vaults() {
    let vaults: Vec<_> = kong_vault::backend::registry::ALL.iter().map(|backend| backend.name).collect();
    for file in sources() {
        let Some(path) = file
            .path
            .strip_prefix("src/backend/")
            .filter(|path| !matches!(*path, "mod.rs" | "registry.rs" | "transport.rs"))
        else {
            continue;
        };
        let room = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        for other in vaults.iter().filter(|other| **other != room) {
            assert!(!file.finds(&format!(r"\b(backend|super)::{other}\b")), "{} names the vault {other}", file.path);
        }
    }
}

/// Fails where other files than those in `places` are let off a lint. What the lints forbid stands in Cargo.toml, clippy.toml and
/// `lib.rs`; the compiler and clippy find it, and exceptions that nothing needs.
fn let_off(lint: &str, places: &[&str], what: &str) {
    let pattern = format!(r"\b(allow|expect)\([^)]*\b{lint}\b");
    only_in(places, &pattern, what);
    for place in places {
        let needs = sources().iter().any(|file| file.is_in(&[place]) && file.finds(&pattern));
        assert!(needs, "{place} may have {what}, and has none");
    }
}

#[test]
fn what_is_dangerous_stays_in_its_room() {
    let_off(
        "unsafe_code",
        &[
            "cli/src/exec/program.rs",
            "native/src/ffi/mod.rs",
            "native/src/lua/memory.rs",
            "src/node/figures/memory.rs",
            "src/pool/signals.rs",
            "src/store/epoch.rs",
        ],
        "unsafe code",
    );
    let_off(
        "disallowed_types",
        &[
            "cli/src/exec/program.rs",
            "src/identity/program.rs",
            "src/pool/threads.rs",
            "src/resolver/blocking.rs",
            "src/runtime/engine.rs",
        ],
        "a thread, a runtime or a program",
    );
    // Whatever asks the file system or the resolver of names may hang: on the engine's thread nothing does.
    let_off(
        "disallowed_methods",
        &[
            // What runs on threads of a pool.
            "src/audit/log_file.rs",
            "src/audit/syslog.rs",
            "src/file.rs",
            "src/backend/fs/beneath.rs",
            "src/http/dns.rs",
            "src/http/pem.rs",
            "src/http/trust_store.rs",
            "src/identity/aws/sso.rs",
            "src/node/watch/inotify.rs",
            "src/store/",
            // What runs before there is an engine, while it starts, or without one.
            "cli/src/check/mod.rs",
            "cli/src/conf_file/mod.rs",
            "cli/src/exec/supervisor.rs",
            "cli/src/exec/variables.rs",
            "src/admin/body.rs",
            "src/environment.rs",
            "src/node/figures/worker.rs",
            "src/node/shared_slots.rs",
            "src/redact/mod.rs",
            "src/runtime/notifier/mod.rs",
        ],
        "what may hang, or the process environment",
    );
    let_off(
        "(warnings|all|style|restriction|dbg_macro|expect_used|panic|print_stderr|print_stdout|unwrap_used)",
        &[],
        "what panics or prints",
    );
    // The module of mlua hands the handle's address over to the FFI, and never looks behind it.
    only_in(
        &["native/src/ffi/", "src/pool/signals.rs", "native/src/lua/mod.rs", "native/src/lua/memory.rs"],
        r"\*(const|mut) [A-Za-z]",
        "a raw pointer",
    );
    only_in(&["native/src/ffi/", "native/src/lua/memory.rs"], r#"extern "C""#, "the C ABI");
    only_in(&["native/src/lua/"], r"\bmlua\b", "mlua");
}

#[test]
fn time_is_handed_in() {
    let pure = ["src/cache/", "src/resolver/breaker.rs", "src/resolver/probes.rs"];
    for file in sources().iter().filter(|file| file.is_in(&pure)) {
        assert!(!file.finds(r"\btokio\b|\bnow\(\)|\bsleep"), "{} knows a runtime or a clock", file.path);
    }
}

/// What stands between a macro's parentheses, for each call of it that makes a text.
fn texts_made(code: &str) -> Vec<&str> {
    let calls = regex(r"\b(?:format|write|writeln|panic)!\(");
    let inside = |start: usize| {
        let (mut depth, mut quoted, mut escaped) = (1, false, false);
        let end = code[start..].char_indices().find(|(_, c)| {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        &code[start..end.map_or(code.len(), |(at, _)| start + at)]
    };
    calls.find_iter(code).map(|call| inside(call.end())).collect()
}

#[test]
fn what_somebody_wrote_goes_into_no_text_past_redact() {
    // An option's text, a reference's parts, bytes and paths. What has a name of its own before it goes into a text is not
    // seen here: the marked secrets of tests/redaction.rs are for that.
    let written = regex(
        r"\.(text|list|secret)\(|\bentry\.(value|option)\b|\.(resource|key|options)\b(?:[^(\w]|$)|\breference\.name\b|_lossy\(|\.display\(\)",
    );
    let judged = regex(r"\bredact::|\bquote\(");
    let known = [
        // A name that is not shown, but what may be of it.
        ("src/backend/env.rs", "Variable::previous("),
        // The path of a file that the command line was given.
        ("cli/src/check/mod.rs", "path.display()"),
        // A key of kong.conf, which `check` names in each row.
        ("cli/src/conf_file/mod.rs", "setting.key"),
        // The name of the option that names the file, which is one of ours.
        ("src/config/declarative/mod.rs", "self.key"),
        // Only compared with names.
        ("src/config/error.rs", "did_you_mean(entry.option"),
        ("src/config/error.rs", "accepted(entry.option"),
        // A document's name on the node, which is a digest.
        ("src/resolver/fetch_task.rs", "self.key.shown()"),
        // A prefix is checked before it is stored.
        ("src/store/record.rs", "self.text(\"prefix\")"),
    ];
    for file in sources().iter().filter(|file| !file.is_in(&["src/redact/"])) {
        for text in texts_made(&file.code).into_iter().filter(|text| written.is_match(text) && !judged.is_match(text)) {
            let is_known = known.iter().any(|(path, part)| file.path == *path && text.contains(part));
            assert!(is_known, "{}: what may this show? ask `redact`: {text}", file.path);
        }
    }
}

#[test]
fn only_native_lua_requires_the_ffi() {
    let requires = regex(r#"require\s*\(?\s*["']ffi["']"#);
    for path in below("lua", &[".lua"]) {
        let uses = requires.is_match(&text(&path));
        assert_eq!(uses, path == "lua/kong/vault/native.lua", "{path}");
    }
}

#[test]
fn no_file_is_longer_than_its_one_job() {
    for folder in ["src", "cli", "native", "lua", "tests", "spec", "benches", "fuzz/src", "fuzz/targets", "examples"] {
        for path in below(folder, &[".rs", ".lua", ".py"]) {
            let lines = text(&path).lines().count();
            assert!(lines <= LONGEST, "{path} has {lines} lines, more than {LONGEST}: it has more than one job");
        }
    }
}
