//! Follows the entities of `vault_data_dir`: the Admin API changes them here, and other processes change them.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::{AdminApi, AdminResponse, Request};
use crate::backend::registry::ALL;
use crate::entities::epoch_watch::EpochWatch;
use crate::entities::followed::{Followed, READING};
use crate::error::Result;
use crate::node::{Name, Node};
use crate::pool::{self, JobRefusal};
use crate::resolver::replace_entities::listed;
use crate::resolver::state::Resolver;
use crate::runtime::notifier::Event;
use crate::store::Snapshot;

/// The pause before entities that could not be read are read again.
const AGAIN: Duration = Duration::from_secs(1);

/// For how long after a failed reading no worker reports it again.
const TROUBLE_LASTS: Duration = Duration::from_secs(10);

impl Resolver {
    /// Reads the entities of `vault_data_dir`, if there is one, and follows their changes from then on. Called at load:
    /// it blocks, for at most `vault_fetch_timeout`. What can't be read then is read by the workers.
    pub fn follow_entities(self: &Arc<Self>, watch: &Arc<EpochWatch>) -> Result<()> {
        let Some(folder) = self.config().data_dir.clone() else { return Ok(()) };
        if self.follow().begin(folder, watch) { self.catch_up_on_the_spot() } else { Ok(()) }
    }

    /// Reads the entities as they are now. It blocks, for as long as their file system does.
    pub fn catch_up(self: &Arc<Self>) -> Result<()> {
        let Some(followed) = self.follow().followed() else { return Ok(()) };
        let before = followed.epoch();
        let read = followed.read_entities(self.config().fetch_timeout);
        self.show_counter(followed);
        match read {
            Ok(snapshot) => {
                self.apply(followed, &snapshot);
                Ok(())
            }
            Err(error) => {
                // The old entities stay in use. Without this, each look-up would try again.
                followed.note_seen(before);
                Err(error)
            }
        }
    }

