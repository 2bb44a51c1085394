//! What a reference means under a configuration: which document of which vault, and which part of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::backend::{Descriptor, SecretId};
use crate::cache::TtlPolicy;
use crate::cache::document::WHOLE;
use crate::config::{Config, Vault, options_of};
use crate::error::{Error, Kind, Result};
use crate::node::{Name, Node, hex};
use crate::options::settings::{Digests, FinalSettings, Settings, SettingsKey, hash_once};
use crate::options::value::Value;
use crate::options::{COMMON, Opt};
use crate::reference::{self, Reference};

/// How many characters of a document's name a debug line shows, as in `debug_log.lua`.
const SHOWN: usize = 12;

/// A reference, understood and checked.
#[derive(Debug, Clone)]
pub struct ResolvedReference {
    pub key: Arc<DocumentKey>,
    /// The field to pick from the document.
    pub field: Option<Vec<u8>>,
    pub base64_decode: bool,
}

/// Where one document comes from, and the key it is cached by: two references that differ in nothing but the field and
/// its decoding have equal keys.
pub struct DocumentKey {
    pub descriptor: &'static Descriptor,
    pub settings: Arc<FinalSettings>,
    pub secret_id: SecretId,
    /// The options that the reference itself sets, except the decoding: `under` makes the key anew from them.
    options: Options,
    pub ttl_policy: TtlPolicy,
    pub instance: InstanceKey,
    /// Whether the reference names a field: then the fetch parses the document's fields.
    pub by_field: bool,
    name: OnceLock<Name>,
    name_text: OnceLock<Arc<str>>,
    hash: u64,
}

/// Options of a reference, by name.
type Options = Arc<[(Vec<u8>, Option<Vec<u8>>)]>;

/// The option that says how a value is decoded. It is no part of the document's key.
fn decoding() -> Option<&'static Opt> {
    COMMON.iter().find(|opt| opt.name == "base64_decode")
}

fn is_decoding(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| decoding().is_some_and(|opt| opt.is_called(name)))
}

/// Documents with equal instance keys share a vault's connections and credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceKey {
    /// The vault's name in references: an entity's prefix, or the backend's own name.
    pub vault: Arc<str>,
    settings: SettingsKey,
}

impl InstanceKey {
    /// The vault's key in the node's cache.
    pub fn name(&self, node: &Node) -> Name {
        node.name([&b"vault"[..], self.vault.as_bytes(), &self.settings.to_bytes()])
    }
}

/// Digests of the options that say where a vault is and which client asks it. The names of its documents are made of
/// them; they do not reveal the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultIdentity {
    kind: &'static str,
    digests: Digests,
}

impl VaultIdentity {
    pub fn new(descriptor: &'static Descriptor, settings: &FinalSettings, node: &Node) -> Self {
        Self { kind: descriptor.name, digests: digests(&settings.instance_key, node) }
    }
}

fn digests(settings: &SettingsKey, node: &Node) -> Digests {
    Arc::clone(settings.digests(|value| node.name([&b"option"[..], value])))
}

impl ResolvedReference {
    /// What `reference` means.
    pub fn resolve(reference: &[u8], config: &Config) -> Result<Self> {
        let reference = reference::parse(reference)?;
        let vault = config.vault(&reference.name)?;
        let name = secret_name(vault.backend, &reference);
        let (key, settings) = DocumentKey::new(&vault, &name, &reference, config)?;
        let field = field(vault.backend, &reference).map(<[u8]>::to_vec);
        Ok(Self { key: Arc::new(key), field, base64_decode: settings.boolean("base64_decode") })
    }

    /// The error of a failed fetch, for those who asked by this reference. Where it names a field and the secret was
    /// not found, the field may be meant as a part of the secret's name: the advice says so.
    pub fn explain(&self, error: Error) -> Error {
        match (&self.field, error.kind()) {
            (Some(_), Kind::NotFound) => error.with_advice(WHOLE),
            _ => error,
        }
    }
}

impl DocumentKey {
    fn new(vault: &Vault, name: &[u8], reference: &Reference, config: &Config) -> Result<(Self, Arc<FinalSettings>)> {
        let settings = config.settings(vault, reference)?;
        let resource = String::from_utf8(name.to_vec()).map_err(|_| {
            let text = format!(
                "{} vault ({}) accepts names only in utf-8: correct the reference",
                vault.backend.name, vault.name
            );
            Error::new(Kind::Reference, text)
        })?;
        let mut key = DocumentKey {
            descriptor: vault.backend,
            secret_id: SecretId { resource, version: reference.version },
            options: set_by(reference),
            ttl_policy: TtlPolicy {
                ttl: bound(&settings, "ttl"),
                neg_ttl: settings.seconds("neg_ttl").unwrap_or(Duration::ZERO),
                resurrect_ttl: settings.seconds("resurrect_ttl").unwrap_or(Duration::ZERO),
                min_ttl: settings.seconds("min_ttl").unwrap_or(Duration::ZERO),
                max_ttl: bound(&settings, "max_ttl"),
            },
            instance: InstanceKey { vault: vault.name.as_str().into(), settings: settings.instance_key.clone() },
            settings: Arc::clone(&settings),
            by_field: field(vault.backend, reference).is_some(),
            name: OnceLock::new(),
            name_text: OnceLock::new(),
            hash: 0,
        };
        key.hash = hash_once(&key.identity());
        Ok((key, settings))
    }

