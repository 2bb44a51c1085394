//! Caches credentials of any cloud with their expiry. They are renewed ahead of it, while fetches go on using them. One
//! load runs at a time, which all who wait share.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use super::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::notice::{debug, took};
use crate::sync::lock;

/// How long before their end credentials are renewed: this part of their life, but at most this many seconds.
const AHEAD: std::ops::Range<f64> = 0.25..0.35;
const AHEAD_AT_MOST: std::ops::Range<f64> = 300.0..600.0;

/// How long before their end credentials are no longer used, at most: a request takes time to arrive.
const MARGIN: Duration = Duration::from_secs(10);

/// The pause after a failed renewal, in seconds.
const AGAIN: std::ops::Range<f64> = 0.2..30.0;

/// The shortest time between two loads because of refused credentials: a key that is always refused must not multiply
/// requests.
const BETWEEN_REFUSALS: Duration = Duration::from_secs(5);

/// How long credentials are used beyond their end, where the server allows it, before their source is asked again.
const PROLONGED: Duration = Duration::from_secs(300);

/// When a load is given up. It may last longer than the fetch that started it, and serve the next one.
const LONGEST_LOAD: Duration = Duration::from_secs(60);

/// What is cached. Clones are cheap.
pub trait Credential: Clone + Send + Sync + 'static {
    /// The source, for the log.
    fn origin(&self) -> &str;

    /// The end, by the cache's clock; `None`: there is none.
    fn expiry(&self) -> Option<SystemTime>;

    /// Whether both are the same for the server, whatever their sources.
    fn is_same(&self, other: &Self) -> bool;

    /// Whether the server accepts them for some time after their end.
    fn outlasts(&self) -> bool {
        false
    }
}

pub type Loading<C> = Pin<Box<dyn Future<Output = Result<C>> + Send>>;

/// Which source a load is asking, for the error of a caller that gives up.
pub struct LoadStage(Arc<dyn Fn(String) + Send + Sync>);

impl LoadStage {
    /// Sets the source that is asked now.
    pub fn asks(&self, source: impl Into<String>) {
        (self.0)(source.into());
    }
}

#[derive(Clone)]
enum LoadProgress<C> {
    Asks(String),
    Done(Result<C>),
}

type Load<C> = Box<dyn Fn(LoadStage) -> Loading<C> + Send + Sync>;

/// The credentials of one identity. A running load goes on when this is dropped.
pub struct CredentialsCache<C>(Arc<Inner<C>>);

struct Inner<C> {
    label: String,
    /// How long a caller waits.
    patience: Duration,
    clock: Clock,
    load: Load<C>,
    state: Mutex<CacheState<C>>,
}

struct CacheState<C> {
    held: Option<HeldCredential<C>>,
    loading: Option<watch::Receiver<LoadProgress<C>>>,
    refused: Option<Instant>,
}

#[derive(Clone)]
struct HeldCredential<C> {
    credential: C,
    /// When it is no longer used, and when it is renewed.
    until: Option<SystemTime>,
    renew: Option<SystemTime>,
}

impl<C: Credential> HeldCredential<C> {
    fn new(credential: C, now: SystemTime) -> Self {
        let Some(expiry) = credential.expiry() else { return Self { credential, until: None, renew: None } };
        let life = expiry.duration_since(now).unwrap_or_default();
        let part = life.mul_f64(between(AHEAD)).min(Duration::from_secs_f64(between(AHEAD_AT_MOST)));
        let margin = MARGIN.min(life / 10);
        Self { credential, until: Some(expiry - margin), renew: Some(expiry - part) }
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn is_due(&self, now: SystemTime) -> bool {
        self.renew.is_some_and(|renew| now >= renew)
    }

    /// Puts the next renewal off, after one that failed.
    fn put_off(&mut self, now: SystemTime) {
        let left = self.until.and_then(|until| until.duration_since(now).ok()).unwrap_or_default();
        let pause = (left / 4).as_secs_f64().clamp(AGAIN.start, AGAIN.end);
        self.renew = Some(now + Duration::from_secs_f64(pause));
    }
}

impl<C: Credential> CredentialsCache<C> {
    /// `label`: the vault's name in errors. `patience`: how long a fetch waits for a load. `load` returns new credentials.
    pub fn new(
        label: &str,
        patience: Duration,
        clock: Clock,
        load: impl Fn(LoadStage) -> Loading<C> + Send + Sync + 'static,
    ) -> Self {
        let (label, load) = (label.to_owned(), Box::new(load));
        let state = Mutex::new(CacheState { held: None, loading: None, refused: None });
        Self(Arc::new(Inner { label, patience, clock, load, state }))
    }

    /// Credentials that are valid now. A caller shortly before their end starts the renewal, and does not wait for it.
    pub async fn get(&self) -> Result<C> {
        let loading = {
            let mut state = self.0.state();
            let now = self.0.clock.now();
            if let Some(held) = state.held.clone().filter(|held| held.is_good(now)) {
                if held.is_due(now) {
                    self.0.start(&mut state);
                }
                return Ok(held.credential);
            }
            self.0.start(&mut state)
        };
        self.wait(loading).await.map_err(Error::of_login)
    }

