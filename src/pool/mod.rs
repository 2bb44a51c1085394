//! Threads for work that blocks and can't be cancelled: look-ups of names, files, vault entities. Each kind of work has
//! its own threads, so that a silent name server doesn't keep files from being read.
//!
//! Each job has a key, such as a name or a path. One job runs at a time for a key, and the next ones wait for their
//! turn. A caller limits its wait by dropping the future. If that happens while its job runs, the job counts as hung:
//! until it ends, others with its key are refused at once, so that it takes no more than one thread.
//!
//! Threads are started on first need, and end when they are idle. A fork has its own pools.
//!
//! It uses only locks. It must never know what a job does.

mod refusal;
pub mod signals;
mod threads;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub use refusal::JobRefusal;
use threads::Threads;

use crate::sync::lock;

/// Threads for look-ups of names: how many names may hang before others are refused.
const NAMES: usize = 32;
/// Threads for files: how many paths may hang before others are refused.
const FILES: usize = 32;
/// Threads for setting up vaults that are only checked: whoever asks for a check chooses the paths that may hang.
/// What the check's steps read then is read by the threads for files, each path at most once at a time.
const CHECKS: usize = 4;
/// Threads for audit logs. Each log has one at a time.
const AUDIT: usize = 4;
/// Threads for vault entities. There is one directory of them, so only one or two keys are in use.
const ENTITIES: usize = 4;

struct Pools {
    names: Pool,
    files: Pool,
    entities: Pool,
    audit: Pool,
    checks: Pool,
    /// The pools of the process that forked this one. Their threads don't exist here, and a job that hung may have left
    /// them in any state, so they are never dropped.
    _inherited: Option<&'static Pools>,
}

/// For look-ups of names; the key is the name.
pub fn names() -> &'static Pool {
    &of_this_process().names
}

/// For reading and asking about files; the key is the path.
pub fn files() -> &'static Pool {
    &of_this_process().files
}

/// For reading and writing vault entities.
pub fn entities() -> &'static Pool {
    &of_this_process().entities
}

/// For setting up vaults that are only checked.
pub fn checks() -> &'static Pool {
    &of_this_process().checks
}

/// For writing audit logs.
pub fn audit() -> &'static Pool {
    &of_this_process().audit
}

/// Ends the idle threads of all pools, and waits until they have ended. Then only threads are left whose jobs hang.
pub fn end_idle_threads() {
    let pools = of_this_process();
    for pool in [&pools.names, &pools.files, &pools.entities, &pools.audit, &pools.checks] {
        pool.threads.end_idle();
    }
}

fn of_this_process() -> &'static Pools {
    // The pools' threads never take this lock, so that a fork can't find it locked by one.
    static RUNNING: Mutex<Option<(u32, &'static Pools)>> = Mutex::new(None);
    let pid = std::process::id();
    let mut running = lock(&RUNNING);
    match *running {
        Some((owner, pools)) if owner == pid => pools,
        inherited => {
            // Leaked on purpose: one per process, needed until its end.
            let pools: &'static Pools = Box::leak(Box::new(Pools {
                names: Pool::new("kv-names", NAMES),
                files: Pool::new("kv-files", FILES),
                entities: Pool::new("kv-entities", ENTITIES),
                audit: Pool::new("kv-audit", AUDIT),
                checks: Pool::new("kv-checks", CHECKS),
                _inherited: inherited.map(|(_, pools)| pools),
            }));
            *running = Some((pid, pools));
            pools
        }
    }
}

/// Threads of one kind, and which keys have jobs.
pub struct Pool {
    threads: Threads,
    keys: Arc<JobKeys>,
}

/// The keys in use, each with the number of its users.
type JobKeys = Mutex<HashMap<Arc<[u8]>, (usize, Arc<JobKey>)>>;

struct JobKey {
    text: Arc<[u8]>,
    /// Its one permit is the turn.
    turn: Arc<Semaphore>,
    state: Mutex<KeyState>,
}

#[derive(Default)]
struct KeyState {
    runs: bool,
    hangs: bool,
}

impl Pool {
    /// With at most that many threads. A thread's name has at most 15 bytes.
    fn new(name: &'static str, most: usize) -> Self {
        Self { threads: Threads::new(name, most), keys: Arc::default() }
    }

    /// Runs a job when it is its key's turn. If the future is dropped before, the job is not started; if it is dropped
    /// while the job runs, the key counts as hung until the job ends.
    pub async fn run<T: Send + 'static>(
        &self,
        key: &[u8],
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobRefusal> {
        Ok(self.turn(key).await?.run(job).await?.0)
    }

