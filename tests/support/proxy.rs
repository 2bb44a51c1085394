//! A proxy in front of a real server that notes what was asked through it, and can be told to let nothing through.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use regex::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// In front of a loopback port.
    pub async fn start(to: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = asked.clone();
        tokio::spawn(async move {
            let line = Regex::new(r"(GET|POST|PUT) /v1/([^ ]+) HTTP/1.1\r\n").expect("a pattern");
            while let Ok((client, _)) = listener.accept().await {
                let (noted, line) = (noted.clone(), line.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                    let mut piece = vec![0; 65536];
                    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
                        let text = String::from_utf8_lossy(&piece[..length]);
                        noted.lock().unwrap().extend(line.captures_iter(&text).map(|found| found[2].to_owned()));
                        if to_server.write_all(&piece[..length]).await.is_err() {
                            break;
                        }
                    }
                    let _ = to_server.shutdown().await;
                    let _ = back.await;
                });
            }
        });
        Proxy { address, asked }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How often a path was asked for, by how it ends.
    pub fn asked(&self, end: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|path| path.ends_with(end)).count()
    }
}
