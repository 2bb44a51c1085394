//! Names to addresses: on the runtime's blocking threads, or on the caller's where no thread may live.

use std::fmt;
use std::future::Future;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// The system's resolver.
#[derive(Clone)]
pub(super) struct System {
    /// Whether a look-up may use a thread of its own.
    pub threads: bool,
}

/// The resolver knows no address of a name, or can't be asked.
#[derive(Debug)]
pub(super) struct Unresolved;

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has no address")
    }
}

impl std::error::Error for Unresolved {}

impl Service<Name> for System {
    type Response = IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let threads = self.threads;
        Box::pin(async move {
            // The port is the connector's to set.
            let host = (name.as_str(), 0);
            let addresses: Vec<_> = if threads {
                tokio::net::lookup_host(host).await.map_err(|_| Unresolved)?.collect()
            } else {
                host.to_socket_addrs().map_err(|_| Unresolved)?.collect()
            };
            Ok(addresses.into_iter())
        })
    }
}
