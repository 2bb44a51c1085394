//! The audit log: who read which reference, what became of each fetch, who changed a vault entity; as JSON lines in a
//! file or for syslog. docs/audit.md describes them.
//!
//! Whoever reports something only puts it into a queue, which has a bound: what does not fit is dropped and counted. A
//! thread of the pool writes it, and it alone waits for a disk that hangs. That thread runs while there are lines, and
//! a moment longer.
//!
//! It uses `redact` and the grammar of references. It must never know a value, nor wait for its thread in a request.

mod destination;
mod event;
mod log_file;
mod queue;
mod syslog;
mod writer;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use destination::Destination;
use event::as_json;
pub use event::{Change, Check, Fetch, Health, Read, Refusal, SHOWN, Who};
use queue::{Form, Queue};
use writer::{Writer, Written};

use crate::error::{Error, Kind, Result};
use crate::pool;
use crate::sync::{even_poisoned, lock};

/// The pause between two batches: at most so late is a line, and so seldom is the thread woken.
const PAUSE: Duration = Duration::from_millis(50);

/// The pause between two notices about the same problem.
const NOTICE: Duration = Duration::from_secs(60);

/// How long a process that ends waits for its lines to be written.
const AT_THE_END: Duration = Duration::from_secs(2);

/// How many refused requests of the Admin API have lines, in a second.
const REFUSALS: u32 = 10;

/// Which look-ups have lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    Off,
    /// Those that the table in Lua does not answer.
    Fetched,
    All,
}

impl Reads {
    fn parse(text: &str) -> Self {
        match text {
            "off" => Reads::Off,
            "all" => Reads::All,
            _ => Reads::Fetched,
        }
    }
}

/// Has a line written to nginx's log: whether a problem is over, and the text.
pub type Tell = Arc<dyn Fn(bool, String) + Send + Sync>;

/// One Lua VM's use of the audit log.
#[derive(Clone, Default)]
pub struct Audit {
    log: Option<Arc<AuditLog>>,
    reads: Option<Reads>,
}

/// The figures for metrics.
#[derive(Debug, Default, Clone, Copy)]
pub struct AuditLevels {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were dropped.
    pub dropped: u64,
}

impl Audit {
    /// `destination` and `reads` as the options say it.
    pub fn new(destination: &str, reads: &str) -> Self {
        match Destination::parse(destination) {
            None => Self::default(),
            Some(destination) => Self { log: Some(AuditLog::of(destination)), reads: Some(Reads::parse(reads)) },
        }
    }

    /// Opens the log, for which it waits, for at most `patience`.
    pub fn open(&self, patience: Duration) -> Result<()> {
        self.log.as_ref().map_or(Ok(()), |log| log.open(patience))
    }

    /// Has problems told by `tell`.
    pub fn tell_by(&self, tell: Tell) {
        if let Some(log) = &self.log {
            *lock(&log.tell) = Some(tell);
        }
    }

    pub fn is_on(&self) -> bool {
        self.log.is_some()
    }

    pub fn reads(&self) -> Reads {
        self.reads.unwrap_or(Reads::Off)
    }

    /// Notes that this process is a worker, which may have threads. Lines of the process that it was forked from are
    /// that one's.
    pub fn enter(&self, worker: Option<u32>) {
        if let Some(log) = &self.log {
            log.enter(worker);
        }
    }

    pub fn read(&self, read: &Read<'_>) {
        if let Some(log) = &self.log {
            log.push(if read.served { Form::Served } else { Form::Unserved }, &read.parts());
        }
    }

    /// `event` is called only where the log is on.
    pub fn note<T: Serialize>(&self, event: impl FnOnce() -> T) {
        if let Some(log) = &self.log {
            log.push(Form::Object, &[&as_json(&event())]);
        }
    }

    /// A change of a vault entity.
    pub fn changed(&self, change: &Change<'_>) {
        self.note_or_cut(change, &Change { before: None, after: None, cut: true, ..*change });
    }

    /// A check of a vault by the Admin API.
    pub fn checked(&self, check: &Check<'_>) {
        self.note_or_cut(check, &Check { entity: None, cut: check.entity.is_some(), ..*check });
    }

