//! The schedule of a resolver: whether its refresher runs and when it wakes up, and which vaults are to be probed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

use crate::resolver::probes::Probes;
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::wakeup::Wakeup;
use crate::sync::{Rank, Ranked};

/// The schedule of one resolver.
pub struct Schedule {
    /// The pid of the process in which the refresher runs, or 0; a fork has to start its own. It is kept, as asking the
    /// system for the pid at each look-up would be slow.
    owner: AtomicU32,
    /// Whether the worker is quitting: the refresher must not start again.
    quitting: AtomicBool,
    wakeup: Wakeup,
    signal: Notify,
    probes: Ranked<Probes<InstanceKey, Arc<DocumentKey>>>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            owner: AtomicU32::new(0),
            quitting: AtomicBool::new(false),
            wakeup: Wakeup::new(),
            signal: Notify::new(),
            probes: Ranked::new(Rank::Probes, Probes::default()),
        }
    }
}

impl Schedule {
    /// Whether the refresher runs in this process; after a fork that is so once `entered` was called.
    pub fn runs(&self) -> bool {
        self.owner.load(Ordering::Relaxed) != 0
    }

    /// Whether it is not to start again.
    pub fn is_quitting(&self) -> bool {
        self.quitting.load(Ordering::Relaxed)
    }

    /// Notes that it runs in this process from now on; false where it does already.
    pub fn begin(&self) -> bool {
        let pid = std::process::id();
        self.owner.swap(pid, Ordering::Relaxed) != pid
    }

    /// Notes that the refresher scans for what is due.
    pub fn begin_scan(&self) {
        self.wakeup.begin_scan();
    }

    /// Has the refresher sleep until then, or until something is due earlier; with `None`, until something is due.
    pub async fn sleep_until(&self, next: Option<Instant>) {
        self.wakeup.sleep_until(next);
        match next {
            None => self.signal.notified().await,
            Some(at) => drop(tokio::time::timeout_at(at.into(), self.signal.notified()).await),
        }
    }

    /// Forgets that it ran in the process that this one was forked from.
    pub fn entered(&self) {
        let (owner, pid) = (self.owner.load(Ordering::Relaxed), std::process::id());
        if owner != pid {
            self.owner.store(0, Ordering::Relaxed);
        }
    }

    /// Ends the refresher for good: a worker that only finishes its last requests renews nothing ahead of time.
    pub fn quit(&self) {
        self.quitting.store(true, Ordering::Relaxed);
        self.owner.store(0, Ordering::Relaxed);
        self.signal.notify_one();
    }

    /// Wakes the refresher if it would sleep beyond `next`.
    pub fn expect(&self, next: Option<Instant>) {
        let Some(next) = next else { return };
        if self.wakeup.is_too_late_for(next) {
            self.signal.notify_one();
        }
    }

    /// Wakes the refresher, which ends where its resolver is gone.
    pub fn end(&self) {
        self.signal.notify_one();
    }

    /// Has a vault probed at that time, with this document.
    pub fn want_probe(&self, key: &Arc<DocumentKey>, at: impl Fn() -> Option<Instant>) {
        let Some(at) = at() else { return };
        self.probes.lock().want(key.instance.clone(), at, Arc::clone(key));
        self.expect(Some(at));
    }

    /// Drops the probe of a vault.
    pub fn forget_probe(&self, vault: &InstanceKey) {
        self.probes.lock().forget(vault);
    }

    /// Removes a vault whose probe is due, and returns its document.
    pub fn probe(&self, now: Instant) -> Option<Arc<DocumentKey>> {
        self.probes.lock().take(now)
    }

    pub fn next_probe(&self) -> Option<Instant> {
        self.probes.lock().next()
    }
}