    /// Whether its vault has the very options that this key was made of: then it is the key under the current ones, too.
    pub fn is_current(&self, config: &Config) -> bool {
        self.options.is_empty()
            && config.vault(self.instance.vault.as_bytes()).is_ok_and(|vault| vault.has(&self.settings))
    }

    /// The key of the same document under its vault's current options.
    pub fn under(&self, config: &Config) -> Result<Self> {
        self.named(&self.secret_id.resource, config)
    }

    /// Another document of its vault, under the same options.
    pub fn sibling(&self, name: &str, config: &Config) -> Result<Self> {
        self.named(name, config)
    }

    fn named(&self, name: &str, config: &Config) -> Result<Self> {
        let reference = Reference {
            name: self.instance.vault.as_bytes().to_vec(),
            resource: Vec::new(),
            key: self.by_field.then(Vec::new),
            options: self.options.to_vec(),
            version: self.secret_id.version,
        };
        let vault = config.vault(&reference.name)?;
        Self::new(&vault, name.as_bytes(), &reference, config).map(|(key, _)| key)
    }

    /// Whether both ask the same place, as the same client, for the same document: then they differ only in how long it
    /// serves.
    pub fn is_same_document(&self, other: &DocumentKey) -> bool {
        self.descriptor.name == other.descriptor.name
            && self.instance == other.instance
            && self.secret_id.resource == other.secret_id.resource
            && self.secret_id.version == other.secret_id.version
    }

    /// Whether a value is decoded for `reference`, which asks for this document.
    pub fn decodes_for(&self, reference: &Reference) -> bool {
        let own = reference.options.iter().find(|(name, _)| is_decoding(name));
        match own.map(|(_, value)| value.as_deref().map_or(Some("true"), |value| std::str::from_utf8(value).ok())) {
            None => self.settings.boolean("base64_decode"),
            Some(value) => {
                let read = value.and_then(|value| decoding()?.parse(value));
                matches!(read, Some(Value::Boolean(true)))
            }
        }
    }

    /// Whether `reference` asks for this document, whatever the options of its vault are.
    pub fn is_asked_by(&self, reference: &Reference) -> bool {
        *self.instance.vault.as_bytes() == *reference.name
            && self.secret_id.resource.as_bytes() == &*secret_name(self.descriptor, reference)
            && self.secret_id.version == reference.version
            && self.options == set_by(reference)
    }

