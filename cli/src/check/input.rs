//! A file that is checked, read from a path or from standard input.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::rule::Rule;
use super::table::{Place, Row};
use crate::conf_file;
use kong_vault::config::LARGEST_FILE;

/// The name by which standard input is read, and told of.
pub const STDIN: &str = "-";

/// A file that was read.
pub struct Input {
    pub name: String,
    /// The canonical path, as a file may be given under several names.
    pub identity: PathBuf,
    pub is_conf: bool,
    pub text: String,
    /// The line from which the file can't be checked, the rule that it breaks, and why.
    pub flaw: Option<(usize, Rule, String)>,
}

impl Input {
    /// Reads what the command line names: a file, or standard input. Returns an error only where that can't be opened or
    /// read.
    pub fn given(path: &Path, is_conf: Option<bool>) -> Result<Self, String> {
        if path.as_os_str() != STDIN {
            return Self::read(path, is_conf);
        }
        Self::taken(path, std::io::stdin().lock(), is_conf)
    }

    /// The same for a file that another one names.
    pub fn read(path: &Path, is_conf: Option<bool>) -> Result<Self, String> {
        let file = File::open(path).map_err(|err| format!("can't be read ({err})"))?;
        Self::taken(path, file, is_conf)
    }

    fn taken(path: &Path, from: impl Read, is_conf: Option<bool>) -> Result<Self, String> {
        let mut bytes = Vec::new();
        from.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|err| format!("can't be read ({err})"))?;
        Ok(Self::of(path, bytes, is_conf))
    }

    pub fn of(path: &Path, bytes: Vec<u8>, is_conf: Option<bool>) -> Self {
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_conf = is_conf.unwrap_or_else(|| is_conf_file(path, &String::from_utf8_lossy(&bytes)));
        let limit = if is_conf { conf_file::LIMIT } else { LARGEST_FILE };
        let is_too_large = bytes.len() as u64 > limit;
        let (text, flaw) = match String::from_utf8(bytes) {
            _ if is_too_large => {
                (String::new(), Some((1, Rule::FileTooLarge, format!("is larger than {limit} bytes"))))
            }
            Ok(text) => (text, None),
            // In a kong.conf, invalid bytes matter only in the values that have them.
            Err(error) if is_conf => (String::from_utf8_lossy(error.as_bytes()).into_owned(), None),
            Err(error) => {
                let until = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(&error.as_bytes()[..until]).into_owned();
                let line = text.matches('\n').count() + 1;
                let why = "is no UTF-8 text; nothing from here on can be judged";
                (text, Some((line, Rule::InvalidUtf8, why.to_owned())))
            }
        };
        Self { name: path.display().to_string(), identity, is_conf, text, flaw }
    }

    pub fn row(&self) -> Option<Row> {
        self.flaw.as_ref().map(|(line, rule, why)| Place::new(&self.name, *line).found(*rule, "file", why))
    }
}

/// Whether a file is a kong.conf: by its extension, otherwise by its first line that is no comment.
fn is_conf_file(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("conf") => true,
        Some("yml" | "yaml" | "json") => false,
        _ => {
            let is_key =
                |key: &str| key.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
            let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
            first.and_then(|line| line.split_once('=')).is_some_and(|(key, _)| is_key(key))
        }
    }
}
