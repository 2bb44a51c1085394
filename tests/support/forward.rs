//! An HTTP proxy that keeps what it was asked, knows its own names for hosts, and ends with the test's runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certs::Pair;
use super::tls::{self, Terms};

pub struct Forward {
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    certificates: Arc<AtomicUsize>,
}

/// What it does with whoever asks.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Connects to that port of this machine, whatever host is asked for.
    To(u16),
    /// Answers this, and closes.
    Says(&'static str),
}

impl Forward {
    /// `pair`: it is spoken to over TLS.
    pub async fn start(manner: Manner, pair: Option<&Pair>) -> Forward {
        Self::start_with(manner, pair, &Terms::default()).await
    }

    pub async fn start_with(manner: Manner, pair: Option<&Pair>, terms: &Terms<'_>) -> Forward {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = listener.local_addr().expect("its address").port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let acceptor = pair.map(|pair| TlsAcceptor::from(Arc::new(tls::config(pair, terms))));
        let certificates = Arc::new(AtomicUsize::new(0));
        let (kept, seen) = (heads.clone(), certificates.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, acceptor, seen) = (kept.clone(), acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, manner, &kept).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => {
                                let is_known = stream.get_ref().1.peer_certificates().is_some();
                                seen.fetch_add(usize::from(is_known), Ordering::SeqCst);
                                serve(stream, manner, &kept).await
                            }
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Forward { port, heads, certificates }
    }

    /// How many of its clients showed it a certificate.
    pub fn certificates(&self) -> usize {
        self.certificates.load(Ordering::SeqCst)
    }

    /// The heads of the requests that it was sent, one for each connection.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("its lock").clone()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    manner: Manner,
    heads: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    heads.lock().expect("its lock").push(text.clone());
    match manner {
        Manner::Says(answer) => {
            stream.write_all(answer.as_bytes()).await.ok()?;
            stream.shutdown().await.ok()
        }
        Manner::To(port) => {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            if text.starts_with("CONNECT ") {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 test\r\n\r\n").await.ok()?;
            } else {
                server.write_all(&head).await.ok()?;
            }
            copy_bidirectional(&mut stream, &mut server).await.ok().map(|_| ())
        }
    }
}