    /// Notes what an event says in short where the whole is too long.
    fn note_or_cut(&self, whole: &impl Serialize, short: &impl Serialize) {
        let Some(log) = &self.log else { return };
        let (whole, short) = (as_json(whole), as_json(short));
        let fits = whole.len() <= queue::LONGEST_PART;
        log.push(Form::Object, &[if fits { &whole } else { &short }, &short]);
    }

    /// A request of the Admin API that was refused.
    pub fn refused(&self, who: &Who, status: u16) {
        let Some(log) = &self.log else { return };
        if let Some(more) = log.refusals.count() {
            log.push(Form::Object, &[&as_json(&Refusal { event: "admin_refused", who, status, more })]);
        }
    }

    /// Has what waits written while this thread waits, which may block.
    pub fn flush(&self, patience: Duration) {
        if let Some(log) = &self.log {
            log.flush(patience);
        }
    }

    /// The same for a process, or a VM, that ends.
    pub fn end(&self) {
        self.flush(AT_THE_END);
    }

    pub fn levels(&self) -> AuditLevels {
        let Some(log) = &self.log else { return AuditLevels::default() };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AuditLevels { written: count(&log.written), dropped: count(&log.dropped) }
    }
}

/// One log. The Lua VMs of a process share it.
struct AuditLog {
    destination: Destination,
    state: Mutex<LogState>,
    /// Notified when the thread is not to pause.
    hurried: Condvar,
    /// Notified when the thread has written all there was.
    ended: Condvar,
    tell: Mutex<Option<Tell>>,
    written: AtomicU64,
    dropped: AtomicU64,
    refusals: Refusals,
}

#[derive(Default)]
struct LogState {
    queue: Queue,
    /// `None` while the thread has it.
    writer: Option<Writer>,
    spare: Vec<u8>,
    runs: bool,
    is_hurried: bool,
    /// The worker that this is of, which may have threads: nginx's master, which forks, must not.
    process: Option<u32>,
    /// When a problem was last told.
    told: Option<Instant>,
}

impl AuditLog {
    /// The log with that destination: after a reload, the new VM goes on with the file that is open.
    fn of(destination: Destination) -> Arc<Self> {
        static LOGS: Mutex<Vec<Weak<AuditLog>>> = Mutex::new(Vec::new());
        let mut logs = lock(&LOGS);
        logs.retain(|log| log.strong_count() > 0);
        if let Some(log) = logs.iter().filter_map(Weak::upgrade).find(|log| log.destination == destination) {
            return log;
        }
        let writer = Some(Writer::new(&destination, None));
        let log = Arc::new(Self {
            destination,
            state: Mutex::new(LogState { writer, ..LogState::default() }),
            hurried: Condvar::new(),
            ended: Condvar::new(),
            tell: Mutex::default(),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            refusals: Refusals::default(),
        });
        logs.push(Arc::downgrade(&log));
        log
    }

    fn open(self: &Arc<Self>, patience: Duration) -> Result<()> {
        let Some(mut writer) = lock(&self.state).writer.take() else { return Ok(()) };
        let log = Arc::clone(self);
        let opened = pool::audit().wait(b"open", patience, move || {
            let opened = writer.open(&log.destination);
            lock(&log.state).writer = Some(writer);
            opened
        });
        let failed = |text: String| Error::new(Kind::Config, text);
        match opened {
            Ok(opened) => opened.map_err(failed),
            Err(refusal) => Err(failed(format!("the audit log of vault_audit_log can't be opened ({refusal})"))),
        }
    }

    fn enter(&self, worker: Option<u32>) {
        let mut state = lock(&self.state);
        let process = Some(std::process::id());
        if state.process == process {
            // Another VM of this process has entered.
            return;
        }
        // A writer that a thread of the other process has is lost to this one.
        let fresh = || Writer::new(&self.destination, worker);
        let writer = state.writer.as_ref().map_or_else(fresh, |writer| writer.forked(&self.destination, worker));
        *state = LogState { writer: Some(writer), process, ..LogState::default() };
        self.written.store(0, Ordering::Relaxed);
        self.dropped.store(0, Ordering::Relaxed);
    }

