//! Parses a request's body into fields.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool, as the request that it belongs to")]

use std::io::Read;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::answer::AdminResponse;
use super::{Body, LIMIT, Record, Request, form};

/// The fields that were sent. Those of a form are texts, also where numbers and booleans are meant.
pub struct RequestFields {
    pub fields: Record,
    pub of_form: bool,
}

/// Parses a body. An error is the answer to the request.
pub fn parse_fields(request: &Request) -> Result<RequestFields, AdminResponse> {
    let body = bytes(&request.body)?;
    let content_type = request.content_type.as_deref().map(<[u8]>::to_ascii_lowercase);
    let is = |kind: &[u8]| content_type.as_deref().is_some_and(|given| given.starts_with(kind));
    if is(b"application/x-www-form-urlencoded") {
        let fields = form::parse(&body).map_err(|what| AdminResponse::message(400, &what))?;
        Ok(RequestFields { fields: fields.into(), of_form: true })
    } else if is(b"application/json") && !body.is_empty() {
        json(&body).map(|fields| RequestFields { fields: fields.into(), of_form: false })
    } else if body.is_empty() {
        Ok(RequestFields { fields: Record::default(), of_form: false })
    } else {
        let text = "the body must be application/json or application/x-www-form-urlencoded, as its Content-Type says";
        Err(AdminResponse::message(415, text))
    }
}

fn json(body: &[u8]) -> Result<Map<String, Value>, AdminResponse> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(AdminResponse::message(400, "the JSON body must be an object")),
        // The parser's message would quote what was sent.
        Err(err) => {
            let text = format!("Cannot parse JSON body (line {} column {})", err.line(), err.column());
            Err(AdminResponse::message(400, &text))
        }
    }
}

fn bytes(body: &Body) -> Result<Zeroizing<Vec<u8>>, AdminResponse> {
    let bytes = match body {
        Body::Bytes(bytes) => bytes.clone(),
        Body::File(path) => {
            let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT as usize + 1));
            std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes)).map_err(|err| {
                AdminResponse::message(500, &format!("the body that nginx wrote to a file can't be read ({err})"))
            })?;
            bytes
        }
    };
    if bytes.len() as u64 > LIMIT { Err(AdminResponse::too_large(LIMIT)) } else { Ok(bytes) }
}
