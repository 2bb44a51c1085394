//! What the exports work on, and how outcomes become answers.

use std::io::Write;
use std::os::raw::c_char;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::status;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::node::{Node, hex};
use kong_vault::resolver::node_protocol::fetches::{Next, Progress};
use kong_vault::resolver::node_protocol::operation::{Claim, Operation, Reply};
use kong_vault::resolver::resolved_reference::DocumentKey;
use kong_vault::resolver::singleflight::{JoinOutcome, Joiner, Purpose};
use kong_vault::resolver::{Lookup, Resolver, Value};
use kong_vault::runtime::notifier::Event;
use kong_vault::secret::Secret;
use kong_vault::sync::lock;
use kong_vault::vm::Vm;

/// The length of the longest value that this process has handed to Lua.
static LONGEST_VALUE: AtomicUsize = AtomicUsize::new(0);

/// Notes that Lua gets a copy of a value.
pub fn hand_over(value: &Secret) {
    LONGEST_VALUE.fetch_max(value.len(), Ordering::Relaxed);
}

/// The length in bytes of the longest value that Lua was given in this process; 0 where it was given none.
pub fn longest_value() -> usize {
    LONGEST_VALUE.load(Ordering::Relaxed)
}

/// A VM as Lua sees it, with what the last answer points to.
pub struct Handle {
    pub vm: Vm,
    last: Mutex<Option<Arc<Secret>>>,
    /// The data of the last order.
    order: Mutex<Vec<u8>>,
}

/// How much room for orders is kept, in bytes: one may have a whole outcome in it.
const ORDER_KEPT: usize = 4096;

/// The answer to a call. `data` stays valid until the next call with the same handle or answer, or `release`.
#[repr(C)]
pub struct Answer {
    pub(super) ticket: u64,
    pub(super) generation: u32,
    /// The next order for a fetch of the node.
    pub(super) order: i32,
    data: *const c_char,
    size: usize,
    /// The size of the claim in an order.
    claim_size: usize,
    seconds: f64,
    /// Whether more events wait.
    more: bool,
    /// Whether `data` is a value that Lua must give up by `release`.
    held: bool,
    /// A value that fits in here is written here. Lua wipes it without a call.
    value: [u8; 8192],
}

impl Handle {
    pub fn new(vm: Vm) -> Self {
        Self { vm, last: Mutex::new(None), order: Mutex::default() }
    }

    pub(super) fn lookup(&self, reference: &[u8], joiner: Joiner, answer: &mut Answer) -> i32 {
        let found = self.vm.resolver().and_then(|resolver| Ok((resolver, resolver.lookup(reference)?)));
        match found {
            Ok((resolver, Lookup::Value(value))) => {
                if !value.lasting {
                    // Lua can keep no copy of it until the refresher runs, and where all secrets come from the
                    // environment, nothing else starts the refresher. Without an engine, this look-up is answered all
                    // the same.
                    let _ = resolver.start();
                }
                self.value(value, answer)
            }
            Ok((resolver, Lookup::Miss(resolved))) => {
                self.join_or_create(resolver, &resolved.key, Purpose::Miss, joiner, answer)
            }
            Err(error) => self.failed(error, answer),
        }
    }

    /// `since`: the fetch must begin after this time, in seconds of the node's clock; below 0: after now.
    pub(super) fn renew(&self, reference: &[u8], since: f64, queues: bool, answer: &mut Answer) -> i32 {
        let resolved = self.vm.resolver().and_then(|resolver| Ok((resolver, resolver.resolve(reference)?)));
        match resolved {
            Ok((resolver, resolved)) if resolved.key.descriptor.immediate => {
                resolver.renew(&resolved.key);
                status::NOTHING
            }
            Ok((resolver, resolved)) => {
                let since = Duration::try_from_secs_f64(since).ok();
                let since = since.and_then(|since| Node::of_this_process()?.after_start(since));
                let since = since.unwrap_or_else(Instant::now);
                let joiner = Joiner { waits: true, queues };
                match resolver.newer(&resolved, since) {
                    Some(Ok(value)) => self.value(value, answer),
                    Some(Err(error)) => self.failed(error, answer),
                    None => self.join_or_create(resolver, &resolved.key, Purpose::Newer(since), joiner, answer),
                }
            }
            Err(error) => self.failed(error, answer),
        }
    }

    fn join_or_create(
        &self,
        resolver: &Arc<Resolver>,
        key: &Arc<DocumentKey>,
        purpose: Purpose,
        joiner: Joiner,
        answer: &mut Answer,
    ) -> i32 {
        match resolver.join_or_create(key, purpose, joiner) {
            Ok(JoinOutcome::Joined(ticket)) if joiner.waits => {
                answer.ticket = ticket;
                answer.order = status::NONE;
                if resolver.has_spans() {
                    self.ask(status::TRACE_WAITER, answer);
                }
                status::PENDING
            }
            Ok(JoinOutcome::Joined(_)) => self.failed(key.would_block(), answer),
            Ok(JoinOutcome::Created(ticket)) => {
                answer.ticket = ticket;
                match resolver.has_spans() {
                    true => self.ask(status::TRACE, answer),
                    false => self.order(Some(resolver.start_shared(ticket, None)), answer),
                }
                status::CREATED
            }
            Err(error) => self.failed(error, answer),
        }
    }

    /// Continues a fetch of the node, with the reply to the last order.
    pub(super) fn step(&self, ticket: u64, reply: Reply<'_>, answer: &mut Answer) {
        self.order(self.vm.resolver().ok().and_then(|resolver| resolver.step_shared(ticket, reply)), answer);
    }

