//! Which file of the crate uses which: from its `use` lines, and from paths that it writes out.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

type Path = Vec<String>;

/// Files by module, and what modules hand on under names of their own.
struct Crate<'a> {
    files: BTreeMap<Path, &'a str>,
    handed_on: BTreeMap<Path, BTreeMap<String, Path>>,
}

/// The module that a file is: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`.
fn module(file: &str) -> Path {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// The paths of a `use`, without its braces and other names.
fn expand(prefix: &str, text: &str, into: &mut Vec<String>) {
    let text = text.trim();
    let Some(open) = text.find('{') else {
        let path = text.split(" as ").next().unwrap_or_default().trim();
        into.push(format!("{prefix}{}", path.trim_end_matches("::self")).trim_end_matches("::self").to_owned());
        return;
    };
    let (prefix, inner) = (format!("{prefix}{}", &text[..open]), text[open + 1..].trim_end_matches('}'));
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..at], into);
                start = at + 1;
            }
            _ => {}
        }
    }
    // A brace that closes an inner list was trimmed with the outer one's.
    let last = &inner[start..];
    let missing = last.matches('{').count() - last.matches('}').count().min(last.matches('{').count());
    if !last.trim().is_empty() {
        expand(&prefix, &format!("{last}{}", "}".repeat(missing)), into);
    }
}

/// A path from the crate's root, as `module` means it; `None` for other crates' paths.
fn from_root(module: &Path, path: &str, children: &BTreeSet<String>) -> Option<Path> {
    let mut parts: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
    let mut base = match parts.first()?.as_str() {
        "crate" => {
            parts.remove(0);
            return Some(parts);
        }
        "self" | "super" => module.clone(),
        first if children.contains(first) => {
            let mut whole = module.clone();
            whole.extend(parts);
            return Some(whole);
        }
        _ => return None,
    };
    while let Some("self" | "super") = parts.first().map(String::as_str) {
        if parts.remove(0) == "super" {
            base.pop();
        }
    }
    base.extend(parts);
    Some(base)
}

impl Crate<'_> {
    /// The file that a path leads to, through modules that hand on.
    fn file(&self, path: &Path) -> Option<&str> {
        let mut path = path.clone();
        for _ in 0..5 {
            let length = (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
            let (module, rest) = (path[..length].to_vec(), path[length..].to_vec());
            let next = rest.first().and_then(|name| self.handed_on.get(&module)?.get(name));
            match next {
                Some(next) if !path.starts_with(next) => {
                    path = next.iter().cloned().chain(rest.into_iter().skip(1)).collect();
                }
                _ => return self.files.get(&module).copied(),
            }
        }
        None
    }
}

/// For each file the files that it uses.
pub fn arrows(files: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let regex = |pattern: &str| Regex::new(pattern).expect("a pattern");
    let (uses, child) = (
        regex(r"(?m)^[[:space:]]*(pub(?:\([^)]*\))? )?use ([^;]+);"),
        regex(r"(?m)^[[:space:]]*(?:pub(?:\([^)]*\))? )?mod ([a-z_0-9]+);"),
    );
    let visibility = regex(r"pub\(in [^)]*\)");
    let written = regex(r"(?-u:\b)(?:crate|super|self)(?:::[A-Za-z_0-9]+)+");
    let mut all = Crate {
        files: files.iter().map(|(path, _)| (module(path), path.as_str())).collect(),
        handed_on: BTreeMap::new(),
    };
    let children = |code: &str| child.captures_iter(code).map(|found| found[1].to_owned()).collect::<BTreeSet<_>>();
    let mut used: Vec<(&str, Path)> = Vec::new();
    for (path, code) in files {
        let (own, children) = (module(path), children(code));
        for found in uses.captures_iter(code) {
            let mut paths = Vec::new();
            expand("", &found[2].split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
            for target in paths.iter().filter_map(|path| from_root(&own, path, &children)) {
                if found.get(1).is_some() {
                    let name = target.last().cloned().unwrap_or_default();
                    all.handed_on.entry(own.clone()).or_default().insert(name, target);
                } else {
                    used.push((path, target));
                }
            }
        }
        let rest = uses.replace_all(code, "").into_owned();
        // Who may see an item is no use of it.
        let rest = visibility.replace_all(&rest, "").into_owned();
        used.extend(
            written.find_iter(&rest).filter_map(|it| Some((path.as_str(), from_root(&own, it.as_str(), &children)?))),
        );
        for name in &children {
            if regex(&format!(r"(?:^|[^:a-zA-Z0-9_.]){name}::")).is_match(&rest) {
                used.push((path, own.iter().cloned().chain([name.clone()]).collect()));
            }
        }
    }
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, target) in used {
        if let Some(file) = all.file(&target).filter(|file| *file != path && *file != "src/lib.rs") {
            arrows.entry(path.to_owned()).or_default().insert(file.to_owned());
        }
    }
    arrows
}

/// The files that lie on circles, each circle's together.
pub fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reaches = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(arrows.get(file).into_iter().flatten().filter(|next| seen.insert((*next).clone())));
        }
        seen
    };
    let reached: BTreeMap<_, _> = arrows.keys().map(|file| (file, reaches(file))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (file, ends) in reached.iter().filter(|(file, ends)| ends.contains(**file)) {
        if found.iter().all(|circle| !circle.contains(*file)) {
            let back = |end: &&String| reached.get(end).is_some_and(|ends| ends.contains(*file));
            found.push(ends.iter().filter(back).cloned().collect());
        }
    }
    found
}

#[test]
fn a_circle_is_found_through_braces_and_names_handed_on() {
    let file = |path: &str, code: &str| (path.to_owned(), code.to_owned());
    let mut files = vec![
        file("src/a/mod.rs", "mod one;\nmod two;\npub use one::One;"),
        file("src/a/one.rs", "use crate::b::{deep::{self, Two}, Three};"),
        file("src/a/two.rs", "use super::One;"),
        file("src/b/mod.rs", "pub mod deep;"),
        file("src/b/deep.rs", "fn f() { crate::c::g() }"),
        file("src/c.rs", "use std::fmt;"),
    ];
    assert!(circles(&arrows(&files)).is_empty(), "{:?}", arrows(&files));
    files[5].1 = "fn g() -> crate::a::One {}".to_owned();
    let round = ["src/a/one.rs", "src/b/deep.rs", "src/c.rs"].map(str::to_owned).into();
    assert_eq!(circles(&arrows(&files)), [round]);
}
