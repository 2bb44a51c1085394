//! Indirect values: options that are references themselves, with their values as far as these are known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use super::assignment::{begun, find};
use super::entity::EntityResult;
use crate::error::{Error, Kind, Result};
use crate::options::Opt;
use crate::reference::is_reference;
use crate::secret::Secret;
use crate::sync::{even_poisoned, lock};

/// The values of references that options are set to. Whoever loads a configuration resolves the references that it
/// wants, and loads it again.
#[derive(Default)]
pub struct IndirectValues {
    known: BTreeMap<String, Result<Secret>>,
    wanted: Mutex<BTreeSet<String>>,
    credentials: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for IndirectValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndirectValues({})", self.known.len())
    }
}

impl IndirectValues {
    /// Returns a reference's value, or why it has none; `None` where it was not resolved yet. Then it is wanted.
    pub fn find(&self, reference: &str) -> Option<Result<&str>> {
        match self.known.get(reference) {
            None => {
                lock(&self.wanted).insert(reference.to_owned());
                None
            }
            Some(Err(error)) => Some(Err(error.clone())),
            Some(Ok(secret)) => {
                Some(secret.as_str().ok_or_else(|| Error::new(Kind::Config, "its value is no UTF-8 text")))
            }
        }
    }

    /// Notes an option's value, if it is a reference that may stand for a credential. An unknown option counts as well:
    /// it may be a credential's name with a mistake. Nothing else about the option needs to be valid.
    pub fn note_assignment(&self, opt: Option<&Opt>, value: &str) {
        if opt.is_none_or(Opt::may_hold_secret) {
            self.note_credential(value.trim());
        }
        opt.into_iter().flat_map(|opt| begun(opt, value)).for_each(|reference| self.note_credential(&reference));
    }

    /// The same for all options of an entity. In a broken one, any reference may stand for a credential.
    pub fn note_entity(&self, listed: &EntityResult) {
        match listed {
            Ok(entity) => {
                let options = entity.config.iter();
                options.for_each(|(name, value)| self.note_assignment(find(entity.backend, name), value));
            }
            Err(broken) => broken.references.iter().for_each(|text| self.note_credential(text)),
        }
    }

    fn note_credential(&self, text: &str) {
        if is_reference(text.as_bytes()) {
            lock(&self.credentials).insert(text.to_owned());
        }
    }

    /// The references that stand for credentials.
    pub fn credentials(&self) -> BTreeSet<String> {
        lock(&self.credentials).clone()
    }

    /// The references that were asked for and have no value, or have failed.
    pub fn wanted(&self) -> Vec<String> {
        let wanted = lock(&self.wanted);
        let failed = self.known.iter().filter(|(_, found)| found.is_err()).map(|(reference, _)| reference.clone());
        wanted.iter().cloned().chain(failed).collect()
    }

    /// Notes a reference's value. Returns whether that may help other references.
    pub fn note(&mut self, reference: String, found: Result<Secret>) -> bool {
        even_poisoned(self.wanted.get_mut()).remove(&reference);
        let news = found.is_ok() || !self.known.contains_key(&reference);
        self.known.insert(reference, found);
        news
    }
}
