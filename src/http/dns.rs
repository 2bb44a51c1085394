//! Resolves names to addresses on threads of their own: the system's resolver blocks while a name server is silent.
//!
//! One look-up of a name runs at a time. While one hangs, further requests for the name are answered at once: with its
//! last addresses, if these are not old, or with an error.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool")]

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::pool::{self, JobRefusal};
use crate::sync::lock;

/// How many names' last outcomes are kept.
const KEPT: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The greatest age of addresses that are used while a look-up hangs.
const OLDEST: Duration = Duration::from_secs(300);

/// How long to wait for a look-up where earlier addresses could be used instead.
const PATIENCE: Duration = Duration::from_secs(1);

/// The outcomes of the last look-ups. The threads that look names up never lock it, so that a fork finds it unlocked.
static LAST: Mutex<Option<LruCache<String, Last>>> = Mutex::new(None);

pub(super) type Resolved = Result<Vec<SocketAddr>, Unresolved>;

struct Last {
    ended: Instant,
    /// The last good addresses, and when they came.
    addresses: Option<(Instant, Vec<SocketAddr>)>,
    unresolved: Option<Unresolved>,
}

/// The system's resolver.
#[derive(Clone)]
pub(super) struct System {
    look_up: fn(&str) -> io::Result<Vec<SocketAddr>>,
    patience: Duration,
}

/// The resolver knows no address of a name, or can't be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The resolver says so, or it failed.
    Unknown,
    /// It was not asked.
    Refused(JobRefusal),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("check its spelling and the name servers in /etc/resolv.conf"),
            Self::Refused(JobRefusal::Hangs) => f.write_str(
                "the name server does not answer (an earlier look-up still hangs): check the name servers in \
                 /etc/resolv.conf",
            ),
            Self::Refused(JobRefusal::Full) => f.write_str(
                "name servers do not answer (too many look-ups of other names hang): check the name servers in \
                 /etc/resolv.conf",
            ),
            Self::Refused(other) => write!(f, "{other}"),
        }
    }
}

impl std::error::Error for Unresolved {}

impl System {
    /// `timeout` is the limit of the whole request. The wait is a part of it, so that time is left to use earlier
    /// addresses.
    pub fn new(timeout: Duration) -> Self {
        // The connector sets the port.
        let look_up = |name: &str| (name, 0).to_socket_addrs().map(Iterator::collect);
        Self { look_up, patience: PATIENCE.min(timeout / 4) }
    }

    /// A name's addresses, without a port.
    pub async fn addresses(&self, name: &str) -> Resolved {
        let Some(known) = last_good(name) else { return self.ask(name).await };
        match tokio::time::timeout(self.patience, self.ask(name)).await {
            Ok(Err(Unresolved::Refused(_))) | Err(_) => Ok(known),
            Ok(outcome) => outcome,
        }
    }

    async fn ask(&self, name: &str) -> Resolved {
        let asked = Instant::now();
        let turn = pool::names().turn(name.as_bytes()).await.map_err(Unresolved::Refused)?;
        if let Some(outcome) = outcome_since(name, asked) {
            return outcome;
        }
        let (look_up, owned) = (self.look_up, name.to_owned());
        let (answer, _turn) = turn.run(move || look_up(&owned)).await.map_err(Unresolved::Refused)?;
        let outcome = answer.map_err(|_| Unresolved::Unknown);
        note(name, &outcome);
        outcome
    }
}

/// The outcome of a look-up that ended after `asked`.
fn outcome_since(name: &str, asked: Instant) -> Option<Resolved> {
    let mut last = last();
    let last = last.as_mut()?.get(name).filter(|last| last.ended >= asked)?;
    match (&last.unresolved, &last.addresses) {
        (Some(unresolved), _) => Some(Err(*unresolved)),
        (None, addresses) => addresses.as_ref().map(|(_, addresses)| Ok(addresses.clone())),
    }
}

fn last_good(name: &str) -> Option<Vec<SocketAddr>> {
    let mut last = last();
    let (came, addresses) = last.as_mut()?.get(name)?.addresses.as_ref()?;
    (came.elapsed() < OLDEST).then(|| addresses.clone())
}

fn note(name: &str, outcome: &Resolved) {
    let (mut last, now) = (last(), Instant::now());
    let known = last.get_or_insert_with(|| LruCache::new(KEPT));
    let last = match outcome {
        Ok(addresses) => Last { ended: now, addresses: Some((now, addresses.clone())), unresolved: None },
        Err(unresolved) => {
            let before = known.pop(name).and_then(|last| last.addresses);
            Last { ended: now, addresses: before, unresolved: Some(*unresolved) }
        }
    };
    known.put(name.to_owned(), last);
}

fn last() -> MutexGuard<'static, Option<LruCache<String, Last>>> {
    lock(&LAST)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn addresses(look_up: fn(&str) -> io::Result<Vec<SocketAddr>>, name: &str) -> Resolved {
        System { look_up, patience: PATIENCE }.addresses(name).await
    }

    fn one() -> Vec<SocketAddr> {
        vec![([192, 0, 2, 1], 0).into()]
    }

    /// A resolver whose name server is silent for longer than any test.
    fn silent(_: &str) -> io::Result<Vec<SocketAddr>> {
        std::thread::sleep(Duration::from_secs(60));
        Err(io::ErrorKind::TimedOut.into())
    }

    async fn give_up(name: &'static str) {
        let asking = tokio::spawn(async move { System { look_up: silent, patience: PATIENCE }.ask(name).await });
        while !pool::names().runs(name.as_bytes()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        asking.abort();
        assert!(asking.await.is_err());
    }

    #[tokio::test]
    async fn while_a_look_up_hangs_its_name_fails_at_once_and_others_are_resolved() {
        for name in ["a.silent.test", "b.silent.test", "c.silent.test"] {
            give_up(name).await;
            for _ in 0..40 {
                assert_eq!(addresses(|_| Ok(one()), name).await, Err(Unresolved::Refused(JobRefusal::Hangs)));
            }
            assert_eq!(addresses(|_| Ok(one()), "healthy.test").await, Ok(one()));
        }
    }

    #[tokio::test]
    async fn what_a_name_was_last_serves_while_its_look_up_hangs_but_not_after_it_is_unknown() {
        let name = "known.test";
        assert_eq!(addresses(|_| Ok(one()), name).await, Ok(one()));
        give_up(name).await;
        assert_eq!(addresses(|_| panic!("it hangs"), name).await, Ok(one()));
        let gone = "gone.test";
        assert_eq!(addresses(|_| Ok(one()), gone).await, Ok(one()));
        let unknown: fn(&str) -> io::Result<Vec<SocketAddr>> = |_| Err(io::ErrorKind::NotFound.into());
        assert_eq!(addresses(unknown, gone).await, Err(Unresolved::Unknown));
    }

    #[tokio::test]
    async fn who_waits_for_a_name_shares_its_look_up() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let slow: fn(&str) -> io::Result<Vec<SocketAddr>> = |_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
            Ok(one())
        };
        let asking: Vec<_> = (0..40).map(|_| tokio::spawn(addresses(slow, "shared.test"))).collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), Ok(one()));
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
    }
}
