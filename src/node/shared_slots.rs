//! Secrets that can be obtained only once (unwrapped secret ids), shared by all processes of an nginx in a file without
//! a name. The file is made when the library is loaded, before nginx forks: every worker inherits it, also one that
//! replaces a dead one. Its content is sealed with a key that is never written.

#![expect(clippy::disallowed_methods, reason = "at load, in memory")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::OnceLock;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Where a file without a name can be made. The first directory is preferred, as it is in memory only.
const PLACES: [&str; 2] = ["/dev/shm", "/tmp"];

/// The number of slots. Two names with the same slot overwrite each other's secrets.
const SLOTS: u64 = 256;
const SLOT: usize = 1024;

/// The shared file, and the keys that seal its secrets and choose their slots.
pub struct SharedSlots {
    file: File,
    seal: LessSafeKey,
    naming: hmac::Key,
    random: SystemRandom,
}

impl SharedSlots {
    /// The slots that this process shares; made by the first call. `None` where no such file can be made.
    pub fn of_this_process() -> Option<&'static SharedSlots> {
        static SHARED_SLOTS: OnceLock<Option<SharedSlots>> = OnceLock::new();
        SHARED_SLOTS.get_or_init(SharedSlots::new).as_ref()
    }

    fn new() -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE | libc::O_CLOEXEC);
        let file = PLACES.iter().find_map(|place| options.open(place).ok())?;
        let random = SystemRandom::new();
        let mut keys = Zeroizing::new([0; 64]);
        random.fill(&mut *keys).ok()?;
        Some(Self {
            file,
            seal: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &keys[..32]).ok()?),
            naming: hmac::Key::new(hmac::HMAC_SHA256, &keys[32..]),
            random,
        })
    }

    /// The secret that was put in under that name.
    pub fn get(&self, name: &[u8]) -> Option<Secret> {
        let mut slot = Zeroizing::new([0; SLOT]);
        let read = self.file.read_at(&mut *slot, self.place(name)).ok()?;
        let (length, rest) = slot.get_mut(..read)?.split_first_chunk_mut::<2>()?;
        let (nonce, rest) = rest.split_first_chunk_mut::<NONCE_LEN>()?;
        let sealed = rest.get_mut(..usize::from(u16::from_le_bytes(*length)))?;
        // A slot that is being written, or that holds another name's secret, does not open.
        let opened = self.seal.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name), sealed).ok()?;
        Some(Secret::new(&*opened))
    }

    /// Keeps a secret, if it isn't too large.
    pub fn put(&self, name: &[u8], secret: &Secret) {
        let _ = self.try_put(name, secret);
    }

    fn try_put(&self, name: &[u8], secret: &Secret) -> Option<()> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(SLOT));
        sealed.extend_from_slice(secret.as_bytes());
        let tag =
            self.seal.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed);
        sealed.extend_from_slice(tag.ok()?.as_ref());
        let mut record = u16::try_from(sealed.len()).ok()?.to_le_bytes().to_vec();
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        let fits = record.len() <= SLOT;
        if fits { self.file.write_all_at(&record, self.place(name)).ok() } else { None }
    }

    fn place(&self, name: &[u8]) -> u64 {
        let tag = hmac::sign(&self.naming, name);
        let number = tag.as_ref().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        number % SLOTS * SLOT as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_found_under_its_name_and_lies_there_sealed() {
        let shared_slots = SharedSlots::new().expect("a file");
        assert_eq!(shared_slots.get(b"a"), None);
        shared_slots.put(b"a", &Secret::new("hunter2"));
        shared_slots.put(b"b", &Secret::new("x".repeat(SLOT)));
        assert_eq!(shared_slots.get(b"a"), Some(Secret::new("hunter2")));
        assert_eq!(shared_slots.get(b"b"), None, "it is too large");
        shared_slots.put(b"a", &Secret::new("new"));
        assert_eq!(shared_slots.get(b"a"), Some(Secret::new("new")));
        let mut all = vec![0; SLOTS as usize * SLOT];
        let length = shared_slots.file.read_at(&mut all, 0).unwrap();
        assert!(!all[..length].windows(3).any(|part| part == b"new"));
        let other = SharedSlots { file: shared_slots.file.try_clone().unwrap(), ..SharedSlots::new().expect("a file") };
        assert_eq!(other.get(b"a"), None, "without the key");
    }
}
