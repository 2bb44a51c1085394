//! One vault, as references name it.

use std::sync::Arc;

use crate::backend::Descriptor;
use crate::error::Result;
use crate::options::settings::FinalSettings;

/// One vault that references can name: a backend by its own name, or an entity by its prefix.
#[derive(Debug)]
pub struct Vault {
    pub name: String,
    pub backend: &'static Descriptor,
    /// The options without those of a reference; or what is wrong with them.
    pub(super) settings: Result<Arc<FinalSettings>>,
}

impl Vault {
    /// Whether these are its options: not equal ones, but those themselves.
    pub fn has(&self, settings: &Arc<FinalSettings>) -> bool {
        self.settings.as_ref().is_ok_and(|own| Arc::ptr_eq(own, settings))
    }

    pub(super) fn is_same(&self, other: &Vault) -> bool {
        let same = match (&self.settings, &other.settings) {
            (Ok(one), Ok(other)) => {
                one.document_key == other.document_key && one.boolean("base64_decode") == other.boolean("base64_decode")
            }
            (Err(one), Err(other)) => one == other,
            _ => false,
        };
        same && self.backend.name == other.backend.name
    }

    pub(super) fn is_at_same_place(&self, other: &Vault) -> bool {
        let same = match (&self.settings, &other.settings) {
            (Ok(one), Ok(other)) => one.instance_key == other.instance_key,
            _ => false,
        };
        same && self.backend.name == other.backend.name
    }
}
