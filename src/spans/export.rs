//! Sends spans to the collector: a task of the engine gathers them for a few seconds, and makes one request of them.
//!
//! The task is there only while spans wait. What can't be sent is dropped and counted.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prost::Message;
use tokio::sync::{Notify, watch};

use super::collector::Collector;
use super::message::{ExportTraceServiceResponse, encode};
use super::queue::{Added, Queue};
use super::span::Span;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse, Transport};
use crate::notice::debug;
use crate::sync::lock;

/// How long spans are gathered, and how long one request may take. These are OpenTelemetry's defaults.
const GATHERING: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a request is sent at the most, and the pauses between: they double.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The log has no more than one line about the collector in that time.
const QUIET: Duration = Duration::from_secs(60);

/// Tells the operator that the collector takes no spans, or does again.
pub type Tell = Box<dyn Fn(bool, String) + Send + Sync>;

/// How many spans the collector took, and how many it never got.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    pub sent: Counter,
    pub dropped: Counter,
}

pub struct Exporter {
    collector: Collector,
    environment: Environment,
    counters: Counters,
    tell: Tell,
    state: Mutex<State>,
    /// Notified where a batch is full, and where the task has ended.
    full: Notify,
    idle: Notify,
    ending: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// The process whose task sends them. A fork has none.
    sender: Option<u32>,
    client: Option<(u32, Arc<Client>)>,
    told: Told,
}

/// What the operator was told last.
#[derive(Default)]
struct Told {
    is_failing: bool,
    at: Option<Instant>,
}

impl Told {
    /// Whether the operator is told of an outcome, and notes that.
    fn note(&mut self, fails: bool, now: Instant) -> bool {
        let is_quiet = self.at.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if fails == self.is_failing || (fails && is_quiet) {
            return false;
        }
        (self.is_failing, self.at) = (fails, Some(now));
        true
    }
}

/// Why a request brought nothing.
struct Failure {
    error: Error,
    /// Whether another attempt may succeed.
    is_passing: bool,
}

impl Exporter {
    pub fn new(collector: Collector, environment: Environment, counters: Counters, tell: Tell) -> Self {
        Self {
            collector,
            environment,
            counters,
            tell,
            state: Mutex::default(),
            full: Notify::new(),
            idle: Notify::new(),
            ending: watch::Sender::new(false),
        }
    }

    /// Has a span sent. It is called on the engine's thread.
    pub fn export(self: &Arc<Self>, span: Span) {
        let process = std::process::id();
        let (added, starts) = {
            let mut state = lock(&self.state);
            let starts = state.sender != Some(process);
            if starts && state.sender.is_some() {
                // They are spans of the process that this one was forked from, which sends them.
                state.queue.clear();
            }
            state.sender = Some(process);
            (state.queue.add(span), starts)
        };
        match added {
            Added::Waits => {}
            Added::FillsBatch => self.full.notify_one(),
            Added::Dropped => self.drop_spans(1),
        }
        if starts {
            tokio::spawn(Arc::clone(self).run());
        }
    }

    /// Sends what waits, for when no more spans follow; `None` where nothing waits.
    pub fn flush(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        if lock(&self.state).sender != Some(std::process::id()) {
            return None;
        }
        let exporter = Arc::clone(self);
        Some(async move {
            let mut idle = pin!(exporter.idle.notified());
            idle.as_mut().enable();
            exporter.ending.send_replace(true);
            if lock(&exporter.state).sender.is_some() {
                idle.await;
            }
        })
    }

