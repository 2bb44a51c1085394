//! How a waiting coroutine learns that its flight has landed: a Unix-domain socket that the engine serves and that a
//! cosocket in the worker connects to.
//!
//! The wire: the worker writes a ticket (8 bytes, little-endian), the engine answers one byte once that flight has
//! landed, or at once where it is not under way any more; then the connection may ask for the next one.
//!
//! The socket has no name that outlives `open`: it is bound in a private folder, opened by `O_PATH`, and both are removed
//! before anybody connects. The worker reaches it by `/proc/self/fd/N`, which nobody but this process (and root) can
//! follow; so nothing is left behind, not even after `kill -9`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::environment::Environment;

/// Flights under way, and who waits for them.
#[derive(Default)]
pub struct Board {
    waiting: Mutex<HashMap<u64, Vec<oneshot::Sender<()>>>>,
}

impl Board {
    /// Announces a flight.
    pub fn depart(&self, ticket: u64) {
        self.lock().insert(ticket, Vec::new());
    }

    /// Wakes everybody who waits for a flight.
    pub fn land(&self, ticket: u64) {
        self.lock().remove(&ticket);
    }

    /// Ends when the flight has landed: at once, if it isn't under way.
    async fn landed(&self, ticket: u64) {
        let landing = match self.lock().get_mut(&ticket) {
            None => return,
            Some(waiting) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                receiver
            }
        };
        // The sender is dropped at landing; nothing is ever sent.
        let _ = landing.await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Vec<oneshot::Sender<()>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listening socket.
pub struct Door {
    listener: UnixListener,
    /// Keeps the socket's inode reachable below `/proc/self/fd`.
    inode: File,
}

impl Door {
    /// Opens the socket. Has to be called inside the runtime that will serve it.
    pub fn open(environment: &Environment) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let folders = [environment.text("TMPDIR"), Some("/tmp"), Some("/dev/shm"), Some("/var/tmp"), Some("/run")];
        for folder in folders.into_iter().flatten() {
            match Self::open_in(Path::new(folder)) {
                Ok(door) => return Ok(door),
                Err(err) => last = err,
            }
        }
        Err(last)
    }

    fn open_in(folder: &Path) -> io::Result<Self> {
        let folder = private_folder(folder)?;
        let path = folder.join("wake");
        let opened = UnixListener::bind(&path).and_then(|listener| {
            let inode =
                std::fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(&path)?;
            Ok(Self { listener, inode })
        });
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir(&folder);
        opened
    }

    /// Where a cosocket of this process connects to.
    pub fn address(&self) -> String {
        format!("unix:/proc/self/fd/{}", self.inode.as_raw_fd())
    }

    /// Serves for as long as the runtime lives.
    pub async fn serve(self, board: Arc<Board>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_ours(&stream) => {
                    let board = Arc::clone(&board);
                    tokio::spawn(async move {
                        // An error means that the worker closed its end: nobody is left to be told.
                        let _ = converse(stream, &board).await;
                    });
                }
                Ok(_) => {}
                // Out of descriptors: the listener stays readable, so going on at once would spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// A folder of our own with a name nobody can guess before it exists: `mkdir` fails where something is in the way.
fn private_folder(parent: &Path) -> io::Result<PathBuf> {
    for attempt in 0..16 {
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let folder = parent.join(format!("kong-vault-{}-{nanos:x}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.pid() == i32::try_from(std::process::id()).ok())
}

async fn converse(mut stream: UnixStream, board: &Board) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    loop {
        let ticket = reader.read_u64_le().await?;
        let mut surplus = [0];
        tokio::select! {
            () = board.landed(ticket) => writer.write_all(b"\n").await?,
            // The worker writes nothing before it was answered: this is its end of the connection closing.
            _ = reader.read(&mut surplus) => return Ok(()),
        }
    }
}
