//! Documents of one vault that wait to be fetched with one request: pure state over instants that the caller passes in.
//!
//! A batch leaves when it is full, or when no document was added for a moment. While a caller is in the middle of a
//! list of look-ups, its next documents are about to come, so a batch that is not full waits for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a batch that is not full waits for the next document.
pub const QUIET: Duration = Duration::from_millis(2);

/// How long it waits at most, also in the middle of a list.
pub const LONGEST: Duration = Duration::from_millis(50);

/// The documents that wait, oldest first.
pub struct Gathering<M> {
    waiting: VecDeque<(M, Instant)>,
    /// Whether somebody takes the batches out.
    is_served: bool,
}

/// What whoever takes the batches out has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum NextBatch<M> {
    Fetch(Vec<M>),
    /// Ask again then, or earlier where documents were added or the list ended.
    WaitUntil(Instant),
    /// Nothing waits: the next who adds one has to take the batches out.
    Nothing,
}

/// What whoever added a document has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// Take the batches out, as nobody does.
    Serve,
    /// Wake whoever does, as a batch is full.
    Wake,
    Nothing,
}

impl<M> Default for Gathering<M> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), is_served: false }
    }
}

impl<M> Gathering<M> {
    /// Adds a document; `size` is that of a full batch.
    pub fn add(&mut self, member: M, size: usize, now: Instant) -> Added {
        self.waiting.push_back((member, now));
        if !std::mem::replace(&mut self.is_served, true) {
            return Added::Serve;
        }
        if self.waiting.len() >= size { Added::Wake } else { Added::Nothing }
    }

    /// The next batch, if one is due. `in_list`: a caller is in the middle of a list.
    pub fn next(&mut self, size: usize, in_list: bool, now: Instant) -> NextBatch<M> {
        let (Some((_, first)), Some((_, last))) = (self.waiting.front(), self.waiting.back()) else {
            self.is_served = false;
            return NextBatch::Nothing;
        };
        let longest = *first + LONGEST;
        let due = if in_list { longest } else { longest.min(*last + QUIET) };
        if self.waiting.len() < size && now < due {
            return NextBatch::WaitUntil(due);
        }
        let count = size.min(self.waiting.len());
        NextBatch::Fetch(self.waiting.drain(..count).map(|(member, _)| member).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn a_full_batch_leaves_at_once_and_the_rest_after_a_moment_without_another() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        assert_eq!(gathering.add(0, 3, now), Added::Serve);
        assert_eq!(gathering.add(1, 3, now), Added::Nothing);
        assert_eq!(gathering.add(2, 3, now), Added::Wake);
        assert_eq!(gathering.add(3, 3, now), Added::Wake);
        assert_eq!(gathering.next(3, false, now), NextBatch::Fetch(vec![0, 1, 2]));
        assert_eq!(gathering.next(3, false, now), NextBatch::WaitUntil(now + QUIET));
        assert_eq!(gathering.add(4, 3, now + MILLI), Added::Nothing);
        assert_eq!(gathering.next(3, false, now + QUIET), NextBatch::WaitUntil(now + MILLI + QUIET));
        assert_eq!(gathering.next(3, false, now + MILLI + QUIET), NextBatch::Fetch(vec![3, 4]));
        assert_eq!(gathering.next(3, false, now + MILLI + QUIET), NextBatch::Nothing);
        assert_eq!(gathering.add(5, 3, now), Added::Serve, "the next one has to see to it again");
    }

    #[test]
    fn a_batch_waits_for_the_end_of_a_list_but_not_for_ever() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        gathering.add(0, 3, now);
        assert_eq!(gathering.next(3, true, now + 10 * QUIET), NextBatch::WaitUntil(now + LONGEST));
        assert_eq!(gathering.next(3, false, now + 10 * QUIET), NextBatch::Fetch(vec![0]));
        gathering.add(1, 3, now);
        assert_eq!(gathering.next(3, true, now + LONGEST), NextBatch::Fetch(vec![1]));
        for member in 2..5 {
            gathering.add(member, 3, now);
        }
        assert_eq!(gathering.next(3, true, now), NextBatch::Fetch(vec![2, 3, 4]), "a full one waits for nobody");
    }

    #[test]
    fn documents_that_keep_coming_hold_no_batch_back_for_long() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        for milli in 0..50 {
            gathering.add(milli, 100, now + MILLI * milli);
            assert!(matches!(gathering.next(100, false, now + MILLI * milli), NextBatch::WaitUntil(_)), "{milli}");
        }
        assert_eq!(gathering.next(100, false, now + LONGEST), NextBatch::Fetch((0..50).collect()));
    }
}
