//! The folder whose vault entities are followed, and the jobs that read and write them.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::admin::{AdminResponse, Request};
use crate::entities::epoch_watch::EpochWatch;
use crate::error::{Error, Kind, Result};
use crate::pool::JobRefusal;
use crate::redact;
use crate::runtime::jobs::Jobs;
use crate::store::epoch::STILL;
use crate::store::{Snapshot, Store};

/// Requests are answered by one thread at a time, and entities read by another.
const WRITING: &[u8] = b"requests";
pub(crate) const READING: &[u8] = b"readings";

/// The folder whose entities are followed. A file system may hang, so it may be opened later than it is known.
pub(crate) struct Followed {
    pub(crate) folder: String,
    pub(crate) watch: Arc<EpochWatch>,
    pub(crate) store: OnceLock<Store>,
}

impl Followed {
    /// It blocks, for as long as the file system does.
    pub(crate) fn store(&self) -> Result<&Store> {
        match self.store.get() {
            Some(store) => Ok(store),
            None => {
                let opened = Store::open(&self.folder)?;
                Ok(self.store.get_or_init(|| opened))
            }
        }
    }

    /// The entities as they are now. It blocks, for as long as the file system does; a writer at work is waited for a little
    /// less long than `patience`, so that he is what the error tells of.
    pub(crate) fn read_entities(&self, patience: Duration) -> Result<Snapshot> {
        self.store()?.read_within(patience * 9 / 10)
    }

    /// What changes are known by.
    pub(crate) fn counter(&self) -> &AtomicU32 {
        self.store.get().map_or(&STILL, |store| store.epoch().counter())
    }

    /// Why nobody could read it, which has `patience`.
    pub(crate) fn refused(&self, refusal: JobRefusal, patience: Duration) -> Error {
        let folder = redact::likely_path(Path::new(&self.folder));
        let why = match refusal {
            JobRefusal::Hangs => format!("within {} s: the file system does not answer", patience.as_secs_f64()),
            refusal => format!("({refusal})"),
        };
        Error::new(Kind::Timeout, format!("vault_data_dir {folder} can't be read {why}"))
    }
}

/// What a resolver has of them.
pub struct Follow {
    pub(crate) followed: OnceLock<Arc<Followed>>,
    pub(crate) requests: Jobs<Request, AdminResponse>,
    pub(crate) readings: Jobs<(), ()>,
    /// What the counter was when the entities were read that are in use.
    pub(crate) applied: Mutex<Option<u32>>,
    /// The reading that is looked after, by its ticket: whether it hangs.
    pub(crate) looked_after: AtomicU64,
    /// What was last told of entities that can't be read.
    pub(crate) trouble: Mutex<Option<String>>,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            followed: OnceLock::new(),
            requests: Jobs::new(WRITING),
            readings: Jobs::new(READING),
            applied: Mutex::default(),
            looked_after: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }
}
