//! The standalone Admin API's vault entities on disk: in one file of a directory that all nginx processes of a machine
//! may share.
//!
//! `vaults.json` is in Kong's declarative format. It is written as a draft and put in its place by a rename, so that
//! nobody reads half of it. Writers take turns by a lock on another file. A process that is killed at any moment leaves
//! the old file or the new one, no lock, and at most a draft, which the next writer overwrites.
//!
//! Everything here blocks: call it on threads of the pool, or while nothing is served.
//!
//! It uses errors. It must never know what an entity means, nor who asks.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool, or at load")]

pub mod epoch;
mod ownership;
pub mod record;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};
use crate::redact;
use epoch::{Epoch, is_steady};
pub use record::Record;

const ENTITIES: &str = "vaults.json";
const DRAFT: &str = ".vaults.json.new";
const LOCK: &str = ".lock";
const EPOCH: &str = ".changes";

/// The largest file, in bytes.
const LIMIT: u64 = 16 * 1024 * 1024;

/// How many entities are kept: each takes some KB in every worker.
const MOST: usize = 4096;

/// How often a read is tried while entities change, before it waits for the lock.
const READS: usize = 3;

/// How long to wait for the lock, and the shortest and longest pause between two attempts.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSES: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(8));

/// The entities at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub vaults: Vec<Record>,
    /// The epoch at that moment.
    pub mark: u32,
}

/// The result of an edit.
#[derive(Debug)]
pub enum Edit<T> {
    /// The entities must be written.
    Changed(T),
    Unchanged(T),
}

/// A directory of entities.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    epoch: Epoch,
}

impl Store {
    /// Opens a directory, which must exist.
    pub fn open(folder: &str) -> Result<Store> {
        let folder = PathBuf::from(folder);
        let open = || {
            create(&folder, LOCK)?;
            Epoch::map(&create(&folder, EPOCH)?)
        };
        let opened = open();
        match opened {
            Ok(epoch) => Ok(Store { folder, epoch }),
            Err(err) => Err(unusable(&folder, "can't be used", &err)),
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The file that holds the entities, for error texts.
    pub fn path(&self) -> String {
        redact::known_path(&self.folder.join(ENTITIES))
    }

    /// All entities as they are now.
    pub fn read(&self) -> Result<Snapshot> {
        self.read_within(PATIENCE)
    }

    /// `read` that waits for a writer for at most `patience`: the writer may have been stopped.
    pub fn read_within(&self, patience: Duration) -> Result<Snapshot> {
        for _ in 0..READS {
            let mark = self.epoch.now();
            if !is_steady(mark) {
                break;
            }
            let vaults = self.load()?;
            if self.epoch.now() == mark {
                return Ok(Snapshot { vaults, mark });
            }
        }
        let _lock = self.lock(File::try_lock_shared, patience)?;
        // No writer is at work, even where the epoch is odd.
        let mark = self.epoch.now();
        Ok(Snapshot { vaults: self.load()?, mark })
    }

    /// Changes the entities. Once this returns, the change is on the disk, and all processes can see it.
    pub fn change<T>(&self, edit: impl FnOnce(&mut Vec<Record>) -> Edit<T>) -> Result<T> {
        let _lock = self.lock(File::try_lock, PATIENCE)?;
        let mut vaults = self.load()?;
        let outcome = match edit(&mut vaults) {
            Edit::Unchanged(outcome) => return Ok(outcome),
            Edit::Changed(outcome) => outcome,
        };
        let text = written(&vaults)?;
        self.put(&text).map_err(|err| unusable(&self.folder, "can't be written", &err))?;
        Ok(outcome)
    }

    fn put(&self, text: &[u8]) -> io::Result<()> {
        // If the epoch's file was removed, processes that started later watch another one.
        if !std::fs::symlink_metadata(self.folder.join(EPOCH)).is_ok_and(|found| self.epoch.is(&found)) {
            let text = format!("its file {EPOCH} was removed or replaced while nginx ran: restart nginx");
            return Err(io::Error::other(text));
        }
        if let Err(err) = self.draft(text) {
            // The draft is removed, as it may fill the disk.
            let _ = std::fs::remove_file(self.folder.join(DRAFT));
            return Err(err);
        }
        self.epoch.begin();
        let renamed = std::fs::rename(self.folder.join(DRAFT), self.folder.join(ENTITIES));
        self.epoch.end();
        renamed?;
        File::open(&self.folder)?.sync_all()
    }

    fn draft(&self, text: &[u8]) -> io::Result<()> {
        let mut draft = create(&self.folder, DRAFT)?;
        draft.set_len(0)?;
        draft.write_all(text)?;
        draft.sync_all()
    }

    fn load(&self) -> Result<Vec<Record>> {
        /// Other fields, such as Kong's version numbers, are ignored.
        #[derive(Deserialize)]
        struct EntitiesFile {
            #[serde(default)]
            vaults: Vec<Record>,
        }
        let path = self.folder.join(ENTITIES);
        let mut text = Zeroizing::new(Vec::new());
        let folder =
            ownership::folder(&self.folder).map_err(|err| unusable(&self.folder, "can't be used any more", &err))?;
        // These flags keep a pipe from blocking, and a link from being followed.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let read = OpenOptions::new().read(true).custom_flags(flags).open(&path).and_then(|file| {
            ownership::check(&file, ENTITIES, &folder)?;
            // The buffer has its full size at once: growing would leave copies that nobody wipes.
            text.reserve_exact(usize::try_from(file.metadata()?.len().min(LIMIT)).unwrap_or_default() + 1);
            file.take(LIMIT + 1).read_to_end(&mut text)
        });
        match read {
            Err(err) if err.kind() == ErrorKind::NotFound && self.folder.is_dir() => return Ok(Vec::new()),
            Err(err) => return Err(unusable(&self.folder, &format!("has a {ENTITIES} that can't be read"), &err)),
            Ok(_) => {}
        }
        let unreadable = |what: String| Error::new(Kind::Config, format!("{} {what}", self.path()));
        if text.len() as u64 > LIMIT {
            return Err(unreadable(format!("is larger than {LIMIT} bytes: remove entities from it")));
        }
        // The parser's own message may quote a value, and a value may be a token.
        let entities: EntitiesFile = serde_json::from_slice(&text).map_err(|err| {
            let place = format!("line {} column {}", err.line(), err.column());
            unreadable(format!(
                "is no list of vault entities as the Admin API writes it ({place}): put a copy of it back"
            ))
        })?;
        Ok(entities.vaults)
    }

