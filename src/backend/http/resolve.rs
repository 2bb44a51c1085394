//! Names to addresses: on the runtime's blocking threads, or on the caller's where no thread may live.

use std::net::ToSocketAddrs;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver.
pub(super) struct System {
    /// Whether a look-up may use a thread of its own.
    pub threads: bool,
    /// The host to look up whatever the URL's name is: with a `server_name`, the URL carries the certificate's name.
    pub target: Option<String>,
}

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        let host = self.target.clone().unwrap_or_else(|| name.as_str().to_owned());
        let threads = self.threads;
        Box::pin(async move {
            let addresses: Vec<_> = if threads {
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect()
            } else {
                (host.as_str(), 0).to_socket_addrs()?.collect()
            };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