    /// `run` for a thread that may block, for at most `limit`: a job that takes longer counts as hung. No idle thread
    /// is left, as the process may be about to fork.
    pub fn wait<T: Send + 'static>(
        &self,
        key: &[u8],
        limit: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobRefusal> {
        let done = block_on(self.run(key, job), limit);
        end_idle_threads();
        done.unwrap_or(Err(JobRefusal::Hangs))
    }

    /// Has a thread do a job that nobody waits for, and that takes as long as it takes.
    pub fn start(&self, job: impl FnOnce() + Send + 'static) -> Result<(), JobRefusal> {
        self.threads.submit(Box::new(move || {
            // A panic ends this job alone.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            Box::new(|| {})
        }))
    }

    #[cfg(test)]
    pub fn runs(&self, key: &[u8]) -> bool {
        lock(&self.keys).get(key).is_some_and(|(_, key)| lock(&key.state).runs)
    }

    /// Waits until no job with that key is under way. The turn lasts until it is used or dropped: after the wait, the
    /// caller may find that the previous job has done all the work.
    pub async fn turn(&self, key: &[u8]) -> Result<Turn<'_>, JobRefusal> {
        let used = Used::count(&self.keys, key);
        if lock(&used.key.state).hangs {
            return Err(JobRefusal::Hangs);
        }
        // The turn may belong to a job that waits for a thread.
        if self.threads.all_hang() {
            return Err(JobRefusal::Full);
        }
        // The semaphore is never closed.
        let permit = Arc::clone(&used.key.turn).acquire_owned().await.map_err(|_| JobRefusal::Failed)?;
        Ok(Turn { pool: self, held: HeldTurn { _permit: permit, used } })
    }
}

/// A key's turn.
pub struct Turn<'a> {
    pool: &'a Pool,
    held: HeldTurn,
}

struct HeldTurn {
    // Dropped before `used`, which removes a key without users.
    _permit: OwnedSemaphorePermit,
    used: Used,
}

/// A turn that lasts beyond its job.
pub struct KeptTurn(#[expect(dead_code, reason = "it is for its end")] HeldTurn);

/// One use of a key. The key is removed with its last use.
struct Used {
    key: Arc<JobKey>,
    keys: Arc<JobKeys>,
}

impl Used {
    fn count(keys: &Arc<JobKeys>, text: &[u8]) -> Self {
        let mut known = lock(keys);
        if let Some((users, key)) = known.get_mut(text) {
            *users += 1;
            return Self { key: Arc::clone(key), keys: Arc::clone(keys) };
        }
        let text: Arc<[u8]> = text.into();
        let turn = Arc::new(Semaphore::new(1));
        let key = Arc::new(JobKey { text: Arc::clone(&text), turn, state: Mutex::default() });
        known.insert(text, (1, Arc::clone(&key)));
        Self { key, keys: Arc::clone(keys) }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut known = lock(&self.keys);
        if let Some((users, _)) = known.get_mut(&self.key.text) {
            *users -= 1;
            if *users == 0 {
                known.remove(&self.key.text);
            }
        }
    }
}

impl Turn<'_> {
    /// Runs a job. The turn lasts until `KeptTurn` is dropped, so that the caller can note the result for those who
    /// wait.
    pub async fn run<T: Send + 'static>(
        self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, KeptTurn), JobRefusal> {
        let Self { pool, held } = self;
        let (sender, receiver) = oneshot::channel();
        let mut waiting = Waiting { used: Used::count(&pool.keys, &held.used.key.text), receiver, is_over: false };
        pool.threads.submit(Box::new(move || {
            // Set before the check for a caller: one that gives up in between sees that the job runs.
            lock(&held.used.key.state).runs = true;
            let outcome = match sender.is_closed() {
                true => None,
                false => std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).ok(),
            };
            *lock(&held.used.key.state) = KeyState::default();
            Box::new(move || {
                if let Some(outcome) = outcome {
                    // Nobody may be waiting any more.
                    let _ = sender.send((outcome, KeptTurn(held)));
                }
            })
        }))?;
        let outcome = (&mut waiting.receiver).await;
        waiting.is_over = true;
        outcome.map_err(|_| JobRefusal::Failed)
    }
}

/// A caller that waits for a job. If this is dropped before the job is over, the caller gave it up.
struct Waiting<T> {
    used: Used,
    receiver: oneshot::Receiver<T>,
    is_over: bool,
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.receiver.close();
        let mut state = lock(&self.used.key.state);
        if !self.is_over && state.runs {
            state.hangs = true;
        }
    }
}

/// Polls a future on this thread until it is ready, or for `limit`. The future needs no runtime.
fn block_on<T>(future: impl Future<Output = T>, limit: Duration) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (start, mut future) = (Instant::now(), pin!(future));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}
