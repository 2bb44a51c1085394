//! Watches directories for all workers of a node. One worker, the leader, uses inotify and tells the others: a user may
//! have only 128 inotify instances, too few for one per worker.
//!
//! The leader is the process that holds a certain name in the abstract socket namespace. The kernel gives the name to one
//! process at a time, and frees it when the process ends. Each worker, the leader too, connects to that socket and names
//! its directories; the leader reports changes. When the leader ends, the connections break, and another worker takes the
//! name. The new leader reports each directory once when a worker names it, so no change is missed in between.
//!
//! A report says that something may have changed. The worker reads the file itself.

mod directory;
mod inotify;
mod leader;
mod wire;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::peers::{is_of, own_user};
use super::{Node, hex};
use crate::sync::lock;
use directory::Directory;

/// The longest random pause before a worker looks for a new leader.
const PAUSE: Duration = Duration::from_millis(50);

/// The same if another user has the name.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// One vault's watch. Dropping it ends the reports.
#[derive(Debug)]
pub struct Watch {
    root: String,
    number: u64,
    watcher: &'static Watcher,
}

/// What this process watches.
#[derive(Debug)]
struct Watcher {
    /// The leader's name.
    name: String,
    wishes: Mutex<Wishes>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Wishes {
    next: u64,
    listeners: HashMap<u64, (String, UnboundedSender<String>)>,
    /// Each with a number of its own: one that is wanted anew is reported anew.
    directories: BTreeMap<Directory, u64>,
}

impl Watch {
    /// Reports changes below `root`. Each report is a path below it: of an entry that changed, or of a directory in which
    /// anything may have changed. Call it on the engine.
    pub fn new(root: &Path) -> (Self, UnboundedReceiver<String>) {
        Self::with(Watcher::of_this_process(), root)
    }

    fn with(watcher: &'static Watcher, root: &Path) -> (Self, UnboundedReceiver<String>) {
        let root = root.to_string_lossy().into_owned();
        let (sender, receiver) = unbounded_channel();
        let mut wishes = lock(&watcher.wishes);
        wishes.next += 1;
        let number = wishes.next;
        wishes.listeners.insert(number, (root.clone(), sender));
        (Self { root, number, watcher }, receiver)
    }

    /// Watches a directory below the root; `""` is the root. It is reported once as soon as it is watched.
    pub fn add(&self, path: &str) {
        let directory = Directory { root: self.root.clone(), path: path.to_owned() };
        let mut wishes = lock(&self.watcher.wishes);
        wishes.next += 1;
        let number = wishes.next;
        if let Entry::Vacant(new) = wishes.directories.entry(directory) {
            new.insert(number);
            self.watcher.changed.notify_one();
        } else if let Some((_, listener)) = wishes.listeners.get(&self.number) {
            // It was reported to others. An error means that the listener has ended.
            let _ = listener.send(path.to_owned());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut wishes = lock(&self.watcher.wishes);
        wishes.listeners.remove(&self.number);
        if !wishes.listeners.values().any(|(root, _)| *root == self.root) {
            wishes.directories.retain(|directory, _| directory.root != self.root);
            self.watcher.changed.notify_one();
        }
    }
}

impl Watcher {
    fn of_this_process() -> &'static Self {
        static RUNNING: Mutex<Option<(u32, &'static Watcher)>> = Mutex::new(None);
        let pid = std::process::id();
        let mut running = lock(&RUNNING);
        match *running {
            Some((owner, watcher)) if owner == pid => watcher,
            _ => {
                // One name per user, as workers refuse another user's leader.
                let user = own_user().unwrap_or_default().to_string();
                let name = Node::of_this_process().map(|node| node.name([&b"watch"[..], user.as_bytes()]));
                let watcher = Self::start(format!("kong-vault-watch-{}", hex(&name.unwrap_or_default())));
                *running = Some((pid, watcher));
                watcher
            }
        }
    }

    fn start(name: String) -> &'static Self {
        // Leaked on purpose: one per process, needed until its end.
        let watcher: &'static Self =
            Box::leak(Box::new(Self { name, wishes: Mutex::default(), changed: Notify::new() }));
        tokio::spawn(watcher.run());
        watcher
    }

    async fn run(&'static self) {
        loop {
            // An error means that another process leads.
            if let Ok(listener) = leader::open(&self.name) {
                tokio::spawn(leader::lead(listener));
            }
            let pause = match UnixStream::connect(format!("\0{}", self.name)).await {
                Ok(stream) if is_of(&stream, own_user()) => {
                    // Whatever ended it, the leader is gone.
                    let _ = self.follow(stream).await;
                    PAUSE
                }
                Ok(_) => LONG_PAUSE,
                Err(_) => PAUSE,
            };
            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
        }
    }

    /// Names the directories to the leader, and hands on its reports.
    async fn follow(&self, stream: UnixStream) -> io::Result<()> {
        let (reading, mut writing) = stream.into_split();
        let naming = async {
            let mut named = BTreeMap::new();
            loop {
                let changed = self.changed.notified();
                let wanted = lock(&self.wishes).directories.clone();
                for (unwanted, _) in named.iter().filter(|(it, number)| wanted.get(*it) != Some(*number)) {
                    wire::write_wish(&mut writing, unwanted, false).await?;
                }
                for (new, _) in wanted.iter().filter(|(it, number)| named.get(*it) != Some(*number)) {
                    wire::write_wish(&mut writing, new, true).await?;
                }
                named = wanted;
                changed.await;
            }
        };
        tokio::select! {
            ended = naming => ended,
            ended = self.hand_on(reading) => ended,
        }
    }

    async fn hand_on(&self, mut reading: OwnedReadHalf) -> io::Result<()> {
        loop {
            let Directory { root, path } = wire::read(&mut reading).await?;
            for (of, listener) in lock(&self.wishes).listeners.values() {
                if *of == root {
                    // A listener without a receiver is about to be dropped.
                    let _ = listener.send(path.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
