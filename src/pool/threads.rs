//! A bounded number of threads that take jobs from one queue.

#![expect(clippy::disallowed_types, reason = "the threads of the pools")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::pool::refusal::JobRefusal;
use crate::pool::signals::AllBlocked;
use crate::sync::{even_poisoned, lock};

/// How many jobs may wait for a thread.
const LONGEST_QUEUE: usize = 1024;

/// How long a thread waits for its next job: work comes in bursts, and a worker at rest has no thread but the engine's.
const IDLE: Duration = Duration::from_millis(200);

/// A job that takes longer counts as hung, once every thread has such a job.
const HANGS: Duration = Duration::from_secs(1);

/// Hands over a job's result, once its thread counts as idle again.
pub(super) type Deliver = Box<dyn FnOnce()>;
pub(super) type Job = Box<dyn FnOnce() -> Deliver + Send>;

pub(super) struct Threads {
    name: &'static str,
    most: usize,
    shared: Arc<ThreadsShared>,
}

struct ThreadsShared {
    state: Mutex<ThreadsState>,
    /// Notified when there is a job, or when idle threads are to end.
    wanted: Condvar,
    /// Notified when a thread is no longer idle.
    ended: Condvar,
}

#[derive(Default)]
struct ThreadsState {
    queue: VecDeque<Job>,
    idle: usize,
    /// How many of the idle threads are to end.
    ending: usize,
    alive: HashMap<u64, JoinHandle<()>>,
    /// Threads that are about to end.
    gone: Vec<JoinHandle<()>>,
    /// The threads with a job, and when each began it.
    busy: HashMap<u64, Instant>,
    next: u64,
}

impl Threads {
    pub fn new(name: &'static str, most: usize) -> Self {
        let shared = ThreadsShared { state: Mutex::default(), wanted: Condvar::new(), ended: Condvar::new() };
        Self { name, most, shared: Arc::new(shared) }
    }

    /// Has a thread do a job as soon as one is free.
    pub fn submit(&self, job: Job) -> Result<(), JobRefusal> {
        let mut state = lock(&self.shared.state);
        state.gone.clear();
        if state.idle - state.ending <= state.queue.len() {
            if state.alive.len() < self.most {
                match self.start(&mut state) {
                    Err(_) if state.alive.is_empty() => return Err(JobRefusal::NoThread),
                    // The job waits for one of the existing threads.
                    _ => {}
                }
            } else if state.queue.len() >= LONGEST_QUEUE || state.all_hang(self.most, Instant::now()) {
                return Err(JobRefusal::Full);
            }
        }
        state.queue.push_back(job);
        self.shared.wanted.notify_one();
        Ok(())
    }

    /// Whether all threads have jobs that hang.
    pub fn all_hang(&self) -> bool {
        lock(&self.shared.state).all_hang(self.most, Instant::now())
    }

    fn start(&self, state: &mut ThreadsState) -> std::io::Result<()> {
        let (id, shared) = (state.next, Arc::clone(&self.shared));
        let masked = AllBlocked::new();
        let started = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || shared.work(id));
        drop(masked);
        state.alive.insert(id, started?);
        state.next += 1;
        // It counts as idle from the start: `leave_the_idle` subtracts it when it takes a job.
        state.idle += 1;
        Ok(())
    }

    #[cfg(test)]
    pub fn alive(&self) -> usize {
        lock(&self.shared.state).alive.len()
    }

    /// Ends the idle threads, and waits until they have ended.
    pub fn end_idle(&self) {
        let mut state = lock(&self.shared.state);
        state.ending = state.idle.saturating_sub(state.queue.len());
        self.shared.wanted.notify_all();
        while state.ending > 0 {
            state = even_poisoned(self.shared.ended.wait(state));
        }
        let gone = std::mem::take(&mut state.gone);
        drop(state);
        for thread in gone {
            // An error would be a panic, and `Turn::run` catches those of jobs.
            let _ = thread.join();
        }
    }
}

impl ThreadsState {
    fn all_hang(&self, most: usize, now: Instant) -> bool {
        let hang = self.busy.values().filter(|since| now.saturating_duration_since(**since) > HANGS).count();
        hang >= most
    }
}

impl ThreadsShared {
    fn work(&self, id: u64) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.busy.insert(id, Instant::now());
                self.leave_the_idle(state);
                let deliver = job();
                state = lock(&self.state);
                state.busy.remove(&id);
                state.idle += 1;
                drop(state);
                deliver();
                state = lock(&self.state);
                continue;
            }
            if state.ending > 0 {
                break;
            }
            let waited = even_poisoned(self.wanted.wait_timeout(state, IDLE));
            state = waited.0;
            if waited.1.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        let own = state.alive.remove(&id);
        state.gone.extend(own);
        self.leave_the_idle(state);
    }

    fn leave_the_idle(&self, mut state: MutexGuard<'_, ThreadsState>) {
        state.idle -= 1;
        state.ending = state.ending.min(state.idle);
        drop(state);
        self.ended.notify_all();
    }
}
