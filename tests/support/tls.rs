//! A TLS server that tells what it was asked: the name in the handshake, the `Host` header and whose certificate it saw.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::certs::{Ca, Pair};
use super::{answer, is_whole};

/// Which TLS, and whose certificates are asked for.
#[derive(Default)]
pub struct Terms<'a> {
    pub versions: Option<&'static [&'static SupportedProtocolVersion]>,
    pub clients: Option<&'a Ca>,
    /// Whether who has none is served all the same.
    pub is_optional: bool,
}

/// Serves on a thread that ends with the test's process; returns the port.
pub fn start(pair: &Pair) -> u16 {
    start_with(pair, &Terms::default())
}

pub fn start_with(pair: &Pair, terms: &Terms<'_>) -> u16 {
    start_on(TcpListener::bind("127.0.0.1:0").expect("a loopback port"), pair, terms)
}

pub fn start_on(listener: TcpListener, pair: &Pair, terms: &Terms<'_>) -> u16 {
    let config = Arc::new(config(pair, terms));
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

/// Answers each request, head and body, with what `answer` makes of it.
pub fn answering(pair: &Pair, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let (config, answer) = (Arc::new(config(pair, &Terms::default())), Arc::new(answer));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, answer) = (config.clone(), answer.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("a connection");
                let _ = answer_all(StreamOwned::new(connection, stream), &*answer);
            });
        }
    });
    port
}

fn answer_all(
    mut stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    answer: &dyn Fn(&str) -> Vec<u8>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..length]);
        if is_whole(&request) {
            stream.write_all(&answer(&String::from_utf8_lossy(&request)))?;
            stream.flush()?;
            request.clear();
        }
    }
}

/// A server's configuration.
pub fn config(pair: &Pair, terms: &Terms<'_>) -> ServerConfig {
    let certificates = CertificateDer::pem_file_iter(&pair.certificate).expect("a file");
    let certificates = certificates.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = terms.versions.unwrap_or(rustls::DEFAULT_VERSIONS);
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
    let builder = builder.expect("known versions");
    let builder = match terms.clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&ca.pair.certificate).expect("a certificate")).expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if terms.is_optional { verifier.allow_unauthenticated() } else { verifier }.build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    builder.with_single_cert(certificates, key).expect("a configuration")
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
        let client = stream.get_ref().conn.peer_certificates().map(|chain| format!(" client={}", mark(&chain[0])));
        let text = format!("name={name} host={host}{}", client.unwrap_or_default());
        stream.get_mut().write_all(&answer("200 OK", "", &text))?;
    }
}

/// What tells certificates apart: the end of their signatures.
pub fn mark(certificate: &CertificateDer<'_>) -> String {
    certificate.iter().rev().take(8).map(|byte| format!("{byte:02x}")).collect()
}
