//! Vault entities that change while requests are served.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::backend::registry::ALL;
use crate::backend::{Descriptor, LISTING};
use crate::cache::CacheLookup;
use crate::config::entity::{self, Entity};
use crate::config::{EntityResult, IndirectValues};
use crate::error::Result;
use crate::reference::is_reference;
use crate::resolver::lookup::{Lookup, pick};
use crate::resolver::resolved_reference::ResolvedReference;
use crate::resolver::state::Resolver;
use crate::secret::Secret;
use crate::store::Record;
use crate::store::record::wipe;

impl Resolver {
    /// Replaces all entities that are not from the declarative file; `place` is where they are stored, for error texts.
    /// The cached values of changed vaults serve on, see `succession`. Does no input or output. Returns whether
    /// anything changed.
    pub fn replace_entities(self: &Arc<Self>, entities: Vec<EntityResult>, place: &str) -> bool {
        let indirect = self.indirect_values(&entities);
        let next = self.config().read_entities(entities, place, &indirect);
        if self.config().note_live_credentials(&indirect) {
            self.references().clear();
            self.bump();
        }
        self.change(next)
    }

    /// The values of entities' options that are references themselves.
    pub(super) fn indirect_values(self: &Arc<Self>, entities: &[EntityResult]) -> IndirectValues {
        let mut indirect = IndirectValues::default();
        for reference in entities.iter().flatten().flat_map(credentials) {
            let found = self.lookup_trusted(reference.as_bytes()).and_then(|found| match found {
                Lookup::Value(value) => Ok((*value.secret).clone()),
                Lookup::Miss(resolved) => Err(resolved.key.would_block()),
            });
            indirect.note(reference.to_owned(), found);
        }
        indirect
    }

    /// `lookup` for a reference that the operator wrote, which may name kong-vault's own credentials. Where its vault
    /// can't be asked on the spot, a value that isn't fresh is a miss.
    fn lookup_trusted(self: &Arc<Self>, reference: &[u8]) -> Result<Lookup> {
        let resolved = Arc::new(ResolvedReference::resolve(reference, self.config())?);
        match self.documents().look(&resolved.key) {
            CacheLookup::Fresh(document) => pick(&resolved, &document, false).map(Lookup::Value),
            _ => self.miss(resolved),
        }
    }

    /// The value of a reference that the operator wrote, which may name kong-vault's own credentials; `None` where
    /// there is no fresh one and its vault can't be asked on the spot.
    pub fn operators_value(self: &Arc<Self>, reference: &[u8]) -> Result<Option<Arc<Secret>>> {
        match self.lookup_trusted(reference)? {
            Lookup::Value(value) => Ok(Some(value.secret)),
            Lookup::Miss(_) => Ok(None),
        }
    }

    /// The reference by which a strategy of Kong's asks for a document.
    pub fn reference_of_strategy(
        &self,
        backend: &'static Descriptor,
        options: &BTreeMap<String, String>,
        resource: &[u8],
        version: Option<u32>,
        trusted: bool,
    ) -> Result<Vec<u8>> {
        let vault = self.config().vault_of_strategy(backend, options, trusted)?;
        let listing = if backend.files { LISTING } else { "" };
        let resource = [resource, listing.as_bytes()].concat();
        let resource = percent_encoding::percent_encode(&resource, percent_encoding::NON_ALPHANUMERIC);
        let version = version.map_or(String::new(), |version| format!("#{version}"));
        // The slash at the end says that no field is wanted: Kong picks it.
        Ok(format!("{{vault://{vault}/{resource}/{version}}}").into_bytes())
    }
}

/// Those of an entity's values that are references to the environment.
fn credentials(entity: &Entity) -> impl Iterator<Item = &str> {
    entity.config.values().map(String::as_str).filter(|value| is_reference(value.as_bytes()))
}

/// Parses an entity's record, or says what is wrong with it.
pub(super) fn listed(vault: &Record, place: &str) -> EntityResult {
    let mut whole = Value::Object((**vault).clone());
    let listed = entity::listed(&whole, ALL, place);
    wipe(&mut whole);
    listed
}
