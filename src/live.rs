//! The entities of `vault_data_dir`, as they change: by requests of the Admin API here, and by other processes.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::admin::{Answer, Api, Asker, Hearing, Request, admits, hears};
use crate::backend::ALL;
use crate::config::{Listed, entity};
use crate::error::Result;
use crate::jobs::Jobs;
use crate::node::{Name, Node};
use crate::resolver::{Resolver, lock};
use crate::store::beacon::STILL;
use crate::store::record::wipe;
use crate::store::{Record, Store};
use crate::wake::Event;

/// Requests are answered by one thread at a time, and entities read by another.
const WRITING: &[u8] = b"requests";
const READING: &[u8] = b"readings";

/// After what time entities that can't be read are read again.
const AGAIN: Duration = Duration::from_secs(1);

/// For how long after a try nobody has to tell anew of entities that can't be read.
const TROUBLE_LASTS: Duration = Duration::from_secs(10);

/// By which the Lua side sees, at each hit, whether the entities are what they were.
#[derive(Debug)]
pub struct Watch {
    beacon: AtomicPtr<AtomicU32>,
    seen: AtomicU32,
}

impl Default for Watch {
    fn default() -> Self {
        Self { beacon: AtomicPtr::new(ptr::from_ref(&STILL).cast_mut()), seen: AtomicU32::new(0) }
    }
}

impl Watch {
    /// Where the address of the counter stands that all processes see.
    pub fn beacon(&self) -> &AtomicPtr<AtomicU32> {
        &self.beacon
    }

    /// The counter's value when this process read the entities.
    pub fn seen(&self) -> &AtomicU32 {
        &self.seen
    }
}

/// What a resolver has of them.
pub struct Live {
    followed: OnceLock<(Store, Arc<Watch>)>,
    requests: Jobs<Request, Answer>,
    readings: Jobs<(), ()>,
    reading: Mutex<()>,
    /// What was last told of entities that can't be read.
    trouble: Mutex<Option<String>>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            followed: OnceLock::new(),
            requests: Jobs::new(WRITING),
            readings: Jobs::new(READING),
            reading: Mutex::default(),
            trouble: Mutex::default(),
        }
    }
}

impl Resolver {
    /// Reads the entities of `vault_data_dir`, if there is one, and follows their changes from then on. Called at load: it
    /// blocks.
    pub fn follow_entities(self: &Arc<Self>, watch: &Arc<Watch>) -> Result<()> {
        let Some(folder) = &self.config().data_dir else { return Ok(()) };
        let store = Store::open(folder)?;
        let counter = ptr::from_ref(store.beacon().counter()).cast_mut();
        if self.live.followed.set((store, Arc::clone(watch))).is_ok() {
            watch.beacon.store(counter, Ordering::Release);
        }
        self.catch_up()
    }

