//! The path in a reference: a file below the vault's directory, or a field of a JSON file.

use crate::backend::LISTING;
use crate::error::{Error, Kind, Result};
use crate::redact;

/// How many parts a path may have. Each costs some system calls.
const DEEPEST: usize = 64;

/// How much of a name an error shows, in characters.
const LONGEST_SHOWN: usize = 256;

/// A name of a secret, as a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName<'a> {
    parts: Vec<&'a str>,
    /// Whether a slash ends it: then the last part is not a field.
    pub is_whole: bool,
    /// Whether it asks for a directory with its files as fields.
    pub is_listing: bool,
}

/// One way to read a name: a file, and a field of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The parts of the file's path, at least one.
    pub file: &'a [&'a str],
    pub field: Option<String>,
}

impl<'a> FileName<'a> {
    /// Parses a name. It refuses a path that leads upwards before anything is opened.
    pub fn parse(name: &'a str, label: &str) -> Result<Self> {
        let refused = |what: &str| {
            let text = format!("{label} reads no file {}: {what}", shown(name));
            Err(Error::new(Kind::Reference, text))
        };
        let parts: Vec<_> = name.split('/').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return refused("name a file");
        }
        if parts.iter().any(|part| matches!(*part, "." | "..")) {
            return refused("its path must not have `.` or `..` as a part");
        }
        if name.contains('\0') {
            return refused("its path must not have a zero byte");
        }
        if parts.len() > DEEPEST {
            return refused("its path has too many parts");
        }
        Ok(Self { parts, is_whole: name.ends_with('/'), is_listing: name.ends_with(LISTING) })
    }

    pub fn parts(&self) -> &[&'a str] {
        &self.parts
    }

    /// The ways to read the name, in order: the whole path as a file, then all but the last part, which is a field, and so
    /// on. Nothing lies below a file, so at most one of them leads to a file.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let least = if self.is_whole { self.parts.len() } else { 1 };
        (least..=self.parts.len()).rev().map(|length| {
            let (file, rest) = self.parts.split_at(length);
            Reading { file, field: (!rest.is_empty()).then(|| rest.join("/")) }
        })
    }
}

/// A name as an error may show it.
pub fn shown(name: &str) -> String {
    redact::quote(name.as_bytes(), LONGEST_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(name: &str) -> Vec<(String, Option<String>)> {
        let name = FileName::parse(name, "fs").unwrap();
        name.readings().map(|reading| (reading.file.join("/"), reading.field)).collect()
    }

    #[test]
    fn the_last_part_may_be_a_field_unless_a_slash_follows_it() {
        let some = |field: &str| Some(field.to_owned());
        assert_eq!(readings("a"), [("a".to_owned(), None)]);
        assert_eq!(readings("a/b"), [("a/b".to_owned(), None), ("a".to_owned(), some("b"))]);
        assert_eq!(readings("a/b/"), [("a/b".to_owned(), None)]);
        assert_eq!(readings("a/b/c")[2], ("a".to_owned(), some("b/c")));
    }

    #[test]
    fn what_leads_upwards_is_refused() {
        for name in ["..", "a/../b", "./a", "a/.", "", "/", "a\0b"] {
            let error = FileName::parse(name, "fs").unwrap_err();
            assert_eq!(error.kind(), Kind::Reference, "{name}");
        }
        assert!(FileName::parse(&"a/".repeat(65), "fs").is_err());
        // These are ordinary names.
        for name in ["..data", "...", "a..", ".hidden"] {
            assert!(FileName::parse(name, "fs").is_ok(), "{name}");
        }
        assert_eq!(FileName::parse("/a", "fs").unwrap().parts(), ["a"]);
    }
}
