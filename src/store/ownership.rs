//! Who may change the entities: root, the directory's owner, this process's user, and the group that shares the
//! directory. Anyone else who could would choose the server that gets the credentials.

#![expect(clippy::disallowed_methods, reason = "as its caller, the store")]

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const ROOT: u32 = 0;

const BY_GROUP: u32 = 0o020;
const BY_ANYBODY: u32 = 0o002;

/// The status of a directory, if it may hold entities.
pub fn folder(path: &Path) -> io::Result<Metadata> {
    let (link, folder) = (std::fs::symlink_metadata(path)?, std::fs::metadata(path)?);
    if !folder.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // The sticky bit does not help: others could create the files that don't exist yet.
    if folder.mode() & BY_ANYBODY != 0 {
        return refused("every user can write to it: run `chmod o-w` on it");
    }
    let user = user()?;
    // Root accepts any owner: nginx's master doesn't know the workers' user.
    if user != ROOT && ![ROOT, user].contains(&folder.uid()) {
        return refused("it belongs to another user");
    }
    if link.is_symlink() && ![ROOT, user, folder.uid()].contains(&link.uid()) {
        return refused("it is a symbolic link of another user's");
    }
    Ok(folder)
}

/// Whether an open file may be one of such a directory's files; `name` is for the error.
pub fn check(file: &File, name: &str, folder: &Metadata) -> io::Result<()> {
    let (file, user) = (file.metadata()?, user()?);
    if !file.is_file() {
        return refused(&format!("its {name} is no regular file"));
    }
    // If root owns the directory and a group may write to it, root accepts that group's files: the workers' user is in
    // it.
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

/// The user that this process creates files as. The standard library shows it only as the owner of something created.
fn user() -> io::Result<u32> {
    let (reader, _) = io::pipe()?;
    Ok(File::from(OwnedFd::from(reader)).metadata()?.uid())
}
