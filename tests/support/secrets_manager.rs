//! A stand-in for AWS Secrets Manager: `GetSecretValue` and `BatchGetSecretValue` by AWS's API reference. It checks no
//! signature: moto does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::amazon::header;
use super::{Fake, answer};

/// The most secrets of one batch.
const LIMIT: usize = 20;

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";

/// What a secret holds, or why it can't be read.
#[derive(Clone)]
pub enum Held {
    Text(&'static str),
    /// In base64.
    Bytes(&'static str),
    Nothing,
    /// An error's type and message.
    Refused(&'static str, &'static str),
}

/// An answer that is not one of the service: status, headers, body.
pub type Other = (&'static str, &'static str, &'static str);

#[derive(Default)]
struct State {
    secrets: BTreeMap<&'static str, Held>,
    requests: Vec<(String, Value)>,
    /// How batches are answered instead.
    batches: Option<Other>,
    page: Option<usize>,
}

pub struct SecretsManager {
    pub fake: Fake,
    state: Arc<Mutex<State>>,
}

impl SecretsManager {
    pub async fn start(secrets: &[(&'static str, Held)]) -> Self {
        let state = State { secrets: secrets.iter().cloned().collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let theirs = Arc::clone(&state);
        let fake = Fake::lasting("127.0.0.1:0", move |request| theirs.lock().unwrap().answer(request)).await.unwrap();
        Self { fake, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.fake.address)
    }

    /// Has batches answered in that way.
    pub fn answer_batches(&self, other: Other) {
        self.state.lock().unwrap().batches = Some(other);
    }

    /// Has an answer hold so many secrets at most; `None`: all.
    pub fn page(&self, size: Option<usize>) {
        self.state.lock().unwrap().page = size;
    }

    /// The requests since the last call, each with its operation.
    pub fn requests(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// How many requests there were since the last call: of many secrets, and of one.
    pub fn counts(&self) -> (usize, usize) {
        let requests = self.requests();
        let batches = requests.iter().filter(|(operation, _)| operation == "BatchGetSecretValue").count();
        (batches, requests.len() - batches)
    }
}

/// The ARN of a secret.
pub fn arn(name: &str) -> String {
    format!("{ARN}{name}-AbCdEf")
}

impl State {
    fn answer(&mut self, request: &str) -> Vec<u8> {
        let target = header(request, "x-amz-target").unwrap_or_default();
        let operation = target.strip_prefix("secretsmanager.").unwrap_or_default().to_owned();
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        let Ok(body) = serde_json::from_str::<Value>(body) else { return refuse("SerializationException", "") };
        self.requests.push((operation.clone(), body.clone()));
        match operation.as_str() {
            "GetSecretValue" => match self.value(body["SecretId"].as_str().unwrap_or_default()) {
                Ok(value) => answer("200 OK", "", &value.to_string()),
                Err((name, message)) => refuse(name, message),
            },
            "BatchGetSecretValue" => match self.batches {
                Some((status, headers, body)) => answer(status, headers, body),
                None => self.batch(&body),
            },
            _ => refuse("UnknownOperationException", ""),
        }
    }

    fn value(&self, asked: &str) -> Result<Value, (&'static str, &'static str)> {
        let name = asked.strip_prefix(ARN).map_or(asked, |rest| rest.strip_suffix("-AbCdEf").unwrap_or(rest));
        let mut value =
            json!({ "ARN": arn(name), "Name": name, "VersionStages": ["AWSCURRENT"], "CreatedDate": 1.5e9 });
        match self.secrets.get(name) {
            None => return Err(("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")),
            Some(Held::Refused(name, message)) => return Err((name, message)),
            Some(Held::Text(text)) => value["SecretString"] = (*text).into(),
            Some(Held::Bytes(text)) => value["SecretBinary"] = (*text).into(),
            Some(Held::Nothing) => {}
        }
        Ok(value)
    }

    fn batch(&self, body: &Value) -> Vec<u8> {
        let ids: Vec<&str> = body["SecretIdList"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if ids.is_empty() || ids.len() > LIMIT || !body["Filters"].is_null() {
            return refuse("InvalidParameterException", "");
        }
        let first: usize = body["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let last = ids.len().min(first + self.page.unwrap_or(LIMIT));
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        // No order is promised.
        for id in ids[first..last].iter().rev() {
            match self.value(id) {
                Ok(value) => values.push(value),
                Err((name, message)) => {
                    errors.push(json!({ "SecretId": id, "ErrorCode": name, "Message": message }));
                }
            }
        }
        let mut page = json!({ "SecretValues": values, "Errors": errors });
        if last < ids.len() {
            page["NextToken"] = last.to_string().into();
        }
        answer("200 OK", "", &page.to_string())
    }
}

fn refuse(name: &str, message: &str) -> Vec<u8> {
    let status = if name.starts_with("Internal") { "500 Internal Server Error" } else { "400 Bad Request" };
    answer(status, "", &json!({ "__type": name, "Message": message }).to_string())
}
