//! A model of a node: workers with one shared dictionary, each of which has its fetches started by the machine of `src`, and a
//! vault that answers every fetch. Times are numbers that grow; a document is the time at which its fetch began.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kong_vault::resolver::node_protocol::machine::{CompletedBy, Machine, Worker};
use kong_vault::resolver::node_protocol::operation::{Answer, Claimant, Operation, Reply, Sharing, Start, Step, Verb};

pub const LIFETIME: u64 = 1000;
pub const INTERVAL: u64 = 500;

/// What the machine's operations are made of: each call is one that nginx carries out as a whole.
pub trait Dict {
    fn get(&self, key: &str) -> Option<String>;
    /// `Err(true)`: the key exists. `Err(false)`: there is no room.
    fn add(&self, key: &str, value: &str, seconds: f64) -> Result<(), bool>;
    fn set(&self, key: &str, value: &str, seconds: f64) -> bool;
    fn delete(&self, key: &str);
    fn ttl(&self, key: &str) -> f64;
}

/// What an operation came to, with data of its own.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answer: OutcomeAnswer,
    pub document: Option<String>,
}

#[derive(Debug, Default)]
pub enum OutcomeAnswer {
    #[default]
    Done,
    Claimed,
    Owner(String),
    Gone,
    NoRoom,
    Probed(f64),
    IsUp,
}

impl Outcome {
    pub fn reply(&self) -> Reply<'_> {
        let answer = match &self.answer {
            OutcomeAnswer::Done => Answer::Done,
            OutcomeAnswer::Claimed => Answer::Claimed,
            OutcomeAnswer::Owner(owner) => Answer::Owner(owner),
            OutcomeAnswer::Gone => Answer::Gone,
            OutcomeAnswer::NoRoom => Answer::NoRoom,
            OutcomeAnswer::Probed(seconds) => Answer::Probed(Duration::from_secs_f64(*seconds)),
            OutcomeAnswer::IsUp => Answer::IsUp,
        };
        Reply { answer, document: self.document.as_deref().map(str::as_bytes) }
    }
}

pub fn document(name: &str) -> String {
    format!("document:{name}")
}

pub fn claim(name: &str) -> String {
    format!("claim:{name}")
}

