//! The claim of a worker that fetches a document, as it lies in the shared dictionary.

use std::time::Instant;

use crate::node::Node;

/// What lies in the shared dictionary of a worker that fetches a document.
pub struct Claim {
    /// As it lies there.
    pub text: String,
    /// Where the worker is to be asked.
    pub address: String,
    /// When it was made, by the node's clock: the fetch began later. 0: unknown.
    pub clock: u64,
}

impl Claim {
    pub fn read(text: String) -> Self {
        let known = text.split_once('@').and_then(|(address, clock)| Some((address.to_owned(), clock.parse().ok()?)));
        let (address, clock) = known.unwrap_or_else(|| (text.clone(), 0));
        Self { text, address, clock }
    }

    pub fn began(&self) -> Option<Instant> {
        Node::of_this_process()?.instant(self.clock).filter(|_| self.clock > 0)
    }
}
