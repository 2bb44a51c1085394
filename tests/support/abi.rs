//! What crosses the C boundary is the same on both sides.

use std::collections::BTreeMap;

use super::{regex, sources, text};

/// The exports and shared types of `native/src/ffi`, as C writes them; by name.
fn exports() -> BTreeMap<String, String> {
    let function = regex(r#"pub (?:unsafe )?extern "C" fn ([a-z_]+)\(([^)]*)\)(?: -> ([^{]+?))?\s*\{"#);
    let code: String =
        sources().into_iter().filter(|file| file.is_in(&["native/src/ffi/"])).map(|file| file.code + "\n").collect();
    let parameter = |written: &str| {
        let (name, kind) = written.split_once(':').expect("a name and a type");
        match kind.trim().strip_prefix("[u8; ").and_then(|rest| rest.strip_suffix(']')) {
            Some(length) => format!("char {}[{length}]", name.trim()),
            None => declare(&c_type(kind.trim()), name.trim()),
        }
    };
    let mut found = BTreeMap::new();
    for export in function.captures_iter(&code) {
        let parameters: Vec<_> =
            export[2].split(',').map(str::trim).filter(|text| !text.is_empty()).map(parameter).collect();
        let parameters = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
        let returns = export.get(3).map_or("void".to_owned(), |kind| c_type(kind.as_str().trim()));
        found.insert(export[1].to_owned(), format!("{}({parameters})", declare(&returns, &export[1])));
    }
    let answer = regex(r"#\[repr\(C\)\]\s*pub struct Answer \{([^}]*)\}").captures(&code).expect("the answer's struct");
    let fields = answer[1].split(',').map(str::trim).filter(|text| !text.is_empty());
    let field = |field: &str| parameter(field.trim_start_matches("pub(super) ").trim_start_matches("pub ")) + ";";
    found.insert("kong_vault_answer".to_owned(), fields.map(field).collect::<Vec<_>>().join(" "));
    found
}

fn declare(kind: &str, name: &str) -> String {
    if kind.ends_with('*') { format!("{kind}{name}") } else { format!("{kind} {name}") }
}

fn c_type(rust: &str) -> String {
    let pointed = |rest: &str| match rest {
        "Handle" => "kong_vault_handle".to_owned(),
        "Answer" => "kong_vault_answer".to_owned(),
        "c_char" => "char".to_owned(),
        other => c_type(other),
    };
    match rust {
        "u32" => "uint32_t".to_owned(),
        "u64" => "uint64_t".to_owned(),
        "i32" => "int32_t".to_owned(),
        "usize" => "size_t".to_owned(),
        "f64" => "double".to_owned(),
        "bool" => "bool".to_owned(),
        _ => match (rust.strip_prefix("*const "), rust.strip_prefix("*mut ")) {
            (Some(rest), _) if rest.starts_with('*') => format!("{}const *", c_type(rest)),
            (Some(rest), _) => format!("const {} *", pointed(rest)),
            (_, Some(rest)) => format!("{} *", pointed(rest)),
            _ => panic!("native/src/ffi has the type {rust}, which this test can't write in C"),
        },
    }
}

/// The same from the `cdef` of native.lua.
fn declarations() -> BTreeMap<String, String> {
    let lua = text("lua/kong/vault/native.lua");
    let cdef = regex(r"(?s)DECLARATIONS = \[\[(.*?)\]\]").captures(&lua).expect("the cdef")[1].to_owned();
    let cdef = cdef.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = BTreeMap::new();
    let structs = regex(r"typedef struct \{ (.*?) \} ([a-z_]+);");
    for declared in structs.captures_iter(&cdef) {
        found.insert(declared[2].to_owned(), declared[1].to_owned());
    }
    let rest = structs.replace_all(&cdef, "").replace("typedef struct kong_vault_handle kong_vault_handle;", "");
    for declared in rest.split(';').map(str::trim).filter(|declared| !declared.is_empty()) {
        let name = regex(r"([a-z_]+)\(").captures(declared).unwrap_or_else(|| panic!("no function: {declared}"));
        found.insert(name[1].to_owned(), declared.to_owned());
    }
    found
}

#[test]
fn native_lua_declares_what_the_library_exports() {
    let exports = exports();
    assert!(exports.len() > 3 && exports.keys().all(|name| name.starts_with("kong_vault_")), "{exports:?}");
    assert_eq!(exports, declarations(), "left: native/src/ffi, right: native.lua");
}

#[test]
fn versions_and_status_numbers_are_the_same_on_both_sides() {
    let (rust, lua) = (text("native/src/ffi/status.rs"), text("lua/kong/vault/native.lua"));
    let number = |pattern: &str, text: &str| regex(pattern).captures(text).expect(pattern)[1].to_owned();
    assert_eq!(number(r"ABI_VERSION: u32 = (\d+);", &rust), number(r"local ABI_VERSION = (\d+)", &lua));
    let release = &regex(r#"local RELEASE = "kong-vault ([^"]+)""#).captures(&lua).expect("the release")[1];
    assert_eq!(release, env!("CARGO_PKG_VERSION"), "Cargo.toml has another version than native.lua");
    let numbers = |pattern: &str, text: &str| -> BTreeMap<String, i32> {
        let found = regex(pattern);
        found.captures_iter(text).map(|found| (found[1].to_owned(), found[2].parse().expect("a number"))).collect()
    };
    let ours = numbers(r"pub const ([A-Z_]+): i32 = (-?\d+);", &rust);
    let theirs = numbers(r"(?m)^  ([A-Z_]+) = (\d+),$", &lua);
    let mut given: Vec<_> = ours.values().collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), ours.len(), "a number stands for one thing: {ours:?}");
    // What is below zero is a defect, whichever it is.
    let ours: BTreeMap<_, _> = ours.into_iter().filter(|(_, number)| *number >= 0).collect();
    assert_eq!(ours, theirs, "left: status.rs, right: native.lua");
}

#[test]
fn every_export_catches_its_panics() {
    // These return what is there: they call nothing that could panic.
    let plain = [
        "kong_vault_abi_version",
        "kong_vault_version",
        "kong_vault_generation",
        "kong_vault_epoch",
        "kong_vault_seen_epoch",
    ];
    let export = regex(r#"(?s)extern "C" fn ([a-z_]+)\([^)]*\)[^{]*\{\s*(\S+)"#);
    for file in sources().into_iter().filter(|file| file.is_in(&["native/src/ffi/"])) {
        for found in export.captures_iter(&file.code) {
            let is_guarded = found[2].starts_with("guard(");
            assert!(is_guarded || plain.contains(&&found[1]), "{}: {} is not inside `guard`", file.path, &found[1]);
        }
        assert_eq!(file.code.matches("no_mangle").count(), export.captures_iter(&file.code).count(), "{}", file.path);
    }
}
