//! Runs the machines of a resolver's fetches: does what a machine asks of its worker, and passes its operations on the
//! dictionary to Lua.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::node::{Name, Node, hex};
use crate::resolver::node_protocol::fetches::{Next, Progress};
use crate::resolver::node_protocol::machine::{CompletedBy, Machine, Worker};
use crate::resolver::node_protocol::operation::{Claimant, Ending, Reply, Sharing, Start, Step};
use crate::resolver::state::Resolver;

/// How much longer a claim lasts than a fetch.
const CLAIM_GRACE: Duration = Duration::from_secs(1);

/// A resolver, for one of its fetches.
struct CallWorker<'a> {
    resolver: &'a Arc<Resolver>,
    ticket: u64,
}

impl Worker for CallWorker<'_> {
    fn take(&mut self, sealed: Option<&[u8]>) -> Option<CompletedBy> {
        self.resolver.take_shared_in_worker(self.ticket, sealed.unwrap_or_default())
    }

    fn may_fetch(&mut self) -> bool {
        self.resolver.away(self.ticket).is_none()
    }

    fn previous_name(&mut self) -> Option<String> {
        self.resolver.previous_name(self.ticket)
    }

    fn inherit(&mut self, sealed: &[u8]) -> bool {
        self.resolver.inherit_previous(self.ticket, sealed)
    }

    fn fetch(&mut self, owned: bool) {
        // It fails only without an engine, which the look-up has reported.
        let _ = self.resolver.start_fetch(self.ticket, None, owned);
    }

    fn ask(&mut self, claim: &str) -> bool {
        self.resolver.start_fetch(self.ticket, Some(claim.to_owned()), false).unwrap_or(true)
    }

    fn skip_probe(&mut self, again: Option<Duration>) -> bool {
        self.resolver.skip_probe(self.ticket, again)
    }

    fn away(&mut self) -> Option<Duration> {
        self.resolver.away(self.ticket)
    }

    fn seal(&mut self, known: Option<&[u8]>) -> Option<(Vec<u8>, f64)> {
        self.resolver.sealed_outcome_for(self.ticket, known.unwrap_or_default())
    }
}

impl Resolver {
    /// Notes whether this worker has a dictionary that it shares with others.
    pub fn has_dictionary(&self, has: bool) {
        self.shared_fetches().has_dictionary(has);
    }

    /// Starts a created call by way of the node's cache. `dead`: the claim of a worker that does not have the document.
    pub fn start_shared(self: &Arc<Self>, ticket: u64, dead: Option<String>) -> Next {
        self.begin(ticket, dead.map_or(Start::Fetch, Start::Past))
    }

    /// Starts a fetch that probes a vault, unless another worker probes it.
    pub fn start_probe(self: &Arc<Self>, ticket: u64, vault: &Name) -> Next {
        self.begin(ticket, Start::Probe { vault: hex(vault), interval: self.config().breaker_interval })
    }

    fn begin(self: &Arc<Self>, ticket: u64, start: Start) -> Next {
        let Some(call) = self.calls().unstarted(ticket) else {
            // Somebody else has started it meanwhile: its machine, if there is one, goes on.
            let machine = Machine::new(Arc::default(), Sharing::Nothing);
            return self.next(ticket, &machine, Step::End(Ending::Settled));
        };
        let (name, sharing) = match Node::of_this_process() {
            // Each worker reads files for itself: that is quicker, and another's value may be of another version.
            Some(node) if call.key.descriptor.files => (Arc::clone(call.key.name_text(node)), Sharing::Nothing),
            Some(node) => (Arc::clone(call.key.name_text(node)), self.sharing(node)),
            None => (Arc::default(), Sharing::Nothing),
        };
        let mut machine = Machine::new(name, sharing);
        let step = machine.start(start, &mut CallWorker { resolver: self, ticket });
        self.put_back(ticket, machine, step)
    }

    fn sharing(self: &Arc<Self>, node: &Node) -> Sharing {
        if !self.shared_fetches().is_shared() {
            return Sharing::Nothing;
        }
        let Ok(address) = self.address() else { return Sharing::Reads };
        let (address, clock) = (Arc::clone(address), node.clock(Instant::now()));
        Sharing::Claims(Claimant { address, clock, lifetime: self.config().fetch_timeout + CLAIM_GRACE })
    }

    /// Goes on with a fetch, by the reply to its last operation on the dictionary.
    pub fn step_shared(self: &Arc<Self>, ticket: u64, reply: Reply<'_>) -> Option<Next> {
        let mut machine = self.shared_fetches().remove(ticket)?;
        let step = machine.step(reply, &mut CallWorker { resolver: self, ticket });
        Some(self.put_back(ticket, machine, step))
    }

    /// Goes on with a fetch that is complete; `None` where there is nothing to publish.
    pub fn publish_shared(self: &Arc<Self>, ticket: u64) -> Option<Next> {
        if !self.is_completed(ticket) {
            return None;
        }
        let mut machine = self.shared_fetches().remove(ticket)?;
        let step = machine.completed(&mut CallWorker { resolver: self, ticket });
        Some(self.put_back(ticket, machine, step))
    }

    /// The fetches that are complete, but not published: nobody listened for their events.
    pub fn unpublished(&self) -> Vec<u64> {
        self.shared_fetches().tickets().into_iter().filter(|ticket| self.is_completed(*ticket)).collect()
    }

    fn put_back(&self, ticket: u64, machine: Machine, step: Step) -> Next {
        let next = self.next(ticket, &machine, step);
        if !machine.is_over() {
            self.shared_fetches().insert(ticket, machine);
        }
        next
    }

    fn next(&self, ticket: u64, machine: &Machine, step: Step) -> Next {
        let progress = match step {
            Step::Do(operation) => return Next::Do(operation),
            Step::End(Ending::Serves) => Progress::Serves,
            Step::End(Ending::Settled) if self.is_completed(ticket) => Progress::Complete,
            Step::End(_) => Progress::UnderWay,
        };
        Next::Nothing { progress, name: Arc::clone(machine.name()), note: machine.note().clone() }
    }
}
