use std::num::NonZeroUsize;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cache::document::Document;
use crate::cache::{Cache, CacheLookup, Dated, Heir};
use crate::error::Kind;
use crate::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);

fn down() -> Error {
    Error::new(Kind::Unavailable, "down")
}

fn ttl_policy(ttl: Option<u64>, resurrect_ttl: u64) -> TtlPolicy {
    TtlPolicy {
        ttl: ttl.map(Duration::from_secs),
        neg_ttl: Duration::ZERO,
        resurrect_ttl: Duration::from_secs(resurrect_ttl),
        min_ttl: Duration::ZERO,
        max_ttl: None,
    }
}

/// A vault's options: where it is, and how long its secrets serve.
type Key = (u8, Option<u64>, u64);

struct Shelf {
    cache: Cache<Key>,
    start: Instant,
    second: u64,
    key: Key,
    flawed: bool,
}

impl Shelf {
    fn new(key: Key) -> Self {
        let cache = Cache::new(NonZeroUsize::new(8).unwrap(), |_| 1);
        Self { cache, start: Instant::now(), second: 0, key, flawed: false }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.second)
    }

    fn brings_under(&mut self, key: Key, text: &str) {
        let (now, ttl_policy) = (self.now(), ttl_policy(key.1, key.2));
        let value = Dated { document: Arc::new(Document::new(Secret::new(text))), at: now };
        let _ = self.cache.fetched(key, value, &ttl_policy, now, 0.5);
    }

    fn brings(&mut self, text: &str) {
        self.brings_under(self.key, text);
    }

    fn fails(&mut self) {
        let _ = self.cache.failed(self.key, down(), &ttl_policy(self.key.1, self.key.2), self.now(), self.now(), 0.5);
    }

    fn changes(&mut self, key: Option<Key>) {
        let (now, was_flawed) = (self.now(), self.flawed);
        self.flawed = key.is_none();
        let next = key.unwrap_or(self.key);
        self.cache.inherit(
            now,
            Duration::ZERO,
            || 0.5,
            |old| match key {
                None => Some(Heir::Flawed { flaw: down(), ttl_policy: ttl_policy(old.1, old.2) }),
                Some(new) if new == *old && !was_flawed => None,
                Some(new) => {
                    Some(Heir::Key { key: new, ttl_policy: ttl_policy(new.1, new.2), same_place: new.0 == old.0 })
                }
            },
        );
        self.key = next;
    }

    /// `value`, `~value` for a stale one, `-` for nothing.
    fn look(&mut self) -> String {
        let text = |document: Arc<Document>| document.whole().as_str().unwrap().to_owned();
        let (key, now) = (self.key, self.now());
        match self.cache.look(&key, now) {
            CacheLookup::Fresh(document) => text(document),
            CacheLookup::Stale { document, .. } => format!("~{}", text(document)),
            CacheLookup::Failure(_) | CacheLookup::Nothing => "-".into(),
        }
    }

    fn is_due(&mut self) -> bool {
        let now = self.now();
        std::iter::from_fn(|| self.cache.due(now, 1_000_000 * SECOND)).any(|(key, _)| key == self.key)
    }
}

#[test]
fn options_of_time_leave_the_value_and_date_it_anew() {
    let mut shelf = Shelf::new((1, Some(100), 0));
    shelf.brings("a");
    shelf.second = 10;
    shelf.changes(Some((1, Some(20), 0)));
    assert_eq!((shelf.look(), shelf.is_due()), ("a".into(), false));
    shelf.second = 19;
    assert_eq!((shelf.look(), shelf.is_due()), ("a".into(), true));
    shelf.changes(Some((1, Some(5), 0)));
    assert_eq!((shelf.look(), shelf.is_due()), ("~a".into(), true), "its time is over, but no outcome is there");
    shelf.changes(Some((1, None, 0)));
    assert_eq!(shelf.look(), "a");
    shelf.second = 1_000_000;
    assert_eq!(shelf.look(), "a");
}

#[test]
fn the_value_of_another_place_is_stale_until_the_first_outcome() {
    for (resurrect_ttl, after) in [(0, "-"), (100, "~a")] {
        let mut shelf = Shelf::new((1, Some(100), resurrect_ttl));
        shelf.brings("a");
        shelf.second = 10;
        shelf.changes(Some((2, Some(100), resurrect_ttl)));
        assert_eq!((shelf.look(), shelf.is_due()), ("~a".into(), true));
        shelf.second = 20;
        assert_eq!(shelf.look(), "~a");
        shelf.fails();
        assert_eq!(shelf.look(), after, "as if its ttl had been over at the change");
        shelf.brings("b");
        assert_eq!(shelf.look(), "b");
    }
    let mut shelf = Shelf::new((1, None, 5));
    shelf.brings("a");
    shelf.second = 10;
    shelf.changes(Some((2, None, 5)));
    shelf.fails();
    shelf.second = 14;
    assert_eq!(shelf.look(), "~a");
    shelf.second = 15;
    assert_eq!(shelf.look(), "-", "also where a value of its own would serve for ever");
}

#[test]
fn what_came_for_the_new_options_is_not_replaced_by_what_came_for_the_old() {
    let mut shelf = Shelf::new((1, Some(100), 100));
    shelf.brings("a");
    shelf.brings_under((2, Some(100), 100), "b");
    shelf.changes(Some((2, Some(100), 100)));
    assert_eq!((shelf.look(), shelf.cache.len()), ("b".into(), 1));
}

