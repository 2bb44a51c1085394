//! Parses a declarative file, JSON or YAML, into a tree.

use super::tree::Tree;
use super::tree::build::Builder;
use super::{json, yaml};

impl Tree {
    /// Parses a file as JSON, if it is named so or begins with a brace; as YAML, if it is not JSON. Takes time linear
    /// in the file's length, whatever the file contains.
    pub fn parse(name: &str, text: &str) -> Self {
        let (is_named, mut no_json) = (name.ends_with(".json"), None);
        if is_named || text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
            let mut builder = Builder::new(text, false);
            match json::parse(text, &mut builder) {
                Ok(()) => return builder.tree,
                // A file that is too large as JSON is too large as YAML, too.
                Err(flaw) if !flaw.is_syntax => return builder.stopped(flaw),
                Err(flaw) => no_json = Some((builder, flaw)),
            }
        }
        let mut builder = Builder::new(text, true);
        match (yaml::parse(text, &mut builder), no_json) {
            (Ok(()), no_json) => {
                builder.tree.no_json = no_json.map(|(_, flaw)| flaw).filter(|_| is_named);
                builder.tree
            }
            // It is neither: report the error of the format that its name says, otherwise of the one that was readable
            // for longer.
            (Err(as_yaml), Some((read, as_json))) if is_named || as_json.line > as_yaml.line => read.stopped(as_json),
            (Err(flaw), _) => builder.stopped(flaw),
        }
    }
}