    async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.full.notified() => {}
                () = self.ends() => {}
                () = tokio::time::sleep(GATHERING) => {}
            }
            loop {
                let batch = lock(&self.state).queue.take_batch();
                if batch.is_empty() {
                    break;
                }
                self.send(batch).await;
            }
            let mut state = lock(&self.state);
            if state.queue.is_empty() {
                state.sender = None;
                drop(state);
                self.idle.notify_waiters();
                return;
            }
        }
    }

    /// Waits until no more spans follow.
    async fn ends(&self) {
        // The sender lives as long as this.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    /// Sends a batch, or drops it.
    async fn send(&self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = encode(batch, &self.collector.service);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failure = match self.post(body.clone()).await {
                Ok(rejected) => {
                    self.note(None);
                    let rejected = rejected.min(count);
                    self.counters.sent.inc_by(count - rejected);
                    return self.drop_spans(rejected);
                }
                Err(failure) => failure,
            };
            self.note(Some(&failure.error));
            let is_last = attempts == ATTEMPTS || *self.ending.borrow();
            if !failure.is_passing || is_last {
                debug(|| format!("{count} spans are dropped: {}", failure.error));
                return self.drop_spans(count);
            }
            let pause = pause(attempts, failure.error.retry_after(), fastrand::f64());
            // Who ends tries once more, at once.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.ends() => {}
            }
        }
    }

    /// Makes one request. Returns how many of its spans the collector refused.
    async fn post(&self, body: Vec<u8>) -> std::result::Result<u64, Failure> {
        let passing = |error: Error| {
            let is_passing = !matches!(error.kind(), Kind::Config | Kind::Invalid);
            Failure { error, is_passing }
        };
        let client = self.client().map_err(passing)?;
        let response = client.send(self.collector.request(body)).await.map_err(passing)?;
        match response.status {
            200..=299 => Ok(rejected(&response)),
            status => {
                let is_passing = matches!(status, 429 | 502 | 503 | 504);
                Err(Failure { error: self.refused(&client, &response), is_passing })
            }
        }
    }

    fn refused(&self, client: &Client, response: &HttpResponse) -> Error {
        let (url, status) = (&self.collector.url, response.status);
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
        let place = client.address(url.host().unwrap_or_default(), port);
        let (kind, what) = match status {
            401 | 403 => (Kind::Denied, "refuses the spans: check vault_otlp_headers"),
            404 | 405 => (Kind::NotFound, "takes no spans there: check vault_otlp_endpoint"),
            429 => (Kind::Throttled, "asks for fewer requests"),
            502..=504 => (Kind::Unavailable, "does not take spans now"),
            _ => (Kind::Invalid, "does not take the spans: check that vault_otlp_endpoint takes OTLP over HTTP"),
        };
        Error::new(kind, format!("{LABEL} at {place}: {what} (status {status})"))
            .with_retry_after(response.retry_after())
    }

    fn client(&self) -> Result<Arc<Client>> {
        let process = std::process::id();
        let mut state = lock(&self.state);
        match &state.client {
            Some((owner, client)) if *owner == process => Ok(Arc::clone(client)),
            _ => {
                // With the system's certificates, no file is read here.
                let client = Client::new(&Transport::new(LABEL.to_owned(), &self.environment, TIMEOUT))?;
                let client = Arc::new(client);
                state.client = Some((process, Arc::clone(&client)));
                Ok(client)
            }
        }
    }

    fn note(&self, failure: Option<&Error>) {
        if lock(&self.state).told.note(failure.is_some(), Instant::now()) {
            (self.tell)(
                failure.is_none(),
                match failure {
                    Some(error) => format!("{error}; spans are dropped meanwhile"),
                    None => format!("{LABEL} takes spans again"),
                },
            );
        }
    }

    fn drop_spans(&self, count: u64) {
        self.counters.dropped.inc_by(count);
    }
}

/// How error texts call the collector.
const LABEL: &str = "otlp collector";

/// How many spans of a request that succeeded were refused all the same.
fn rejected(response: &HttpResponse) -> u64 {
    // An answer that is no message, such as a proxy's, says nothing of spans.
    let Ok(answer) = ExportTraceServiceResponse::decode(response.body.as_bytes()) else { return 0 };
    let Some(partial) = answer.partial_success else { return 0 };
    if partial.rejected_spans > 0 {
        debug(|| format!("{LABEL}: refused {} spans", partial.rejected_spans));
    }
    u64::try_from(partial.rejected_spans).unwrap_or(0)
}

/// How long to wait after so many attempts. `chance`, below 1, keeps workers from trying at the same time.
fn pause(attempts: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let own = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    asked.unwrap_or(own.mul_f64(0.5 + chance / 2.0)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
