//! How one worker has a document from another that is fetching it: over a socket in the abstract namespace, which has
//! no file and ends with its process.
//!
//! The wire: the asker writes the document's name (16 bytes); the other answers, once its fetch has landed, with a length
//! (4 bytes, little-endian) and a sealed parcel, or with length 0 where it has none. What goes over it is sealed, so
//! that neither end has to be trusted; connections of other users are closed all the same.

use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::node::Name;

/// The longest parcel that is taken, in bytes: a document of the largest answer that is read.
const LONGEST: u32 = 8 * 1024 * 1024;

/// Why a parcel could not be had.
#[derive(Debug, PartialEq, Eq)]
pub enum Missing {
    /// The other has nothing of that name (any more).
    Unknown,
    /// The other is gone.
    Dead,
}

/// A worker's ear for the others.
pub struct Peers {
    listener: UnixListener,
    name: String,
}

impl Peers {
    /// Has to be called inside the runtime that will serve it.
    pub fn open() -> io::Result<Self> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let name = format!("kong-vault-{}", crate::node::hex(&random));
        let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, name })
    }

    /// By which other workers find this one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers for as long as it is polled. `answer` gives the sealed parcel of a name.
    pub async fn serve<A, F>(self, answer: A)
    where
        A: Fn(Name) -> F,
        F: Future<Output = Option<Vec<u8>>> + Send + 'static,
    {
        let user = own_user();
        loop {
            match self.listener.accept().await {
                Ok((mut stream, _)) if is_of(&stream, user) => {
                    let mut name = Name::default();
                    // Our own workers write at once.
                    let read = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut name)).await;
                    if matches!(read, Ok(Ok(_))) {
                        let answer = answer(name);
                        tokio::spawn(async move {
                            let sealed = answer.await.unwrap_or_default();
                            let length = u32::try_from(sealed.len()).unwrap_or(0);
                            // An error means that the asker has gone.
                            let _ = stream.write_all(&length.to_le_bytes()).await;
                            let _ = stream.write_all(&sealed[..length as usize]).await;
                        });
                    }
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// Asks another worker, and waits for as long as it is fetching.
pub async fn ask(peer: &str, name: &Name) -> Result<Vec<u8>, Missing> {
    let mut stream = connect(peer).map_err(|_| Missing::Dead)?;
    if !is_of(&stream, own_user()) {
        return Err(Missing::Unknown);
    }
    let dead = |_| Missing::Dead;
    stream.write_all(name).await.map_err(dead)?;
    let length = stream.read_u32_le().await.map_err(dead)?;
    if length == 0 || length > LONGEST {
        return Err(Missing::Unknown);
    }
    let mut sealed = vec![0; length as usize];
    stream.read_exact(&mut sealed).await.map_err(dead)?;
    Ok(sealed)
}

/// Connecting to a Unix-domain socket never waits.
fn connect(peer: &str) -> io::Result<UnixStream> {
    let stream = StdStream::connect_addr(&SocketAddr::from_abstract_name(peer)?)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// The user that this process runs as, as its sockets show it to others.
fn own_user() -> Option<u32> {
    let (stream, _) = UnixStream::pair().ok()?;
    stream.peer_cred().ok().map(|own| own.uid())
}

fn is_of(stream: &UnixStream, user: Option<u32>) -> bool {
    stream.peer_cred().is_ok_and(|peer| Some(peer.uid()) == user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_parcel_comes_whole_and_what_is_not_there_is_told() {
        let peers = Peers::open().unwrap();
        let peer = peers.name().to_owned();
        let server = tokio::spawn(peers.serve(|name: Name| async move { (name[0] == 1).then(|| vec![7; 100_000]) }));
        assert_eq!(ask(&peer, &[1; 16]).await, Ok(vec![7; 100_000]));
        assert_eq!(ask(&peer, &[2; 16]).await, Err(Missing::Unknown));
        server.abort();
        let _ = server.await;
        assert_eq!(ask(&peer, &[1; 16]).await, Err(Missing::Dead));
    }

    #[tokio::test]
    async fn a_worker_that_dies_meanwhile_is_noticed() {
        let peers = Peers::open().unwrap();
        let peer = peers.name().to_owned();
        let server = tokio::spawn(peers.serve(|_| async {
            tokio::task::yield_now().await;
            panic!("as if it had died")
        }));
        assert_eq!(ask(&peer, &[1; 16]).await, Err(Missing::Dead));
        server.abort();
    }
}
