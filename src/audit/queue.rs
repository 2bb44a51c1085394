//! Lines that wait to be written: one buffer, so that a line costs its copy, and a bound.

use std::time::{SystemTime, UNIX_EPOCH};

/// How many bytes may wait. Further lines are dropped and counted.
const MOST: usize = 4 << 20;

/// The longest part of a line that is kept whole.
pub const LONGEST_PART: usize = 64 << 10;

/// What kind of line a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A look-up that had a value, or none: its parts stand in the order of `event::PARTS`.
    Served,
    Unserved,
    /// A JSON object, and a shorter one for a destination that takes no long lines.
    Object,
}

#[derive(Default)]
pub struct Queue {
    bytes: Vec<u8>,
    lines: u64,
    /// How many lines were dropped since the last batch.
    dropped: u64,
}

/// Lines that were taken out of the queue.
#[derive(Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub lines: u64,
    /// How many lines were dropped before, as the queue was full.
    pub dropped: u64,
}

/// One line. In the buffer its head has the form, the time and the number of parts; then come the lengths of all parts,
/// and the parts.
pub struct Record<'a> {
    pub form: Form,
    /// Milliseconds since 1970.
    pub at: u64,
    lengths: &'a [[u8; LENGTH]],
    rest: &'a [u8],
}

/// How many bytes a head and a length have.
const HEAD: usize = 10;
const LENGTH: usize = 4;

impl Queue {
    /// Adds a line. Returns false where it was dropped.
    pub fn push<const PARTS: usize>(&mut self, form: Form, parts: &[&[u8]; PARTS]) -> bool {
        let mut size = HEAD + PARTS * LENGTH;
        let mut lengths = [[0; LENGTH]; PARTS];
        for (length, part) in lengths.iter_mut().zip(parts) {
            *length = (cut(part).len() as u32).to_le_bytes();
            size += cut(part).len();
        }
        if self.bytes.len() + size > MOST {
            self.dropped += 1;
            return false;
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut head = [0; HEAD];
        (head[0], head[1]) = (form as u8, PARTS as u8);
        head[2..].copy_from_slice(&at.to_le_bytes());
        self.bytes.reserve(size);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(lengths.as_flattened());
        // Most parts are empty: a look-up by a plugin has no location, and one by a location no plugin.
        for part in parts.iter().filter(|part| !part.is_empty()) {
            self.bytes.extend_from_slice(cut(part));
        }
        self.lines += 1;
        true
    }

    pub fn is_empty(&self) -> bool {
        self.lines == 0 && self.dropped == 0
    }

    /// Takes all lines out. `spare` becomes the new buffer.
    pub fn take(&mut self, spare: Vec<u8>) -> Batch {
        let bytes = std::mem::replace(&mut self.bytes, spare);
        Batch { bytes, lines: std::mem::take(&mut self.lines), dropped: std::mem::take(&mut self.dropped) }
    }
}

impl Batch {
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let ([form, count, at @ ..], sized) = rest.split_first_chunk::<HEAD>()?;
            let (lengths, parts) = sized.split_at_checked(usize::from(*count) * LENGTH)?;
            let lengths = lengths.as_chunks().0;
            rest = parts.get(lengths.iter().map(length).sum()..)?;
            let form = match form {
                0 => Form::Served,
                1 => Form::Unserved,
                _ => Form::Object,
            };
            Some(Record { form, at: u64::from_le_bytes(*at), lengths, rest: parts })
        })
    }
}

impl<'a> Record<'a> {
    /// The next part; empty where there is none.
    pub fn next_part(&mut self) -> &'a [u8] {
        let Some((next, lengths)) = self.lengths.split_first() else { return &[] };
        let (part, rest) = self.rest.split_at_checked(length(next)).unwrap_or_default();
        (self.lengths, self.rest) = (lengths, rest);
        part
    }
}

fn cut(part: &[u8]) -> &[u8] {
    &part[..part.len().min(LONGEST_PART)]
}

fn length(bytes: &[u8; LENGTH]) -> usize {
    u32::from_le_bytes(*bytes) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_in_order_and_the_rest_is_counted() {
        let mut queue = Queue::default();
        assert!(queue.is_empty());
        assert!(queue.push(Form::Served, &[b"a", b"", b"ccc"]) && queue.push(Form::Object, &[b"{}"]));
        let long = vec![b'x'; 2 * LONGEST_PART];
        let most = std::iter::repeat_with(|| queue.push(Form::Object, &[&long])).take(1000).filter(|added| *added);
        let added = most.count() as u64;
        assert!((MOST / LONGEST_PART - 1..=MOST / LONGEST_PART).contains(&(added as usize)), "{added}");
        let batch = queue.take(Vec::new());
        assert_eq!((batch.lines, batch.dropped), (added + 2, 1000 - added));
        let mut records = batch.records();
        let mut first = records.next().unwrap();
        let parts = [first.next_part(), first.next_part(), first.next_part(), first.next_part()];
        assert_eq!((first.form, parts), (Form::Served, [&b"a"[..], b"", b"ccc", b""]));
        assert!(first.at > 1_600_000_000_000);
        assert_eq!(records.next().unwrap().next_part(), b"{}");
        assert_eq!(records.next().unwrap().next_part().len(), LONGEST_PART);
        assert_eq!(records.count() as u64, added - 1);
        assert!(queue.is_empty());
    }
}
