//! Reads files with credentials: whole, wiped when dropped, and with a clause that says why one can't be read.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::file::{self, FileFlaw};
use crate::redact;

/// Far above any file with credentials.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Why a file could not be read.
#[derive(Debug)]
pub struct Unread {
    pub clause: String,
    pub state: FileState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// There is no such file, or it is no regular one.
    Missing,
    /// It exists, but this process can't read it.
    Closed,
    /// It was read, but is not what it should be.
    Unfit,
    /// It does not answer, so its content is not known.
    Silent,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.clause)
    }
}

/// A file's text.
pub async fn read_text(path: &Path) -> Result<Zeroizing<String>, Unread> {
    let read = file::read_soon(path, SIZE_LIMIT, file::PATIENCE).await;
    let (mut bytes, _) = read.map_err(|flaw| Unread {
        clause: format!("{} {flaw}", redact::likely_path(path)),
        state: match flaw {
            FileFlaw::Missing | FileFlaw::NotRegular => FileState::Missing,
            FileFlaw::Forbidden | FileFlaw::Other(_) => FileState::Closed,
            FileFlaw::TooLarge => FileState::Unfit,
            FileFlaw::Hangs | FileFlaw::Busy(_) => FileState::Silent,
        },
    })?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            let line = bytes.iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
            let clause = format!("{} is no UTF-8 text (line {line})", redact::known_path(path));
            Err(Unread { clause, state: FileState::Unfit })
        }
    }
}

/// The token that is a file's whole content, without the white space around it.
pub async fn token(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = read_text(path).await.map_err(|unread| unread.clause)?;
    match text.trim() {
        "" => Err(format!("{} is empty", redact::known_path(path))),
        token => Ok(Zeroizing::new(token.to_owned())),
    }
}