    /// Reads the entities as they are now. It blocks.
    pub fn catch_up(self: &Arc<Self>) -> Result<()> {
        let Some((store, watch)) = self.live.followed.get() else { return Ok(()) };
        let _turn = lock(&self.live.reading);
        let before = store.beacon().now();
        let snapshot = match store.read() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // The old ones serve on, without a further try at each look-up.
                watch.seen.store(before, Ordering::Release);
                return Err(error);
            }
        };
        let place = store.path();
        let entities = snapshot.vaults.iter().map(|vault| listed(vault, &place)).collect();
        self.replace_entities(entities, &place);
        // After the generation was bumped: whoever finds this to be the counter's value finds the copies outdated.
        watch.seen.store(snapshot.mark, Ordering::Release);
        Ok(())
    }

    /// `catch_up` where nobody is served yet. What can't be read is read again later, where this process lives on.
    pub fn catch_up_on_the_spot(self: &Arc<Self>) -> Result<()> {
        let outcome = self.catch_up();
        if self.rotation.runs() {
            self.tell(outcome.clone());
        }
        outcome
    }

    /// Has the engine read the entities. The reading that the ticket is of has not begun yet.
    pub fn catch_up_soon(self: &Arc<Self>) -> Result<u64> {
        let resolver = Arc::clone(self);
        self.live.readings.join(self.engine()?, &self.bell, (), move |_| {
            resolver.tell(resolver.catch_up());
            Vec::new()
        })
    }

    /// Has the log told of entities that can't be read, or can again, and tries once more where they can't.
    fn tell(self: &Arc<Self>, outcome: Result<()>) {
        let text = outcome.err().map(|error| error.text().to_owned());
        let known = std::mem::replace(&mut *lock(&self.live.trouble), text.clone());
        if text != known {
            let news =
                text.clone().unwrap_or_else(|| "the vault entities of vault_data_dir can be read again".to_owned());
            self.bell.ring(Event::Health { vault: self.name_of_folder(), up: text.is_none(), text: news });
        }
        if text.is_some() {
            // It is told again at each try; where this process is gone, the next trouble is another one.
            self.bell.ring(Event::StillBad { vault: self.name_of_folder(), lasts: TROUBLE_LASTS });
        }
        if text.is_some()
            && let Ok(engine) = self.engine()
        {
            let resolver = Arc::downgrade(self);
            engine.spawn(async move {
                tokio::time::sleep(AGAIN).await;
                if let Some(resolver) = resolver.upgrade() {
                    // An error means that too much is under way: somebody's look-up will have it tried again.
                    let _ = resolver.catch_up_soon();
                }
            });
        }
    }

    fn name_of_folder(&self) -> Name {
        let folder = self.config().data_dir.as_deref().unwrap_or_default();
        let parts = [&b"vault_data_dir"[..], folder.as_bytes()];
        Node::of_this_process().map(|node| node.name(parts)).unwrap_or_default()
    }

    /// Whether a token is the one that the Admin API wants to be shown, if it wants one.
    pub fn admits(&self, token: Option<&[u8]>) -> Result<bool> {
        let wanted = self.config().admin_token.as_ref().map_err(Clone::clone)?;
        Ok(admits(wanted.as_ref(), token))
    }

    /// Whether the Admin API hears somebody. An error hears nobody.
    pub fn hears(&self, asker: &Asker<'_>) -> Result<Hearing> {
        let wanted = self.config().admin_token.as_ref().map_err(Clone::clone)?;
        Ok(hears(wanted.as_ref(), asker))
    }

    /// Answers requests of the Admin API, in their order and at once. It blocks.
    pub fn administer(self: &Arc<Self>, requests: &[Request]) -> Vec<Answer> {
        let Some((store, _)) = self.live.followed.get() else {
            return requests.iter().map(|_| self.without_store()).collect();
        };
        let is_fixed = |prefix: &str| self.config().is_fixed(prefix);
        let answers = Api { store, backends: ALL, is_fixed: &is_fixed }.serve(requests);
        if answers.iter().any(|answer| answer.changed) {
            self.tell(self.catch_up());
        }
        answers
    }

    fn without_store(&self) -> Answer {
        // Why a folder that is configured can't be used, `configure` has said; it may be better by now.
        match self.config().data_dir.as_deref().map(Store::open) {
            Some(Err(error)) => Answer::failed(&error),
            Some(Ok(_)) => Answer::message(503, "vault_data_dir can be used only now: reload nginx"),
            None => Answer::message(503, "the Admin API has no store: set vault_data_dir to a folder of its own"),
        }
    }

    /// Has the engine answer a request; the ticket is for `answer`.
    pub fn administer_soon(self: &Arc<Self>, request: Request) -> Result<u64> {
        let resolver = Arc::clone(self);
        self.live.requests.ask(self.engine()?, &self.bell, request, move |requests| resolver.administer(&requests))
    }

    /// The answer to a request; `None` where it isn't there.
    pub fn answer(&self, ticket: u64) -> Option<Answer> {
        self.live.requests.claim(ticket)
    }

    pub(crate) fn has_ended(&self, ticket: u64) -> bool {
        !self.live.requests.is_under_way(ticket) && !self.live.readings.is_under_way(ticket)
    }
}

/// An entity as the configuration takes it, or what is wrong with it.
fn listed(vault: &Record, place: &str) -> Listed {
    let mut whole = Value::Object((**vault).clone());
    let listed = entity::listed(&whole, ALL, place);
    wipe(&mut whole);
    listed
}
