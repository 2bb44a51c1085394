//! What happens in the background: values in use are renewed before their time ends, values whose time is over are
//! dropped, vaults that failed are probed. One task of the engine for each resolver.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::cache::Due;
use crate::error::Result;
use crate::resolver::Resolver;
use crate::resolver::instance::Away;
use crate::resolver::probes::AWAY;
use crate::resolver::resolved_reference::{DocumentKey, InstanceKey};
use crate::resolver::schedule::Schedule;
use crate::resolver::singleflight::Purpose;

/// In how many parts the time is divided after which an unused value is dropped. After each part, those who keep copies
/// have to ask once more: so it is seen which values are in use.
const IDLE_PARTS: u32 = 8;

/// Over which time the renewals after an outage are spread.
const RETURN_SPREAD: Duration = Duration::from_millis(200);

/// When a value is renewed whose vault is back.
fn soon() -> Instant {
    Instant::now() + RETURN_SPREAD.mul_f64(fastrand::f64())
}

impl Resolver {
    /// Has all values renewed that could not be while their vault was away.
    pub(crate) fn vault_is_back(&self, vault: &InstanceKey) {
        self.schedule().forget_probe(vault);
        self.documents().renew_all_of(vault, soon);
    }

    /// Has a value renewed soon after all whose vault has come back since that time: it was put off, or failed, by what was
    /// known before. Whoever puts off calls this afterwards: `vault_is_back` looks after the breaker has closed.
    pub(crate) fn renew_if_back(&self, key: &Arc<DocumentKey>, since: Instant) {
        if self.instances().known(&key.instance).is_some_and(|vault| vault.is_back_since(since)) {
            self.documents().renew_one(key, soon());
        }
    }

    /// Starts the engine and the refresher in this process, if they don't run.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        if self.schedule().runs() || self.schedule().is_quitting() {
            return Ok(());
        }
        let engine = self.engine()?;
        if self.schedule().begin() {
            // What was copied before might outlive its time.
            self.bump();
            engine.spawn(run(Arc::downgrade(self), Arc::clone(self.schedule())));
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
                Some((key, Due::Renew)) => self.renew_or_put_off(&key, now),
            }
        }
        if dropped {
            self.bump();
        }
        while let Some(key) = self.schedule().probe(now) {
            let Some(vault) = self.instances().known(&key.instance) else { continue };
            let (permitted, next) = vault.take_probe(now);
            // Not permitted yet, or lost on its way: the next one is seen to either way.
            self.schedule().want_probe(&key, || next);
            if permitted {
                self.metrics().probes.inc();
                self.fetch_in_background(&key, Purpose::Probe(now));
            }
        }
        [self.documents().next(), self.schedule().next_probe()].into_iter().flatten().min()
    }

    /// A value of a vault whose breaker is open waits until that closes; its being in use is a reason to probe.
    fn renew_or_put_off(self: &Arc<Self>, key: &Arc<DocumentKey>, now: Instant) {
        match self.instances().away(&key.instance) {
            None => {
                self.metrics().refreshes.inc();
                self.renew(key);
            }
            Some(Away { reason, probe_at }) => {
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
                resolver.bump();
            }
            // Where nothing will be renewed, nobody has to know what is in use.
            next.map(|next| next.min(asked_at + part))
        };
        schedule.sleep_until(next).await;
    }
}
