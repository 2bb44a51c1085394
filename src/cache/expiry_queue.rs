//! Keys by the time at which something is to be done about them. Outdated items stay until their time; whoever takes
//! them out recognizes them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

struct Item<K> {
    at: Instant,
    key: K,
}

/// A heap of times and keys; the earliest comes first.
pub(super) struct ExpiryQueue<K> {
    items: BinaryHeap<Item<K>>,
}

impl<K> ExpiryQueue<K> {
    pub fn new() -> Self {
        Self { items: BinaryHeap::new() }
    }

    pub fn add(&mut self, at: Instant, key: K) {
        self.items.push(Item { at, key });
    }

    pub fn next(&self) -> Option<Instant> {
        self.items.peek().map(|item| item.at)
    }

    /// Takes out the earliest item, if its time has come.
    pub fn take(&mut self, now: Instant) -> Option<(Instant, K)> {
        self.items.peek().filter(|item| item.at <= now)?;
        self.items.pop().map(|item| (item.at, item.key))
    }

    pub fn clear(&mut self) {
        self.items.clear();
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }
}

impl<K> Ord for Item<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl<K> PartialOrd for Item<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Item<K> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<K> Eq for Item<K> {}
