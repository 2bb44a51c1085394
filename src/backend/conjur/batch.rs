//! Many variables with one request. Conjur answers all or nothing: one variable that is missing or may not be read has the
//! whole request refused. Then each half is asked for, and the variable is left to single requests from then on.

use std::collections::{HashMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::Conjur;
use super::batch_memory::{Asking, FAILED, REFUSED};
use super::error::{is_of_conjur, names_variable};
use crate::backend::{Fetched, SecretId};
use crate::error::Result;
use crate::http::HttpResponse;
use crate::identity::external::has;
use crate::notice::debug;
use crate::secret::{Secret, WipedText};

/// How many requests a batch makes at most: enough to find the one of 40 variables that refuses it, where nobody names it.
const REQUESTS: usize = 12;

/// Values that are not text need another encoding, which Conjur has under this name.
const ENCODING: (HeaderName, HeaderValue) = (ACCEPT_ENCODING, HeaderValue::from_static("base64"));

/// What an answer to a part of a batch means.
enum PartOutcome<'a> {
    Values(Vec<(&'a str, Secret)>),
    /// This variable, or any, refuses the request.
    Refused(Option<&'a str>),
    /// The error is of all variables that have no value yet.
    Failed,
    /// Single requests say what is wrong.
    Singly(std::time::Duration, &'static str),
}

impl Conjur {
    /// One outcome for each variable, in order; `None` where it has to be fetched singly.
    pub(super) async fn fetch_variables(&self, secret_ids: &[SecretId]) -> Vec<Option<Result<Fetched>>> {
        // Without a token, single fetches say why.
        if self.session.token().await.is_err() {
            return Vec::new();
        }
        let mut names: Vec<&str> = Vec::with_capacity(secret_ids.len());
        for SecretId { resource, .. } in secret_ids {
            if !names.contains(&resource.as_str()) {
                names.push(resource);
            }
        }
        let mut values: HashMap<&str, Secret> = HashMap::new();
        let mut failure = None;
        if names.len() == 1 {
            return Vec::new();
        }
        // Beside a part: the other one of two that were refused together.
        let mut parts = VecDeque::from([(names, None)]);
        for _ in 0..REQUESTS {
            let Some((part, other)) = parts.pop_front() else { break };
            let mut asking = Asking { memory: &self.batches, has_ended: false };
            let answer = self.ask(&self.address.variables(&part), Some(&ENCODING)).await;
            asking.has_ended = true;
            // Single fetches find out whether the server can be reached.
            let Ok(answer) = answer else { break };
            match self.outcome(&part, &answer) {
                PartOutcome::Values(found) => {
                    values.extend(found);
                    other.into_iter().for_each(|other| self.batches.refuse(other));
                }
                PartOutcome::Refused(named) => match (named, part.as_slice()) {
                    (Some(name), _) | (None, &[name]) => {
                        self.batches.refuse(name);
                        parts.push_back((part.into_iter().chain(other).filter(|rest| *rest != name).collect(), None));
                    }
                    (None, &[one, other]) => parts.push_back((vec![one], Some(other))),
                    _ => {
                        let (one, other) = part.split_at(part.len() / 2);
                        parts.extend([(one.to_vec(), None), (other.to_vec(), None)]);
                    }
                },
                PartOutcome::Failed => {
                    failure = Some(answer);
                    break;
                }
                PartOutcome::Singly(pause, reason) => {
                    self.batches.pause(pause);
                    let (label, seconds, status) = (&self.label, pause.as_secs(), answer.status);
                    debug(|| {
                        format!("{label}: {reason} (status {status}); variables are fetched singly for {seconds} s")
                    });
                    break;
                }
            }
            parts.retain(|(part, _)| !part.is_empty());
        }
        let fetched = |id: &SecretId| match values.get(id.resource.as_str()) {
            Some(value) => Some(Ok(Fetched::new(value.clone()))),
            None => failure.as_ref().map(|answer| Err(self.context(id).refusal(answer))),
        };
        secret_ids.iter().map(fetched).collect()
    }

    fn outcome<'a>(&self, part: &[&'a str], answer: &HttpResponse) -> PartOutcome<'a> {
        match answer.status {
            200 => match self.values(part, answer) {
                Some(values) => PartOutcome::Values(values),
                None => PartOutcome::Singly(FAILED, "the answer is not one to a batch"),
            },
            401 | 429 => PartOutcome::Failed,
            _ if answer.retry_after().is_some() => PartOutcome::Failed,
            404 | 406 if is_of_conjur(answer) => {
                let named = part.iter().find(|name| names_variable(answer, &self.address.id(name)));
                PartOutcome::Refused(named.copied())
            }
            403 => PartOutcome::Refused(None),
            500.. => PartOutcome::Singly(FAILED, "a batch failed"),
            _ => PartOutcome::Singly(REFUSED, "the server has no batches"),
        }
    }

    fn values<'a>(&self, part: &[&'a str], answer: &HttpResponse) -> Option<Vec<(&'a str, Secret)>> {
        let mut written: HashMap<String, WipedText> = serde_json::from_slice(answer.body.as_bytes()).ok()?;
        let is_base64 = has(&answer.headers, CONTENT_ENCODING.as_str(), "base64");
        let value = |name: &&'a str| {
            let WipedText(mut text) = written.remove(&self.address.id(name))?;
            let value = match is_base64 {
                true => decoded(&text)?,
                false => Secret::new(std::mem::take(&mut *text)),
            };
            Some((*name, value))
        };
        part.iter().map(value).collect()
    }
}

/// Base64 with line breaks.
fn decoded(text: &str) -> Option<Secret> {
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    plain.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    STANDARD.decode(&*plain).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_line_breaks() {
        assert_eq!(decoded("AP8A\naGk=\n"), Some(Secret::new(*b"\x00\xff\x00hi")));
        assert_eq!(decoded(""), Some(Secret::new("")));
        assert_eq!(decoded("hunter2!"), None);
    }
}