    /// Other credentials in place of those that the server refuses, if there are any. Their source is asked ahead of time.
    /// Its error is why there are none, which says more than that the server refuses the old ones.
    pub async fn instead_of(&self, refused: &C) -> Result<Option<C>> {
        let loading = {
            let mut state = self.0.state();
            match (&state.held, &state.loading) {
                (Some(held), _) if !held.credential.is_same(refused) => return Ok(Some(held.credential.clone())),
                (_, Some(loading)) => loading.clone(),
                _ if state.refused.is_some_and(|last| last.elapsed() < BETWEEN_REFUSALS) => return Ok(None),
                _ => {
                    state.refused = Some(Instant::now());
                    state.held = None;
                    self.0.start(&mut state)
                }
            }
        };
        let credential = self.wait(loading).await.map_err(Error::of_login)?;
        Ok(Some(credential).filter(|credential| !credential.is_same(refused)))
    }

    async fn wait(&self, mut loading: watch::Receiver<LoadProgress<C>>) -> Result<C> {
        let ended = async { loading.wait_for(|progress| matches!(progress, LoadProgress::Done(_))).await.is_ok() };
        let is_lost = matches!(tokio::time::timeout(self.0.patience, ended).await, Ok(false));
        match loading.borrow().clone() {
            LoadProgress::Done(outcome) => outcome,
            // The load's runtime ended, as nginx is about to.
            LoadProgress::Asks(_) if is_lost => Err(self.0.late("a load that ended early")),
            LoadProgress::Asks(source) => Err(self.0.late(&source)),
        }
    }
}

impl<C: Credential> Inner<C> {
    fn state(&self) -> MutexGuard<'_, CacheState<C>> {
        lock(&self.state)
    }

    /// The load under way, or a new one.
    fn start(self: &Arc<Self>, state: &mut CacheState<C>) -> watch::Receiver<LoadProgress<C>> {
        // A load whose runtime has ended does not count.
        if let Some(loading) = state.loading.clone().filter(|loading| loading.has_changed().is_ok()) {
            return loading;
        }
        let (sender, loading) = watch::channel(LoadProgress::Asks("its sources".to_owned()));
        state.loading = Some(loading.clone());
        let inner = Arc::clone(self);
        let told = sender.clone();
        let stage = LoadStage(Arc::new(move |source| {
            told.send_replace(LoadProgress::Asks(source));
        }));
        let loads = (self.load)(stage);
        tokio::spawn(async move {
            let begun = std::time::Instant::now();
            debug(|| format!("{}: asking for credentials", inner.label));
            let outcome = match tokio::time::timeout(LONGEST_LOAD, loads).await {
                Ok(outcome) => outcome,
                Err(_) => Err(match &*sender.borrow() {
                    LoadProgress::Asks(source) => inner.late(source),
                    LoadProgress::Done(_) => inner.late("its sources"),
                }),
            };
            debug(|| inner.loaded(&outcome, begun));
            let outcome = inner.keep(outcome);
            sender.send_replace(LoadProgress::Done(outcome));
        });
        loading
    }

    /// Stores the outcome of a load, and returns what those who wait get.
    fn keep(&self, outcome: Result<C>) -> Result<C> {
        let now = self.clock.now();
        let mut state = self.state();
        state.loading = None;
        match outcome {
            Ok(credential) => {
                state.held = Some(HeldCredential::new(credential.clone(), now));
                Ok(credential)
            }
            Err(error) => match &mut state.held {
                Some(held) if held.is_good(now) => {
                    held.put_off(now);
                    Err(error)
                }
                Some(held) if held.credential.outlasts() && is_silence(error.kind()) => {
                    held.until = Some(now + PROLONGED);
                    held.put_off(now);
                    Ok(held.credential.clone())
                }
                _ => Err(error),
            },
        }
    }

    /// The debug line of a load.
    fn loaded(&self, outcome: &Result<C>, begun: std::time::Instant) -> String {
        let (label, took) = (&self.label, took(begun));
        match outcome {
            Ok(credential) => {
                let left =
                    credential.expiry().map(|expiry| expiry.duration_since(self.clock.now()).unwrap_or_default());
                let end = left.map_or_else(|| "without an end".to_owned(), |left| format!("for {} s", left.as_secs()));
                format!("{label}: credentials from {} after {took}, {end}", credential.origin())
            }
            Err(error) => format!("{label}: no credentials after {took}: {}", error.kind().name()),
        }
    }

    fn late(&self, source: &str) -> Error {
        Error::new(
            Kind::Timeout,
            format!("{}: no credentials within {} seconds from {source}", self.label, self.patience.as_secs_f64()),
        )
    }
}

/// Whether a source could not answer, rather than refused.
fn is_silence(kind: Kind) -> bool {
    matches!(kind, Kind::Unavailable | Kind::Timeout | Kind::Throttled | Kind::Tls)
}

fn between(range: std::ops::Range<f64>) -> f64 {
    range.start + (range.end - range.start) * fastrand::f64()
}

#[cfg(test)]
mod tests;