    /// Reads the entities while this thread waits, for at most `vault_fetch_timeout`; for when no requests are served
    /// yet. After a failure, the next look-up reads them again; where the refresher runs, they are also read after a
    /// pause.
    pub fn catch_up_on_the_spot(self: &Arc<Self>) -> Result<()> {
        let Some(followed) = self.follow().followed() else { return Ok(()) };
        let patience = self.config().fetch_timeout;
        let job = Arc::clone(followed);
        // The thread may still hang when nginx forks, which does no harm: it only reads.
        let read = pool::entities().wait(READING, patience, move || job.read_entities(patience));
        self.show_counter(followed);
        let outcome = match read {
            Ok(Ok(snapshot)) => {
                self.apply(followed, &snapshot);
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(refusal) => Err(followed.refused(refusal, patience)),
        };
        if outcome.is_err() {
            // Not the current epoch: the next look-up has the entities read.
            followed.note_seen(followed.epoch().wrapping_sub(1));
        }
        if self.schedule().runs() {
            self.tell(outcome.clone());
        }
        outcome
    }

    fn show_counter(&self, followed: &Followed) {
        if followed.show_counter() {
            self.bump();
        }
    }

    fn apply(self: &Arc<Self>, followed: &Followed, snapshot: &Snapshot) {
        self.follow().apply(followed, snapshot, |snapshot| {
            let place = followed.place();
            let entities = snapshot.vaults.iter().map(|vault| listed(vault, &place)).collect();
            self.replace_entities(entities, &place);
        });
    }

    /// Has the engine read the entities. Returns the ticket of a reading that did not begin before this call.
    pub fn catch_up_soon(self: &Arc<Self>) -> Result<u64> {
        let (resolver, again, engine) = (Arc::clone(self), Arc::clone(self), self.engine()?);
        let read = move || resolver.tell(resolver.catch_up());
        let refused = move |refusal| {
            if let Some(followed) = again.follow().followed() {
                // The old entities stay in use, as after any failed reading.
                followed.note_seen(followed.epoch());
                again.tell(Err(followed.refused(refusal, again.config().fetch_timeout)));
            }
        };
        let ticket = self.follow().read_soon(engine, self.notifier(), read, refused)?;
        if self.follow().is_to_be_looked_after(ticket) {
            let (resolver, patience) = (Arc::downgrade(self), self.config().fetch_timeout);
            engine.spawn(async move {
                tokio::time::sleep(patience).await;
                if let Some(resolver) = resolver.upgrade()
                    && resolver.follow().is_reading(ticket)
                    && let Some(followed) = resolver.follow().followed()
                {
                    // The reading may still end, so it is only reported, not tried again.
                    resolver.note_trouble(Some(followed.refused(JobRefusal::Hangs, patience).text().to_owned()));
                }
            });
        }
        Ok(ticket)
    }

    /// Reports that the entities can't be read, or can be again. After a failure, has them read once more after a
    /// pause.
    fn tell(self: &Arc<Self>, outcome: Result<()>) {
        let is_bad = outcome.is_err();
        self.note_trouble(outcome.err().map(|error| error.text().to_owned()));
        if is_bad && let Ok(engine) = self.engine() {
            let resolver = Arc::downgrade(self);
            engine.spawn(async move {
                tokio::time::sleep(AGAIN).await;
                if let Some(resolver) = resolver.upgrade() {
                    // An error means that too much is under way: nothing more is tried here.
                    let _ = resolver.catch_up_soon();
                }
            });
        }
    }

    fn note_trouble(&self, text: Option<String>) {
        if self.follow().note_trouble(text.as_deref()) {
            let notice =
                text.clone().unwrap_or_else(|| "the vault entities of vault_data_dir can be read again".to_owned());
            self.notifier().notify(Event::Health { vault: self.name_of_folder(), up: text.is_none(), text: notice });
        }
        if text.is_some() {
            // This is repeated at each failed try. Where this process is gone it lapses, and the next failure is
            // reported.
            self.notifier().notify(Event::StillBad { vault: self.name_of_folder(), lasts: TROUBLE_LASTS });
        }
    }

    fn name_of_folder(&self) -> Name {
        let folder = self.config().data_dir.as_deref().unwrap_or_default();
        let parts = [&b"vault_data_dir"[..], folder.as_bytes()];
        Node::of_this_process().map(|node| node.name(parts)).unwrap_or_default()
    }

    /// Reads the entities if another process has changed them since. It blocks, as `catch_up` does.
    pub(super) fn catch_up_if_behind(self: &Arc<Self>) {
        if self.follow().followed().is_some_and(|followed| followed.is_behind()) {
            self.tell(self.catch_up());
        }
    }

    /// Answers requests of the Admin API, in their order. It blocks.
    pub fn administer(self: &Arc<Self>, requests: &[Request]) -> Vec<AdminResponse> {
        if requests.iter().any(Request::is_status) {
            self.catch_up_if_behind();
        }
        let status = || self.node_status().to_json();
        let all_but_status = |failed: &dyn Fn() -> AdminResponse| -> Vec<AdminResponse> {
            requests.iter().map(|request| request.answer_without_store(&status).unwrap_or_else(failed)).collect()
        };
        let store = match self.follow().followed().map(|followed| followed.store()) {
            Some(Ok(store)) => store,
            Some(Err(error)) => return all_but_status(&|| AdminResponse::failed(&error)),
            None => return all_but_status(&without_store),
        };
        let is_fixed = |prefix: &str| self.config().is_fixed(prefix);
        let verification = self.config().verification();
        let answers =
            AdminApi { store, backends: ALL, is_fixed: &is_fixed, verification, status: &status }.serve(requests);
        for (request, answer) in requests.iter().zip(&answers) {
            if let Some(change) = &answer.change {
                self.audit_change(&request.who, change);
            }
        }
        if answers.iter().any(|answer| answer.change.is_some()) {
            self.tell(self.catch_up());
        }
        answers
    }

    /// Has the engine answer a request; the ticket is for `answer`.
    pub fn administer_soon(self: &Arc<Self>, request: Request) -> Result<u64> {
        if request.is_check() {
            return self.check_soon(request);
        }
        let resolver = Arc::clone(self);
        let serve = move |requests: Vec<Request>| resolver.administer(&requests);
        self.follow().ask(self.engine()?, self.notifier(), request, serve)
    }

    /// The answer to a request; `None` where it isn't there.
    pub fn answer(&self, ticket: u64) -> Option<AdminResponse> {
        self.follow().answer(ticket)
    }
}

pub(super) fn without_store() -> AdminResponse {
    AdminResponse::message(503, "the Admin API has no store: set vault_data_dir to a directory")
}
