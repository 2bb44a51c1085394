//! Messages for an operator that are not errors: notices, and debug lines about what the engine does.
//!
//! Debug lines are off unless a worker's nginx logs at the level `debug`; while off, each costs one atomic load. They
//! hold names and times, and never a value, a token, or a reference's options.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::sync::{Mutex, lock};

/// A line for the log about a problem of a vault that makes no fetch fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether the problem told before is over.
    pub is_over: bool,
    pub text: String,
}

/// How many debug lines may wait for the worker. Further ones are only counted.
const WAITING: usize = 256;

static IS_ON: AtomicBool = AtomicBool::new(false);
static LINES: Mutex<DebugLines> = Mutex::new(DebugLines::NONE);

/// The debug lines of this process.
struct DebugLines {
    waiting: Vec<String>,
    dropped: usize,
    /// Whether the reader knows that lines wait.
    is_told: bool,
    reader: Option<(u64, TellReader)>,
}

/// Tells the reader that lines wait; false where it doesn't listen.
pub type TellReader = Arc<dyn Fn() -> bool + Send + Sync>;

/// Writes a line to nginx's log. `line` is called only while debug lines are on.
pub fn debug(line: impl FnOnce() -> String) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let line = line();
    let tell = lock(&LINES).add(line);
    // The lock is released first, as the reader takes locks of its own. A reader that doesn't listen is told again next
    // time.
    if tell.is_some_and(|tell| !tell()) {
        lock(&LINES).is_told = false;
    }
}

/// How long something took, for a debug line.
pub fn took(start: Instant) -> String {
    format!("{:.1} ms", start.elapsed().as_secs_f64() * 1000.0)
}

/// Turns debug lines on for the Lua VM with that number. Only one VM of a process reads them.
pub fn debug_on(reader: u64, tell: TellReader) {
    lock(&LINES).reader = Some((reader, tell));
    IS_ON.store(true, Ordering::Relaxed);
}

/// Turns them off, if that VM reads them.
pub fn debug_off(reader: u64) {
    let mut lines = lock(&LINES);
    if lines.is_read_by(reader) {
        IS_ON.store(false, Ordering::Relaxed);
        *lines = DebugLines::NONE;
    }
}

/// The lines that wait, if that VM reads them.
pub fn take_debug_lines(reader: u64) -> Vec<String> {
    let mut lines = lock(&LINES);
    if lines.is_read_by(reader) { lines.take() } else { Vec::new() }
}

impl DebugLines {
    const NONE: Self = Self { waiting: Vec::new(), dropped: 0, is_told: false, reader: None };

    fn is_read_by(&self, reader: u64) -> bool {
        self.reader.as_ref().is_some_and(|(number, _)| *number == reader)
    }

    /// Adds a line. Returns how to tell the reader, where it has to be told.
    fn add(&mut self, line: String) -> Option<TellReader> {
        if self.waiting.len() < WAITING {
            self.waiting.push(line);
        } else {
            self.dropped += 1;
        }
        let (_, tell) = self.reader.as_ref().filter(|_| !self.is_told)?;
        self.is_told = true;
        Some(Arc::clone(tell))
    }

    fn take(&mut self) -> Vec<String> {
        self.is_told = false;
        let mut taken = std::mem::take(&mut self.waiting);
        match std::mem::take(&mut self.dropped) {
            0 => {}
            dropped => taken.push(format!("{dropped} more debug lines were dropped, as {WAITING} waited")),
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn so_many_lines_wait_and_the_reader_is_told_once_until_it_takes_them() {
        let mut lines = DebugLines { reader: Some((1, Arc::new(|| true))), ..DebugLines::NONE };
        let told = (0..WAITING + 7).filter(|number| lines.add(format!("line {number}")).is_some()).count();
        assert_eq!(told, 1);
        let taken = lines.take();
        assert_eq!((taken.len(), &*taken[0]), (WAITING + 1, "line 0"));
        assert_eq!(taken[WAITING], "7 more debug lines were dropped, as 256 waited");
        assert!(lines.add("one more".to_owned()).is_some());
        assert_eq!(lines.take(), ["one more"]);
        assert!(lines.take().is_empty());
    }

    #[test]
    fn a_line_is_only_made_for_a_reader_and_one_that_does_not_listen_is_told_again() {
        debug(|| unreachable!("nobody reads it"));
        let (told, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&told);
        debug_on(1, Arc::new(move || counted.fetch_add(1, Ordering::Relaxed) == usize::MAX));
        for _ in 0..2 {
            debug(|| format!("{}", count.fetch_add(1, Ordering::Relaxed)));
        }
        assert!(told.load(Ordering::Relaxed) >= 2 && count.load(Ordering::Relaxed) == 2);
        debug_off(2);
        assert!(take_debug_lines(2).is_empty() && take_debug_lines(1).contains(&"1".to_owned()));
        debug_off(1);
        debug(|| unreachable!("nobody reads it any more"));
    }
}
