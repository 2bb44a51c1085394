//! The spans that wait to be sent, pure.

use std::collections::VecDeque;

use super::span::Span;

/// How many spans may wait, and how many are sent at once. These are the defaults of OpenTelemetry's batch processor.
pub const MOST: usize = 2048;
pub const BATCH: usize = 512;

/// What became of a span that was added.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    Waits,
    /// It waits, and with it there are enough for a batch.
    FillsBatch,
    Dropped,
}

#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Span>,
}

impl Queue {
    pub fn add(&mut self, span: Span) -> Added {
        if self.waiting.len() >= MOST {
            return Added::Dropped;
        }
        self.waiting.push_back(span);
        if self.waiting.len().is_multiple_of(BATCH) { Added::FillsBatch } else { Added::Waits }
    }

    /// Takes the oldest spans out, for one request.
    pub fn take_batch(&mut self) -> Vec<Span> {
        let size = self.waiting.len().min(BATCH);
        self.waiting.drain(..size).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::requests::Requests;
    use super::*;

    #[test]
    fn so_many_wait_and_the_oldest_are_sent_first() {
        let mut queue = Queue::default();
        let span = |name: usize| Span::ended(name.to_string(), Duration::ZERO, &Requests::default()).unwrap();
        let added: Vec<_> = (0..MOST + 5).map(|name| queue.add(span(name))).collect();
        assert_eq!(added.iter().filter(|added| **added == Added::FillsBatch).count(), MOST / BATCH);
        assert_eq!(added[BATCH - 1], Added::FillsBatch);
        assert_eq!(added.iter().filter(|added| **added == Added::Dropped).count(), 5);
        let batch = queue.take_batch();
        assert_eq!((batch.len(), &*batch[0].name, &*batch[BATCH - 1].name), (BATCH, "0", "511"));
        while !queue.is_empty() {
            assert!(!queue.take_batch().is_empty());
        }
        assert!(queue.take_batch().is_empty());
    }
}
