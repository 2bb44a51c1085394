//! The leader: watches directories for all workers of its node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::directory::Directory;
use super::inotify::{Happening, Inotify, Look, look};
use super::wire;
use crate::file;
use crate::node::peers::{is_of, own_user};

/// How many directories are watched. Files in further ones are read again after `ttl`.
const MOST: usize = 1024;

/// How many messages may wait for a worker that doesn't read. With more, the leader closes the connection, and the worker
/// connects again.
const UNREAD: usize = 1024;

/// How often the leader polls a directory that the kernel does not watch, as it is missing or on a network file system. It
/// also polls roots: no watch of a directory reports that a link above it leads to another one, or that a file system was
/// mounted there.
const LOOKED_AT: Duration = Duration::from_millis(500);

/// The first pause after a directory was removed: often another one takes its place.
const SOON: Duration = Duration::from_millis(20);

/// How long a new file has to be written before it is reported.
const BEING_WRITTEN: Duration = Duration::from_millis(50);

/// What is known of a directory that is not there.
const NOTHING: Look = Look { watch: None, state: None };

/// Kubernetes' link to a volume's files: all of them change with it.
const DATA: &str = "..data";

/// Takes the leader's name; fails if another process has it. Call it inside the runtime that will serve it.
pub fn open(name: &str) -> io::Result<UnixListener> {
    let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// What the leader's tasks report to it.
enum Message {
    Wish(u64, Directory, bool),
    Gone(u64),
    Looked(Directory, u64, Look),
}

/// A watched directory.
#[derive(Default)]
struct Watched {
    /// The last known state; `None`: not known yet.
    look: Option<Look>,
    /// The number of the last look. What an earlier one found may be of a directory that was replaced since.
    number: u64,
    /// Whether that look is under way.
    is_looked_at: bool,
}

struct Connection {
    messages: Sender<Directory>,
    wants: BTreeSet<Directory>,
}

struct Leader {
    inotify: Option<Inotify>,
    directories: BTreeMap<Directory, Watched>,
    /// How many looks there were.
    looks: u64,
    connections: HashMap<u64, Connection>,
    messages: Sender<Message>,
    /// New files, by the time at which they are reported.
    later: BTreeMap<Instant, BTreeSet<Directory>>,
    look_at: Option<Instant>,
}

/// Serves all workers while this process lives.
pub async fn lead(listener: UnixListener) {
    let (messages, mut incoming) = channel(256);
    let mut leader = Leader {
        inotify: Inotify::open().ok(),
        directories: BTreeMap::new(),
        looks: 0,
        connections: HashMap::new(),
        messages,
        later: BTreeMap::new(),
        look_at: None,
    };
    let (user, mut number) = (own_user(), 0);
    loop {
        let next = leader.next();
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if is_of(&stream, user) => {
                    number += 1;
                    leader.welcome(number, stream);
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            message = incoming.recv() => match message {
                Some(message) => leader.hear(message),
                None => return,
            },
            happened = happenings(leader.inotify.as_ref()) => match happened {
                Ok(happened) => leader.note(&happened),
                Err(_) => leader.without_kernel(),
            },
            () = sleep_until(next) => leader.be_on_time(Instant::now()),
        }
    }
}

async fn happenings(inotify: Option<&Inotify>) -> io::Result<Vec<Happening>> {
    match inotify {
        Some(inotify) => inotify.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}

/// Serves one worker's connection.
async fn serve(number: u64, stream: UnixStream, mut told: Receiver<Directory>, messages: Sender<Message>) {
    let (mut reading, mut writing) = stream.into_split();
    let wants = messages.clone();
    let hear = async {
        while let Ok((directory, is_wanted)) = wire::read_wish(&mut reading).await {
            if wants.send(Message::Wish(number, directory, is_wanted)).await.is_err() {
                return;
            }
        }
    };
    let tell = async {
        while let Some(directory) = told.recv().await {
            if wire::write(&mut writing, &directory).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = hear => {}
        () = tell => {}
    }
    // An error means that the leader has ended.
    let _ = messages.send(Message::Gone(number)).await;
}

impl Leader {
    fn welcome(&mut self, number: u64, stream: UnixStream) {
        let (messages, told) = channel(UNREAD);
        self.connections.insert(number, Connection { messages, wants: BTreeSet::new() });
        tokio::spawn(serve(number, stream, told, self.messages.clone()));
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Wish(number, directory, true) => {
                let Some(connection) = self.connections.get_mut(&number) else { return };
                connection.wants.insert(directory.clone());
                match self.directories.get(&directory) {
                    // It is watched already: a read from now on sees every earlier change.
                    Some(Watched { look: Some(_), .. }) => self.tell_one(number, &directory),
                    Some(_) => {}
                    None if self.directories.len() >= MOST => self.tell_one(number, &directory),
                    None => self.look(directory),
                }
            }
            Message::Wish(number, directory, false) => {
                let connection = self.connections.get_mut(&number);
                if connection.is_some_and(|it| it.wants.remove(&directory)) {
                    self.forget_unwanted();
                }
            }
            Message::Gone(number) => {
                self.connections.remove(&number);
                self.forget_unwanted();
            }
            Message::Looked(directory, number, look) => self.looked(directory, number, look),
        }
    }

    fn forget_unwanted(&mut self) {
        let connections = &self.connections;
        let unwanted = |directory: &Directory| !connections.values().any(|it| it.wants.contains(directory));
        let unwanted: Vec<_> = self.directories.keys().filter(|it| unwanted(it)).cloned().collect();
        unwanted.iter().for_each(|directory| self.forget(directory));
    }

    /// Watches a directory and reads its state, on a thread; `looked` handles the result.
    fn look(&mut self, directory: Directory) {
        self.looks += 1;
        let number = self.looks;
        let known = self.directories.entry(directory.clone()).or_default();
        (known.number, known.is_looked_at) = (number, true);
        if self.inotify.is_none() {
            self.inotify = Inotify::open().ok();
        }
        let inotify = self.inotify.as_ref().map(Inotify::share);
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let path = directory.full();
            // One thread for a root: its file system may hang.
            let key = [b"watch ", directory.root.as_bytes()].concat();
            let job = move || look(inotify.as_ref(), &path);
            let look = file::on_a_thread(&key, file::PATIENCE, job).await.unwrap_or(NOTHING);
            // An error means that the leader has ended.
            let _ = messages.send(Message::Looked(directory, number, look)).await;
        });
    }

    fn looked(&mut self, directory: Directory, number: u64, look: Look) {
        let Some(known) = self.directories.get_mut(&directory) else {
            // It is not wanted any more.
            look.watch.into_iter().for_each(|watch| self.forget_watch(watch));
            return;
        };
        if known.number != number {
            return;
        }
        known.is_looked_at = false;
        let before = known.look.replace(look);
        if let Some(ended) = before.and_then(|before| before.watch).filter(|watch| look.watch != Some(*watch)) {
            self.forget_watch(ended);
        }
        if is_polled(&directory, look) {
            self.expect_look(LOOKED_AT);
        }
        // Before a new watch, changes may have been missed.
        let is_same = |before: Look| before.watch == look.watch && (look.watch.is_some() || before.state == look.state);
        if !before.is_some_and(is_same) {
            self.tell(&directory);
        }
        if before.is_some_and(|before| before.watch.is_some() && before.watch != look.watch) {
            // The path leads to another directory, and so do the paths below it.
            self.look_again(|it| it.is_within(&directory) && *it != directory);
        }
    }

    fn expect_look(&mut self, after: Duration) {
        let at = Instant::now() + after;
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    /// Reports a changed path to all workers that watch its root.
    fn tell(&mut self, of: &Directory) {
        let of_root = |connection: &Connection| connection.wants.iter().any(|it| it.root == of.root);
        let wanting = self.connections.iter().filter(|(_, connection)| of_root(connection));
        let numbers: Vec<_> = wanting.map(|(number, _)| *number).collect();
        for number in numbers {
            self.tell_one(number, of);
        }
    }

    fn tell_one(&mut self, number: u64, of: &Directory) {
        let connection = self.connections.get(&number);
        if connection.is_some_and(|connection| connection.messages.try_send(of.clone()).is_err()) {
            // It doesn't read. When it connects again, it is told of all its directories.
            self.connections.remove(&number);
        }
    }

    fn note(&mut self, happened: &[Happening]) {
        let (mut changed, mut created) = (BTreeSet::new(), BTreeSet::new());
        for happening in happened {
            match happening {
                Happening::In { watch, name, is_new } => {
                    for directory in self.of(*watch) {
                        let child = directory.child(name);
                        if name == DATA {
                            changed.insert(directory.clone());
                            self.look_again(|it| it.is_within(&directory) && *it != directory);
                        } else if name.starts_with("..") {
                            // Kubernetes prepares an update.
                        } else {
                            self.look_again(|it| it.is_within(&child));
                            let told = if *is_new { &mut created } else { &mut changed };
                            told.insert(child);
                        }
                    }
                }
                // The end of the watch is reported below.
                Happening::Moved { watch } => {
                    if let Some(inotify) = &self.inotify {
                        inotify.forget(*watch);
                    }
                }
                Happening::Ended { watch } => {
                    for directory in self.of(*watch) {
                        // Directories below it are gone with it.
                        let gone: Vec<_> =
                            self.directories.keys().filter(|it| it.is_within(&directory)).cloned().collect();
                        for gone in gone {
                            self.forget(&gone);
                            self.missing(gone);
                        }
                        changed.insert(directory);
                        self.expect_look(SOON);
                    }
                }
                Happening::Overflow => changed.extend(self.directories.keys().cloned()),
            }
        }
        for directory in changed {
            self.tell(&directory);
        }
        if !created.is_empty() {
            self.later.entry(Instant::now() + BEING_WRITTEN).or_default().extend(created);
        }
    }

    /// The directories of a watch: several paths can lead to one directory.
    fn of(&self, watch: i32) -> Vec<Directory> {
        let is_it = |known: &Watched| known.look.is_some_and(|look| look.watch == Some(watch));
        self.directories.iter().filter(|(_, known)| is_it(known)).map(|(directory, _)| directory.clone()).collect()
    }

    /// Watches directories anew that may have been replaced.
    fn look_again(&mut self, which: impl Fn(&Directory) -> bool) {
        let again: Vec<_> = self.directories.keys().filter(|directory| which(directory)).cloned().collect();
        for directory in again {
            self.forget(&directory);
            self.look(directory);
        }
    }

    fn forget(&mut self, directory: &Directory) {
        if let Some(Watched { look: Some(Look { watch: Some(watch), .. }), .. }) = self.directories.remove(directory) {
            self.forget_watch(watch);
        }
    }

    /// Takes a directory for one that is not there, whatever a look that is under way will find.
    fn missing(&mut self, directory: Directory) {
        self.looks += 1;
        self.directories.insert(directory, Watched { look: Some(NOTHING), number: self.looks, is_looked_at: false });
    }

    /// Ends a watch that no path uses any more.
    fn forget_watch(&self, watch: i32) {
        if self.of(watch).is_empty()
            && let Some(inotify) = &self.inotify
        {
            inotify.forget(watch);
        }
    }

    /// Polls all directories, as inotify failed.
    fn without_kernel(&mut self) {
        self.inotify = None;
        let all: Vec<_> = self.directories.keys().cloned().collect();
        for directory in all {
            self.missing(directory.clone());
            self.tell(&directory);
        }
        self.expect_look(LOOKED_AT);
    }

    /// When `be_on_time` is due.
    fn next(&self) -> Option<Instant> {
        self.look_at.into_iter().chain(self.later.keys().next().copied()).min()
    }

    fn be_on_time(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| *first.key() <= now) {
            for created in first.remove() {
                self.tell(&created);
            }
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            let due = |(it, known): (&Directory, &Watched)| {
                // Where a look is under way, its result asks for the next one.
                let look = known.look.filter(|look| !known.is_looked_at && is_polled(it, *look));
                look.map(|_| it.clone())
            };
            let due: Vec<_> = self.directories.iter().filter_map(due).collect();
            for directory in due {
                self.look(directory);
            }
        }
    }
}

fn is_polled(directory: &Directory, look: Look) -> bool {
    look.watch.is_none() || directory.path.is_empty()
}