    /// Waits for a lock, which lasts as long as the returned file. A stopped process may hold it, so this tries again
    /// until a deadline instead of blocking.
    fn lock(&self, lock: fn(&File) -> std::result::Result<(), TryLockError>, patience: Duration) -> Result<File> {
        let failed = |err: &io::Error| unusable(&self.folder, "can't be locked", err);
        let file = create(&self.folder, LOCK).map_err(|err| failed(&err))?;
        let (deadline, mut pause) = (Instant::now() + patience, PAUSES.0);
        loop {
            match lock(&file) {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(err)) => return Err(failed(&err)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    let text = format!(
                        "vault_data_dir {} has been locked by another process for {} s: try again later",
                        shown(&self.folder),
                        patience.as_secs_f64()
                    );
                    return Err(Error::new(Kind::Timeout, text));
                }
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(pause.mul_f64(0.5 + fastrand::f64()));
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }
}

/// Opens a file for reading and writing, or creates it. Only its owner may use it, who is the directory's owner, even
/// where nginx's master creates it as root.
fn create(folder: &Path, name: &str) -> io::Result<File> {
    let owner = ownership::folder(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(folder.join(name))?;
    ownership::check(&file, name, &owner)?;
    let made = file.metadata()?;
    // With a second name it may be another user's file, linked here to have its owner changed.
    if !made.is_file() || made.nlink() != 1 {
        return Err(io::Error::other(format!("its {name} is no file of its own")));
    }
    if made.uid() != owner.uid() {
        // Only root can change the owner, and only root needs to.
        let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    Ok(file)
}

/// The text of the entities' file, with one entity in each line.
fn written(vaults: &[Record]) -> Result<Zeroizing<Vec<u8>>> {
    if vaults.len() > MOST {
        let text = format!("the vault entities would be more than {MOST}: delete some first");
        return Err(Error::new(Kind::Invalid, text));
    }
    let size: usize = vaults.iter().map(|vault| vault.weight() + 2).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(size + 64));
    text.extend_from_slice(b"{\"_format_version\":\"3.0\",\"vaults\":[");
    for (index, vault) in vaults.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
        serde_json::to_writer(&mut *text, vault)
            .map_err(|_| Error::new(Kind::Internal, "a vault entity can't be written as JSON"))?;
    }
    text.extend_from_slice(b"\n]}\n");
    if text.len() as u64 > LIMIT {
        return Err(Error::new(
            Kind::Invalid,
            format!("the vault entities would be larger than {LIMIT} bytes together: delete some first"),
        ));
    }
    Ok(text)
}

fn shown(folder: &Path) -> String {
    redact::own_path(folder)
}

fn unusable(folder: &Path, what: &str, err: &io::Error) -> Error {
    let folder = shown(folder);
    let text = format!(
        "vault_data_dir {folder} {what} ({err}): create a directory that nginx's workers own, such as with `install \
         -d -o www-data -m 700 {folder}`"
    );
    Error::new(Kind::Config, text)
}
