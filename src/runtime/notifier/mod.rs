//! How the worker learns what happened on the engine's thread: a Unix-domain socket that the engine serves and that a
//! cosocket in the worker connects to.
//!
//! The protocol: the worker writes the number of its VM's notifier (8 bytes, little-endian). From then on, the engine
//! writes one byte whenever events have begun to wait, and the worker takes them by the FFI. Each VM has a notifier of
//! its own.
//!
//! The socket has no name that outlives `open`: it is bound in a private directory and opened by `O_PATH`, and both
//! names are removed before anybody connects. The worker reaches it by `/proc/self/fd/N`, which only this process (and
//! root) can follow; so nothing is left behind. What a `kill -9` leaves in the microseconds between is removed by the
//! next worker.

#![expect(clippy::disallowed_methods, reason = "before there is an engine")]

mod queue;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use crate::environment::Environment;
use crate::node::Name;
use crate::notice;
use crate::sync::lock;
use queue::Queue;

/// How the private directories' names begin; the pid follows.
const FOLDER: &str = "kong-vault-";

/// What the worker's Lua code must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A call is completed: wake its waiters, and publish its outcome where this worker holds the claim.
    Completed { ticket: u64 },
    /// A fetch must be started. `dead`: the claim of the worker that was to bring the document, and did not.
    Start { ticket: u64, dead: Option<String> },
    /// The same for a call that probes whether `vault` is back.
    Probe { ticket: u64, vault: Name },
    /// The generation has moved: drop the copies of values now, not only at the next look-up.
    Outdated,
    /// Documents wait to be cached, which the worker does between two requests.
    Replaced,
    /// A vault failed or recovered; `text` is for nginx's log.
    Health { vault: Name, up: bool, text: String },
    /// A vault that failed has not recovered: for so long, no worker reports it again.
    StillBad { vault: Name, lasts: Duration },
    /// A vault answered this VM for the first time: earlier reports about it, or about its `notice`, are out of date.
    Answers { vault: Name, notice: Name, text: String },
    /// The resolver has a notice for nginx's log: the cache is too small.
    CacheCrowded,
    /// Debug lines wait for nginx's log.
    DebugLines,
}

/// One VM's notifier.
pub struct Notifier {
    number: u64,
    queue: Queue<Event, WorkerConnection>,
    /// Notified of each new subscriber.
    subscribed_to: Notify,
}

/// One connection of the worker.
struct WorkerConnection {
    stream: UnixStream,
    closing: Notify,
}

impl queue::Subscriber for WorkerConnection {
    fn notify(&self) {
        // A connection whose buffer is full has unread bytes; one that is closed is unsubscribed by its task.
        let _ = self.stream.try_write(b"\n");
    }

    fn close(&self) {
        self.closing.notify_one();
    }
}

impl WorkerConnection {
    /// Ends when the worker closes its end; it writes nothing more.
    async fn closed(&self) {
        let mut surplus = [0];
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut surplus) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

impl Notifier {
    pub fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let notifier = Arc::new(Notifier { number, queue: Queue::new(), subscribed_to: Notify::new() });
        let mut notifiers = notifiers();
        notifiers.retain(|_, notifier| notifier.strong_count() > 0);
        notifiers.insert(number, Arc::downgrade(&notifier));
        notifier
    }

    /// What the worker writes to subscribe to this notifier.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether anybody listens.
    pub fn has_subscriber(&self) -> bool {
        self.queue.has_subscriber()
    }

    /// Waits until somebody listens, for at most `patience`: a worker's listener may still be connecting when its first
    /// call starts.
    pub async fn subscriber_within(&self, patience: Duration) {
        let subscribed_to = self.subscribed_to.notified();
        if !self.has_subscriber() {
            // An error means that nobody subscribed in time.
            let _ = tokio::time::timeout(patience, subscribed_to).await;
        }
    }

    /// Queues an event for the worker. False where nobody listens or the queue is full; then it is not queued.
    pub fn notify(&self, event: Event) -> bool {
        self.queue.push(event)
    }

    /// The next event, and whether more wait.
    pub fn next(&self) -> Option<(Event, bool)> {
        self.queue.next()
    }

