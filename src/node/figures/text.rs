//! Short texts in memory that processes share, without a lock: a checksum tells a reader whether it has met a writer.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often a reader tries again that meets a writer.
const TRIES: u32 = 4;

/// A text of at most `8 * WORDS` bytes; zeros are none.
#[repr(C)]
pub struct Text<const WORDS: usize> {
    /// 0: there is no text.
    checksum: AtomicU64,
    length: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Default for Text<WORDS> {
    fn default() -> Self {
        Self { checksum: AtomicU64::new(0), length: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] }
    }
}

impl<const WORDS: usize> Text<WORDS> {
    /// Puts a text in, as much of it as there is room for. Of several writers at once, one wins, or the text is none.
    pub fn put(&self, text: &str) {
        let mut end = text.len().min(8 * WORDS);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let bytes = &text.as_bytes()[..end];
        self.checksum.store(0, Ordering::Release);
        for (word, chunk) in self.words.iter().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(padded), Ordering::Release);
        }
        self.length.store(bytes.len() as u64, Ordering::Release);
        self.checksum.store(checksum(bytes), Ordering::Release);
    }

    /// Whether there is a text.
    pub fn is_there(&self) -> bool {
        self.checksum.load(Ordering::Acquire) != 0
    }

    pub fn get(&self) -> Option<String> {
        (0..TRIES).find_map(|_| self.try_get())
    }

    fn try_get(&self) -> Option<String> {
        let wanted = self.checksum.load(Ordering::Acquire);
        let length = usize::try_from(self.length.load(Ordering::Acquire)).ok().filter(|length| *length <= 8 * WORDS)?;
        let mut bytes = Vec::with_capacity(8 * WORDS);
        for word in &self.words[..length.div_ceil(8)] {
            bytes.extend_from_slice(&word.load(Ordering::Acquire).to_le_bytes());
        }
        bytes.truncate(length);
        (wanted == checksum(&bytes)).then(|| String::from_utf8(bytes).ok())?
    }

    pub fn clear(&self) {
        self.checksum.store(0, Ordering::Release);
    }
}

/// FNV-1a; never 0.
fn checksum(bytes: &[u8]) -> u64 {
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    sum.max(1)
}
