//! The mapping, and what lies where in it.

#![expect(unsafe_code, reason = "memory that processes share is mapped by libc")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use super::reference::ReferenceRow;
use super::vault::VaultRow;
use super::worker::{PLACES, WorkerRow};

/// The rows of the tables. The system gives a page of them when it is first written to.
const VAULTS: usize = 1024;
const REFERENCES: usize = 16_384;

/// All of it. Zeros are its beginning: everything in it is made of atomics.
#[repr(C)]
pub struct Memory {
    pub workers: [WorkerRow; PLACES],
    pub vaults: [VaultRow; VAULTS],
    pub references: [ReferenceRow; REFERENCES],
    /// How many rows of `references` are in use.
    pub used: AtomicUsize,
    /// Whether no row could be freed when one was last looked for, and none was given up since.
    pub is_full: AtomicBool,
    /// How many documents found no row.
    pub dropped: AtomicU64,
}

/// A mapping of it, which processes that are forked share.
pub struct Mapping(NonNull<Memory>);

// SAFETY: the memory is only reached by shared references, and consists of atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn new() -> Option<Self> {
        // SAFETY: a new mapping that overlaps nothing; the arguments are valid, and the result is checked.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Memory>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED { None } else { NonNull::new(address.cast()).map(Self) }
    }

    pub fn memory(&self) -> &Memory {
        // SAFETY: the mapping begins at a page's start, is as long as `Memory`, which zeros are valid for, and lives as long as
        // this. Other processes change it as well, by atomic operations only.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference to it outlives this. Other processes have theirs.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Memory>()) };
    }
}
