//! Watches the time of cached values, so that copies which nobody can reach are known to be over when their time is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Sleeps until the next entry of a cache stops answering.
#[derive(Default)]
pub struct Watch {
    /// The process in which it runs, by pid; a fork has to start its own.
    owner: AtomicU32,
    /// When it will wake up by itself; `None`: it has to be told of every end.
    sleeps_until: Mutex<Option<Instant>>,
    bell: Notify,
}

impl Watch {
    /// Whether it runs in this process.
    pub fn runs(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == std::process::id()
    }

    /// Marks it as started in this process; false where it runs already.
    pub fn start(&self) -> bool {
        let pid = std::process::id();
        self.owner.swap(pid, Ordering::Relaxed) != pid
    }

    /// Tells of an entry that stops answering at `end`.
    pub fn expect(&self, end: Instant) {
        if self.sleeps_until().is_none_or(|wakes| end < wakes) {
            self.bell.notify_one();
        }
    }

    /// Has `run` ask `next_end` once more.
    pub fn end(&self) {
        self.bell.notify_one();
    }

    /// Calls `ended` whenever an entry stops answering. `next_end` says when the next one does, or `None` when there is
    /// nothing to watch any more.
    pub async fn run(&self, next_end: impl Fn() -> Option<Option<Instant>>, ended: impl Fn()) {
        loop {
            // Whatever is kept while `next_end` looks has to ring.
            *self.sleeps_until() = None;
            let Some(next) = next_end() else { return };
            *self.sleeps_until() = next;
            match next {
                None => self.bell.notified().await,
                Some(end) => {
                    if tokio::time::timeout_at(end.into(), self.bell.notified()).await.is_err() {
                        ended();
                    }
                }
            }
        }
    }

    fn sleeps_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.sleeps_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wakes_for_the_earliest_end_also_when_it_hears_of_it_late() {
        let (watch, start) = (Watch::default(), tokio::time::Instant::now());
        let (end, count) = (Cell::new(Some(start + Duration::from_secs(60))), Cell::new(0));
        let run = watch.run(
            || Some(end.get().filter(|end| *end > tokio::time::Instant::now()).map(Into::into)),
            || {
                count.set(count.get() + 1);
            },
        );
        tokio::pin!(run);
        let until =
            |seconds| tokio::time::timeout_at(start + Duration::from_secs(seconds), std::future::pending::<()>());
        tokio::select! { () = &mut run => {}, _ = until(1) => {} }
        end.set(Some(start + Duration::from_secs(5)));
        watch.expect((start + Duration::from_secs(5)).into());
        tokio::select! { () = &mut run => {}, _ = until(4) => {} }
        assert_eq!(count.get(), 0);
        tokio::select! { () = &mut run => {}, _ = until(6) => {} }
        assert_eq!(count.get(), 1);
    }

    #[tokio::test]
    async fn ends_when_there_is_nothing_left_to_watch() {
        let watch = Watch::default();
        watch.end();
        watch.run(|| None, || {}).await;
    }
}
