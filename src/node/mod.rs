//! What the workers of one nginx have in common: the key under which they seal documents for each other, and the clock
//! by which they date them. Both are made when the library is loaded, before nginx forks, so that every worker inherits
//! them; they are never written anywhere.
//!
//! A sealed outcome lies in `ngx.shared.kong_secrets` and goes over the sockets between workers. Without the key, a
//! reader learns only its length, and a forged one does not open.
//!
//! It uses the cache's documents. It must never know where a document comes from, nor write a key anywhere.

pub mod figures;
pub mod peers;
pub mod shared_slots;
pub mod watch;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::cache::Dated;
use crate::cache::document::Document;
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// A document's name among the workers. It reveals nothing about vault, options or secret.
pub type Name = [u8; 16];

/// A fetch's outcome, with the time at which the fetch began; a failure is remembered from its end.
#[derive(Debug, Clone)]
pub enum SealedOutcome {
    Value(Dated),
    Failure {
        error: Error,
        began: Instant,
        at: Instant,
        /// The value that serves meanwhile, for a worker that has none: it may have started after the vault failed.
        old: Option<Dated>,
    },
}

impl SealedOutcome {
    /// When the fetch began.
    pub fn began(&self) -> Instant {
        match self {
            SealedOutcome::Value(value) => value.at,
            SealedOutcome::Failure { began, .. } => *began,
        }
    }

    /// The value in it, old or new.
    pub fn value(&self) -> Option<&Dated> {
        match self {
            SealedOutcome::Value(value) => Some(value),
            SealedOutcome::Failure { old, .. } => old.as_ref(),
        }
    }

    /// Whether it is a failure of the vault as a whole.
    pub fn is_outage(&self) -> bool {
        matches!(self, SealedOutcome::Failure { error, .. } if error.is_outage())
    }
}

/// The key and the clock that the workers share.
pub struct Node {
    seal: LessSafeKey,
    naming: hmac::Key,
    random: SystemRandom,
    /// When the node's clock began. An `Instant` means the same in all processes of a machine.
    start: Instant,
}

const VALUE: u8 = 0;
const FAILURE: u8 = 1;
const FAILURE_WITH_VALUE: u8 = 2;

/// Bytes before a failure's text and a value's content.
const LONGEST_HEAD: usize = 2 + 6 * 8;

/// A bit beside a failure's kind: the login failed, which concerns the whole vault.
const OF_LOGIN: u8 = 0x80;