#[test]
fn options_that_are_mended_find_the_value_as_it_was() {
    let mut shelf = Shelf::new((1, Some(100), 100));
    shelf.brings("a");
    shelf.second = 10;
    shelf.changes(None);
    assert_eq!((shelf.look(), shelf.is_due()), ("~a".into(), false));
    shelf.changes(Some((1, Some(100), 100)));
    assert_eq!(shelf.look(), "a");
}

/// What is known of a value by the rules alone.
struct Model {
    text: String,
    at: u64,
    /// When it ceased to be fresh, where it was fetched under other options.
    inherited_at: Option<u64>,
    /// When its options changed last without an outcome since.
    held_since: Option<u64>,
}

impl Model {
    fn fresh_until(&self, key: &Key) -> u64 {
        let own = key.1.map_or(u64::MAX, |ttl| self.at + ttl);
        self.inherited_at.map_or(own, |at| own.min(at))
    }

    fn serves(&self, key: &Key, second: u64) -> bool {
        let held = self.held_since.is_some_and(|since| second < since + HOLD.as_secs());
        held || second < self.fresh_until(key).saturating_add(key.2)
    }
}

proptest! {
    /// For any sequence of steps: a value stays until it ends by its own rules, an outcome under the present options is
    /// served, and a value of other options is never fresh.
    #[test]
    fn nothing_is_lost_before_its_end(
        steps in proptest::collection::vec(
            (0u64..9, 0u8..6, 1u8..4, prop_oneof![Just(None), (1u64..40).prop_map(Some)], 0u64..20), 1..80)
    ) {
        let mut shelf = Shelf::new((1, Some(30), 10));
        let mut model: Option<Model> = None;
        for (number, (pause, what, place, ttl, resurrect_ttl)) in steps.into_iter().enumerate() {
            shelf.second += pause;
            model = model.filter(|model| model.serves(&shelf.key, shelf.second));
            match what {
                0 | 1 => {
                    let text = number.to_string();
                    shelf.brings(&text);
                    model = Some(Model { text, at: shelf.second, inherited_at: None, held_since: None });
                }
                2 => {
                    shelf.fails();
                    if let Some(model) = &mut model {
                        model.held_since = None;
                    }
                }
                _ => {
                    let (old, new) = (shelf.key, (place, ttl, resurrect_ttl));
                    shelf.changes(Some(new));
                    if let Some(model) = model.as_mut().filter(|_| old != new) {
                        if old.0 != new.0 {
                            let fresh_until = model.fresh_until(&old).min(shelf.second);
                            model.inherited_at.get_or_insert(fresh_until);
                        }
                        let is_over = model.fresh_until(&new) <= shelf.second;
                        model.held_since = (model.inherited_at.is_some() || is_over).then_some(shelf.second);
                    }
                }
            }
            let expected = match &model {
                Some(model) if model.serves(&shelf.key, shelf.second) => {
                    let fresh = model.inherited_at.is_none() && shelf.second < model.fresh_until(&shelf.key);
                    format!("{}{}", if fresh { "" } else { "~" }, model.text)
                }
                _ => "-".to_owned(),
            };
            prop_assert_eq!(shelf.look(), expected, "step {}", number);
        }
    }
}

#[test]
fn what_served_before_a_reload_does_so_until_the_first_outcome() {
    let start = Instant::now();
    let over = start + 20 * SECOND;
    let of_before = |ttl_policy: &TtlPolicy, now: Instant| {
        let value = Dated { document: Arc::new(Document::new(Secret::new("old"))), at: start };
        Entry::of_before(value, ttl_policy, over, now, 0.5)
    };
    let is_stale = |entry: &Entry, now| matches!(entry.look(now), CacheLookup::Stale { due: false, .. });
    for ttl in [None, Some(0), Some(1), Some(3600)] {
        // Without `resurrect_ttl`, the value serves neither after a failure nor after `HOLD`.
        let short = ttl_policy(ttl, 0);
        let now = over + SECOND;
        let entry = of_before(&short, now).unwrap();
        assert!(entry.is_inherited() && is_stale(&entry, now), "{ttl:?}");
        assert!(Entry::failed(Some(entry), down(), &short, now, now, 0.5).is_none(), "{ttl:?}");
        assert!(of_before(&short, over + HOLD).is_none(), "{ttl:?}");
        // `resurrect_ttl` counts from the change, or from the end of the value's own `ttl` where that is earlier.
        let long = ttl_policy(ttl, 100);
        let end = ttl.map_or(over, |ttl| over.min(start + Duration::from_secs(ttl))) + 100 * SECOND;
        let entry = of_before(&long, end - SECOND).unwrap();
        assert!(is_stale(&entry, end - SECOND), "{ttl:?}");
        assert!(of_before(&long, end.max(over + HOLD)).is_none(), "{ttl:?}");
        let failed = Entry::failed(Some(entry), down(), &long, end - SECOND, end - SECOND, 0.5).unwrap();
        assert!(matches!(failed.look(end - SECOND), CacheLookup::Stale { .. }), "{ttl:?}");
        assert!(matches!(failed.look(end), CacheLookup::Nothing), "{ttl:?}");
    }
}
