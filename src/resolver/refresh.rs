//! What happens in the background: values in use are renewed before their time ends, values whose time is over are
//! dropped, vaults that failed are probed. One task of the engine for each resolver.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::cache::Due;
use crate::error::Result;
use crate::notice::debug;
use crate::resolver::instance::Away;
use crate::resolver::probes::AWAY;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::schedule::Schedule;
use crate::resolver::singleflight::Purpose;
use crate::resolver::state::Resolver;

/// The generation moves so many times within `idle_ttl`: those who keep copies then look the values up again, which
/// shows what is in use.
const IDLE_PARTS: u32 = 8;

/// How many values are renewed along with one that is due, at most.
const ALONG: usize = 512;

impl Resolver {
    /// Starts the engine and the refresher in this process, if they don't run.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        if self.schedule().runs() || self.schedule().is_quitting() {
            return Ok(());
        }
        let engine = self.engine()?;
        if self.schedule().begin() {
            self.figures().enter();
            // No refresher has kept earlier copies up to date.
            self.bump();
            engine.spawn(run(Arc::downgrade(self), Arc::clone(self.schedule())));
            // Files that were read before the fork are watched once one of them is fetched in this process.
            for key in self.documents().of_files() {
                self.fetch_in_background(&key, Purpose::Newer(Instant::now()));
            }
        }
        Ok(())
    }

    /// Does what is due. Returns when the next thing is.
    fn refresh_due(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let idle = self.config().idle_ttl;
        let mut dropped = false;
        loop {
            match self.documents().due(now, idle) {
                None => break,
                Some((_, Due::Drop)) => dropped = true,
                Some((key, Due::Renew)) => {
                    self.renew_or_put_off(&key, now);
                    self.renew_along(&key, now, idle);
                }
            }
        }
        if dropped {
            self.account_for_cache();
            self.bump();
        }
        while let Some(key) = self.schedule().probe(now) {
            let Some(vault) = self.instances().known(&key.instance) else { continue };
            let (permitted, next) = vault.take_probe(now);
            // The next probe is planned either way: this one may not be permitted yet, or may be lost.
            self.schedule().want_probe(&key, || next);
            if permitted {
                self.metrics().probes.inc();
                debug(|| format!("{}: {} is to be probed", key.shown(), key.label()));
                self.fetch_in_background(&key, Purpose::Probe(now));
            }
        }
        [self.documents().next(), self.schedule().next_probe()].into_iter().flatten().min()
    }

    /// Renews the values of a vault that are due soon along with one that is due, if it brings many with one request.
    fn renew_along(self: &Arc<Self>, key: &Arc<DocumentKey>, now: Instant, idle: Duration) {
        if self.instances().fetches_in_batches(key) && self.instances().away(&key.instance).is_none() {
            for key in self.documents().renew_along(&key.instance, now, idle, ALONG) {
                self.renew_or_put_off(&key, now);
            }
        }
    }

    /// Renews a value, or puts that off until the open breaker of its vault closes; a value in use is a reason to
    /// probe.
    fn renew_or_put_off(self: &Arc<Self>, key: &Arc<DocumentKey>, now: Instant) {
        match self.instances().away(&key.instance) {
            None => {
                self.metrics().refreshes.inc();
                debug(|| format!("{}: due to be renewed", key.shown()));
                self.renew(key);
            }
            Some(Away { reason, probe_at }) => {
                debug(|| format!("{}: its renewal is put off, as {} is away", key.shown(), key.label()));
                self.documents().put_off(key, reason, now + AWAY);
                self.schedule().want_probe(key, || Some(probe_at));
                self.renew_if_back(key, now);
            }
        }
    }
}

async fn run(resolver: Weak<Resolver>, schedule: Arc<Schedule>) {
    let mut asked_at = Instant::now();
    loop {
        if schedule.is_quitting() {
            return;
        }
        schedule.begin_scan();
        let next = {
            let Some(resolver) = resolver.upgrade() else { return };
            let now = Instant::now();
            let part = resolver.config().idle_ttl / IDLE_PARTS;
            let next = resolver.refresh_due(now);
            if now.saturating_duration_since(asked_at) >= part {
                asked_at = now;
                resolver.account_for_cache();
                resolver.bump();
            }
            // Where nothing is due, nobody has to know what is in use.
            next.map(|next| next.min(asked_at + part))
        };
        schedule.sleep_until(next).await;
    }
}
