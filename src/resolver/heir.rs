//! Finds what takes the place of a document's key when the options of its vault change.

use std::sync::Arc;

use crate::cache::Heir;
use crate::config::Config;
use crate::error::Kind;
use crate::resolver::resolved_reference::DocumentKey;

/// What takes the place of `key` under the current configuration; `None` where it stays.
pub fn heir_of(key: &Arc<DocumentKey>, config: &Config) -> Option<Heir<Arc<DocumentKey>>> {
    // For each outcome that is kept this is asked, and to make a key anew takes long.
    if key.is_current(config) {
        return None;
    }
    match key.under(config) {
        Ok(new) if new == **key => None,
        Ok(new) => {
            let (ttl_policy, same_place) = (new.ttl_policy, new.is_same_document(key));
            Some(Heir::Key { key: Arc::new(new), ttl_policy, same_place })
        }
        Err(error) if error.kind() == Kind::UnknownVault => Some(Heir::None),
        Err(flaw) => Some(Heir::Flawed { flaw, ttl_policy: key.ttl_policy }),
    }
}

/// The key under which an outcome is kept that was fetched for `key`; `None` where changed options forbid that.
pub fn kept_under(key: &Arc<DocumentKey>, config: &Config) -> Option<Arc<DocumentKey>> {
    match heir_of(key, config) {
        None => Some(Arc::clone(key)),
        Some(Heir::Key { key, same_place: true, .. }) => Some(key),
        Some(_) => None,
    }
}