/// Carries an operation out, as `shared_cache.lua` does.
pub fn carry_out(dict: &impl Dict, operation: &Operation) -> Outcome {
    let Operation { verb, name, claim: mine, rest, seconds } = operation;
    let rest = String::from_utf8(rest.clone()).expect("text");
    let mine = &mine.as_ref().map_or_else(String::new, ToString::to_string);
    let key = claim(name);
    let added = |key: &str| match dict.add(key, mine, *seconds) {
        Ok(()) => OutcomeAnswer::Claimed,
        Err(true) => dict.get(key).map_or(OutcomeAnswer::Gone, OutcomeAnswer::Owner),
        Err(false) => OutcomeAnswer::NoRoom,
    };
    let claimed = || {
        let answer = added(&key);
        Outcome { answer, document: dict.get(&document(name)) }
    };
    match verb {
        Verb::Look => match dict.get(&document(name)) {
            Some(found) => Outcome { document: Some(found), ..Outcome::default() },
            None => claimed(),
        },
        Verb::Read => Outcome { document: dict.get(&document(name)), ..Outcome::default() },
        Verb::Claim => claimed(),
        Verb::Reclaim => {
            dict.set(&key, mine, *seconds);
            Outcome::default()
        }
        Verb::TakeOver => {
            let answer = added(&format!("{key}!{rest}"));
            if matches!(answer, OutcomeAnswer::Claimed) {
                dict.set(&key, mine, *seconds);
            }
            Outcome { answer, document: None }
        }
        Verb::Release | Verb::Publish => {
            if !rest.is_empty() {
                dict.set(&document(name), &rest, *seconds);
            }
            if !mine.is_empty() && dict.get(&key).as_ref() == Some(mine) {
                dict.delete(&key);
            }
            Outcome::default()
        }
        Verb::Probe if dict.get(&format!("up:{name}")).is_some() => {
            Outcome { answer: OutcomeAnswer::IsUp, document: None }
        }
        Verb::Probe => {
            let key = format!("probe:{name}");
            let answer = match added(&key) {
                OutcomeAnswer::Owner(_) => OutcomeAnswer::Probed(dict.ttl(&key)),
                answer => answer,
            };
            Outcome { answer, document: None }
        }
        Verb::Pause => {
            dict.set(&format!("probe:{name}"), "paused", *seconds);
            Outcome::default()
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum State {
    Unstarted,
    Fetching {
        began: u64,
        owned: bool,
    },
    Asking {
        claim: String,
    },
    /// With a document, or without one.
    Complete {
        began: Option<u64>,
    },
}

/// One fetch of one worker.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    /// An outcome serves whose fetch began after that time.
    pub after: u64,
    pub state: State,
    pub waits: bool,
}

/// What a worker's machine has to do with, at one moment.
pub struct CallWorker<'a> {
    pub call: &'a mut Call,
    pub now: u64,
    /// What this worker has cached of the document.
    pub cached: Option<u64>,
    pub previous: &'a mut Option<String>,
    pub inherited: &'a mut bool,
    pub fetches: &'a mut Vec<String>,
    pub away: Option<u64>,
    pub skipped: &'a mut Option<Option<Duration>>,
}

impl Worker for CallWorker<'_> {
    fn take(&mut self, sealed: Option<&[u8]>) -> Option<CompletedBy> {
        let began: Option<u64> = sealed.map(|sealed| std::str::from_utf8(sealed).unwrap().parse().unwrap());
        let began = began.max(self.cached).filter(|began| *began > self.call.after);
        if let (State::Unstarted, Some(began)) = (&self.call.state, began) {
            self.call.state = State::Complete { began: Some(began) };
            return Some(CompletedBy::SharedOutcome);
        } else if self.call.state == State::Unstarted && self.away.is_some() {
            // Its vault's breaker is open.
            self.call.state = State::Complete { began: None };
            return Some(CompletedBy::Breaker);
        }
        (self.call.state != State::Unstarted).then_some(CompletedBy::Another)
    }

    fn may_fetch(&mut self) -> bool {
        self.away.is_none()
    }

    fn previous_name(&mut self) -> Option<String> {
        self.previous.take()
    }

    fn inherit(&mut self, _: &[u8]) -> bool {
        *self.inherited = true;
        true
    }

    fn fetch(&mut self, owned: bool) {
        assert_eq!(self.call.state, State::Unstarted, "a fetch is started once");
        self.fetches.push(self.call.name.clone());
        self.call.state = State::Fetching { began: self.now, owned };
    }

    fn ask(&mut self, claim: &str) -> bool {
        assert_eq!(self.call.state, State::Unstarted, "a fetch is started once");
        let (_, clock) = claim.split_once('@').expect("a claim");
        let serves = clock.parse::<u64>().expect("a time") >= self.call.after;
        if serves {
            self.call.state = State::Asking { claim: claim.to_owned() };
        }
        serves
    }

    fn skip_probe(&mut self, again: Option<Duration>) -> bool {
        if !self.call.waits {
            *self.skipped = Some(again);
            self.call.state = State::Complete { began: None };
        }
        !self.call.waits
    }

    fn away(&mut self) -> Option<Duration> {
        self.away.map(Duration::from_secs)
    }

    fn seal(&mut self, known: Option<&[u8]>) -> Option<(Vec<u8>, f64)> {
        let State::Complete { began: Some(began) } = self.call.state else { return None };
        let known: Option<u64> = known.map(|known| std::str::from_utf8(known).unwrap().parse().unwrap());
        known.is_none_or(|known| known <= began).then(|| (began.to_string().into_bytes(), 1e6))
    }
}

/// A worker: its fetches by number, the machines that are needed again, and what waits for its one thread.
#[derive(Debug, Default)]
pub struct ModelWorker {
    pub address: String,
    pub is_dead: bool,
    /// By which it calls its documents, and that of before a reload.
    pub suffix: &'static str,
    pub previous: Option<String>,
    pub inherited: bool,
    pub calls: BTreeMap<u64, Call>,
    pub machines: BTreeMap<u64, Machine>,
    pub pending: Option<(u64, Operation)>,
    pub starts: VecDeque<(u64, Start)>,
    pub completed: VecDeque<u64>,
    pub fetches: Vec<String>,
    pub away: Option<u64>,
    /// After which time a probe that was skipped is to be tried again (`None`: not at all).
    pub skipped: Option<Option<Duration>>,
    /// Whether others can ask it, and whether it has a dictionary.
    pub shares: bool,
    pub has_dictionary: bool,
}

