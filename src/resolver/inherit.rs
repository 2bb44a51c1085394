//! Takes values from before a reload out of the node's cache, see `previous`.

use crate::node::{Node, SealedOutcome, hex};
use crate::resolver::singleflight::{Purpose, Unstarted};
use crate::resolver::state::Resolver;

impl Resolver {
    /// The name under which the dictionary may have the document of a created call from before the options of its vault
    /// changed; `None` where they did not change, or where this was asked before.
    pub fn previous_name(&self, ticket: u64) -> Option<String> {
        let (node, Unstarted { key, purpose, .. }) = (Node::of_this_process()?, self.calls().unstarted(ticket)?);
        let (name, _) = self.previous().name_of(&key, node).filter(|_| purpose == Purpose::Miss)?;
        // The cache has an entry for the document already.
        if self.documents().contains(&key) {
            return None;
        }
        self.previous().try_once(&key).then(|| hex(&name))
    }

    /// Keeps the value that lay under that name, to serve until the created call is completed. Returns whether it
    /// serves.
    pub fn inherit_previous(&self, ticket: u64, sealed: &[u8]) -> bool {
        self.inherit(ticket, sealed).unwrap_or_default()
    }

    fn inherit(&self, ticket: u64, sealed: &[u8]) -> Option<bool> {
        let node = Node::of_this_process()?;
        let Unstarted { key, .. } = self.calls().unstarted(ticket)?;
        let (name, changed_at) = self.previous().name_of(&key, node)?;
        let Some(SealedOutcome::Value(value)) = node.open(&name, sealed) else { return None };
        Some(self.documents().inherit_previous(&key, value, changed_at))
    }
}
