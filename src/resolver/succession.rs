//! What is known of a vault whose options change: nothing is lost before something new is there.
//!
//! Options that say how long a secret serves leave documents, connections and logins as they are: documents are dated anew.
//! Where options say where the vault is or which client asks, the value of before serves on as stale until the first
//! outcome under the new ones, which is fetched at once; after a failure as after any failed renewal. It is never handed to
//! other workers, and whatever a fetch under the old options brings later is for those alone who waited for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::resolver::resolved_reference::DocumentKey;

/// What a resolver remembers of options that changed.
#[derive(Default)]
pub struct Succession {
    /// Documents whose vault has options by now that can't be used, by the secret's name.
    pub(super) orphans: Mutex<HashMap<String, Vec<Arc<DocumentKey>>>>,
    /// Vaults of which the log was told that they can't be used as they are now, by name.
    pub(super) told: Mutex<HashSet<Arc<str>>>,
}
