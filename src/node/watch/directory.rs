//! A path below a root: a watched directory, or an entry of one.

use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Directory {
    pub root: String,
    /// The path below the root. The empty path is the root itself.
    pub path: String,
}

impl Directory {
    pub fn full(&self) -> PathBuf {
        PathBuf::from(&self.root).join(&self.path)
    }

    /// Its entry of that name.
    pub fn child(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Self { root: self.root.clone(), path }
    }

    /// Whether it is that path, or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        let rest = || self.path.strip_prefix(&other.path);
        self.root == other.root
            && (other.path.is_empty() || rest().is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_what() {
        let at = |path: &str| Directory { root: "/r".to_owned(), path: path.to_owned() };
        for (path, other, is_within) in [
            ("a", "", true),
            ("a/b", "a", true),
            ("a", "a", true),
            ("ab", "a", false),
            ("a", "a/b", false),
            ("", "a", false),
        ] {
            assert_eq!(at(path).is_within(&at(other)), is_within, "{path} in {other}");
        }
        assert!(!at("a").is_within(&Directory { root: "/s".to_owned(), path: String::new() }));
        assert_eq!(at("").child("x").child("y"), at("x/y"));
        assert_eq!(at("x").full(), PathBuf::from("/r/x"));
    }
}
