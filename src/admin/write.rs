//! The requests that change entities.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

use super::answer::AdminResponse;
use super::body::{self, RequestFields};
use super::change::EntityChange;
use super::entity::{Draft, flaw};
use super::key::{EntityKey, is_uuid};
use super::{AdminApi, Request};
use crate::store::Record;

/// The result of a step; otherwise the answer to the request.
type WriteResult<T> = Result<T, AdminResponse>;

impl AdminApi<'_> {
    pub(super) fn create(&self, vaults: &mut Vec<Record>, request: &Request) -> AdminResponse {
        self.finish(AdminResponse::created, || {
            let sent = body::parse_fields(request)?;
            let id = self.id_of(None, &sent)?;
            let mut made = self.draft(&sent, None, false, None)?;
            self.refuse_taken(vaults, &made, &id, None)?;
            stamp(&mut made, &id, None);
            vaults.push(made.clone());
            Ok((None, made))
        })
    }

    pub(super) fn put(&self, vaults: &mut Vec<Record>, key: &EntityKey, request: &Request) -> AdminResponse {
        self.finish(AdminResponse::ok, || {
            let sent = body::parse_fields(request)?;
            let place = vaults.iter().position(|vault| key.is_of(vault));
            let stored = place.and_then(|place| vaults.get(place));
            let (id, prefix) = match key {
                EntityKey::Id(id) => (id.clone(), None),
                EntityKey::Prefix(prefix) => (self.id_of(stored, &sent)?, Some(prefix.as_str())),
            };
            self.refuse_other_id(&sent, &id)?;
            let mut made = self.draft(&sent, stored, false, prefix)?;
            self.refuse_taken(vaults, &made, &id, place)?;
            stamp(&mut made, &id, stored);
            let before = match place.and_then(|place| vaults.get_mut(place)) {
                Some(stored) => Some(std::mem::replace(stored, made.clone())),
                None => {
                    vaults.push(made.clone());
                    None
                }
            };
            Ok((before, made))
        })
    }

    pub(super) fn patch(&self, vaults: &mut [Record], key: &EntityKey, request: &Request) -> AdminResponse {
        self.finish(AdminResponse::ok, || {
            let sent = body::parse_fields(request)?;
            let place = vaults.iter().position(|vault| key.is_of(vault)).ok_or_else(|| self.missing(key))?;
            let stored = vaults.get(place).ok_or_else(AdminResponse::not_found)?;
            let id = self.id_of(Some(stored), &sent)?;
            self.refuse_other_id(&sent, &id)?;
            let mut made = self.draft(&sent, Some(stored), true, None)?;
            self.refuse_taken(vaults, &made, &id, Some(place))?;
            stamp(&mut made, &id, Some(stored));
            let before = vaults.get_mut(place).map(|stored| std::mem::replace(stored, made.clone()));
            Ok((before, made))
        })
    }

    /// As in Kong, it succeeds where there is no such entity.
    pub(super) fn delete(&self, vaults: &mut Vec<Record>, key: &EntityKey) -> AdminResponse {
        if let Some(place) = vaults.iter().position(|vault| key.is_of(vault)) {
            let before = vaults.remove(place);
            return AdminResponse::nothing().after_a_change(self.change(Some(&before), None));
        }
        match self.missing(key) {
            answer if answer.status == 404 => AdminResponse::nothing(),
            answer => answer,
        }
    }

    /// `make` returns the entity as it was, if there was one, and as it is now.
    fn finish(
        &self,
        done: fn(&Record) -> AdminResponse,
        make: impl FnOnce() -> WriteResult<(Option<Record>, Record)>,
    ) -> AdminResponse {
        match make() {
            Ok((before, made)) => done(&self.shown(&made)).after_a_change(self.change(before.as_ref(), Some(&made))),
            Err(answer) => answer,
        }
    }

    fn change(&self, before: Option<&Record>, after: Option<&Record>) -> EntityChange {
        EntityChange::new(before, after, self.backends)
    }

    fn draft(
        &self,
        sent: &RequestFields,
        stored: Option<&Record>,
        keep: bool,
        prefix: Option<&str>,
    ) -> WriteResult<Record> {
        Draft { sent, stored, keep, backends: self.backends, verification: self.verification }
            .finish(prefix)
            .map_err(|flaws| AdminResponse::violation(&flaws))
    }

    /// Returns the stored id, otherwise the one that was sent, otherwise a new one.
    fn id_of(&self, stored: Option<&Record>, sent: &RequestFields) -> WriteResult<String> {
        match stored.map(|stored| stored.text("id")).filter(|id| !id.is_empty()) {
            Some(id) => Ok(id.to_owned()),
            None => sent_id(sent).map_or_else(new_id, Ok),
        }
    }

    fn refuse_other_id(&self, sent: &RequestFields, id: &str) -> WriteResult<()> {
        match sent_id(sent) {
            Some(sent) if sent != id => {
                Err(AdminResponse::violation(&[flaw("id", "is another than it has, and can't change")]))
            }
            _ => Ok(()),
        }
    }

    /// Refuses an entity if another one than that at `place` has the same prefix or id.
    fn refuse_taken(&self, vaults: &[Record], made: &Record, id: &str, place: Option<usize>) -> WriteResult<()> {
        let prefix = made.text("prefix");
        let others = || vaults.iter().enumerate().filter(|(at, _)| Some(*at) != place).map(|(_, vault)| vault);
        if (self.is_fixed)(prefix) {
            Err(AdminResponse::fixed_prefix(prefix))
        } else if others().any(|vault| vault.text("prefix") == prefix) {
            Err(AdminResponse::taken_prefix(prefix))
        } else if others().any(|vault| vault.text("id").eq_ignore_ascii_case(id)) {
            Err(AdminResponse::taken_id(id))
        } else {
            Ok(())
        }
    }

    /// The answer about an entity that does not exist.
    fn missing(&self, key: &EntityKey) -> AdminResponse {
        match key {
            EntityKey::Prefix(prefix) if (self.is_fixed)(prefix) => AdminResponse::fixed_prefix(prefix),
            _ => AdminResponse::not_found(),
        }
    }
}

/// Returns the id that was sent, if it is valid. An invalid one is reported with the entity's other flaws.
fn sent_id(sent: &RequestFields) -> Option<String> {
    let id = sent.fields.get("id")?.as_str()?;
    is_uuid(id).then(|| id.to_ascii_lowercase())
}

/// Sets an entity's id and times. It keeps the time of its creation.
fn stamp(vault: &mut Record, id: &str, stored: Option<&Record>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let created = stored.and_then(|stored| stored.get("created_at")).filter(|at| at.is_number()).cloned();
    vault.insert("id".to_owned(), id.into());
    vault.insert("created_at".to_owned(), created.unwrap_or_else(|| now.into()));
    vault.insert("updated_at".to_owned(), now.into());
}

/// A random uuid (version 4).
fn new_id() -> WriteResult<String> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AdminResponse::message(500, "the system returned no random numbers for an id: try again"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_random_uuid() {
        let (one, other) = (new_id().unwrap(), new_id().unwrap());
        assert!(is_uuid(&one) && one != other, "{one} {other}");
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
