//! Fetches documents as soon as their vault says that they may have changed.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::backend::Changes;
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::singleflight::Purpose;
use crate::resolver::state::Resolver;

/// The pause after changes were handled: a busy directory reports changes all the time.
const PAUSE: Duration = Duration::from_millis(5);

impl Resolver {
    /// Handles the changes that a vault reports, if it does and nobody handles them yet. Called on the engine.
    pub(super) fn listen_to_vault(self: &Arc<Self>, key: &DocumentKey) {
        let Some(changes) = self.instances().known(&key.instance).and_then(|vault| vault.take_changes()) else {
            return;
        };
        tokio::spawn(listen(Arc::downgrade(self), key.instance.clone(), changes));
    }
}

/// Ends when the vault or the resolver is dropped.
async fn listen(resolver: Weak<Resolver>, vault: InstanceKey, mut changes: Changes) {
    while let Some(first) = changes.recv().await {
        let mut names = BTreeSet::from([first]);
        while let Ok(further) = changes.try_recv() {
            names.insert(further);
        }
        let Some(resolver) = resolver.upgrade() else { return };
        // A quitting worker finishes its last requests with the values that it has.
        if resolver.schedule().is_quitting() {
            return;
        }
        let now = Instant::now();
        let mut keys = resolver.documents().keys_below(&vault, &names);
        // A first fetch may have read what was there before the change.
        for key in resolver.calls().open_keys(|key| key.instance == vault && key.is_below(&names)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        for key in keys {
            resolver.metrics().refreshes.inc();
            resolver.fetch_in_background(&key, Purpose::Newer(now));
        }
        drop(resolver);
        tokio::time::sleep(PAUSE).await;
    }
}
