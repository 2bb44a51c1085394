//! What a reference means under a configuration: which document of which vault, and which part of it.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::backend::{Ask, Descriptor};
use crate::cache::Terms;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::node::{Name, Node, hex};
use crate::reference;
use crate::secret::Secret;
use crate::settings::{Sealed, SettingsKey, hash_once};

/// A reference, understood and checked.
#[derive(Debug, Clone)]
pub struct Plan {
    pub origin: Arc<Origin>,
    /// The field to pick from the document.
    pub key: Option<Vec<u8>>,
    pub base64_decode: bool,
}

/// Where one document comes from, and the key it is cached by: two references that differ in nothing but the field and
/// its decoding have equal origins.
pub struct Origin {
    pub descriptor: &'static Descriptor,
    pub settings: Arc<Sealed>,
    pub ask: Ask,
    pub terms: Terms,
    pub instance: InstanceKey,
    /// Whether the reference that it is from wants a field, so that fields are best read where the document is fetched.
    pub by_field: bool,
    name: OnceLock<Name>,
    name_text: OnceLock<Arc<Secret>>,
    hash: u64,
}

/// What makes two origins share a vault's connections and credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceKey {
    /// The vault's name in references: an entity's prefix, or the backend's own name.
    pub vault: Arc<str>,
    settings: SettingsKey,
}

impl InstanceKey {
    /// By which the workers of a node call the vault.
    pub fn name(&self, node: &Node) -> Name {
        node.name([&b"vault"[..], self.vault.as_bytes(), &self.settings.to_bytes()])
    }
}

impl Plan {
    /// What `reference` means.
    pub fn of(reference: &[u8], config: &Config) -> Result<Self> {
        let reference = reference::parse(reference)?;
        let vault = config.vault(&reference.name)?;
        let settings = config.settings(&vault, &reference)?;
        let resource = String::from_utf8(reference.resource).map_err(|_| {
            let text =
                format!("{} vault ({}) takes names in utf-8 only: mend the reference", vault.backend.name, vault.name);
            Error::new(Kind::Reference, text)
        })?;
        let mut origin = Origin {
            descriptor: vault.backend,
            ask: Ask { resource, version: reference.version },
            terms: Terms {
                ttl: settings.seconds("ttl"),
                neg_ttl: settings.seconds("neg_ttl").unwrap_or(Duration::ZERO),
                resurrect_ttl: settings.seconds("resurrect_ttl").unwrap_or(Duration::ZERO),
                min_ttl: settings.seconds("min_ttl").unwrap_or(Duration::ZERO),
                max_ttl: settings.seconds("max_ttl"),
            },
            instance: InstanceKey { vault: vault.name.as_str().into(), settings: settings.instance_key.clone() },
            settings: Arc::clone(&settings),
            by_field: reference.key.is_some(),
            name: OnceLock::new(),
            name_text: OnceLock::new(),
            hash: 0,
        };
        origin.hash = hash_once(&origin.identity());
        Ok(Self { origin: Arc::new(origin), key: reference.key, base64_decode: settings.boolean("base64_decode") })
    }
}

impl Origin {
    /// How error texts call the vault.
    pub fn label(&self) -> String {
        format!("{} vault ({})", self.descriptor.name, self.instance.vault)
    }

    /// What those hear who can't wait for it.
    pub fn would_block(&self) -> Error {
        let text = format!(
            "{} would block in this phase: the secret is being fetched in the background, ask again later or warm it up in init_worker",
            self.label()
        );
        Error::new(Kind::WouldBlock, text)
    }

    /// What those hear whose fetch was dropped.
    pub fn ended_early(&self) -> Error {
        let text = format!("the fetch from {} ended early: please report this as a defect", self.label());
        Error::new(Kind::Internal, text)
    }

    /// By which the workers of a node call it.
    pub fn name(&self, node: &Node) -> &Name {
        self.name.get_or_init(|| {
            let (vault, resource, version, settings) = self.identity();
            let version = version.map_or(0, u64::from).to_le_bytes();
            let settings = settings.to_bytes();
            let parts: [&[u8]; 5] =
                [self.descriptor.name.as_bytes(), vault.as_bytes(), resource.as_bytes(), &version, &settings];
            node.name(parts)
        })
    }

    /// The same as text, as Lua has it for the shared dictionary's keys.
    pub fn name_text(&self, node: &Node) -> Arc<Secret> {
        Arc::clone(self.name_text.get_or_init(|| Arc::new(Secret::new(hex(self.name(node))))))
    }

    /// What the origin weighs as a cache's key, in bytes; the settings are shared by all documents of a vault.
    pub fn bytes(&self) -> usize {
        std::mem::size_of::<Self>() + self.instance.vault.len() + self.ask.resource.len()
    }

    fn identity(&self) -> (&str, &str, Option<u32>, &SettingsKey) {
        (&self.instance.vault, &self.ask.resource, self.ask.version, &self.settings.document_key)
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", self.label(), self.ask)
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.identity() == other.identity()
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
