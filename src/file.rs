//! Reads small files that options name. An option may name anything: an endless device would fill the memory, and a
//! FIFO without a writer would block. So only regular files are read, and only up to a limit.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool")]

use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::pool::{self, JobRefusal};
use crate::redact;

/// How long to wait for a file where no earlier content can be used instead.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait for a file where its earlier content can be used instead; see `patience_for_renewal`.
const PATIENCE_FOR_RENEWAL: Duration = Duration::from_secs(1);

/// How long to wait for a file where its earlier content can be used instead. `timeout` is the limit of the whole task:
/// the wait is a part of it, so that time is left to use the earlier content.
pub fn patience_for_renewal(timeout: Duration) -> Duration {
    PATIENCE_FOR_RENEWAL.min(timeout / 4)
}

/// Why a file can't be read. Its text ends a sentence that begins with the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFlaw {
    Missing,
    Forbidden,
    NotRegular,
    TooLarge,
    Other(ErrorKind),
    /// The file system does not answer.
    Hangs,
    /// No thread is free for it.
    Busy(JobRefusal),
}

/// A file's status, as far as it tells whether the content changed: the same stamp, the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for FileStamp {
    fn from(status: &Metadata) -> Self {
        Self {
            device: status.dev(),
            inode: status.ino(),
            length: status.len(),
            modified: (status.mtime(), status.mtime_nsec()),
            changed: (status.ctime(), status.ctime_nsec()),
        }
    }
}

/// Runs a job that uses files on a thread of the pool, and waits for at most `patience`: a file system may hang. One
/// job runs at a time for each key.
pub async fn on_a_thread<T: Send + 'static>(
    key: &[u8],
    patience: Duration,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FileFlaw> {
    match tokio::time::timeout(patience, pool::files().run(key, job)).await {
        Ok(Ok(done)) => Ok(done),
        Err(_) | Ok(Err(JobRefusal::Hangs)) => Err(FileFlaw::Hangs),
        Ok(Err(refusal)) => Err(FileFlaw::Busy(refusal)),
    }
}

/// `read_bounded` on a thread of the pool.
pub async fn read_soon(
    path: &Path,
    limit: u64,
    patience: Duration,
) -> Result<(Zeroizing<Vec<u8>>, Metadata), FileFlaw> {
    let owned = PathBuf::from(path);
    on_a_thread(path.as_os_str().as_bytes(), patience, move || read_bounded(&owned, limit)).await?
}

/// A file's status, read on a thread of the pool.
pub async fn status(path: &Path, patience: Duration) -> Result<Metadata, FileFlaw> {
    let owned = PathBuf::from(path);
    on_a_thread(path.as_os_str().as_bytes(), patience, move || Ok(std::fs::metadata(owned)?)).await?
}

/// A file's bytes, wiped when dropped, and its status when it was opened. It blocks.
pub fn read_bounded(path: &Path, limit: u64) -> Result<(Zeroizing<Vec<u8>>, Metadata), FileFlaw> {
    // The open file is checked, not the path before: it may name another file by then. O_NONBLOCK keeps a FIFO from
    // blocking.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let status = file.metadata()?;
    if !status.is_file() {
        return Err(FileFlaw::NotRegular);
    }
    if status.len() > limit {
        return Err(FileFlaw::TooLarge);
    }
    // With spare capacity the buffer does not grow while it is read, which would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(status.len() as usize + 64));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(FileFlaw::TooLarge);
    }
    Ok((bytes, status))
}

/// Why the file that an option names can't be read: the rest of a sentence that begins with the option.
pub fn clause(path: &Path, flaw: FileFlaw) -> String {
    match told(path, flaw) {
        Some(path) => format!("{path} {flaw}"),
        None if flaw == FileFlaw::Missing => format!("names no file ({})", redact::length(&path.to_string_lossy())),
        None => format!("names a file that {flaw} ({})", redact::length(&path.to_string_lossy())),
    }
}

/// A path as an error may show it. `None`: where no file is found, the path may be a secret that was set by mistake.
pub fn told(path: &Path, flaw: FileFlaw) -> Option<String> {
    match flaw {
        FileFlaw::NotRegular | FileFlaw::TooLarge => Some(redact::known_path(path)),
        FileFlaw::Missing | FileFlaw::Other(_) => None,
        // Whether there is a file is not known.
        FileFlaw::Forbidden | FileFlaw::Hangs | FileFlaw::Busy(_) => redact::likely(path),
    }
}

impl From<std::io::Error> for FileFlaw {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::PermissionDenied => Self::Forbidden,
            // Opening a socket fails with ENXIO.
            _ if error.raw_os_error() == Some(libc::ENXIO) => Self::NotRegular,
            kind => Self::Other(kind),
        }
    }
}

impl fmt::Display for FileFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Forbidden => f.write_str("is not readable by this process's user"),
            Self::NotRegular => f.write_str("is no regular file"),
            Self::TooLarge => f.write_str("is too large: name the right file"),
            Self::Other(kind) => write!(f, "is not readable: {kind}"),
            Self::Hangs => f.write_str("can't be read at the moment: the file system does not answer"),
            Self::Busy(refusal) => write!(f, "can't be read at the moment: {refusal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_and_not_beyond_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "12345678").unwrap();
        assert_eq!(*read_bounded(&path("file"), 8).unwrap().0, b"12345678");
        let made = std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        assert!(made.success());
        let flaw = |path: &Path, limit| read_bounded(path, limit).unwrap_err();
        assert_eq!(flaw(&path("file"), 7), FileFlaw::TooLarge);
        for other in [path("fifo"), path("socket"), path("."), "/dev/zero".into()] {
            assert_eq!(flaw(&other, 8), FileFlaw::NotRegular, "{other:?}");
        }
        assert_eq!(flaw(&path("none"), 8), FileFlaw::Missing);
        // Its status reports a length of 0.
        assert_eq!(flaw(Path::new("/proc/self/maps"), 8), FileFlaw::TooLarge);
    }

    #[test]
    fn a_path_is_told_where_there_is_something_and_forges_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a\n[error] b");
        std::fs::create_dir(&path).unwrap();
        let told = clause(&path, FileFlaw::NotRegular);
        assert!(told.ends_with("/a\\n[error] b is no regular file"), "{told}");
        assert_eq!(clause(Path::new("hunter2"), FileFlaw::Missing), "names no file (a value of 7 characters)");
        let long = "/hunter2".repeat(1000);
        let flaw = read_bounded(Path::new(&long), 1).unwrap_err();
        assert!(!clause(Path::new(&long), flaw).contains("hunter2"));
        for flaw in [FileFlaw::Forbidden, FileFlaw::Hangs] {
            assert!(clause(Path::new("/root/token"), flaw).starts_with("/root/token "));
            assert!(!clause(Path::new("hunter2"), flaw).contains("hunter2"));
        }
    }
}
