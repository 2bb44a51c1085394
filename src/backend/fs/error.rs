//! The errors of the `fs` vault.

use std::path::Path;

use rustix::io::Errno;

use super::content::{FileTrouble, LARGEST};
use super::name::shown;
use super::reader::Trouble;
use crate::error::{Error, Kind};
use crate::file::FileFlaw;
use crate::redact;

/// A vault, as errors name it.
#[derive(Debug, Clone)]
pub struct FsErrorContext {
    /// Its backend and its name.
    pub label: String,
    /// Its directory, as errors may show it.
    pub prefix: String,
    /// The same where nothing is there: it may be a secret that was given instead of a path.
    hidden: String,
}

impl FsErrorContext {
    pub fn new(vault: &str, prefix: &Path) -> Self {
        let hidden = format!("({})", redact::length(&prefix.to_string_lossy()));
        Self { label: format!("fs vault ({vault})"), prefix: redact::likely_path(prefix), hidden }
    }

    /// Why a name has no value.
    pub fn of_name(&self, name: &str, trouble: Trouble) -> Error {
        match trouble {
            Trouble::File(trouble) => self.of_file(name, trouble),
            Trouble::Replaced => self.of_file(name, FileTrouble::Moves),
            Trouble::Field(error) => error,
            Trouble::TooMany => {
                let what = "is a directory with too many or too large files to be read at once: use a vault entity \
                            with a `prefix` below it";
                self.error(Kind::Invalid, name, what)
            }
        }
    }

    fn of_file(&self, name: &str, trouble: FileTrouble) -> Error {
        let (Self { label, prefix, .. }, file) = (self, shown(name));
        match trouble {
            FileTrouble::Missing => {
                let text = format!("{label} has no file {file} in {prefix}: create it, or correct the reference");
                Error::new(Kind::NotFound, text)
            }
            FileTrouble::BelowFile => {
                let text = format!(
                    "{label} has no file {file} in {prefix}, since a part of that path is a file: remove the slash at \
                     the end to read a field of it, or correct the reference"
                );
                Error::new(Kind::NotFound, text)
            }
            FileTrouble::Forbidden => {
                let what = "is not readable by this process's user: let it read the file, and search the directories \
                            on the way";
                self.error(Kind::Denied, name, what)
            }
            FileTrouble::Directory => self.error(Kind::Invalid, name, "is a directory: name a file in it"),
            FileTrouble::NotRegular => {
                self.error(Kind::Invalid, name, "is no regular file: put the value into a regular file")
            }
            FileTrouble::TooLarge => {
                let what = format!("is larger than {} MiB: name the right file", LARGEST / 1024 / 1024);
                self.error(Kind::Invalid, name, &what)
            }
            FileTrouble::Outside => {
                let what = "leads outside the vault's directory by a link: put the file itself there, or link to it \
                            by a relative path that stays inside";
                self.error(Kind::Denied, name, what)
            }
            FileTrouble::LinkLoop => self.error(Kind::Invalid, name, "is a link in a loop: correct the link"),
            FileTrouble::Changes => {
                let what = "changes whenever it is read: write the new value to another file and rename it";
                self.error(Kind::Invalid, name, what)
            }
            FileTrouble::Moves => {
                let what = "is replaced whenever it is read, or its link ..data leads nowhere: see what writes it";
                self.error(Kind::Invalid, name, what)
            }
            FileTrouble::Other(errno) => {
                let what = format!("cannot be read: {}", means(errno));
                self.error(Kind::Unavailable, name, &what)
            }
        }
    }

    fn error(&self, kind: Kind, name: &str, what: &str) -> Error {
        let (Self { label, prefix, .. }, file) = (self, shown(name));
        Error::new(kind, format!("{label}: {file} in {prefix} {what}"))
    }

    /// Why the vault's directory can't be opened.
    pub fn of_prefix(&self, trouble: FileTrouble) -> Error {
        let shown = if matches!(trouble, FileTrouble::Missing) { &self.hidden } else { &self.prefix };
        let (what, kind) = match trouble {
            FileTrouble::Missing => ("does not exist: create it, or correct prefix".to_owned(), Kind::Config),
            FileTrouble::BelowFile => ("is no directory: correct prefix".to_owned(), Kind::Config),
            FileTrouble::Forbidden => {
                let what = "is not searchable by this process's user: give it that right";
                (what.to_owned(), Kind::Config)
            }
            FileTrouble::LinkLoop => ("is a link in a loop: correct the link".to_owned(), Kind::Config),
            FileTrouble::Moves => ("is replaced whenever it is read: see what writes it".to_owned(), Kind::Invalid),
            FileTrouble::Other(errno) => (format!("cannot be opened: {}", means(errno)), Kind::Unavailable),
            other => (format!("cannot be opened ({other:?})"), Kind::Config),
        };
        Error::new(kind, format!("{}: directory {shown} {what}", self.label))
    }

    /// Why no thread answered.
    pub fn of_thread(&self, flaw: FileFlaw) -> Error {
        let Self { label, prefix, .. } = self;
        Error::new(Kind::Timeout, format!("{label}: directory {prefix} {flaw}"))
    }

    /// For a version other than the current one.
    pub fn of_version(&self, version: u32) -> Error {
        let text = format!("{} keeps no version {version} of a file: remove #{version}", self.label);
        Error::new(Kind::NotFound, text)
    }
}

fn means(errno: Errno) -> String {
    let error = std::io::Error::from(errno);
    // The standard library adds the number.
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}
