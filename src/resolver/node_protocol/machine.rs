//! The protocol by which the workers of a node share fetches: a state machine for one fetch of one worker. `start`,
//! `step` and `completed` answer with the next operation on the shared dictionary, which Lua carries out, or with an
//! end.
//!
//! It takes no lock, reads no clock and touches no cache: it acts by a `Worker`. So `tests/node_protocol.rs` runs
//! several machines against a model of the dictionary, in many orders and with many faults.
//!
//! A document lies in the dictionary under its name. Beside it lies a claim while a worker fetches it: that worker's
//! address, "@" and the time of the claim. Whoever finds a claim asks the worker that made it. A claim whose worker is
//! gone, or whose fetch began too early, is replaced: of all that try, the first to add the claim's successor fetches,
//! and the others ask that one.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::operation::{Answer, Claim, Claimant, Ending, Operation, Reply, Sharing, Start, Step, Verb};

/// How often a claim is tried that disappears each time before its owner can be read, and how many successors are
/// asked.
const LOOKS: u32 = 3;

/// How long a worker that found another one's fresh probe waits for its result: a vault that answers does so soon.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// Why a fetch needs no start any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletedBy {
    /// Somebody else has started or completed it meanwhile.
    Another,
    /// The outcome that lies in the dictionary serves it.
    SharedOutcome,
    /// Its vault has asked to leave the document alone for a while.
    Hold,
    /// Its vault is away.
    Breaker,
}

impl CompletedBy {
    /// For a debug line.
    fn note(self) -> &'static str {
        match self {
            Self::Another => "started or completed by another call meanwhile",
            Self::SharedOutcome => "taken from the node's cache",
            Self::Hold => "not asked for, as its vault wants this secret left alone",
            Self::Breaker => "not asked for, as its vault is away",
        }
    }
}

/// What the machine has its worker do with the fetch.
pub trait Worker {
    /// Completes the fetch without its vault, where that can be: with a published outcome, or because the vault may not
    /// be asked now.
    fn take(&mut self, sealed: Option<&[u8]>) -> Option<CompletedBy>;
    /// Whether the vault may be asked, so that a claim made now is likely to be used.
    fn may_fetch(&mut self) -> bool;
    /// The document's name before a reload changed its vault's options, the first time that it is asked for.
    fn previous_name(&mut self) -> Option<String>;
    /// Keeps what lay under that name, to serve meanwhile. Returns whether it serves.
    fn inherit(&mut self, sealed: &[u8]) -> bool;
    /// Asks the vault. `owned`: the outcome is to be published.
    fn fetch(&mut self, owned: bool);
    /// Asks the worker with that claim. Returns false where its fetch began too early to serve.
    fn ask(&mut self, claim: &str) -> bool;
    /// Ends a fetch that was to probe the vault, which is to be probed after `again`, or is back (`None`). Returns
    /// false where the fetch has to be made all the same.
    fn skip_probe(&mut self, again: Option<Duration>) -> bool;
    /// How long the vault is left alone; `None` where it may be asked.
    fn away(&mut self) -> Option<Duration>;
    /// The outcome, sealed, and for how many seconds others may keep it (0: without end); `None` where it is nothing to
    /// publish, or where `known`, which lies in its place, is newer.
    fn seal(&mut self, known: Option<&[u8]>) -> Option<(Vec<u8>, f64)>;
}

/// What is known of the claim on a document.
#[derive(Debug)]
enum Found {
    Unknown,
    Claimed,
    Owner(String),
    Gone,
    NoRoom,
}

/// The operation whose reply is awaited, and what is needed to go on.
#[derive(Debug)]
enum Stage {
    Probing {
        vault: String,
        interval: Duration,
    },
    Looking {
        dead: Option<String>,
    },
    Inheriting {
        dead: Option<String>,
        found: Found,
    },
    Claiming {
        looks: u32,
    },
    Reclaiming,
    TakingOver {
        looks: u32,
    },
    Releasing,
    /// The vault is being asked.
    Fetching {
        claimed: bool,
    },
    Pausing {
        claimed: bool,
    },
    Comparing {
        claimed: bool,
    },
    Over,
}

#[derive(Debug)]
pub struct Machine {
    name: Arc<str>,
    sharing: Sharing,
    /// The vault that this fetch probes, and how long it is left alone between two probes.
    probed: Option<(String, Duration)>,
    serves: bool,
    note: Cow<'static, str>,
    stage: Stage,
}

impl Machine {
    /// For a fetch of the document `name` that has to be started.
    pub fn new(name: Arc<str>, sharing: Sharing) -> Self {
        Self { name, sharing, probed: None, serves: false, note: Cow::Borrowed(""), stage: Stage::Over }
    }

