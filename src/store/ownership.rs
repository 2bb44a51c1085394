//! Who may change the entities: root, the owner of their folder, this process, and the group that the folder is shared
//! with. Whoever else could would say where our credentials go.

#![expect(clippy::disallowed_methods, reason = "as its caller, the store")]

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const ROOT: u32 = 0;

const BY_GROUP: u32 = 0o020;
const BY_ANYBODY: u32 = 0o002;

/// A folder that may hold entities.
pub fn folder(path: &Path) -> io::Result<Metadata> {
    let (link, folder) = (std::fs::symlink_metadata(path)?, std::fs::metadata(path)?);
    if !folder.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // Also with the sticky bit: others could make the files that aren't there yet.
    if folder.mode() & BY_ANYBODY != 0 {
        return refused("every user can write to it: run `chmod o-w` on it");
    }
    let user = user()?;
    // Root runs nginx's master, which doesn't know the workers' user.
    if user != ROOT && ![ROOT, user].contains(&folder.uid()) {
        return refused("it belongs to another user");
    }
    if link.is_symlink() && ![ROOT, user, folder.uid()].contains(&link.uid()) {
        return refused("it is a symbolic link of another user's");
    }
    Ok(folder)
}

/// Whether what is open may be one of the files of such a folder; `name` is for the error.
pub fn check(file: &File, name: &str, folder: &Metadata) -> io::Result<()> {
    let (file, user) = (file.metadata()?, user()?);
    if !file.is_file() {
        return refused(&format!("its {name} is no regular file"));
    }
    // For root, in a folder of root's that a group may write to, the workers' user is one of that group.
    let of_group = || user == ROOT && folder.uid() == ROOT && is_by(folder, BY_GROUP) && file.gid() == folder.gid();
    if ![ROOT, user, folder.uid()].contains(&file.uid()) && !of_group() {
        return refused(&format!(
            "its {name} belongs to another user (uid {}): find out where it comes from, then remove it",
            file.uid()
        ));
    }
    if is_by(&file, BY_GROUP | BY_ANYBODY) {
        return refused(&format!("users other than its owner can write to its {name}: run `chmod 600` on it"));
    }
    Ok(())
}

fn is_by(of: &Metadata, whom: u32) -> bool {
    of.mode() & whom != 0
}

fn refused<T>(why: &str) -> io::Result<T> {
    Err(io::Error::other(why))
}

/// The user that this process makes files as, which the standard library tells of what it has made alone.
fn user() -> io::Result<u32> {
    let (reader, _) = io::pipe()?;
    Ok(File::from(OwnedFd::from(reader)).metadata()?.uid())
}
