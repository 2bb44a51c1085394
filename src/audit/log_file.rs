//! The file of the audit log. All workers append to it; logrotate may move it away, or cut it.

#![expect(clippy::disallowed_methods, reason = "on a thread of the pool for audit logs")]

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// The file's owner writes, its group reads.
const MODE: u32 = 0o640;

/// How often it is asked whether the file was moved away.
const LOOK: Duration = Duration::from_secs(1);

/// How long, and in which steps, a pipe is waited for whose reader is slow.
const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(10);

pub struct LogFile {
    file: File,
    looked: Instant,
    /// Whether the last line is torn, as the disk was full in the middle of it.
    is_torn: bool,
}

impl LogFile {
    /// Opens the file to append to it, or creates it. A pipe that nobody reads is an error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(MODE).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY);
        Ok(Self { file: options.open(path)?, looked: Instant::now(), is_torn: false })
    }

    /// The same file for a process that was forked.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, looked: self.looked, is_torn: false })
    }

    /// Opens the file anew where it was moved away or removed. Where that fails, the old one stays open.
    pub fn follow(&mut self, path: &Path) -> io::Result<()> {
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        let open = self.file.metadata()?;
        let is_same = |there: std::fs::Metadata| (there.dev(), there.ino()) == (open.dev(), open.ino());
        if !std::fs::metadata(path).is_ok_and(is_same) {
            *self = Self::open(path)?;
        }
        Ok(())
    }

    /// Writes lines, each of which ends where `ends` says. Returns how many were written whole. With `O_APPEND`, what
    /// one call of `write` appends stays together on a local file system.
    pub fn write(&mut self, lines: &[u8], ends: &[usize]) -> (usize, io::Result<()>) {
        if self.is_torn && self.file.write(b"\n").is_ok() {
            self.is_torn = false;
        }
        let (mut done, began) = (0, Instant::now());
        let outcome = loop {
            match self.file.write(&lines[done..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {
                    std::thread::sleep(STEP);
                }
                Err(err) => break Err(err),
            }
            if done == lines.len() {
                break Ok(());
            }
        };
        let whole = ends.partition_point(|end| *end <= done);
        let end_of_whole = whole.checked_sub(1).map_or(0, |last| ends[last]);
        self.is_torn |= done > end_of_whole;
        (whole, outcome)
    }
}
