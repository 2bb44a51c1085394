//! Applies changed vault entities. What becomes of cached documents is described in `succession`.

use std::sync::Arc;

use crate::config::{Fate, PreparedEntities};
use crate::resolver::state::Resolver;

impl Resolver {
    /// Replaces the entities. Returns whether anything changed. Takes three locks, of the references, of the orphans
    /// and of the documents: no reference may be resolved under the new options before the documents are moved.
    pub(super) fn change(self: &Arc<Self>, next: PreparedEntities) -> bool {
        let changed = self.references().change(|| {
            let changed = self.config().replace_entities(next);
            let is_changed = !changed.is_empty();
            is_changed.then(|| {
                let moved = self.succession().move_documents(&changed, self.config(), self.documents());
                (changed, moved)
            })
        });
        let Some((changed, moved)) = changed else { return false };
        for key in &moved.asked_at_once {
            // A failed fetch is cached and reported by `keep`.
            let _ = self.fetch_immediate(key);
        }
        for shutdown in self.instances().forget(|vault| changed.get(&*vault.vault) == Some(&Fate::Place)) {
            // Without an engine there was no login that a shutdown would end.
            if let Ok(engine) = self.engine() {
                engine.spawn(shutdown);
            }
        }
        self.bump();
        self.schedule().expect(moved.next);
        self.succession().tell_of_change(&changed, self.config(), &moved);
        true
    }
}