impl Node {
    /// The node that this process belongs to; made by the first call.
    pub fn of_this_process() -> Option<&'static Node> {
        static NODE: OnceLock<Option<Node>> = OnceLock::new();
        NODE.get_or_init(|| Node::new().ok()).as_ref()
    }

    fn new() -> Result<Self, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let mut keys = Zeroizing::new([0; 64]);
        random.fill(&mut *keys)?;
        Ok(Self {
            seal: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &keys[..32])?),
            naming: hmac::Key::new(hmac::HMAC_SHA256, &keys[32..]),
            random,
            start: Instant::now(),
        })
    }

    /// A time on the node's clock, in nanoseconds.
    pub fn clock(&self, at: Instant) -> u64 {
        nanoseconds(at.saturating_duration_since(self.start))
    }

    /// The inverse of `clock`.
    pub fn instant(&self, clock: u64) -> Option<Instant> {
        self.after_start(Duration::from_nanos(clock))
    }

    pub fn after_start(&self, time: Duration) -> Option<Instant> {
        self.start.checked_add(time)
    }

    /// The name of the document that `parts` describe. Each part is hashed with its length, so that `a, bc` and `ab, c`
    /// differ.
    pub fn name<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Name {
        let mut context = hmac::Context::with_key(&self.naming);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut name = Name::default();
        let length = name.len();
        name.copy_from_slice(&context.sign().as_ref()[..length]);
        name
    }

    /// Seals an outcome for the document of that name; `None` where the machine has no random numbers.
    pub fn seal(&self, name: &Name, sealed_outcome: &SealedOutcome) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let text = match sealed_outcome {
            SealedOutcome::Value(_) => "",
            SealedOutcome::Failure { error, .. } => error.text(),
        };
        let content = sealed_outcome.value().map_or(&b""[..], |value| value.document.whole().as_bytes());
        let mut sealed =
            Vec::with_capacity(NONCE_LEN + LONGEST_HEAD + text.len() + content.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        match sealed_outcome {
            SealedOutcome::Value(_) => sealed.push(VALUE),
            SealedOutcome::Failure { error, began, at, old } => {
                sealed.push(if old.is_some() { FAILURE_WITH_VALUE } else { FAILURE });
                sealed.push(error.kind().code() | if error.is_of_login() { OF_LOGIN } else { 0 });
                sealed.extend_from_slice(&self.clock(*began).to_le_bytes());
                sealed.extend_from_slice(&self.clock(*at).to_le_bytes());
                sealed.extend_from_slice(&error.retry_after().map_or(u64::MAX, nanoseconds).to_le_bytes());
                sealed.extend_from_slice(&u64::try_from(text.len()).ok()?.to_le_bytes());
                sealed.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(value) = sealed_outcome.value() {
            sealed.extend_from_slice(&self.clock(value.at).to_le_bytes());
            sealed.extend_from_slice(&value.document.lease().map_or(u64::MAX, nanoseconds).to_le_bytes());
            sealed.extend_from_slice(content);
        }
        let (_, plain) = sealed.split_at_mut(NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.seal.seal_in_place_separate_tag(nonce, Aad::from(name), plain).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// Opens a sealed outcome; `None` where this node did not seal it for that name.
    pub fn open(&self, name: &Name, sealed: &[u8]) -> Option<SealedOutcome> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = &*self.seal.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?;
        match plain.split_first()? {
            (&VALUE, plain) => self.read_value(plain).map(SealedOutcome::Value),
            (tag @ (&FAILURE | &FAILURE_WITH_VALUE), plain) => {
                let (kind, plain) = plain.split_first()?;
                let (began, plain) = read_number(plain)?;
                let (at, plain) = read_number(plain)?;
                let (wait, plain) = read_number(plain)?;
                let (length, plain) = read_number(plain)?;
                let (text, plain) = plain.split_at_checked(usize::try_from(length).ok()?)?;
                let error = Error::new(Kind::from_code(kind & !OF_LOGIN)?, String::from_utf8_lossy(text));
                let error = if kind & OF_LOGIN != 0 { error.of_login() } else { error };
                Some(SealedOutcome::Failure {
                    error: error.with_retry_after(read_duration(wait)),
                    began: self.instant(began)?,
                    at: self.instant(at)?,
                    old: if *tag == FAILURE { None } else { Some(self.read_value(plain)?) },
                })
            }
            _ => None,
        }
    }

    fn read_value(&self, plain: &[u8]) -> Option<Dated> {
        let (at, plain) = read_number(plain)?;
        let (lease, content) = read_number(plain)?;
        let document = Arc::new(Document::leased(Secret::new(content), read_duration(lease)));
        Some(Dated { document, at: self.instant(at)? })
    }
}

fn read_number(plain: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = plain.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn read_duration(nanoseconds: u64) -> Option<Duration> {
    Some(nanoseconds).filter(|number| *number != u64::MAX).map(Duration::from_nanos)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

/// A name as a key of the shared dictionary.
pub fn hex(name: &Name) -> String {
    let mut text = String::with_capacity(2 * name.len());
    let digits = name.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, at: Instant) -> SealedOutcome {
        let document = Arc::new(Document::leased(Secret::new(text), Some(Duration::from_secs(7))));
        SealedOutcome::Value(Dated { document, at })
    }

    #[test]
    fn what_is_sealed_opens_for_its_name_only() {
        let node = Node::new().unwrap();
        let (mine, other) = (node.name([&b"a"[..], b"bc"]), node.name([&b"ab"[..], b"c"]));
        assert_ne!(mine, other, "parts are told apart");
        let at = node.start + Duration::from_nanos(1_234_567_891);
        let sealed = node.seal(&mine, &value("hunter2", at)).unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        let Some(SealedOutcome::Value(opened)) = node.open(&mine, &sealed) else { panic!() };
        assert_eq!((opened.document.whole().as_str(), opened.at), (Some("hunter2"), at));
        assert_eq!(opened.document.lease(), Some(Duration::from_secs(7)));
        assert!(node.open(&other, &sealed).is_none());
        assert!(Node::new().unwrap().open(&mine, &sealed).is_none());
        for end in 0..sealed.len() {
            assert!(node.open(&mine, &sealed[..end]).is_none());
        }
    }

    #[test]
    fn a_failure_comes_back_as_it_was() {
        let node = Node::new().unwrap();
        let name = node.name([&b"a"[..]]);
        let wait = Some(Duration::from_secs(3));
        for error in [
            Error::new(Kind::Throttled, "slow down").with_retry_after(wait),
            // An outage, though the kind alone is none.
            Error::new(Kind::Denied, "permission denied").of_login(),
        ] {
            let (began, at) = (node.start + Duration::from_secs(1), node.start + Duration::from_secs(2));
            for old in [None, Some(("", node.start)), Some(("hunter2", began))] {
                let old = old.and_then(|(text, at)| value(text, at).value().cloned());
                let failure = SealedOutcome::Failure { error: error.clone(), began, at, old: old.clone() };
                let sealed = node.seal(&name, &failure).unwrap();
                let Some(SealedOutcome::Failure { error: opened, began: before, at: then, old: kept }) =
                    node.open(&name, &sealed)
                else {
                    panic!()
                };
                assert_eq!(opened.is_outage(), error.is_outage());
                assert_eq!((opened, before, then), (error.clone(), began, at));
                let parts = |value: Dated| (value.document.whole().clone(), value.document.lease(), value.at);
                assert_eq!(kept.map(parts), old.map(parts));
            }
        }
    }

    #[test]
    fn a_name_is_hexadecimal() {
        assert_eq!(
            hex(&[0x0f, 0xa0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 255]),
            "0fa000010203040506070809 0a0b0cff".replace(' ', "")
        );
    }
}
