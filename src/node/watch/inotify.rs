//! The kernel's reports about directories (inotify).

#![expect(clippy::disallowed_methods, reason = "on threads of a pool")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{CWD, Mode, OFlags, fstat, fstatfs, openat};
use tokio::net::unix::pipe::Receiver;

/// The events that matter: a file was written, renamed or created, its rights changed, or the directory is gone.
const WANTED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// File systems that others change without this kernel's knowledge: NFS, SMB, 9P, FUSE, Ceph.
const DEAF: [u32; 7] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x0102_1997, 0x6573_5546, 0x00c3_6400];

/// An inotify instance.
#[derive(Debug)]
pub struct Inotify(Arc<Receiver>);

/// An event in a watched directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Happening {
    /// An entry changed. `is_new`: a file was created.
    In { watch: i32, name: String, is_new: bool },
    /// The directory was renamed.
    Moved { watch: i32 },
    /// The watch ended.
    Ended { watch: i32 },
    /// The kernel dropped events.
    Overflow,
}

/// A directory's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The kernel's watch, if it reports all changes.
    pub watch: Option<i32>,
    /// Changes when an entry does; `None` if there is no such directory.
    pub state: Option<(u64, u64, i64, u64)>,
}

impl Inotify {
    /// Call it inside the runtime that will read it.
    pub fn open() -> io::Result<Self> {
        let opened = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // It is not a pipe, but can be polled and read like one.
        Ok(Self(Arc::new(Receiver::from_owned_fd_unchecked(opened)?)))
    }

    /// The same instance, for adding watches on another thread.
    pub fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Ends a watch.
    pub fn forget(&self, watch: i32) {
        // The watch may have ended already.
        let _ = inotify::remove_watch(&*self.0, watch);
    }

    /// Waits for events.
    pub async fn next(&self) -> io::Result<Vec<Happening>> {
        let mut buffer = vec![0; 8192];
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut buffer) {
                Ok(length) => return Ok(happenings(&buffer[..length])),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Parses events: each has the watch, a mask, a cookie and the length of the name (4 bytes each, in the machine's order),
/// then the name, padded with zero bytes.
fn happenings(mut bytes: &[u8]) -> Vec<Happening> {
    let mut happened = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let Some((name, rest)) = usize::try_from(word(12)).ok().and_then(|length| rest.split_at_checked(length)) else {
            break;
        };
        bytes = rest;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = (end > 0).then(|| String::from_utf8_lossy(&name[..end]).into_owned());
        happened.extend(meaning(word(0).cast_signed(), ReadFlags::from_bits_retain(word(4)), name));
    }
    happened
}

fn meaning(watch: i32, events: ReadFlags, name: Option<String>) -> Option<Happening> {
    if events.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(Happening::Overflow);
    }
    if events.contains(ReadFlags::IGNORED) {
        return Some(Happening::Ended { watch });
    }
    if events.contains(ReadFlags::MOVE_SELF) {
        return Some(Happening::Moved { watch });
    }
    let is_new = events.contains(ReadFlags::CREATE) && !events.contains(ReadFlags::ISDIR);
    name.map(|name| Happening::In { watch, name, is_new })
}

/// Watches a directory, and reads its state. It blocks.
pub fn look(inotify: Option<&Inotify>, path: &Path) -> Look {
    let Ok(opened) = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else {
        return Look { watch: None, state: None };
    };
    // The watch comes first, so that no change is missed in between.
    let watch = inotify.and_then(|inotify| inotify::add_watch(&*inotify.0, path, WANTED).ok());
    let is_deaf = fstatfs(&opened).is_ok_and(|system| DEAF.contains(&(system.f_type as u32)));
    let state = fstat(&opened).ok().map(|stat| (stat.st_dev, stat.st_ino, stat.st_mtime, stat.st_mtime_nsec));
    Look { watch: watch.filter(|_| !is_deaf), state }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(watch: i32, events: ReadFlags, name: &[u8]) -> Vec<u8> {
        let words = [watch.cast_unsigned(), events.bits(), 0, name.len() as u32];
        words.iter().flat_map(|word| word.to_ne_bytes()).chain(name.iter().copied()).collect()
    }

    #[test]
    fn what_the_kernel_wrote_is_read_and_what_is_cut_off_is_not() {
        let bytes = [
            event(1, ReadFlags::MOVED_TO, b"..data\0\0"),
            event(1, ReadFlags::CREATE, b"new\0"),
            event(1, ReadFlags::CREATE | ReadFlags::ISDIR, b"folder\0"),
            event(1, ReadFlags::ATTRIB, b""),
            event(2, ReadFlags::MOVE_SELF, b""),
            event(2, ReadFlags::IGNORED, b""),
            event(-1, ReadFlags::QUEUE_OVERFLOW, b""),
        ]
        .concat();
        let told = |name: &str, is_new| Happening::In { watch: 1, name: name.to_owned(), is_new };
        let all = [
            told("..data", false),
            told("new", true),
            told("folder", false),
            Happening::Moved { watch: 2 },
            Happening::Ended { watch: 2 },
            Happening::Overflow,
        ];
        assert_eq!(happenings(&bytes), all);
        for end in 0..bytes.len() {
            let read = happenings(&bytes[..end]);
            assert_eq!(read, all[..read.len()], "{end}");
        }
    }
}
