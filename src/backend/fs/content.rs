//! Reads one file: only a regular one, only up to a limit, and never half of one that is being written.
//!
//! All functions here block.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, PROC_SUPER_MAGIC, fstat, fstatfs};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::beneath::Dir;
use crate::secret::Secret;

/// The largest file that is read, in bytes: Kubernetes allows a Secret as much in all, Docker half of it.
pub const LARGEST: u64 = 1024 * 1024;

/// How often a changing file is read, and the pause between two reads: writing a small file takes less.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// Why a file has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTrouble {
    Missing,
    /// A part of its path is a file.
    BelowFile,
    Forbidden,
    Directory,
    NotRegular,
    TooLarge,
    /// A link leads outside of the directory.
    Outside,
    LinkLoop,
    /// It changed during each read.
    Changes,
    /// It was replaced during each read.
    Moves,
    Other(Errno),
}

impl From<Errno> for FileTrouble {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NAMETOOLONG => Self::Missing,
            Errno::NOTDIR => Self::BelowFile,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            Errno::ISDIR => Self::Directory,
            // The errors for opening a socket, or a device without a driver.
            Errno::NXIO | Errno::NODEV => Self::NotRegular,
            Errno::XDEV => Self::Outside,
            Errno::LOOP => Self::LinkLoop,
            Errno::AGAIN => Self::Moves,
            other => Self::Other(other),
        }
    }
}

impl From<std::io::Error> for FileTrouble {
    fn from(error: std::io::Error) -> Self {
        Errno::from_io_error(&error).map_or(Self::Other(Errno::IO), Self::from)
    }
}

/// What changes when a file's content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl FileState {
    pub fn of(file: impl AsFd) -> Result<(Self, FileType), FileTrouble> {
        let stat = fstat(file)?;
        let state = Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        };
        Ok((state, FileType::from_raw_mode(stat.st_mode)))
    }

    /// The same as one number.
    pub fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Whether it was written so recently that the writer may still be at work.
    fn is_recent(&self, now: SystemTime) -> bool {
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(self.modified.0), u32::try_from(self.modified.1)) else {
            return false;
        };
        let modified = UNIX_EPOCH + Duration::new(seconds, nanoseconds.min(999_999_999));
        // A time in the future says nothing about a writer.
        now.duration_since(modified).is_ok_and(|age| age < PAUSE)
    }
}

/// A file's content, and its state at that time.
#[derive(Debug)]
pub struct Content {
    pub secret: Secret,
    pub state: FileState,
}

/// Reads a file below `dir` that nobody writes any more, such as one in a volume.
pub fn read_settled(dir: &Dir, path: &str) -> Result<Content, FileTrouble> {
    let (content, is_whole) = read_once(dir.file(path)?)?;
    if is_whole { Ok(content) } else { read(dir, path) }
}

/// Reads a file below `dir` that may be being written.
pub fn read(dir: &Dir, path: &str) -> Result<Content, FileTrouble> {
    read_until(dir, path, |state| !state.is_recent(SystemTime::now()), || std::thread::sleep(PAUSE))
}

/// `read`, with how a file is known to be settled, and what happens between two attempts.
fn read_until(
    dir: &Dir,
    path: &str,
    is_settled: impl Fn(&FileState) -> bool,
    mut pause: impl FnMut(),
) -> Result<Content, FileTrouble> {
    let mut before = None;
    for _ in 0..ATTEMPTS {
        let (content, is_whole) = read_once(dir.file(path)?)?;
        // A file that was written just now is read again: the writer may still be at work.
        if is_whole && (is_settled(&content.state) || before == Some(content.state)) {
            return Ok(content);
        }
        before = is_whole.then_some(content.state);
        pause();
    }
    Err(FileTrouble::Changes)
}

fn read_once(file: File) -> Result<(Content, bool), FileTrouble> {
    let (state, kind) = FileState::of(&file)?;
    match kind {
        // `/proc` shows processes' environments, which hold credentials.
        FileType::RegularFile if fstatfs(&file).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC) => {
            return Err(FileTrouble::NotRegular);
        }
        FileType::RegularFile => {}
        FileType::Directory => return Err(FileTrouble::Directory),
        _ => return Err(FileTrouble::NotRegular),
    }
    if state.size > LARGEST {
        return Err(FileTrouble::TooLarge);
    }
    // Room to spare keeps the buffer from being moved, which would leave copies behind. Some file systems report 0 as the
    // size.
    let room = usize::try_from(state.size).unwrap_or_default() + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    (&file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(FileTrouble::TooLarge);
    }
    let (after, _) = FileState::of(&file)?;
    let has_size = state.size == 0 || state.size == bytes.len() as u64;
    let secret = Secret::new(std::mem::take(&mut *bytes));
    Ok((Content { secret, state }, after == state && has_size))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        (folder, dir)
    }

    #[test]
    fn only_regular_files_of_a_size_are_read() {
        let (folder, dir) = folder();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "a\nb\n").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("most"), vec![b'x'; LARGEST as usize]).unwrap();
        std::fs::write(at("more"), vec![b'x'; LARGEST as usize + 1]).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let read = |name| read(&dir, name).map(|content| content.secret.len());
        assert_eq!(read("file"), Ok(4));
        assert_eq!(read("empty"), Ok(0));
        assert_eq!(read("most"), Ok(LARGEST as usize));
        for (name, trouble) in [
            ("more", FileTrouble::TooLarge),
            ("directory", FileTrouble::Directory),
            ("fifo", FileTrouble::NotRegular),
            ("socket", FileTrouble::NotRegular),
            ("none", FileTrouble::Missing),
            ("file/none", FileTrouble::BelowFile),
        ] {
            assert_eq!(read(name), Err(trouble), "{name}");
        }
        let proc = Dir::open(std::path::Path::new("/proc/self")).unwrap();
        assert_eq!(super::read(&proc, "environ").map(|content| content.secret.len()), Err(FileTrouble::NotRegular));
    }

    #[test]
    fn a_file_is_recent_for_a_pause_after_it_was_written() {
        let (folder, dir) = folder();
        std::fs::write(folder.path().join("file"), "a").unwrap();
        let written = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = File::options().write(true).open(folder.path().join("file")).unwrap();
        file.set_modified(written).unwrap();
        let state = read(&dir, "file").unwrap().state;
        for (age, is_recent) in [(Duration::ZERO, true), (PAUSE / 2, true), (PAUSE, false), (PAUSE * 100, false)] {
            assert_eq!(state.is_recent(written + age), is_recent, "{age:?}");
        }
        assert!(!state.is_recent(written - PAUSE), "a time in the future");
    }

    #[test]
    fn a_file_that_goes_on_growing_is_none_and_one_that_is_written_at_once_is_whole() {
        let (folder, dir) = folder();
        let path = folder.path().join("log");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"x").unwrap();
        let outcome = read_until(&dir, "log", |_| false, || file.write_all(b"x").unwrap());
        assert_eq!(outcome.map(drop), Err(FileTrouble::Changes));

        let mut slow = File::create(&path).unwrap();
        slow.write_all(b"sec").unwrap();
        let mut rest = Some(b"ond");
        let outcome = read_until(
            &dir,
            "log",
            |_| false,
            || {
                if let Some(rest) = rest.take() {
                    slow.write_all(rest).unwrap();
                }
            },
        );
        assert_eq!(outcome.unwrap().secret.as_str(), Some("second"));
    }
}
