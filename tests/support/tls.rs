//! A TLS server that tells what it was asked: the name in the handshake, the protocol agreed on and the `Host` header.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::answer;
use super::certs::Pair;

/// Serves on a thread that ends with the test's process; returns the port.
pub fn start(pair: &Pair) -> u16 {
    let certificates = CertificateDer::pem_file_iter(&pair.certificate).expect("a file");
    let certificates = certificates.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key));
    let config = Arc::new(config.expect("a configuration"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("a connection");
                let _ = converse(StreamOwned::new(connection, stream));
            });
        }
    });
    port
}

fn converse(stream: StreamOwned<ServerConnection, std::net::TcpStream>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut host, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("host: ") {
                host = value.trim().to_owned();
            }
            if line == "\r\n" {
                break;
            }
        }
        let name = stream.get_ref().conn.server_name().unwrap_or("none").to_owned();
        stream.get_mut().write_all(&answer("200 OK", "", &format!("name={name} host={host}")))?;
    }
}
