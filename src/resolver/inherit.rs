//! What a worker that knows nothing yet takes over from before a reload, see `previous`.

use std::time::Instant;

use crate::cache::Entry;
use crate::node::{Name, Node, SealedOutcome, hex};
use crate::resolver::Resolver;
use crate::resolver::previous::MOST;
use crate::resolver::singleflight::{Purpose, Unstarted};
use crate::sync::lock;

impl Resolver {
    /// By which name the dictionary may have the document of a created call under the options of before; `None` where
    /// those were no others, or where it was asked before.
    pub fn previous_name(&self, ticket: u64) -> Option<String> {
        let (node, Unstarted { key, purpose, .. }) = (Node::of_this_process()?, lock(&self.calls).unstarted(ticket)?);
        if purpose != Purpose::Miss {
            return None;
        }
        let (place, _) = self.previous.places.get(&*key.instance.vault)?;
        // Whatever lay under the name of now is an outcome already, where it is of use.
        if lock(&self.cache).peek(&key).is_some() {
            return None;
        }
        let name = key.name_at(place, node)?;
        let mut tried = lock(&self.previous.tried);
        let is_new = tried.len() < MOST && tried.insert(key.number());
        is_new.then(|| hex(&name))
    }

    /// Keeps what lay under that name, to serve until the created call is completed. Returns whether it is of use.
    pub fn inherit_previous(&self, ticket: u64, sealed: &[u8]) -> bool {
        self.inherit(ticket, sealed).is_some()
    }

    fn inherit(&self, ticket: u64, sealed: &[u8]) -> Option<()> {
        let (node, now) = (Node::of_this_process()?, Instant::now());
        let Unstarted { key, .. } = lock(&self.calls).unstarted(ticket)?;
        let (place, changed_at) = self.previous.places.get(&*key.instance.vault)?;
        let name: Name = key.name_at(place, node)?;
        let Some(SealedOutcome::Value(value)) = node.open(&name, sealed) else { return None };
        let (evicted, next) = {
            let mut cache = lock(&self.cache);
            // Looked at under the lock, as in `keep_value`.
            if lock(&self.flushed_at).is_some_and(|floor| value.at <= floor) || cache.peek(&key).is_some() {
                return None;
            }
            let entry = Entry::of_before(value, &key.ttl_policy, *changed_at, now, fastrand::f64())?;
            (cache.put(key, entry), cache.next())
        };
        if evicted {
            self.bump();
        }
        self.schedule.expect(next);
        Some(())
    }
}