    fn push<const PARTS: usize>(self: &Arc<Self>, form: Form, parts: &[&[u8]; PARTS]) {
        let mut state = lock(&self.state);
        if !state.queue.push(form, parts) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if state.process.is_some() {
            self.start(state);
        }
    }

    /// Has a thread write what waits, unless one does.
    fn start(self: &Arc<Self>, mut state: MutexGuard<'_, LogState>) {
        if state.runs {
            return;
        }
        state.runs = true;
        drop(state);
        let log = Arc::clone(self);
        if pool::audit().start(move || log.write_all(true)).is_err() {
            // What waits is written once a thread can be had.
            lock(&self.state).runs = false;
        }
    }

    /// Writes until nothing waits; with `pauses`, in batches.
    fn write_all(&self, pauses: bool) {
        let Some(mut writer) = lock(&self.state).writer.take() else {
            lock(&self.state).runs = false;
            return;
        };
        loop {
            let batch = {
                let mut state = lock(&self.state);
                if pauses && !state.is_hurried && !state.queue.is_empty() {
                    state = even_poisoned(self.hurried.wait_timeout(state, PAUSE)).0;
                }
                if state.queue.is_empty() {
                    (state.runs, state.writer) = (false, Some(writer));
                    self.ended.notify_all();
                    return;
                }
                let spare = std::mem::take(&mut state.spare);
                state.queue.take(spare)
            };
            let written = writer.write(&self.destination, &batch);
            self.account(written);
            let mut spare = batch.bytes;
            spare.clear();
            lock(&self.state).spare = spare;
        }
    }

    /// Counts what became of a batch, and tells of a problem, or its end.
    fn account(&self, outcome: Written) {
        self.written.fetch_add(outcome.written, Ordering::Relaxed);
        self.dropped.fetch_add(outcome.lost, Ordering::Relaxed);
        let (is_over, text) = {
            let mut state = lock(&self.state);
            let is_due = state.told.is_none_or(|told| told.elapsed() >= NOTICE);
            match outcome.problem {
                Some(text) if is_due => {
                    state.told = Some(Instant::now());
                    (false, text)
                }
                None if state.told.is_some() => {
                    state.told = None;
                    let dropped = self.dropped.load(Ordering::Relaxed);
                    (true, format!("the audit log is written again; this worker has dropped {dropped} lines so far"))
                }
                _ => return,
            }
        };
        let tell = lock(&self.tell).clone();
        if let Some(tell) = tell {
            tell(is_over, text);
        }
    }

    fn flush(self: &Arc<Self>, patience: Duration) {
        let mut state = lock(&self.state);
        if state.queue.is_empty() && !state.runs {
            return;
        }
        if state.process.is_none() {
            drop(state);
            let log = Arc::clone(self);
            // Where it hangs, the lines are lost: nobody could be told.
            let _ = pool::audit().wait(b"flush", patience, move || log.write_all(false));
            return;
        }
        state.is_hurried = true;
        self.hurried.notify_all();
        if !state.runs {
            self.start(state);
            state = lock(&self.state);
        }
        let waited = self.ended.wait_timeout_while(state, patience, |state| state.runs);
        even_poisoned(waited).0.is_hurried = false;
    }
}

/// Limits the lines about refused requests.
#[derive(Default)]
struct Refusals {
    since: Mutex<Option<Instant>>,
    count: AtomicU32,
    more: AtomicU64,
}

impl Refusals {
    /// Counts one. Returns how many had no line, if this one is to have a line.
    fn count(&self) -> Option<u64> {
        let mut since = lock(&self.since);
        if since.is_none_or(|since| since.elapsed() >= Duration::from_secs(1)) {
            *since = Some(Instant::now());
            self.count.store(0, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < REFUSALS {
            return Some(self.more.swap(0, Ordering::Relaxed));
        }
        self.more.fetch_add(1, Ordering::Relaxed);
        None
    }
}
