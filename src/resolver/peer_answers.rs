//! Answers other workers of the node that ask this one for documents.

use std::sync::{Arc, Weak};

use crate::error::{Error, Kind, Result};
use crate::node::peers::{PeerServer, Peers, Question};
use crate::node::{Node, SealedOutcome};
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::shared_cache::published::with_old;
use crate::resolver::singleflight::CallWatch;
use crate::resolver::state::Resolver;
use crate::runtime::engine::Engine;

impl Resolver {
    /// The address at which other workers ask this one. Starts the engine, so it is not for a process that forks.
    pub fn address(self: &Arc<Self>) -> Result<&Arc<str>> {
        Ok(&self.peer_server(|| self.listen(self.engine()?))?.address)
    }

    fn listen(self: &Arc<Self>, engine: &Engine) -> Result<PeerServer> {
        let opened = engine.within(Peers::open);
        let peers = opened.map_err(|err| {
            Error::new(Kind::Internal, format!("kong-vault can't open a socket for its other workers ({err})"))
        })?;
        let (address, resolver) = (peers.name().into(), Arc::downgrade(self));
        let serving = engine.spawn(peers.serve(move |question| answer(resolver.clone(), question)));
        Ok(PeerServer { address, serving })
    }
}

/// Answers another worker with the outcome of a call that serves its question, once there is one. The call may be over
/// and collected by the time that the question arrives: then with the value that it brought.
async fn answer(resolver: Weak<Resolver>, Question { name, after }: Question) -> Option<Vec<u8>> {
    let node = Node::of_this_process()?;
    let is_it = |key: &Arc<DocumentKey>| *key.name(node) == name;
    let found = resolver.upgrade()?.calls().find_and_watch(is_it, node.instant(after)?);
    let Some((key, watch)) = found else {
        let value = resolver.upgrade()?.documents().find_own(is_it, node.instant(after)?)?;
        return node.seal(&name, &SealedOutcome::Value(value));
    };
    let sealed_outcome = match watch {
        CallWatch::Completed(sealed_outcome) => sealed_outcome,
        CallWatch::Running(completion) => completion.await.ok()?,
    };
    let sealed_outcome = sealed_outcome.filter(|sealed_outcome| node.clock(sealed_outcome.began()) > after)?;
    node.seal(&name, &with_old(resolver.upgrade()?.documents(), &key, sealed_outcome, None))
}
