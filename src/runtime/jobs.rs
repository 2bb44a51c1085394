//! Reads and writes vault entities on threads of the pool while a coroutine waits. A job has a ticket, as a call has,
//! and the notifier reports its end in the same way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::pool::{self, JobRefusal};
use crate::runtime::engine::Engine;
use crate::runtime::notifier::{Event, Notifier};
use crate::runtime::ticket::next_ticket;
use crate::sync::lock;

/// How many jobs may wait or be under way.
const LIMIT: usize = 4096;

/// How long a result is kept that nobody collects: a coroutine may be killed while it waits.
const UNCOLLECTED: Duration = Duration::from_secs(30);

/// One Lua VM's jobs of one kind: questions and their answers.
pub struct Jobs<Q, A> {
    /// Jobs of one kind take turns, also with those of other Lua VMs.
    kind: &'static [u8],
    state: Arc<Mutex<JobsState<Q, A>>>,
}

/// A question that is answered apart. Its ticket is finished when this is dropped: without an answer where the future
/// panicked.
struct Asked<Q, A> {
    ticket: u64,
    state: Arc<Mutex<JobsState<Q, A>>>,
    notifier: Arc<Notifier>,
    answer: Option<A>,
}

impl<Q, A> Asked<Q, A> {
    fn finish(mut self, answer: A) {
        self.answer = Some(answer);
    }
}

impl<Q, A> Drop for Asked<Q, A> {
    fn drop(&mut self) {
        lock(&self.state).finish(self.ticket, self.answer.take(), Instant::now());
        self.notifier.notify(Event::Completed { ticket: self.ticket });
    }
}

struct JobsState<Q, A> {
    waiting: Vec<(u64, Q)>,
    under_way: HashSet<u64>,
    done: HashMap<u64, A>,
    since: VecDeque<(Instant, u64)>,
}

impl<Q: Send + 'static, A: Send + 'static> Jobs<Q, A> {
    pub fn new(kind: &'static [u8]) -> Self {
        let state =
            JobsState { waiting: Vec::new(), under_way: HashSet::new(), done: HashMap::new(), since: VecDeque::new() };
        Self { kind, state: Arc::new(Mutex::new(state)) }
    }

    /// Asks a question. At its turn, it is answered together with all others that wait; `serve` answers them in their
    /// order. The answer must be collected.
    pub fn ask(
        &self,
        engine: &Engine,
        notifier: &Arc<Notifier>,
        question: Q,
        serve: impl FnOnce(Vec<Q>) -> Vec<A> + Send + 'static,
    ) -> Result<u64> {
        let (ticket, first) = lock(&self.state).add(question)?;
        if first {
            self.run(engine, Arc::clone(notifier), serve, |_| {});
        }
        Ok(ticket)
    }

    /// Joins a question that still waits, as its answer will be as new, or asks this one. `refused` is called where no
    /// thread can answer it, as an earlier job hangs.
    pub fn join(
        &self,
        engine: &Engine,
        notifier: &Arc<Notifier>,
        question: Q,
        serve: impl FnOnce(Vec<Q>) -> Vec<A> + Send + 'static,
        refused: impl FnOnce(JobRefusal) + Send + 'static,
    ) -> Result<u64> {
        let ticket = {
            let mut state = lock(&self.state);
            if let Some((ticket, _)) = state.waiting.first() {
                return Ok(*ticket);
            }
            state.add(question)?.0
        };
        self.run(engine, Arc::clone(notifier), serve, refused);
        Ok(ticket)
    }

    /// Answers a question by a future of its own, which bounds its time: it takes no turn, and no other question
    /// waits for it. The answer must be collected.
    pub fn ask_apart(
        &self,
        engine: &Engine,
        notifier: &Arc<Notifier>,
        answering: impl Future<Output = A> + Send + 'static,
    ) -> Result<u64> {
        let ticket = lock(&self.state).begin()?;
        let asked = Asked { ticket, state: Arc::clone(&self.state), notifier: Arc::clone(notifier), answer: None };
        engine.spawn(async move { asked.finish(answering.await) });
        Ok(ticket)
    }

