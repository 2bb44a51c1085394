//! Which variables a batch may ask for, and what is left to single requests for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::address::name_flaw;
use crate::backend::SecretId;
use crate::sync::lock;

/// The most variables of one request: with the longest names it fits into a request line, which servers limit to 8 KB.
pub const LIMIT: usize = 40;
const NAME_LIMIT: usize = 150;

/// For how long variables are fetched singly where the server has no batches, and a variable that refuses a batch.
pub const REFUSED: Duration = Duration::from_secs(3600);

/// The same after any other failure.
pub const FAILED: Duration = Duration::from_secs(30);

/// How many variables that refuse a batch are remembered.
const REMEMBERED: usize = 1000;

/// A variable that Conjur makes anew for each request.
const DYNAMIC: &str = "data/dynamic/";

#[derive(Default)]
pub struct BatchMemory(Mutex<Pauses>);

#[derive(Default)]
struct Pauses {
    /// Until when all variables are fetched singly.
    all: Option<Instant>,
    /// The same for single ones. Each would have the whole batch refused.
    names: HashMap<String, Instant>,
}

impl BatchMemory {
    /// Whether a batch may ask for a variable. `length`: that of its id in an address.
    pub fn takes(&self, secret_id: &SecretId, length: usize) -> bool {
        let name = secret_id.resource.as_str();
        let is_plain = secret_id.version.is_none()
            && name_flaw(name).is_none()
            && !name.contains(',')
            && !name.starts_with(DYNAMIC)
            && length <= NAME_LIMIT;
        let pauses = lock(&self.0);
        let is_over = |until: &Instant| Instant::now() >= *until;
        is_plain && pauses.all.as_ref().is_none_or(is_over) && pauses.names.get(name).is_none_or(is_over)
    }

    pub fn pause(&self, pause: Duration) {
        let mut pauses = lock(&self.0);
        pauses.all = pauses.all.max(Instant::now().checked_add(pause));
    }

    pub fn refuse(&self, name: &str) {
        let mut pauses = lock(&self.0);
        let now = Instant::now();
        if pauses.names.len() >= REMEMBERED {
            pauses.names.retain(|_, until| now < *until);
        }
        if let Some(until) = now.checked_add(REFUSED).filter(|_| pauses.names.len() < REMEMBERED) {
            pauses.names.insert(name.to_owned(), until);
        }
    }
}

/// A batch under way. One that is dropped took too long.
pub struct Asking<'a> {
    pub memory: &'a BatchMemory,
    pub has_ended: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.memory.pause(FAILED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: Option<u32>) -> SecretId {
        SecretId { resource: name.to_owned(), version }
    }

    #[test]
    fn what_a_batch_cannot_ask_for_is_fetched_singly() {
        let memory = BatchMemory::default();
        for name in ["a", "BotApp/db", "a b+c?d#e%2F", "é"] {
            assert!(memory.takes(&id(name, None), 30), "{name}");
        }
        for (name, version, length) in
            [("a", Some(1), 30), ("a,b", None, 30), ("data/dynamic/x", None, 30), ("../a", None, 30), ("a", None, 151)]
        {
            assert!(!memory.takes(&id(name, version), length), "{name}");
        }
    }

    #[test]
    fn what_refused_is_remembered() {
        let memory = BatchMemory::default();
        memory.refuse("a");
        assert!(!memory.takes(&id("a", None), 30) && memory.takes(&id("b", None), 30));
        for at in 0..2 * REMEMBERED {
            memory.refuse(&at.to_string());
        }
        assert!(lock(&memory.0).names.len() <= REMEMBERED);
        memory.pause(REFUSED);
        assert!(!memory.takes(&id("b", None), 30));
        let memory = BatchMemory::default();
        drop(Asking { memory: &memory, has_ended: true });
        assert!(memory.takes(&id("b", None), 30));
        drop(Asking { memory: &memory, has_ended: false });
        assert!(!memory.takes(&id("b", None), 30));
    }
}