    /// The document's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What became of the fetch, for a debug line.
    pub fn note(&self) -> &Cow<'static, str> {
        &self.note
    }

    /// Whether it isn't needed any more: neither an operation nor a fetch of this worker is under way.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Starts the fetch.
    pub fn start(&mut self, start: Start, worker: &mut impl Worker) -> Step {
        let claimant = match &self.sharing {
            Sharing::Nothing => {
                return match worker.take(None) {
                    Some(by) => self.settled(false, by.note()),
                    None => self.fetch_for_itself(worker),
                };
            }
            Sharing::Reads => None,
            Sharing::Claims(claimant) => Some(claimant),
        };
        match (start, claimant) {
            (Start::Probe { vault, interval }, Some(Claimant { address, .. })) => {
                let (name, seconds) = (vault.as_str().into(), interval.as_secs_f64());
                let claim = Some(Claim::Probe { address: Arc::clone(address) });
                self.stage = Stage::Probing { vault, interval };
                Step::Do(Operation { verb: Verb::Probe, name, claim, rest: Vec::new(), seconds })
            }
            (Start::Past(dead), _) => self.look(Some(dead), worker),
            (Start::Fetch | Start::Probe { .. }, _) => self.look(None, worker),
        }
    }

    /// Goes on with the reply to the last operation.
    pub fn step(&mut self, reply: Reply<'_>, worker: &mut impl Worker) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Probing { vault, interval } => self.probe(vault, interval, reply.answer, worker),
            Stage::Looking { dead } => self.looked(dead, reply, worker),
            Stage::Inheriting { dead, found } => {
                self.serves = reply.document.is_some_and(|document| worker.inherit(document));
                self.decide(dead, found, 1, worker)
            }
            Stage::Claiming { looks } => {
                let found = self.found(reply.answer);
                let is_anothers = matches!(&found, Found::Owner(owner) if !self.is_own(owner));
                // The document may have been published since it was looked for.
                if !is_anothers && let Some(by) = worker.take(reply.document) {
                    return self.settled(matches!(found, Found::Claimed), by.note());
                }
                let found = if matches!(found, Found::Unknown) { Found::Gone } else { found };
                self.decide(None, found, looks, worker)
            }
            Stage::Reclaiming => self.fetch(true, worker),
            Stage::TakingOver { looks } => match self.found(reply.answer) {
                Found::Claimed => self.fetch(true, worker),
                Found::Owner(owner) if !self.is_own(&owner) => self.ask(owner, looks + 1, worker),
                _ => self.fetch(false, worker),
            },
            Stage::Pausing { claimed } => self.compare(claimed),
            Stage::Comparing { claimed } => self.publish(claimed, reply.document, worker),
            stage @ Stage::Fetching { .. } => {
                self.stage = stage;
                Step::End(Ending::Started)
            }
            Stage::Releasing | Stage::Over => Step::End(Ending::Settled),
        }
    }

    /// Goes on once the fetch is complete: its outcome is published, if this worker made it.
    pub fn completed(&mut self, worker: &mut impl Worker) -> Step {
        // In any other stage the machine ends here.
        let Stage::Fetching { claimed } = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Step::End(Ending::Settled);
        };
        if let Some((vault, interval)) = self.probed.take() {
            // A vault that asked for a longer pause is left alone by all workers.
            if let Some(away) = worker.away().filter(|away| *away > interval) {
                self.stage = Stage::Pausing { claimed };
                let (name, seconds) = (vault.into(), away.as_secs_f64());
                return Step::Do(Operation { verb: Verb::Pause, name, claim: None, rest: Vec::new(), seconds });
            }
        }
        self.compare(claimed)
    }

    fn probe(&mut self, vault: String, interval: Duration, answer: Answer<'_>, worker: &mut impl Worker) -> Step {
        let again = match answer {
            Answer::IsUp => None,
            Answer::Probed(left) => {
                let is_fresh = left <= interval && left > interval.saturating_sub(SECOND_LOOK);
                Some(if is_fresh { SECOND_LOOK } else { left })
            }
            _ => {
                self.say("this worker probes the vault");
                self.probed = Some((vault, interval));
                return self.look(None, worker);
            }
        };
        if worker.skip_probe(again) {
            return self.settled(false, "another worker probes the vault");
        }
        self.look(None, worker)
    }

    fn look(&mut self, dead: Option<String>, worker: &mut impl Worker) -> Step {
        let claims = dead.is_none() && matches!(self.sharing, Sharing::Claims(_)) && worker.may_fetch();
        self.stage = Stage::Looking { dead };
        self.operation(if claims { Verb::Look } else { Verb::Read }, Vec::new())
    }

    fn looked(&mut self, dead: Option<String>, reply: Reply<'_>, worker: &mut impl Worker) -> Step {
        let found = self.found(reply.answer);
        if let Some(by) = worker.take(reply.document) {
            return self.settled(matches!(found, Found::Claimed), by.note());
        }
        match worker.previous_name() {
            Some(previous) => {
                self.stage = Stage::Inheriting { dead, found };
                let name = previous.into();
                Step::Do(Operation { verb: Verb::Read, name, claim: None, rest: Vec::new(), seconds: 0.0 })
            }
            None => self.decide(dead, found, 1, worker),
        }
    }

    /// Claims the document and fetches it, or asks the worker that has claimed it.
    fn decide(&mut self, dead: Option<String>, found: Found, looks: u32, worker: &mut impl Worker) -> Step {
        if !matches!(self.sharing, Sharing::Claims(_)) {
            return self.fetch_for_itself(worker);
        }
        match (dead, found) {
            (Some(dead), _) => self.take_over(dead, 1),
            (None, Found::Claimed) => self.fetch(true, worker),
            // Without room for a claim, this worker fetches all the same.
            (None, Found::NoRoom) => self.fetch(false, worker),
            (None, Found::Owner(owner)) if self.is_own(&owner) => {
                // Its claim for a fetch that has ended, or that began too early.
                self.stage = Stage::Reclaiming;
                self.operation(Verb::Reclaim, Vec::new())
            }
            (None, Found::Owner(owner)) => self.ask(owner, 1, worker),
            (None, Found::Gone) if looks >= LOOKS => self.fetch(false, worker),
            (None, Found::Gone) => self.claim(looks + 1),
            (None, Found::Unknown) => self.claim(looks),
        }
    }

    fn claim(&mut self, looks: u32) -> Step {
        self.stage = Stage::Claiming { looks };
        self.operation(Verb::Claim, Vec::new())
    }

    /// Asks the worker with that claim, or replaces it.
    fn ask(&mut self, owner: String, looks: u32, worker: &mut impl Worker) -> Step {
        if worker.ask(&owner) {
            self.say(format!("waiting for worker {owner}"));
            return Step::End(self.under_way());
        }
        self.say(format!("began too early in worker {owner}"));
        if looks > LOOKS { self.fetch(false, worker) } else { self.take_over(owner, looks) }
    }

    fn take_over(&mut self, from: String, looks: u32) -> Step {
        self.stage = Stage::TakingOver { looks };
        self.operation(Verb::TakeOver, from.into_bytes())
    }

    /// Has this worker fetch the document and publish the outcome.
    fn fetch(&mut self, claimed: bool, worker: &mut impl Worker) -> Step {
        self.say("this worker fetches it");
        self.stage = Stage::Fetching { claimed };
        worker.fetch(true);
        Step::End(self.under_way())
    }

    fn fetch_for_itself(&mut self, worker: &mut impl Worker) -> Step {
        self.say("this worker fetches it for itself");
        worker.fetch(false);
        Step::End(self.under_way())
    }

    fn compare(&mut self, claimed: bool) -> Step {
        self.stage = Stage::Comparing { claimed };
        self.operation(Verb::Read, Vec::new())
    }

    fn publish(&mut self, claimed: bool, known: Option<&[u8]>, worker: &mut impl Worker) -> Step {
        let (sealed, seconds) = worker.seal(known).unwrap_or_default();
        let mut operation = match self.operation(Verb::Publish, sealed) {
            Step::Do(operation) => operation,
            end => return end,
        };
        operation.seconds = seconds;
        if !claimed {
            operation.claim = None;
        }
        Step::Do(operation)
    }

    fn settled(&mut self, claimed: bool, note: &'static str) -> Step {
        self.say(note);
        if !claimed {
            return Step::End(Ending::Settled);
        }
        self.stage = Stage::Releasing;
        self.operation(Verb::Release, Vec::new())
    }

    fn under_way(&self) -> Ending {
        if self.serves { Ending::Serves } else { Ending::Started }
    }

    /// Adds to the note what became of the fetch.
    fn say(&mut self, note: impl Into<Cow<'static, str>>) {
        let note = note.into();
        if self.note.is_empty() {
            self.note = note;
        } else {
            self.note.to_mut().push_str("; ");
            self.note.to_mut().push_str(&note);
        }
    }

    fn operation(&self, verb: Verb, rest: Vec<u8>) -> Step {
        let (claim, seconds) = match &self.sharing {
            Sharing::Claims(Claimant { address, clock, lifetime }) => {
                let claim = Claim::Document { address: Arc::clone(address), clock: *clock };
                (Some(claim), lifetime.as_secs_f64())
            }
            _ => Default::default(),
        };
        Step::Do(Operation { verb, name: Arc::clone(&self.name), claim, rest, seconds })
    }

    fn found(&self, answer: Answer<'_>) -> Found {
        match answer {
            Answer::Claimed => Found::Claimed,
            Answer::Owner(owner) => Found::Owner(owner.to_owned()),
            Answer::Gone => Found::Gone,
            Answer::NoRoom => Found::NoRoom,
            Answer::Done | Answer::Probed(_) | Answer::IsUp => Found::Unknown,
        }
    }

    /// Whether a claim is this worker's.
    fn is_own(&self, claim: &str) -> bool {
        let Sharing::Claims(Claimant { address, .. }) = &self.sharing else { return false };
        claim.strip_prefix(&**address).is_some_and(|rest| rest.starts_with('@'))
    }
}
