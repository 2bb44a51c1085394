//! Files without a name, in memory: nothing of them stays, however their process ends.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::io::{FdFlags, dup3, fcntl_setfd};

/// A file that only this process has, and whoever opens its path meanwhile.
pub struct MemoryFile(OwnedFd);

impl MemoryFile {
    pub fn new(content: &[u8]) -> std::io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = std::fs::File::from(memfd_create("kong-vault", flags)?);
        file.write_all(content)?;
        // Programs refuse a private key that others may read, by its mode.
        fchmod(&file, Mode::RUSR)?;
        // Nobody changes what others may be reading.
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self(file.into()))
    }

    /// The path under which this process's children find it, and this process itself, whatever program it runs.
    pub fn path(&self) -> OsString {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// Puts another file under the same path, at once; whoever has opened the old one reads that to its end.
    pub fn replace(&mut self, other: &MemoryFile) -> std::io::Result<()> {
        Ok(dup3(&other.0, &mut self.0, rustix::io::DupFlags::CLOEXEC)?)
    }

    /// Lets the program have it that takes the place of this one.
    pub fn keep_open(&self) -> std::io::Result<()> {
        Ok(fcntl_setfd(&self.0, FdFlags::empty())?)
    }
}
