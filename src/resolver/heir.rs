//! Who is asked now for what was asked of a document's vault, whose options may have changed.

use std::sync::Arc;

use crate::cache::Heir;
use crate::config::Config;
use crate::error::Kind;
use crate::resolver::resolved_reference::DocumentKey;

/// Who is asked now for what was asked of `key`; `None` where that is itself.
pub fn heir_of(key: &Arc<DocumentKey>, config: &Config) -> Option<Heir<Arc<DocumentKey>>> {
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

/// Under which key an outcome is to be kept that was asked for under this one; `None` where the options are others by now.
pub fn kept_under(key: &Arc<DocumentKey>, config: &Config) -> Option<Arc<DocumentKey>> {
    match heir_of(key, config) {
        None => Some(Arc::clone(key)),
        Some(Heir::Key { key, same_place: true, .. }) => Some(key),
        Some(_) => None,
    }
}
