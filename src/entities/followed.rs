//! The folder whose vault entities are followed, and the jobs that read and write them.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::admin::{AdminResponse, Request};
use crate::entities::epoch_watch::EpochWatch;
use crate::error::{Error, Kind, Result};
use crate::notice::{debug, took};
use crate::pool::JobRefusal;
use crate::redact;
use crate::runtime::engine::Engine;
use crate::runtime::jobs::Jobs;
use crate::runtime::notifier::Notifier;
use crate::store::epoch::STILL;
use crate::store::{Snapshot, Store};
use crate::sync::{Rank, Ranked};

/// The keys of the jobs: one thread at a time answers requests, and another one reads entities.
const WRITING: &[u8] = b"requests";
pub(crate) const READING: &[u8] = b"readings";

/// The folder whose entities are followed. Its file system may hang, so the store is opened when it is first used.
pub(crate) struct Followed {
    folder: String,
    watch: Arc<EpochWatch>,
    store: OnceLock<Store>,
}

impl Followed {
    /// Opens the store, if it is not open. It blocks for as long as the file system does.
    pub(crate) fn store(&self) -> Result<&Store> {
        match self.store.get() {
            Some(store) => Ok(store),
            None => {
                let opened = Store::open(&self.folder)?;
                Ok(self.store.get_or_init(|| opened))
            }
        }
    }

    /// Reads the entities. It blocks for as long as the file system does. It waits for a writer a little less long than
    /// `patience`, so that the error names the writer.
    pub(crate) fn read_entities(&self, patience: Duration) -> Result<Snapshot> {
        let start = Instant::now();
        let read = self.store().and_then(|store| store.read_within(patience * 9 / 10));
        debug(|| match &read {
            Ok(Snapshot { vaults, mark }) => {
                format!("read {} vault entities of epoch {mark} after {}", vaults.len(), took(start))
            }
            Err(error) => format!("no vault entities after {}: {}", took(start), error.kind().name()),
        });
        read
    }

    /// Where the entities are stored, for error texts.
    pub(crate) fn place(&self) -> String {
        self.store.get().map_or_else(String::new, Store::path)
    }

    /// The counter that moves with each change.
    fn counter(&self) -> &AtomicU32 {
        self.store.get().map_or(&STILL, |store| store.epoch().counter())
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.counter().load(Ordering::Acquire)
    }

    /// Has Lua compare the folder's counter, once the store is open. Returns whether copies may be outdated by that.
    pub(crate) fn show_counter(&self) -> bool {
        self.watch.show(self.counter())
    }

    /// Whether the entities in use are older than those that are stored.
    pub(crate) fn is_behind(&self) -> bool {
        self.watch.seen_epoch().load(Ordering::Acquire) != self.epoch()
    }

    /// Marks the entities in use as those of this epoch.
    pub(crate) fn note_seen(&self, epoch: u32) {
        self.watch.note_seen(epoch);
    }

    /// The error where the folder could not be read within `patience`.
    pub(crate) fn refused(&self, refusal: JobRefusal, patience: Duration) -> Error {
        let folder = redact::likely_path(Path::new(&self.folder));
        let why = match refusal {
            JobRefusal::Hangs => format!("within {} s: the file system does not answer", patience.as_secs_f64()),
            refusal => format!("({refusal})"),
        };
        Error::new(Kind::Timeout, format!("vault_data_dir {folder} can't be read {why}"))
    }
}

/// A resolver's part in following entities: the folder, and the jobs that read and write it.
pub struct Follow {
    followed: OnceLock<Arc<Followed>>,
    requests: Jobs<Request, AdminResponse>,
    readings: Jobs<(), ()>,
    /// The epoch of the entities in use.
    applied: Ranked<Option<u32>>,
    /// The ticket of the reading that somebody watches, in case it hangs.
    looked_after: AtomicU64,
    /// The last error about entities that can't be read, so that it is logged once.
    trouble: Ranked<Option<String>>,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            followed: OnceLock::new(),
            requests: Jobs::new(WRITING),
            readings: Jobs::new(READING),
            applied: Ranked::new(Rank::AppliedEntities, None),
            looked_after: AtomicU64::new(0),
            trouble: Ranked::new(Rank::Told, None),
        }
    }
}