    /// Turns the debug lines for this VM on or off.
    pub fn tell_of_debug_lines(self: &Arc<Self>, wanted: bool) {
        if wanted {
            let notifier = Arc::downgrade(self);
            let tell = move || notifier.upgrade().is_some_and(|notifier| notifier.notify(Event::DebugLines));
            notice::debug_on(self.number, Arc::new(tell));
        } else {
            notice::debug_off(self.number);
        }
    }

    /// The debug lines that wait.
    pub fn debug_lines(&self) -> Vec<String> {
        notice::take_debug_lines(self.number)
    }

    /// Ends all connections: a worker that is told to quit must not wait for a read.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Serves one connection until either end closes it.
    async fn serve(&self, stream: UnixStream) {
        let subscriber = Arc::new(WorkerConnection { stream, closing: Notify::new() });
        self.queue.subscribe(&subscriber);
        self.subscribed_to.notify_waiters();
        tokio::select! {
            () = subscriber.closing.notified() => {}
            () = subscriber.closed() => {}
        }
        // The next subscriber looks for completed calls itself; whatever else is left waits for it.
        self.queue.unsubscribe(&subscriber, |event| matches!(event, Event::Completed { .. } | Event::Outdated));
    }
}

/// The notifiers of this process's VMs by number.
fn notifiers() -> MutexGuard<'static, HashMap<u64, Weak<Notifier>>> {
    static NOTIFIERS: LazyLock<Mutex<HashMap<u64, Weak<Notifier>>>> = LazyLock::new(Mutex::default);
    lock(&NOTIFIERS)
}

/// The listening socket.
pub struct NotifierSocket {
    listener: UnixListener,
    /// Keeps the socket's inode reachable below `/proc/self/fd`.
    inode: File,
}

impl NotifierSocket {
    /// Opens the socket. Must be called inside the runtime that will serve it.
    pub fn open(environment: &Environment) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let folders = [environment.text("TMPDIR"), Some("/tmp"), Some("/dev/shm"), Some("/var/tmp"), Some("/run")];
        for folder in folders.into_iter().flatten() {
            match Self::open_in(Path::new(folder)) {
                Ok(socket) => return Ok(socket),
                Err(err) => last = err,
            }
        }
        Err(last)
    }

    fn open_in(folder: &Path) -> io::Result<Self> {
        let parent = folder;
        let folder = private_folder(parent)?;
        sweep(parent, &folder);
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
    pub async fn serve(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_ours(&stream) => drop(tokio::spawn(serve_subscriber(stream))),
                Ok(_) => {}
                // Out of descriptors: the listener stays readable, so going on at once would spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// Creates a private directory. `mkdir` fails where something has its name, so nobody can prepare it.
fn private_folder(parent: &Path) -> io::Result<PathBuf> {
    for attempt in 0..16 {
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let folder = parent.join(format!("{FOLDER}{}-{nanos:x}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes the private directories of processes that were killed while they had one.
fn sweep(parent: &Path, ours: &Path) {
    let Ok(user) = std::fs::symlink_metadata(ours).map(|metadata| metadata.uid()) else { return };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.split('-').next()?.parse::<u32>().ok());
        let is_dead = pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
        // Not another user's, and no link to another place. What can't be removed, the next worker tries again.
        if is_dead && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user) {
            let _ = std::fs::remove_file(entry.path().join("wake"));
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.pid() == i32::try_from(std::process::id()).ok())
}

async fn serve_subscriber(mut stream: UnixStream) {
    // An error means that the worker closed its end: nobody is left to be notified.
    let Ok(number) = stream.read_u64_le().await else { return };
    let notifier = notifiers().get(&number).and_then(Weak::upgrade);
    if let Some(notifier) = notifier {
        notifier.serve(stream).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_killed_workers_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("wake"), "").unwrap();
            folder
        };
        // Above the largest pid of Linux.
        let dead = make("kong-vault-4194305-abc-0");
        let alive = make(&format!("kong-vault-{}-abc-0", std::process::id()));
        let (other, odd) = (make("kong-vault-spec-xyz"), make("other"));
        let link = parent.path().join("kong-vault-4194306-abc-0");
        std::os::unix::fs::symlink(&odd, &link).unwrap();
        let socket = NotifierSocket::open_in(parent.path()).unwrap();
        assert!(socket.address().starts_with("unix:/proc/self/fd/"));
        assert!(!dead.exists());
        for kept in [alive, other, odd] {
            assert!(kept.join("wake").exists(), "{kept:?}");
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 4);
    }
}
