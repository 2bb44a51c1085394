//! The environment of the program: what this process has, files of `NAME=TEXT`, and `--env`.

#![expect(clippy::disallowed_methods, reason = "the program inherits the whole environment")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::text::Text;
use crate::session::shown;
use kong_vault::config::Config;
use kong_vault::file::{clause, read_bounded};
use kong_vault::redact;

/// The largest file that is read, in bytes: the kernel takes no larger environment.
pub const LIMIT: u64 = 4 * 1024 * 1024;

/// Texts by the name of their variable.
pub type Texts = BTreeMap<OsString, Text>;

/// Whether a variable is there for kong-vault alone: its token is not for the program.
fn is_own(name: &OsStr, config: &Config) -> bool {
    name == "KONG_VAULTS" || name.to_str().is_some_and(|name| config.is_own_variable(name))
}

/// Reads all variables of the program; later ones replace earlier ones. An error quotes no text, which may be a secret.
/// Variables that are there for kong-vault alone are left out, or kept as they are.
pub fn read(files: &[PathBuf], given: &[OsString], config: &Config, keeps_options: bool) -> Result<Texts, String> {
    let mut texts = Texts::new();
    for (name, text) in std::env::vars_os() {
        let is_own = is_own(&name, config);
        if is_own && !keeps_options {
            continue;
        }
        let bytes = text.into_vec();
        let whole = if is_own { Text::plain(bytes) } else { Text::new(bytes).map_err(|why| wrong(&name, why))? };
        texts.insert(name, whole);
    }
    for path in files {
        read_file(path, &mut texts)?;
    }
    for setting in given {
        let (name, text) = split(setting, "--env")?;
        let text = Text::new(text.to_vec()).map_err(|why| wrong(&name, why))?;
        texts.insert(name, text);
    }
    Ok(texts)
}

fn read_file(path: &Path, texts: &mut Texts) -> Result<(), String> {
    let (bytes, _) = read_bounded(path, LIMIT).map_err(|flaw| format!("--env-file {}", clause(path, flaw)))?;
    for (at, line) in dotenvy::Iter::new(bytes.as_slice()).enumerate() {
        let (name, text) = line.map_err(|_| {
            format!(
                "--env-file {}: variable {} cannot be read: write NAME=TEXT, and quote a text with spaces",
                shown(path),
                at + 1
            )
        })?;
        let name = OsString::from(name);
        let text = Text::new(text.into_bytes()).map_err(|why| wrong(&name, why))?;
        texts.insert(name, text);
    }
    Ok(())
}

/// Splits `NAME=TEXT`, the value of an option.
pub fn split<'a>(setting: &'a OsStr, option: &str) -> Result<(OsString, &'a [u8]), String> {
    let bytes = setting.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) if at > 0 => Ok((OsString::from_vec(bytes[..at].to_vec()), &bytes[at + 1..])),
        _ => Err(format!("{option} has no name: write NAME=… after it")),
    }
}

/// Says what is wrong with the text of a variable.
pub fn wrong(name: &OsStr, why: &str) -> String {
    format!("the variable {}: {why}", redact::quote(name.as_bytes(), 100))
}
