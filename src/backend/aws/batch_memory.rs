//! Which secrets a batch may ask for, and for how long none is asked for after one failed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::request::NAME_LIMIT;
use crate::backend::SecretId;
use crate::sync::lock;

/// The most secrets of one request, by AWS.
pub const LIMIT: usize = 20;

/// For how long secrets are fetched singly after a refusal that lasts: the right is missing, or the server has no such
/// operation.
pub const REFUSED: Duration = Duration::from_secs(3600);

/// The same after any other failure. AWS allows a hundredth as many batches as single requests.
pub const FAILED: Duration = Duration::from_secs(30);

/// Until when secrets are fetched singly, as a batch failed.
#[derive(Default)]
pub struct BatchMemory(Mutex<Option<Instant>>);

impl BatchMemory {
    pub fn may_ask(&self) -> bool {
        lock(&self.0).is_none_or(|until| Instant::now() >= until)
    }

    pub fn pause(&self, pause: Duration) {
        let mut until = lock(&self.0);
        *until = (*until).max(Instant::now().checked_add(pause));
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

/// Whether a batch may ask for a secret: not for versions, nor for what is no name, as that could fail the whole request.
pub fn takes(secret_id: &SecretId) -> bool {
    let name = &secret_id.resource;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-:!".contains(&byte);
    secret_id.version.is_none_or(|version| version == 1)
        && (1..=NAME_LIMIT).contains(&name.len())
        && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_odd_names_are_fetched_singly() {
        let takes = |name: &str, version| takes(&SecretId { resource: name.to_owned(), version });
        assert!(
            takes("a", None)
                && takes("a", Some(1))
                && takes("rds!db-1/_+=.@-", None)
                && takes("arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf", None)
        );
        assert!(!takes("a", Some(2)) && !takes("a", Some(3)));
        assert!(!takes("", None) && !takes("a b", None) && !takes("ä", None) && !takes(&"a".repeat(2049), None));
    }

    #[test]
    fn a_refusal_is_remembered_for_its_time_and_the_longest_counts() {
        let memory = BatchMemory::default();
        assert!(memory.may_ask());
        memory.pause(REFUSED);
        memory.pause(Duration::ZERO);
        assert!(!memory.may_ask());
        let memory = BatchMemory::default();
        memory.pause(Duration::ZERO);
        assert!(memory.may_ask());
        drop(Asking { memory: &memory, has_ended: true });
        assert!(memory.may_ask());
        drop(Asking { memory: &memory, has_ended: false });
        assert!(!memory.may_ask(), "it took too long");
    }
}
