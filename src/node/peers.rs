//! How a worker gets a document from another one that is fetching it: over a socket in the abstract namespace, which
//! has no file and ends with its process.
//!
//! The protocol: the client writes the document's name (16 bytes) and the time after which the fetch must have begun (8
//! bytes, little-endian: nanoseconds of the node's clock). Once such a fetch has ended, the server answers with a
//! length (4 bytes, little-endian) and a sealed outcome, or with length 0 where it has none. The outcome is sealed, so
//! neither end needs to trust the other; connections of other users are closed all the same.
//!
//! Neither end waits for the other on the engine's thread: a worker may be stopped, and anybody in its network
//! namespace can connect to it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::node::Name;

/// The longest outcome that is accepted, in bytes: more than the largest answer that is read from a vault.
const LONGEST: u32 = 8 * 1024 * 1024;

/// How many connections may be open without a question. For a further one, the oldest is closed: workers write their
/// questions at once.
const UNASKED: usize = 128;

/// How many questions may wait for their answers. The connection of a further one is closed, and its worker asks again
/// or fetches.
const UNANSWERED: usize = 512;

/// How long a connection may be open without a question, and how long the other end may take to read an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections are accepted before other tasks of the engine have their turn.
const ACCEPTED_AT_ONCE: usize = 32;

/// Attempts to ask a worker that is too busy, and the pauses between them: random, below a bound that doubles up to the
/// longest. All pauses together are about half a second at most.
const ATTEMPTS: u32 = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// Why no outcome was received.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerError {
    /// The other worker has nothing of that name (any more).
    Unknown,
    /// The other worker has ended.
    Dead,
    /// The other worker can't be reached now, or closed the connection: too many ask it.
    Busy,
}

/// What one worker asks another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub name: Name,
    /// An outcome serves where its fetch began after this time, in nanoseconds of the node's clock.
    pub after: u64,
}

impl Question {
    const SIZE: usize = size_of::<Name>() + size_of::<u64>();

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..size_of::<Name>()].copy_from_slice(&self.name);
        bytes[size_of::<Name>()..].copy_from_slice(&self.after.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let (name, after) = bytes.split_first_chunk()?;
        Some(Self { name: *name, after: u64::from_le_bytes(after.try_into().ok()?) })
    }
}

/// The socket by which other workers ask this one.
pub struct Peers {
    listener: UnixListener,
    name: String,
}

impl Peers {
    /// Must be called inside the runtime that will serve it.
    pub fn open() -> io::Result<Self> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let name = format!("kong-vault-{}", crate::node::hex(&random));
        let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, name })
    }

    /// The socket's name, under which other workers find it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers for as long as it is polled. `answer` gives the sealed outcome that serves a question.
    pub async fn serve<A, F>(self, answer: A)
    where
        A: Fn(Question) -> F + Send + Sync + 'static,
        F: Future<Output = Option<Vec<u8>>> + Send + 'static,
    {
        let (user, answer) = (own_user(), Arc::new(answer));
        let (mut unasked, unanswered) = (VecDeque::new(), Arc::new(Semaphore::new(UNANSWERED)));
        let mut accepted: usize = 0;
        loop {
            match self.listener.accept().await {
                // Other users' connections are closed at once, which leaves room in the backlog.
                Ok((stream, _)) if is_of(&stream, user) => {
                    make_room(&mut unasked);
                    let reading = read_question(stream, Arc::clone(&answer), Arc::clone(&unanswered));
                    unasked.push_back(tokio::spawn(reading).abort_handle());
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            accepted = accepted.wrapping_add(1);
            if accepted.is_multiple_of(ACCEPTED_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The socket by which other workers ask this one, for as long as its resolver lives.
#[derive(Debug)]
pub struct PeerServer {
    pub address: Arc<str>,
    pub serving: AbortHandle,
}

impl Drop for PeerServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Closes the oldest connection without a question where there are too many.
fn make_room(unasked: &mut VecDeque<AbortHandle>) {
    if unasked.len() >= UNASKED {
        unasked.retain(|reading| !reading.is_finished());
    }
    if unasked.len() >= UNASKED
        && let Some(oldest) = unasked.pop_front()
    {
        oldest.abort();
    }
}

async fn read_question<A, F>(mut stream: UnixStream, answer: Arc<A>, unanswered: Arc<Semaphore>)
where
    A: Fn(Question) -> F + Send + Sync + 'static,
    F: Future<Output = Option<Vec<u8>>> + Send + 'static,
{
    let mut asked = [0; Question::SIZE];
    if !matches!(timeout(PATIENCE, stream.read_exact(&mut asked)).await, Ok(Ok(_))) {
        return;
    }
    let Some(question) = Question::from_bytes(&asked) else { return };
    let Ok(place) = unanswered.try_acquire_owned() else { return };
    let answer = answer(question);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            sealed = answer => write_answer(stream, sealed.unwrap_or_default()).await,
            () = is_closed(&stream) => {}
        }
    });
}

async fn write_answer(mut stream: UnixStream, sealed: Vec<u8>) {
    let length = u32::try_from(sealed.len()).unwrap_or(0);
    let writing = async {
        stream.write_all(&length.to_le_bytes()).await?;
        stream.write_all(&sealed[..length as usize]).await
    };
    // An error means that the client closed the connection, or doesn't read.
    let _ = timeout(PATIENCE, writing).await;
}

/// Waits until the other end, which has nothing more to write, closes the connection.
async fn is_closed(stream: &UnixStream) {
    let mut surplus = [0];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut surplus) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

/// Asks another worker, and waits for as long as it is fetching.
pub async fn ask(peer: &str, question: Question) -> Result<Vec<u8>, PeerError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match ask_once(peer, question).await {
            Err(PeerError::Busy) if attempts < ATTEMPTS => {
                tokio::time::sleep((FIRST_PAUSE * 2u32.pow(attempts)).min(LONGEST_PAUSE).mul_f64(fastrand::f64()))
                    .await;
            }
            answered => return answered,
        }
    }
}

async fn ask_once(peer: &str, question: Question) -> Result<Vec<u8>, PeerError> {
    // A path that begins with a zero byte is a name in the abstract namespace. The socket doesn't block: where the
    // other's backlog is full, connecting fails at once.
    let mut stream = UnixStream::connect(format!("\0{peer}")).await.map_err(|err| match err.kind() {
        io::ErrorKind::ConnectionRefused => PeerError::Dead,
        _ => PeerError::Busy,
    })?;
    if !is_of(&stream, own_user()) {
        return Err(PeerError::Unknown);
    }
    // If the other worker has died, the next attempt to connect is refused.
    let closed = |_| PeerError::Busy;
    stream.write_all(&question.to_bytes()).await.map_err(closed)?;
    let length = stream.read_u32_le().await.map_err(closed)?;
    if length == 0 || length > LONGEST {
        return Err(PeerError::Unknown);
    }
    let mut sealed = vec![0; length as usize];
    stream.read_exact(&mut sealed).await.map_err(closed)?;
    Ok(sealed)
}

/// The user that this process runs as, as its sockets show it to others.
pub(super) fn own_user() -> Option<u32> {
    let (stream, _) = UnixStream::pair().ok()?;
    stream.peer_cred().ok().map(|own| own.uid())
}

pub(super) fn is_of(stream: &UnixStream, user: Option<u32>) -> bool {
    stream.peer_cred().is_ok_and(|peer| Some(peer.uid()) == user)
}

#[cfg(test)]
mod tests;
