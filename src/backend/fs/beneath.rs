//! Opens files below a directory, and no file outside of it, whatever links and names lie there.
//!
//! The kernel confines a path with `openat2`, which Linux has since 5.6. If the kernel lacks the call, as in RHEL 8, or a
//! container forbids it, `walk` resolves the path part by part instead. All functions here block.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool")]

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::{Errno, Result};

/// How often a path is tried if renames interfere.
const ATTEMPTS: u32 = 64;

/// The most links in a path, as in Linux.
const LINKS: u32 = 40;

/// How often a part is opened again that was a link first and then none.
const REPLACED: u32 = 3;

/// The longest path in Linux, in bytes.
const LONGEST: usize = 4096;

/// Opening a FIFO must not wait for a writer, and a terminal must not become the controlling one.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open directory. Paths start in it even after it was moved or replaced.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens the directory that the operator named. Links in its path are followed: they are the operator's.
    pub fn open(path: &Path) -> Result<Self> {
        openat(CWD, path, DIRECTORY, Mode::empty()).map(Self)
    }

    /// Opens a file below it. The caller checks which kind of file it is.
    pub fn file(&self, path: &str) -> Result<File> {
        self.beneath(path, FILE).map(File::from)
    }

    /// Opens a directory below it.
    pub fn directory(&self, path: &str) -> Result<Self> {
        self.beneath(if path.is_empty() { "." } else { path }, DIRECTORY).map(Self)
    }

    /// Whether it has a link of that name.
    pub fn has_link(&self, name: &str) -> bool {
        readlinkat(&self.0, name, Vec::new()).is_ok()
    }

    /// The names of its entries.
    pub fn names(&self) -> Result<Vec<String>> {
        let readable = openat(&self.0, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(readable)? {
            // A reference cannot name what is not UTF-8.
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    fn beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            match openat2(&self.0, path, flags, Mode::empty(), resolve) {
                // Something was renamed while the kernel followed a `..` in a link.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::PERM) => return walk(self.0.as_fd(), path, flags),
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens a path below `root`, part by part. It opens no part through a link, and resolves a link's target in the same
/// way. Each directory on the way stays open, and `..` means the one before it: so a directory that is moved meanwhile
/// does not lead outside.
fn walk(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd> {
    if path.len() >= LONGEST {
        return Err(Errno::NAMETOOLONG);
    }
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut left = Vec::new();
    add_parts(&mut left, path.as_bytes())?;
    let (mut links, mut replaced) = (0, 0);
    loop {
        let here = way.last().map_or(root, AsFd::as_fd);
        let Some(part) = left.pop() else { return openat(here, ".", flags | OFlags::NOFOLLOW, Mode::empty()) };
        match &*part {
            b"." => continue,
            b".." => {
                way.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            _ => {}
        }
        let is_last = left.is_empty();
        let wanted = if is_last { flags } else { DIRECTORY };
        let refusal = match openat(here, &*part, wanted | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(opened) if is_last => return Ok(opened),
            Ok(opened) => {
                way.push(opened);
                continue;
            }
            // The error for a link.
            Err(refusal @ (Errno::LOOP | Errno::NOTDIR)) => refusal,
            Err(other) => return Err(other),
        };
        let target = match readlinkat(here, &*part, Vec::new()) {
            Ok(target) => target.into_bytes(),
            // No link: the refusal was right, unless a link was replaced in between.
            Err(Errno::INVAL) if replaced < REPLACED => {
                replaced += 1;
                left.push(part);
                continue;
            }
            Err(Errno::INVAL) => return Err(refusal),
            Err(other) => return Err(other),
        };
        links += 1;
        if links > LINKS {
            return Err(Errno::LOOP);
        }
        if target.starts_with(b"/") {
            return Err(Errno::XDEV);
        }
        add_parts(&mut left, &target)?;
    }
}

/// Adds a path's parts to those that are left to open. The next part is the last element.
fn add_parts(left: &mut Vec<Vec<u8>>, path: &[u8]) -> Result<()> {
    left.extend(path.rsplit(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec));
    // Links can lead to further links with many parts.
    if left.iter().map(Vec::len).sum::<usize>() > LONGEST { Err(Errno::NAMETOOLONG) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with everything that somebody may put into one.
    fn hostile() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let at = |name: &str| root.join(name);
        std::fs::create_dir_all(at("sub/deep")).unwrap();
        for name in ["file", "sub/x", "sub/deep/y"] {
            std::fs::write(at(name), name).unwrap();
        }
        std::fs::write(folder.path().join("outside"), "secret").unwrap();
        std::fs::create_dir(at("..v1")).unwrap();
        std::fs::write(at("..v1/password"), "one").unwrap();
        for (target, name) in [
            ("..v1", "..data"),
            ("..data/password", "password"),
            ("../file", "sub/up"),
            ("../sub/../file", "sub/round"),
            ("../../outside", "sub/out"),
            ("../outside", "out"),
            ("../root/file", "back"),
            ("/etc/passwd", "absolute"),
            ("loop", "loop"),
            ("b", "a"),
            ("a", "b"),
            ("sub", "folder"),
            ("none", "dangling"),
            ("/proc/self/fd/0", "magic"),
            ("/proc/self/root/etc/passwd", "magic_root"),
            ("..", "parent"),
            (".", "self"),
        ] {
            symlink(target, at(name)).unwrap();
        }
        symlink(at("file"), at("absolute_inside")).unwrap();
        folder
    }

    fn content(opened: Result<OwnedFd>) -> std::result::Result<String, Errno> {
        let mut text = String::new();
        File::from(opened?).read_to_string(&mut text).map_err(|error| Errno::from_io_error(&error).unwrap())?;
        Ok(text)
    }

    #[test]
    fn nothing_is_opened_from_outside_with_the_kernels_help_or_without() {
        let folder = hostile();
        let root = Dir::open(&folder.path().join("root")).unwrap();
        let long = "x".repeat(300);
        for (path, wanted) in [
            ("file", Ok("file")),
            ("sub/x", Ok("sub/x")),
            ("sub/deep/y", Ok("sub/deep/y")),
            ("folder/deep/y", Ok("sub/deep/y")),
            ("password", Ok("one")),
            ("..data/password", Ok("one")),
            ("sub/up", Ok("file")),
            ("sub/round", Ok("file")),
            ("self/self/file", Ok("file")),
            ("folder/../file", Ok("file")),
            ("sub/out", Err(Errno::XDEV)),
            ("out", Err(Errno::XDEV)),
            ("back", Err(Errno::XDEV)),
            ("absolute", Err(Errno::XDEV)),
            ("absolute_inside", Err(Errno::XDEV)),
            ("parent/root/file", Err(Errno::XDEV)),
            ("../outside", Err(Errno::XDEV)),
            ("sub/../../outside", Err(Errno::XDEV)),
            ("magic", Err(Errno::XDEV)),
            ("magic_root", Err(Errno::XDEV)),
            ("loop", Err(Errno::LOOP)),
            ("a", Err(Errno::LOOP)),
            ("none", Err(Errno::NOENT)),
            ("dangling", Err(Errno::NOENT)),
            ("file/x", Err(Errno::NOTDIR)),
            ("password/x", Err(Errno::NOTDIR)),
            (long.as_str(), Err(Errno::NAMETOOLONG)),
            ("sub", Err(Errno::ISDIR)),
            ("folder", Err(Errno::ISDIR)),
        ] {
            let wanted = wanted.map(str::to_owned);
            assert_eq!(content(root.beneath(path, FILE)), wanted, "{path}, as it is opened");
            assert_eq!(content(walk(root.as_fd(), path, FILE)), wanted, "{path}, part by part");
        }
        for (path, wanted) in [
            ("sub", Ok(())),
            ("folder", Ok(())),
            ("..data", Ok(())),
            ("self", Ok(())),
            ("file", Err(Errno::NOTDIR)),
            ("parent", Err(Errno::XDEV)),
            ("none", Err(Errno::NOENT)),
        ] {
            assert_eq!(root.beneath(path, DIRECTORY).map(drop), wanted, "{path}, as it is opened");
            assert_eq!(walk(root.as_fd(), path, DIRECTORY).map(drop), wanted, "{path}, part by part");
        }
    }

    #[test]
    fn a_path_absolute_or_with_many_links_leads_nowhere() {
        let folder = hostile();
        let root = Dir::open(&folder.path().join("root")).unwrap();
        assert_eq!(content(root.beneath("/etc/passwd", FILE)), Err(Errno::XDEV));
        // Its parts alone are looked at, below the root.
        assert_eq!(content(walk(root.as_fd(), "/etc/passwd", FILE)), Err(Errno::NOENT));
        let many = "self/".repeat(41) + "file";
        assert_eq!(content(root.beneath(&many, FILE)), Err(Errno::LOOP));
        assert_eq!(content(walk(root.as_fd(), &many, FILE)), Err(Errno::LOOP));
        assert!(content(walk(root.as_fd(), &"x/".repeat(4096), FILE)).is_err());
    }

    #[test]
    fn a_directory_that_is_moved_away_while_it_is_walked_leads_nowhere_else() {
        let folder = hostile();
        let root = Dir::open(&folder.path().join("root")).unwrap();
        let sub = root.directory("sub").unwrap();
        std::fs::rename(folder.path().join("root/sub"), folder.path().join("moved")).unwrap();
        // `../outside` is there by the file system, seen from where the directory is now.
        symlink("../outside", folder.path().join("moved/now")).unwrap();
        assert_eq!(content(sub.beneath("now", FILE)), Err(Errno::XDEV));
        assert_eq!(content(walk(sub.as_fd(), "now", FILE)), Err(Errno::XDEV));
        assert_eq!(content(sub.beneath("x", FILE)), Ok("sub/x".to_owned()));
    }
}