    /// The field that `reference`, which asks for this document, picks from it.
    pub fn field_of<'a>(&self, reference: &'a Reference) -> Option<&'a [u8]> {
        field(self.descriptor, reference)
    }

    /// Whether it has one of these names, or lies below one. Every document lies below the empty name.
    pub fn is_below(&self, names: &BTreeSet<String>) -> bool {
        let name = &*self.secret_id.resource;
        let mut above = name.match_indices('/').map(|(at, _)| &name[..at]);
        names.contains("") || names.contains(name) || above.any(|name| names.contains(name))
    }

    /// The number by which a vault's breaker tells documents apart.
    pub fn number(&self) -> u64 {
        self.hash
    }

    /// Whether references that the operator did not write may read the document.
    pub fn may_be_read(&self, config: &Config) -> Result<()> {
        config.admits_reading(&self.instance.vault, self.descriptor, &self.settings, &self.secret_id)
    }

    /// The vault's name in error texts.
    pub fn label(&self) -> String {
        format!("{} vault ({})", self.descriptor.name, self.instance.vault)
    }

    /// The document's reference, without a field, as it may be shown.
    pub fn shown_reference(&self) -> String {
        reference::shown(self.shown_vault(), &self.secret_id.resource, &self.options, self.secret_id.version)
    }

    /// The name of its vault for operators: Kong's strategies have names of their own behind an `@`.
    pub fn shown_vault(&self) -> &str {
        let vault = &*self.instance.vault;
        vault.split_once('@').map_or(vault, |(name, _)| name)
    }

    /// The vault's key in the node's cache.
    pub fn vault_name(&self) -> Name {
        Node::of_this_process().map(|node| self.instance.name(node)).unwrap_or_default()
    }

    /// The key of a vault's notices in the node's cache, apart from its health.
    pub fn notices_name(&self) -> Name {
        Node::of_this_process().map(|node| node.name([&b"news"[..], self.label().as_bytes()])).unwrap_or_default()
    }

    /// The document's name in debug lines: the beginning of its name on the node.
    pub fn shown(&self) -> String {
        let name = Node::of_this_process().map(|node| hex(self.name(node))).unwrap_or_default();
        format!("document {}", name.get(..SHOWN).unwrap_or("without a name"))
    }

    /// The error for those who can't wait for the document.
    pub fn would_block(&self) -> Error {
        let text = format!(
            "{} would block in this phase: kong-vault fetches the secret in the background: call again later, or \
             warm it up in init_worker",
            self.label()
        );
        Error::new(Kind::WouldBlock, text)
    }

    /// The error for those whose fetch was dropped.
    pub fn ended_early(&self) -> Error {
        let text = format!("the fetch from {} ended early: report this as a defect", self.label());
        Error::new(Kind::Internal, text)
    }

    /// The document's key in the node's cache. Options that say how long it serves are no part of it: each worker knows
    /// the document's date, and applies its own.
    pub fn name(&self, node: &Node) -> &Name {
        self.name.get_or_init(|| {
            let digests = digests(&self.instance.settings, node);
            self.name_of(self.descriptor.name, digests.iter().copied(), node)
        })
    }

    /// The document's name under another identity of its vault, with the options that its reference sets; `None` where
    /// those do not apply there.
    pub fn name_at(&self, place: &VaultIdentity, node: &Node) -> Option<Name> {
        let own = digests(&self.instance.settings, node);
        let mut digests: BTreeMap<_, _> = place.digests.iter().copied().collect();
        for (name, _) in self.options.iter() {
            let name = std::str::from_utf8(name).ok()?;
            let opt = options_of(self.descriptor).find(|opt| opt.is_called(name))?;
            match own.iter().find(|(name, _)| *name == opt.name) {
                Some(_) if place.kind != self.descriptor.name => return None,
                Some((name, digest)) => drop(digests.insert(name, *digest)),
                // The option says how long a value serves, which is no part of the name.
                None => {}
            }
        }
        Some(self.name_of(place.kind, digests.into_iter(), node))
    }

    fn name_of(&self, kind: &str, digests: impl Iterator<Item = (&'static str, [u8; 16])>, node: &Node) -> Name {
        let version = self.secret_id.version.map_or(0, u64::from).to_le_bytes();
        let mut settings = Vec::new();
        for (name, digest) in digests {
            settings.extend_from_slice(name.as_bytes());
            settings.push(0);
            settings.extend_from_slice(&digest);
        }
        let (vault, resource) = (self.instance.vault.as_bytes(), self.secret_id.resource.as_bytes());
        node.name([kind.as_bytes(), vault, resource, &version, &settings])
    }

    /// The same as text, which Lua uses in the shared dictionary's keys.
    pub fn name_text(&self, node: &Node) -> &Arc<str> {
        self.name_text.get_or_init(|| hex(self.name(node)).into())
    }

    /// The size of the key in a cache, in bytes, without the settings, which all documents of a vault share.
    pub fn bytes(&self) -> usize {
        std::mem::size_of::<Self>() + self.instance.vault.len() + self.secret_id.resource.len()
    }

    fn identity(&self) -> (&str, &str, &str, Option<u32>, &SettingsKey, &Options) {
        let vault = (self.descriptor.name, &*self.instance.vault);
        (vault.0, vault.1, &self.secret_id.resource, self.secret_id.version, &self.settings.document_key, &self.options)
    }
}

impl std::fmt::Debug for DocumentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", self.label(), self.secret_id)
    }
}

impl PartialEq for DocumentKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.identity() == other.identity()
    }
}

impl Eq for DocumentKey {}

impl Hash for DocumentKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// The name that a reference asks its backend for. For files it is the whole path, as only the backend can tell which part
/// is a field. A slash at the end says that none is.
pub fn secret_name<'a>(backend: &Descriptor, reference: &'a Reference) -> Cow<'a, [u8]> {
    let resource = &reference.resource[..];
    match &reference.key {
        Some(key) if backend.files => Cow::Owned([resource, b"/", key].concat()),
        None if backend.files && resource.contains(&b'/') => Cow::Owned([resource, b"/"].concat()),
        _ => Cow::Borrowed(resource),
    }
}

fn field<'a>(backend: &Descriptor, reference: &'a Reference) -> Option<&'a [u8]> {
    reference.key.as_deref().filter(|_| !backend.files)
}

/// A duration for which 0 means none, as Kong documents it.
fn bound(settings: &Settings, name: &str) -> Option<Duration> {
    settings.seconds(name).filter(|seconds| !seconds.is_zero())
}

/// The options of a reference that say which document it names; sorted, as their order has no meaning.
fn set_by(reference: &Reference) -> Options {
    let mut options: Vec<_> = reference.options.iter().filter(|(name, _)| !is_decoding(name)).cloned().collect();
    options.sort();
    options.into()
}