    fn run(
        &self,
        engine: &Engine,
        notifier: Arc<Notifier>,
        serve: impl FnOnce(Vec<Q>) -> Vec<A> + Send + 'static,
        refused: impl FnOnce(JobRefusal) + Send + 'static,
    ) {
        let (kind, state) = (self.kind, Arc::clone(&self.state));
        engine.spawn(async move {
            let turn = pool::entities().turn(kind).await;
            let (tickets, questions): (Vec<_>, Vec<_>) = std::mem::take(&mut lock(&state).waiting).into_iter().unzip();
            // After a panic there are no answers; the tickets are finished without one.
            let answers = match turn {
                Ok(turn) => turn.run(move || serve(questions)).await.map(|(answers, _)| answers).unwrap_or_default(),
                Err(refusal) => {
                    refused(refusal);
                    Vec::new()
                }
            };
            let mut answers = answers.into_iter();
            for ticket in tickets {
                lock(&state).finish(ticket, answers.next(), Instant::now());
                notifier.notify(Event::Completed { ticket });
            }
        });
    }

    /// Whether a ticket is that of a job which has not ended.
    pub fn is_under_way(&self, ticket: u64) -> bool {
        lock(&self.state).under_way.contains(&ticket)
    }

    /// The answer, if there is one. It is removed.
    pub fn collect(&self, ticket: u64) -> Option<A> {
        lock(&self.state).done.remove(&ticket)
    }
}

impl<Q, A> JobsState<Q, A> {
    /// A ticket for a question.
    fn begin(&mut self) -> Result<u64> {
        if self.under_way.len() >= LIMIT {
            return Err(Error::new(Kind::Throttled, "too much is under way already: try again later"));
        }
        let ticket = next_ticket();
        self.under_way.insert(ticket);
        Ok(ticket)
    }

    /// A ticket for a question, and whether it is the first one that waits.
    fn add(&mut self, question: Q) -> Result<(u64, bool)> {
        let (ticket, first) = (self.begin()?, self.waiting.is_empty());
        self.waiting.push((ticket, question));
        Ok((ticket, first))
    }

    fn finish(&mut self, ticket: u64, done: Option<A>, now: Instant) {
        while let Some(&(since, old)) = self.since.front() {
            if now.saturating_duration_since(since) < UNCOLLECTED {
                break;
            }
            self.since.pop_front();
            self.done.remove(&old);
        }
        self.under_way.remove(&ticket);
        if let Some(done) = done {
            self.done.insert(ticket, done);
            self.since.push_back((now, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_whose_answering_panics_is_over() {
        let jobs: Jobs<(), &str> = Jobs::new(b"test");
        let notifier = Notifier::new();
        let ask = || {
            let ticket = lock(&jobs.state).begin().unwrap();
            (ticket, Asked { ticket, state: Arc::clone(&jobs.state), notifier: Arc::clone(&notifier), answer: None })
        };
        let (ticket, asked) = ask();
        assert!(jobs.is_under_way(ticket));
        drop(asked);
        assert!(!jobs.is_under_way(ticket));
        assert_eq!(jobs.collect(ticket), None);
        let (ticket, asked) = ask();
        asked.finish("answer");
        assert_eq!((jobs.is_under_way(ticket), jobs.collect(ticket)), (false, Some("answer")));
    }

    #[test]
    fn what_nobody_claims_is_dropped() {
        let jobs: Jobs<(), &str> = Jobs::new(b"test");
        let start = Instant::now();
        let mut state = lock(&jobs.state);
        state.under_way.insert(1);
        state.finish(1, Some("one"), start);
        state.finish(2, None, start);
        state.finish(3, Some("three"), start + UNCOLLECTED / 2);
        state.finish(4, Some("four"), start + UNCOLLECTED);
        drop(state);
        assert!(!jobs.is_under_way(1));
        assert_eq!([1, 2, 3, 4, 3].map(|ticket| jobs.collect(ticket)), [None, None, Some("three"), Some("four"), None]);
    }
}
