//! Rows that are found by a name, in memory that processes share. A name lies in one of the rows of its window, which begins
//! where its bits say.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many rows a name may lie in.
const WINDOW: usize = 64;

/// What stands in place of a name in a row that is free, or is being made so.
const FREE: u64 = 0;
const BUSY: u64 = 1;

/// A row with a name. Zeros are a free one.
pub trait Row {
    /// Where its name stands.
    fn tag(&self) -> &AtomicU64;
}

/// The name of a row that is in use.
pub fn name(row: &impl Row) -> Option<u64> {
    Some(row.tag().load(Ordering::Acquire)).filter(|tag| *tag > BUSY)
}

fn window<R>(rows: &[R], name: u64) -> impl Iterator<Item = &R> {
    let start = usize::try_from(name % rows.len() as u64).unwrap_or(0);
    rows[start..].iter().chain(&rows[..start]).take(WINDOW)
}

/// The row of that name. `hold` keeps it from being freed.
pub fn find<R: Row>(rows: &[R], name: u64, hold: impl Fn(&R)) -> Option<&R> {
    let name = name.max(BUSY + 1);
    let found = window(rows, name).find(|row| row.tag().load(Ordering::SeqCst) == name)?;
    hold(found);
    // It may have been freed just before.
    (found.tag().load(Ordering::SeqCst) == name).then_some(found)
}

/// The same; where there is none, a free row of the window gets the name. Returns whether that was so; `None` where none is free.
pub fn find_or_claim<R: Row>(rows: &[R], name: u64, hold: impl Fn(&R)) -> Option<(&R, bool)> {
    let name = name.max(BUSY + 1);
    if let Some(known) = find(rows, name, &hold) {
        return Some((known, false));
    }
    for row in window(rows, name) {
        match row.tag().compare_exchange(FREE, name, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => {
                hold(row);
                return Some((row, true));
            }
            // Another worker was quicker, with the same name.
            Err(tag) if tag == name => {
                hold(row);
                return Some((row, false));
            }
            Err(_) => {}
        }
    }
    None
}

/// Frees a row, unless somebody holds it: `is_held` is asked once no further one can find it. `clear` makes it empty.
pub fn free<R: Row>(row: &R, is_held: impl Fn(&R) -> bool, clear: impl Fn(&R)) -> bool {
    let Some(name) = name(row) else { return false };
    if is_held(row) || row.tag().compare_exchange(name, BUSY, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return false;
    }
    if is_held(row) {
        row.tag().store(name, Ordering::SeqCst);
        return false;
    }
    clear(row);
    row.tag().store(FREE, Ordering::SeqCst);
    true
}
