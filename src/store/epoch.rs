//! A counter in a file that every process of the machine maps: it tells each of them, for the price of one load,
//! whether the entities have changed since it read them.
//!
//! It is made odd before the entities' file is replaced, and even after that. A reader that finds it odd has met a
//! writer at work, or one that was killed: waiting for the lock tells which.

#![expect(unsafe_code, reason = "memory that processes share is mapped by libc")]
#![expect(clippy::disallowed_methods, reason = "as its caller, the store")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sync::lock;

/// The size of the counter's file, in bytes. Only the first four are the counter.
const SIZE: u64 = 8;

/// The counter where there is no directory of entities: it never changes.
pub static STILL: AtomicU32 = AtomicU32::new(0);

/// A mapped counter.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    counter: &'static AtomicU32,
    file: (u64, u64),
}

impl Epoch {
    /// Maps a file, which must be open for reading and writing. A file is mapped once in a process and stays mapped to
    /// its end, as Lua has a pointer to it.
    pub fn map(file: &File) -> io::Result<Epoch> {
        static MAPPED: Mutex<Vec<Epoch>> = Mutex::new(Vec::new());
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        let known = |mapped: &[Epoch]| mapped.iter().find(|epoch| epoch.file == identity).copied();
        let mapped = || lock(&MAPPED);
        if let Some(known) = known(&mapped()) {
            return Ok(known);
        }
        // Not under the lock: the file system may hang, and nginx may fork meanwhile.
        if metadata.len() < SIZE {
            // The file is written to, so that the disk has room for it: a store into a hole would end the process where
            // the disk is full. The bytes are behind the counter, which others may use already.
            file.write_all_at(&[0; 4], SIZE - 4)?;
        }
        let epoch = Epoch { counter: counter_in(file)?, file: identity };
        let mut mapped = mapped();
        if let Some(known) = known(&mapped) {
            // Another thread was quicker. This second mapping shows the same memory, and costs only addresses.
            return Ok(known);
        }
        mapped.push(epoch);
        Ok(epoch)
    }

    /// The counter, for Lua.
    pub fn counter(&self) -> &'static AtomicU32 {
        self.counter
    }

    pub fn now(&self) -> u32 {
        self.counter.load(Ordering::Acquire)
    }

    /// Whether `file` is still the mapped one, and not one that replaced it.
    pub fn is(&self, file: &std::fs::Metadata) -> bool {
        (file.dev(), file.ino()) == self.file && file.len() >= SIZE
    }

    /// Marks the beginning of a change. The caller must hold the lock.
    pub fn begin(&self) {
        // The number must change even where a killed writer left it odd.
        let now = self.now();
        self.counter.store(now.wrapping_add(if is_steady(now) { 1 } else { 2 }), Ordering::Release);
    }

    /// Marks the end of a change.
    pub fn end(&self) {
        self.counter.fetch_add(1, Ordering::Release);
    }
}

/// Whether no writer was at work when the counter was read.
pub fn is_steady(counter: u32) -> bool {
    counter.is_multiple_of(2)
}

fn counter_in(file: &File) -> io::Result<&'static AtomicU32> {
    // SAFETY: a new mapping that overlaps nothing; the arguments are valid, and the result is checked.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            SIZE as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping begins at a page's start, has room for the number, is never unmapped, and is only used
    // through atomics, here and in other processes; to LuaJIT it is a number that may change at any time. The file was
    // made at least as long as the mapping before, and nothing of ours makes it shorter.
    Ok(unsafe { AtomicU32::from_ptr(address.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_mapped_once_and_shared() {
        let file = tempfile::tempfile().unwrap();
        let (one, other) = (Epoch::map(&file).unwrap(), Epoch::map(&file).unwrap());
        assert!(std::ptr::eq(one.counter(), other.counter()));
        one.begin();
        assert!(!is_steady(other.now()));
        // A writer after a killed one is noticed as well.
        let left = other.now();
        one.begin();
        assert!(!is_steady(other.now()) && other.now() != left);
        one.end();
        assert!(is_steady(other.now()));
        assert_eq!(file.metadata().unwrap().len(), SIZE);
        assert!(one.is(&file.metadata().unwrap()));
        assert!(!one.is(&tempfile::tempfile().unwrap().metadata().unwrap()));
    }
}
