//! Hides credentials in answers. A mask that a client sends back stands for the stored credential.

use serde_json::{Map, Value};

use crate::backend::Descriptor;
use crate::config::options_of;
use crate::options::Opt;
use crate::redact::{self, MASK};
use crate::reference::{self, is_reference};
use crate::store::Record;
use crate::store::record::wipe;

/// An entity as it may be shown.
pub fn masked(vault: &Record, backends: &[&'static Descriptor]) -> Record {
    let mut shown = vault.clone();
    let backend = backends.iter().find(|backend| backend.name == vault.text("name"));
    if let Some(config) = shown.get_mut("config").and_then(Value::as_object_mut) {
        for (name, value) in config.iter_mut() {
            let opt = backend.and_then(|backend| options_of(backend).find(|opt| opt.is_called(name)));
            mask(opt, value);
        }
    }
    shown
}

/// Masks what must not be shown of an option's value.
fn mask(opt: Option<&Opt>, value: &mut Value) {
    let shown = match (opt, &*value) {
        (_, Value::Null) => return,
        (_, Value::String(text)) if names_secret(text) => return,
        (_, Value::String(text)) => redact::answer(opt, text).into_owned().into(),
        (Some(opt), Value::Array(items)) if !opt.sensitive => {
            let mut items = items.clone();
            items.iter_mut().for_each(|item| mask(Some(opt), item));
            Value::Array(items)
        }
        (Some(opt), Value::Bool(_) | Value::Number(_)) if !opt.sensitive => return,
        _ => MASK.into(),
    };
    wipe(value);
    *value = shown;
}

/// Whether a text is a reference that may be shown. Its options may hold anything, so it must have none.
fn names_secret(text: &str) -> bool {
    is_reference(text.as_bytes())
        && reference::parse(text.as_bytes()).is_ok_and(|reference| reference.options.is_empty())
}

/// Returns the value that a client meant for an option: the one that it sent; or the stored one, where it sent exactly
/// what answers show of that. `None` for any other mask: it stands for no value.
pub fn meant(stored: Option<&Record>, backend: &str, opt: &Opt, sent: &Value) -> Option<Value> {
    if !is_masked(opt, sent) {
        return Some(sent.clone());
    }
    let stored = stored.filter(|vault| vault.text("name") == backend)?.get("config")?.get(opt.name)?;
    let mut shown = stored.clone();
    mask(Some(opt), &mut shown);
    (shown == *sent && shown != *stored).then(|| stored.clone())
}

/// Whether an entity, as it was sent, has a mask in one of its options.
pub fn is_any(sent: &Map<String, Value>, backends: &[&'static Descriptor]) -> bool {
    let name = sent.get("name").and_then(Value::as_str);
    let backend = backends.iter().find(|backend| Some(backend.name) == name);
    let config = sent.get("config").and_then(Value::as_object);
    backend.zip(config).is_some_and(|(backend, config)| {
        config.iter().any(|(name, value)| options_of(backend).any(|opt| opt.is_called(name) && is_masked(opt, value)))
    })
}

fn is_masked(opt: &Opt, sent: &Value) -> bool {
    match sent {
        Value::String(text) if opt.sensitive => text == MASK,
        Value::String(text) => text.contains(MASK),
        Value::Array(items) => items.iter().any(|item| is_masked(opt, item)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::registry::{ALL, find};

    fn record(name: &str, config: Value) -> Record {
        let mut fields = Map::new();
        fields.insert("name".to_owned(), name.into());
        fields.insert("config".to_owned(), config);
        fields.into()
    }

    #[test]
    fn credentials_are_masked_and_nothing_else() {
        let shown = masked(&record("hcv", json!({"host": "a", "token": "hunter2"})), ALL);
        assert_eq!(shown["config"], json!({"host": "a", "token": MASK}));
        let reference = json!({"token": "{vault://env/hcv-token}"});
        assert_eq!(masked(&record("hcv", reference.clone()), ALL)["config"], reference);
        for hidden in ["{vault://env/a?prefix=hunter2}", "{vault://hunter2}"] {
            assert_eq!(masked(&record("hcv", json!({"token": hidden})), ALL)["config"]["token"], MASK);
        }
        let unknown = record("later", json!({"api_key": "hunter2", "deep": {"a": "hunter2"}, "none": null}));
        assert_eq!(masked(&unknown, ALL)["config"], json!({"api_key": MASK, "deep": MASK, "none": null}));
    }

    #[test]
    fn a_mask_stands_for_what_the_same_backend_had() {
        let stored = record("hcv", json!({"token": "hunter2"}));
        let meant = |stored, backend: &str, option: &str, sent: Value| {
            let opt = options_of(find("hcv").unwrap()).find(|opt| opt.name == option).unwrap();
            meant(stored, backend, opt, &sent)
        };
        assert_eq!(meant(Some(&stored), "hcv", "token", json!(MASK)), Some(json!("hunter2")));
        assert_eq!(meant(Some(&stored), "hcv", "token", json!("hunter3")), Some(json!("hunter3")));
        assert_eq!(meant(Some(&stored), "aws", "token", json!(MASK)), None);
        assert_eq!(meant(Some(&stored), "hcv", "jwt", json!(MASK)), None);
        assert_eq!(meant(None, "hcv", "token", json!(MASK)), None);
    }

    #[test]
    fn a_mask_in_part_of_a_value_stands_for_that_value_alone() {
        let url = "https://idp/token?sig=hunter2";
        let stored = record("hcv", json!({"oauth2_token_endpoint": url, "no_proxy": ["a", "http://u:hunter2@b"]}));
        let shown = masked(&stored, ALL);
        assert_eq!(shown["config"]["oauth2_token_endpoint"], "https://idp/token?********");
        assert_eq!(shown["config"]["no_proxy"], json!(["a", "http://********@b"]));
        for (option, value) in shown["config"].as_object().unwrap() {
            let opt = options_of(find("hcv").unwrap()).find(|opt| opt.name == option).unwrap();
            assert_eq!(meant(Some(&stored), "hcv", opt, value).as_ref(), stored["config"].get(option));
            let other: Value = serde_json::from_str(&value.to_string().replacen("http", "HTTP", 1)).unwrap();
            assert_eq!(meant(Some(&stored), "hcv", opt, &other), None, "{other}");
        }
    }
}
