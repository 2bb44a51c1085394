//! Values that are renewed along with another that is due.

use super::*;

const IDLE: Duration = Duration::from_secs(1000);

/// A cache with these values of 100 s, fetched at the same time, by when in their last part each is due.
fn shelf(values: &[(&'static str, f64)]) -> Shelf {
    let mut shelf = Shelf::new(10);
    for (key, chance) in values {
        let value = Dated { document: Arc::new(Document::new(Secret::new(*key))), at: shelf.start };
        let _ = shelf.cache.fetched(key, value, &ttl_policy(Some(100), 0, 100), shelf.start, *chance);
    }
    shelf
}

fn along(shelf: &mut Shelf, second: u64, most: usize) -> Vec<&'static str> {
    let now = shelf.at(second);
    let mut keys = shelf.cache.renew_along(now, IDLE, most, |key| key.starts_with('a'));
    keys.sort_unstable();
    keys
}

#[test]
fn values_in_the_last_part_of_their_time_are_renewed_early_once() {
    let mut shelf = shelf(&[("a1", 0.1), ("a2", 0.5), ("a3", 1.0), ("b", 0.5)]);
    assert!(along(&mut shelf, 84, 9).is_empty(), "it is too early");
    assert_eq!(shelf.due(87), [("a1", Due::Renew)]);
    assert_eq!(along(&mut shelf, 87, 9), ["a2", "a3"]);
    assert!(along(&mut shelf, 87, 9).is_empty(), "they are being renewed");
    assert_eq!(shelf.due(98), [("b", Due::Renew)], "none is due again meanwhile");
    let _ = shelf.brings("a3", "new", None, &ttl_policy(Some(100), 0, 100), 88);
    assert!(along(&mut shelf, 100, 9).is_empty(), "a new value has its own time");
    assert_eq!(shelf.look("a2", 99), "a2");
}

#[test]
fn no_more_than_wanted_and_none_that_is_unused_or_has_failed() {
    let mut shelf = shelf(&[("a1", 1.0), ("a2", 1.0), ("a3", 1.0), ("a4", 1.0)]);
    assert_eq!(along(&mut shelf, 90, 1).len(), 1);
    shelf.fails("a4", down(), &ttl_policy(Some(100), 0, 100), 89);
    let left = along(&mut shelf, 90, 9);
    assert!(!left.contains(&"a4") && left.len() >= 2, "{left:?}");
    let mut unused = self::shelf(&[("a1", 1.0)]);
    assert!(unused.cache.renew_along(unused.start + 90 * SECOND, 80 * SECOND, 9, |_| true).is_empty());
    let late = unused.start + 98 * SECOND;
    assert!(unused.cache.renew_along(late, IDLE, 9, |_| true).is_empty(), "it is due by itself");
}
