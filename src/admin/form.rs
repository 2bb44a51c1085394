//! Bodies of forms: `config.prefix=SECRET_`, `config[prefix]=SECRET_`, `tags[]=a`, `tags=a`, as Kong reads them.

use serde_json::{Map, Value};
use url::form_urlencoded;

/// How many fields a form may have, and how many parts their names may have after the first.
const FIELDS: usize = 1000;
const DEPTH: usize = 3;

/// Reads a form; all values are texts or lists of texts. An error says what is wrong with it.
pub fn parse(body: &[u8]) -> Result<Map<String, Value>, String> {
    if has_bad_utf8(body) {
        return Err("the form is no text in UTF-8".to_owned());
    }
    let mut fields = Map::new();
    for (count, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if count >= FIELDS {
            return Err("Too many arguments".to_owned());
        }
        let (first, rest) = parts(&name)?;
        let place = fields.entry(first).or_insert(Value::Null);
        put(place, &rest, value.into_owned()).map_err(|()| "the form sets a field in two ways")?;
    }
    Ok(fields)
}

/// Whether a form is not UTF-8: its parser would replace the wrong bytes, and report nothing.
fn has_bad_utf8(body: &[u8]) -> bool {
    let plain: Vec<u8> = percent_encoding::percent_decode(body).collect();
    std::str::from_utf8(&plain).is_err()
}

/// `config.prefix` and `config[prefix]` are `config`, `prefix`; `tags[]` and `tags[1]` are `tags` and an empty part.
fn parts(name: &str) -> Result<(&str, Vec<&str>), String> {
    let end = name.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(name.len(), |(at, _)| at);
    let (first, mut rest) = name.split_at(end);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part;
        (part, rest) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((part, rest)) => (part, rest),
            None => {
                let inner = rest.strip_prefix('.').unwrap_or(rest);
                inner.split_at(inner.find(['.', '[']).unwrap_or(inner.len()))
            }
        };
        parts.push(if part.bytes().all(|byte| byte.is_ascii_digit()) { "" } else { part });
        if parts.len() > DEPTH {
            return Err("the form has a field whose name has too many parts".to_owned());
        }
        if rest.starts_with(|c| !matches!(c, '.' | '[')) {
            return Err("the form has a field whose name ends in the middle".to_owned());
        }
    }
    Ok((first, parts))
}

fn put(place: &mut Value, parts: &[&str], value: String) -> Result<(), ()> {
    match parts {
        [] => match place {
            Value::Null => *place = value.into(),
            Value::Array(items) => items.push(value.into()),
            Value::String(_) => *place = Value::Array(vec![place.take(), value.into()]),
            _ => return Err(()),
        },
        [""] => match place {
            Value::Null => *place = Value::Array(vec![value.into()]),
            Value::Array(items) => items.push(value.into()),
            _ => return Err(()),
        },
        [part, rest @ ..] => {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            put(place.as_object_mut().ok_or(())?.entry(*part).or_insert(Value::Null), rest, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_fields_nest() {
        let read = |body: &str| parse(body.as_bytes()).map(Value::Object);
        assert_eq!(
            read("name=env&config.prefix=SECRET_&description=ENV+vault%21&tags[]=a&tags[]=b"),
            Ok(
                json!({"name": "env", "config": {"prefix": "SECRET_"}, "description": "ENV vault!", "tags": ["a", "b"]})
            )
        );
        assert_eq!(
            read("config[redirect_hosts][1]=a&config[redirect_hosts][2]=b"),
            Ok(json!({"config": {"redirect_hosts": ["a", "b"]}}))
        );
        assert_eq!(read("tags=a"), Ok(json!({"tags": "a"})));
        assert_eq!(read("tags=a&tags=b&tags=c"), Ok(json!({"tags": ["a", "b", "c"]})));
        assert_eq!(read(".a=1&[b=2&="), Ok(json!({".a": "1", "[b": "2", "": ""})));
        assert_eq!(read(""), Ok(json!({})));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for body in ["config=a&config.prefix=b", "a[b]=1&a[]=2", "a[b]c=1", "a.b.c.d.e=1", "a=%ff", "a=\u{0}&a.b=1"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(parse(b"\xff=1").is_err());
        assert_eq!(parse("a=1&".repeat(1001).as_bytes()), Err("Too many arguments".to_owned()));
    }
}