    /// Starts a fetch for a request, or has the request wait for it. `header`: where the request stands in its trace.
    pub(super) fn traced(&self, ticket: u64, starts: bool, header: &[u8], answer: &mut Answer) {
        let Ok(resolver) = self.vm.resolver() else { return };
        match starts {
            true => self.order(Some(resolver.start_traced(ticket, header)), answer),
            false => resolver.note_request(ticket, header),
        }
    }

    /// Continues a fetch that is complete, if it is to be published.
    pub(super) fn publish(&self, ticket: u64, answer: &mut Answer) {
        self.order(self.vm.resolver().ok().and_then(|resolver| resolver.publish_shared(ticket)), answer);
    }

    pub(super) fn collect(&self, ticket: u64, reference: &[u8], answer: &mut Answer) -> i32 {
        match self.vm.resolver().and_then(|resolver| resolver.collect(ticket, reference)) {
            Ok(Some(value)) => self.value(value, answer),
            Ok(None) => {
                answer.order = status::NONE;
                status::PENDING
            }
            Err(error) => self.failed(error, answer),
        }
    }

    pub(super) fn event(&self, answer: &mut Answer) -> i32 {
        let Ok(resolver) = self.vm.resolver() else { return status::NOTHING };
        let Some((event, more)) = resolver.notifier().next() else { return status::NOTHING };
        answer.more = more;
        match event {
            Event::Outdated => status::OUTDATED,
            Event::Replaced => {
                resolver.keep_batches();
                status::OUTDATED
            }
            Event::Completed { ticket } => {
                answer.ticket = ticket;
                self.order(resolver.publish_shared(ticket), answer);
                status::COMPLETED
            }
            Event::Start { ticket, dead } => {
                answer.ticket = ticket;
                self.order(Some(resolver.start_shared(ticket, dead)), answer);
                status::START
            }
            Event::Probe { ticket, vault } => {
                answer.ticket = ticket;
                self.order(Some(resolver.start_probe(ticket, &vault)), answer);
                status::START
            }
            Event::StillBad { vault, lasts } => {
                answer.seconds = lasts.as_secs_f64();
                self.show(answer, Arc::new(Secret::new(hex(&vault))));
                status::VAULT_STILL_BAD
            }
            Event::Answers { vault, notice, text } => {
                self.show(answer, Arc::new(Secret::new(hex(&vault) + &hex(&notice) + &text)));
                status::VAULT_ANSWERS
            }
            Event::CacheCrowded => status::CACHE_CROWDED,
            Event::DebugLines => status::DEBUG_LINES,
            Event::Health { vault, up, text } => {
                self.show(answer, Arc::new(Secret::new(hex(&vault) + &text)));
                if up { status::VAULT_UP } else { status::VAULT_DOWN }
            }
        }
    }

    fn value(&self, value: Value, answer: &mut Answer) -> i32 {
        hand_over(&value.secret);
        answer.seconds = value.lease.map_or(0.0, |lease| lease.as_secs_f64());
        let bytes = value.secret.as_bytes();
        answer.held = bytes.len() > answer.value.len();
        if answer.held {
            self.show(answer, Arc::clone(&value.secret));
        } else {
            answer.value[..bytes.len()].copy_from_slice(bytes);
            (answer.data, answer.size) = (answer.value.as_ptr().cast(), bytes.len());
        }
        if value.lasting { status::VALUE } else { status::FLEETING }
    }

    /// Writes the next order into an answer.
    fn order(&self, next: Option<Next>, answer: &mut Answer) {
        answer.order = status::NONE;
        match next {
            None => {}
            Some(Next::Do(Operation { verb, name, claim, rest, seconds })) => {
                (answer.order, answer.seconds) = (status::order(verb), seconds);
                self.describe(answer, &name, claim.as_ref(), &rest);
            }
            Some(Next::Nothing { progress, name, note }) => {
                answer.order = match progress {
                    Progress::UnderWay => status::UNDER_WAY,
                    Progress::Serves => status::SERVES,
                    Progress::Complete => status::COMPLETE,
                };
                self.describe(answer, &name, None, note.as_bytes());
            }
        }
    }

    /// Writes an order that is about no document.
    fn ask(&self, order: i32, answer: &mut Answer) {
        answer.order = order;
        self.describe(answer, "", None, b"");
    }

    /// Writes the data of an order. Nothing of it is secret: an outcome in it is sealed.
    fn describe(&self, answer: &mut Answer, name: &str, claim: Option<&Claim>, rest: &[u8]) {
        let mut data = lock(&self.order);
        data.clear();
        data.shrink_to(ORDER_KEPT);
        data.extend_from_slice(name.as_bytes());
        if let Some(claim) = claim {
            // To write to memory can't fail.
            let _ = write!(data, "{claim}");
        }
        answer.claim_size = data.len() - name.len();
        data.extend_from_slice(rest);
        (answer.data, answer.size) = (data.as_ptr().cast(), data.len());
    }

    fn failed(&self, error: Error, answer: &mut Answer) -> i32 {
        let status = if error.kind() == Kind::UnknownVault { status::UNKNOWN_VAULT } else { status::FAILED };
        self.show(answer, Arc::new(Secret::new(error.for_users())));
        status
    }

    fn show(&self, answer: &mut Answer, bytes: Arc<Secret>) {
        answer.data = bytes.as_bytes().as_ptr().cast();
        answer.size = bytes.len();
        *lock(&self.last) = Some(bytes);
    }

    pub(super) fn release(&self) {
        lock(&self.last).take();
    }

    /// For the cold calls of `lua/`.
    pub fn resolver(&self) -> Result<&Arc<Resolver>> {
        self.vm.resolver()
    }
}