impl Follow {
    /// Follows a folder from now on; false where one is followed already.
    pub(crate) fn begin(&self, folder: String, watch: &Arc<EpochWatch>) -> bool {
        let followed = Followed { folder, watch: Arc::clone(watch), store: OnceLock::new() };
        self.followed.set(Arc::new(followed)).is_ok()
    }

    pub(crate) fn followed(&self) -> Option<&Arc<Followed>> {
        self.followed.get()
    }

    /// Has `put` put these entities in use, unless newer ones are: two threads may read at the same time. The lock is
    /// held meanwhile, so that the other one waits. Locks that `put` takes rank after it.
    pub(crate) fn apply(&self, followed: &Followed, snapshot: &Snapshot, put: impl FnOnce(&Snapshot)) {
        let mut applied = self.applied.lock();
        if applied.is_some_and(|last| snapshot.mark.wrapping_sub(last) > u32::MAX / 2) {
            return;
        }
        put(snapshot);
        // After `put` has bumped the generation: whoever sees this epoch must find its copies outdated.
        followed.watch.note_seen(snapshot.mark);
        *applied = Some(snapshot.mark);
    }

    /// Has the engine read the entities, together with others who wait for that; see `Jobs::join`.
    pub(crate) fn read_soon(
        &self,
        engine: &Engine,
        notifier: &Arc<Notifier>,
        read: impl FnOnce() + Send + 'static,
        refused: impl FnOnce(JobRefusal) + Send + 'static,
    ) -> Result<u64> {
        let serve = move |_| {
            read();
            Vec::new()
        };
        self.readings.join(engine, notifier, (), serve, refused)
    }

    /// Whether nobody watches this reading yet. From now on, the caller does.
    pub(crate) fn is_to_be_looked_after(&self, ticket: u64) -> bool {
        self.looked_after.swap(ticket, Ordering::Relaxed) != ticket
    }

    pub(crate) fn is_reading(&self, ticket: u64) -> bool {
        self.readings.is_under_way(ticket)
    }

    /// Has the engine answer a request of the Admin API, see `Jobs::ask`.
    pub(crate) fn ask(
        &self,
        engine: &Engine,
        notifier: &Arc<Notifier>,
        request: Request,
        serve: impl FnOnce(Vec<Request>) -> Vec<AdminResponse> + Send + 'static,
    ) -> Result<u64> {
        self.requests.ask(engine, notifier, request, serve)
    }

    /// Has the engine find out the answer to a request by itself, see `Jobs::ask_apart`.
    pub(crate) fn ask_apart(
        &self,
        engine: &Engine,
        notifier: &Arc<Notifier>,
        answering: impl Future<Output = AdminResponse> + Send + 'static,
    ) -> Result<u64> {
        self.requests.ask_apart(engine, notifier, answering)
    }

    /// The answer to a request; `None` where it isn't there.
    pub(crate) fn answer(&self, ticket: u64) -> Option<AdminResponse> {
        self.requests.collect(ticket)
    }

    /// Whether a ticket is of no job that is under way.
    pub(crate) fn has_ended(&self, ticket: u64) -> bool {
        !self.requests.is_under_way(ticket) && !self.readings.is_under_way(ticket)
    }

    /// Notes an error about entities that can't be read, or that there is none. Returns whether that is news.
    pub(crate) fn note_trouble(&self, text: Option<&str>) -> bool {
        let mut trouble = self.trouble.lock();
        let is_news = trouble.as_deref() != text;
        *trouble = text.map(str::to_owned);
        is_news
    }
}
