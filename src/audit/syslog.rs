//! Syslog, as nginx's `error_log` does it: a datagram for each line, in the form of RFC 3164 without time and host. The
//! RFC has receivers add both, and the line has its own time. journald does not read RFC 5424's form.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::audit::destination::Server;

/// How long a receiver may take to make room.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Syslog {
    socket: Socket,
    head: String,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Syslog {
    /// Connects to the server. It looks its name up, which blocks.
    pub fn connect(server: &Server, priority: usize, tag: &str) -> io::Result<Self> {
        let socket = match server {
            Server::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Socket::Unix(socket)
            }
            Server::Udp(host, port) => Socket::Udp(connect(host, *port)?),
        };
        Ok(Self { socket, head: format!("<{priority}>{tag}[{}]: ", std::process::id()) })
    }

    /// Sends lines, each of which ends where `ends` says. Returns how many were sent.
    pub fn write(&mut self, lines: &[u8], ends: &[usize]) -> (usize, io::Result<()>) {
        let (mut start, mut message) = (0, Vec::new());
        for (sent, end) in ends.iter().enumerate() {
            message.clear();
            message.extend_from_slice(self.head.as_bytes());
            message.extend_from_slice(lines[start..*end].trim_ascii_end());
            start = *end;
            let outcome = match &self.socket {
                Socket::Unix(socket) => socket.send(&message),
                Socket::Udp(socket) => socket.send(&message),
            };
            if let Err(err) = outcome {
                return (sent, Err(err));
            }
        }
        (ends.len(), Ok(()))
    }
}

fn connect(host: &str, port: u16) -> io::Result<UdpSocket> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    #[expect(clippy::disallowed_methods, reason = "on a thread of the pool for audit logs")]
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(&(host, port))?;
    for address in addresses {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        match UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(err) => last = err,
        }
    }
    Err(last)
}
