//! Reads files with credentials, whole and up to a limit.

use std::path::Path;
use std::time::Duration;

use crate::file::{self, FileFlaw, FileStamp};
use crate::redact;
use crate::secret::Secret;

/// Far above any token or key.
const LIMIT: u64 = 64 * 1024;

/// The stamp of a file; `None` where there is no file. Fails where the file system does not answer.
pub async fn stamp(path: &Path, patience: Duration) -> Result<Option<FileStamp>, FileFlaw> {
    match file::status(path, patience).await {
        Ok(status) => Ok(Some(FileStamp::from(&status))),
        Err(flaw @ (FileFlaw::Hangs | FileFlaw::Busy(_))) => Err(flaw),
        Err(_) => Ok(None),
    }
}

/// A file's text without the white space around it, and its stamp; or a clause that says why it can't be read.
pub async fn read_text(path: &Path) -> Result<(Secret, FileStamp), String> {
    read_within(path, file::PATIENCE).await
}

/// `read_text` that waits for at most `patience`.
pub async fn read_within(path: &Path, patience: Duration) -> Result<(Secret, FileStamp), String> {
    let clause = |what: &str| format!("{} {what}", redact::known_path(path));
    let (bytes, status) = file::read_soon(path, LIMIT, patience).await.map_err(|flaw| file::clause(path, flaw))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| clause("is no UTF-8 text"))?.trim();
    if text.is_empty() {
        return Err(clause("is empty"));
    }
    Ok((Secret::new(text), FileStamp::from(&status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_text_comes_without_white_space_and_what_is_none_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, " hvs.abc\n").unwrap();
        assert_eq!(read_text(&path).await.unwrap().0, Secret::new("hvs.abc"));
        for (content, expected) in [(vec![], "is empty"), (vec![0xff], "no UTF-8"), (vec![b'a'; 70_000], "too large")] {
            std::fs::write(&path, content).unwrap();
            assert!(read_text(&path).await.unwrap_err().contains(expected));
        }
        assert!(read_text(directory.path()).await.unwrap_err().contains("no regular file"));
        let forged = read_text(&directory.path().join("none\n")).await.unwrap_err();
        assert!(forged.starts_with("names no file (a value of ") && !forged.contains("none"), "{forged}");
    }
}
