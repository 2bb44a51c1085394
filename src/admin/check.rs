//! A request for a check, step by step, of a vault that is there, or of an entity as somebody is about to store it.

use serde_json::{Map, Value, json};

use super::Request;
use super::answer::AdminResponse;
use super::body::{self, RequestFields};
use super::entity::{Draft, flaw};
use super::mask;
use crate::backend::Descriptor;
use crate::config::Verification;
use crate::config::entity::EntityFlaw;
use crate::error::quote;
use crate::redact;
use crate::store::{Record, Store};

/// What is to be checked.
#[derive(Debug)]
pub struct Check {
    pub subject: CheckSubject,
    /// The rest of a reference behind the vault's name; empty where no secret is to be read.
    pub secret: String,
}

#[derive(Debug)]
pub enum CheckSubject {
    /// The vault with this name.
    Vault(String),
    Entity(TestedEntity),
}

impl CheckSubject {
    /// The vault's name, which references to it have.
    pub fn vault(&self) -> &str {
        match self {
            Self::Vault(name) => name,
            Self::Entity(tested) => tested.record.text("prefix"),
        }
    }
}

/// A valid entity, which isn't stored.
#[derive(Debug)]
pub struct TestedEntity {
    pub record: Record,
    /// The prefix of the stored entity whose credentials masks stand for, if there are any.
    pub credentials_of: Option<String>,
}

/// How much of an option's value a line of the audit log shows, in characters, and how many of a list's items.
const SHOWN: usize = 128;
const ITEMS: usize = 8;

impl TestedEntity {
    /// What says where credentials go, as it may be shown: short enough that no other field can drive it out of a line.
    pub fn shown(&self, backends: &[&'static Descriptor]) -> Value {
        let masked = mask::masked(&self.record, backends);
        let config = masked.get("config").and_then(Value::as_object).into_iter().flatten();
        let config: Map<_, _> = config.map(|(name, value)| (name.clone(), shortened(value))).collect();
        json!({ "prefix": self.record.text("prefix"), "name": self.record.text("name"), "config": config })
    }
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => redact::quote(text.as_bytes(), SHOWN).into(),
        Value::Array(items) => items.iter().take(ITEMS).map(shortened).collect(),
        other => other.clone(),
    }
}

const FIELDS: [&str; 4] = ["vault", "entity", "of", "secret"];

impl Check {
    /// What a request asks for; otherwise its answer. `store` has the entity whose credentials masks may stand for:
    /// `None` in Kong, whose answers have no masks; an error where nobody could store the entity, so that whoever
    /// tests one could store it, too. It blocks, as the body may be in a file.
    pub fn parse<'a>(
        request: &Request,
        store: impl FnOnce() -> Result<Option<&'a Store>, Box<AdminResponse>>,
        backends: &[&'static Descriptor],
        verification: Verification,
    ) -> Result<Self, Box<AdminResponse>> {
        let mut sent = body::parse_fields(request)?;
        if let Some(name) = sent.fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            // JSON that is taken for a form is one long name, which may hold a credential.
            let shown = if sent.of_form { "body".to_owned() } else { quote(name.as_bytes(), 64) };
            let what = if sent.of_form {
                "unknown field in a form: send Content-Type: application/json"
            } else {
                "unknown field"
            };
            return Err(invalid(&[flaw(&shown, what)]));
        }
        let text = |name: &str| match sent.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(invalid(&[flaw(name, "expected a string")])),
        };
        let (vault, of, secret) = (text("vault")?, text("of")?, text("secret")?.unwrap_or_default());
        let subject = match (vault, sent.fields.remove("entity")) {
            (Some(name), None) => CheckSubject::Vault(name),
            (None, Some(Value::Object(fields))) => {
                let stored = match (of, store()?) {
                    (Some(id), Some(store)) => Some(find(store, &id)?),
                    _ => None,
                };
                let sent = RequestFields { fields: fields.into(), of_form: sent.of_form };
                let draft = Draft { sent: &sent, stored: stored.as_ref(), keep: false, backends, verification };
                let record = draft.finish(None).map_err(|flaws| invalid(&flaws))?;
                let credentials_of = stored.filter(|_| mask::is_any(&sent.fields, backends));
                let credentials_of = credentials_of.map(|vault| vault.text("prefix").to_owned());
                CheckSubject::Entity(TestedEntity { record, credentials_of })
            }
            _ => {
                return Err(AdminResponse::message(
                    400,
                    "send either vault, the name of a vault, or entity, an object",
                )
                .into());
            }
        };
        Ok(Self { subject, secret })
    }
}

/// The stored entity with an id.
fn find(store: &Store, id: &str) -> Result<Record, Box<AdminResponse>> {
    let stored = store.read().map_err(|error| Box::new(AdminResponse::failed(&error)))?;
    let found = stored.vaults.into_iter().find(|vault| vault.text("id") == id);
    found.ok_or_else(|| invalid(&[flaw("of", "no entity has this id")]))
}

fn invalid(flaws: &[EntityFlaw]) -> Box<AdminResponse> {
    AdminResponse::violation(flaws).into()
}
