//! What the tests share: real servers, and one that answers as no real one does: bytes as given, on a free loopback port,
//! ended with the test's runtime.
#![allow(dead_code)]

pub mod admin;
pub mod amazon;
pub mod azure;
pub mod bao;
pub mod certs;
pub mod clouds;
pub mod config;
pub mod conjur;
pub mod cost;
pub mod cyberark;
pub mod forward;
pub mod gcp;
pub mod given;
pub mod google;
pub mod heavy;
pub mod login;
pub mod marked;
pub mod moto;
pub mod proof;
pub mod proxy;
pub mod resolve;
pub mod secrets_manager;
pub mod tls;
pub mod vault;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub struct Fake {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Fake {
    /// Answers each request with what `answer` makes of it, head and body, then closes the connection.
    pub async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Fake {
        Fake::serve("127.0.0.1:0", false, answer).await.expect("a loopback port")
    }

    /// The same on an address of choice, and each connection stays open for more.
    pub async fn lasting(at: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> std::io::Result<Fake> {
        Fake::serve(at, true, answer).await
    }

    async fn serve(
        at: &str,
        lasts: bool,
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> std::io::Result<Fake> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let (answer, counter) = (Arc::new(answer), connections.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    loop {
                        let mut request = Vec::new();
                        let mut piece = [0; 4096];
                        while !is_whole(&request) {
                            match stream.read(&mut piece).await {
                                Ok(0) | Err(_) => return,
                                Ok(length) => request.extend_from_slice(&piece[..length]),
                            }
                        }
                        let mut text = answer(&String::from_utf8_lossy(&request));
                        if !lasts {
                            announce_close(&mut text);
                        }
                        let _ = stream.write_all(&text).await;
                        if !lasts {
                            let _ = stream.shutdown().await;
                            return;
                        }
                    }
                });
            }
        });
        Ok(Fake { address, connections })
    }

    /// Accepts and never answers.
    pub async fn silent() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Fake { address, connections: Arc::default() }
    }

    /// Says the same to whoever connects, whatever they say, and closes.
    pub async fn greeting(text: &'static [u8]) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(text).await;
            }
        });
        Fake { address, connections: Arc::default() }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Whether a request's head is there, and as much of a body as it announces.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= announced.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

/// Has a whole answer say that the connection ends with it, where it says nothing of that: a client that learns it late may have
/// begun its next request there, and lose it.
fn announce_close(answer: &mut Vec<u8>) {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let Some(length) = answer.windows(END_OF_HEAD.len()).position(|four| four == END_OF_HEAD) else { return };
    let head = String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase();
    if head.starts_with("http/1.1 ") && !head.contains("\r\nconnection:") {
        answer.splice(length..length, *b"\r\nconnection: close");
    }
}

/// An answer with a body and its right length.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Says why a test ends without having looked at anything; past the harness, which keeps what a passing test prints, and
/// at once, as other tests write too.
pub fn skip(reason: &str) {
    let test = std::thread::current();
    let line = format!("skipped {}: {reason}\n", test.name().unwrap_or("a test"));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The path that an environment variable tells the tests, or `None` where it doesn't.
pub fn told(variable: &str, what: &str) -> Option<String> {
    let path = std::env::var(variable).ok().filter(|path| !path.is_empty());
    if path.is_none() {
        skip(&format!("{variable} does not name {what}"));
    }
    path
}

/// A port of the loopback where nobody listens.
pub fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a loopback port").port()
}