impl ModelWorker {
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), shares: true, has_dictionary: true, ..Self::default() }
    }

    fn with<T>(&mut self, ticket: u64, now: u64, run: impl FnOnce(&mut Machine, &mut CallWorker<'_>) -> T) -> T {
        let name = &self.calls[&ticket].name;
        let cached = self.calls.values().filter(|call| call.name == *name).filter_map(|call| match call.state {
            State::Complete { began } => began,
            _ => None,
        });
        let cached = cached.max();
        let call = self.calls.get_mut(&ticket).expect("a call");
        let (previous, inherited, skipped) = (&mut self.previous, &mut self.inherited, &mut self.skipped);
        let (fetches, away) = (&mut self.fetches, self.away);
        let mut worker = CallWorker { call, now, cached, previous, inherited, fetches, away, skipped };
        run(self.machines.get_mut(&ticket).expect("a machine"), &mut worker)
    }

    fn note(&mut self, ticket: u64, step: Step) {
        self.pending = match step {
            Step::Do(operation) => Some((ticket, operation)),
            Step::End(_) => None,
        };
    }

    /// Does the next thing that the worker has to do; false where there is none.
    pub fn act(&mut self, dict: &impl Dict, now: u64) -> bool {
        if let Some((ticket, operation)) = self.pending.take() {
            let outcome = carry_out(dict, &operation);
            if operation.verb != Verb::Publish {
                let step = self.with(ticket, now, |machine, worker| machine.step(outcome.reply(), worker));
                self.note(ticket, step);
            }
        } else if let Some((ticket, start)) = self.starts.pop_front() {
            if self.calls[&ticket].state == State::Unstarted {
                let (address, lifetime) = (self.address.as_str().into(), Duration::from_secs(LIFETIME));
                let claimant = Claimant { address, clock: now, lifetime };
                let sharing = match (self.has_dictionary, self.shares) {
                    (false, _) => Sharing::Nothing,
                    (true, false) => Sharing::Reads,
                    (true, true) => Sharing::Claims(claimant),
                };
                self.machines.insert(ticket, Machine::new(self.calls[&ticket].name.as_str().into(), sharing));
                let step = self.with(ticket, now, |machine, worker| machine.start(start, worker));
                self.note(ticket, step);
            }
        } else if let Some(ticket) = self.completed.pop_front() {
            if self.machines.contains_key(&ticket) {
                let step = self.with(ticket, now, |machine, worker| machine.completed(worker));
                self.note(ticket, step);
            }
        } else {
            return false;
        }
        self.machines.retain(|_, machine| !machine.is_over());
        true
    }

    /// Whether a claim is this worker's.
    pub fn made(&self, claim: &str) -> bool {
        claim.split('@').next() == Some(self.address.as_str())
    }

    /// Begins a fetch, or joins the one that is under way.
    pub fn want(&mut self, ticket: u64, document: &str, after: u64, start: Start, waits: bool) {
        let name = format!("{document}{}", self.suffix);
        let open = self.calls.values_mut().find(|call| call.name == name && call.state == State::Unstarted);
        if let Some(call) = open {
            call.after = call.after.max(after);
            call.waits |= waits;
            return;
        }
        if self.calls.values().any(|call| call.name == name && !matches!(call.state, State::Complete { .. })) {
            return;
        }
        self.calls.insert(ticket, Call { name, after, state: State::Unstarted, waits });
        self.starts.push_back((ticket, start));
    }

    /// The vault answers all that it was asked.
    pub fn answered(&mut self) {
        for (ticket, call) in &mut self.calls {
            if let State::Fetching { began, owned } = call.state {
                call.state = State::Complete { began: Some(began) };
                if owned {
                    self.completed.push_back(*ticket);
                }
            }
        }
    }

    /// What another worker hears that asks for an outcome after that time: `Some(None)`: it is to wait.
    pub fn told(&self, name: &str, after: u64) -> Option<Option<u64>> {
        self.calls.values().rev().filter(|call| call.name == name).find_map(|call| match call.state {
            State::Unstarted => Some(None),
            State::Fetching { began, .. } if began >= after => Some(None),
            State::Complete { began: Some(began) } if began > after => Some(Some(began)),
            _ => None,
        })
    }
}
