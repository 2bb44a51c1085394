//! Credentials in entities: never shown, and kept where what is shown in their place comes back.

use serde_json::Value;

use crate::backend::Descriptor;
use crate::config::options_of;
use crate::reference::{self, is_reference};
use crate::store::Record;
use crate::store::record::wipe;

/// What answers show in the place of a credential.
pub const MASK: &str = "********";

/// An entity as it may be shown.
pub fn masked(vault: &Record, backends: &[&'static Descriptor]) -> Record {
    let mut shown = vault.clone();
    let backend = backends.iter().find(|backend| backend.name == vault.text("name"));
    if let Some(config) = shown.get_mut("config").and_then(Value::as_object_mut) {
        for (name, value) in config.iter_mut() {
            let opt = backend.and_then(|backend| options_of(backend).find(|opt| opt.is_called(name)));
            // What is not known here, as it is of a backend of another version, may be anything.
            if opt.is_none_or(|opt| opt.sensitive) && !value.is_null() && !may_be_shown(value) {
                wipe(value);
                *value = MASK.into();
            }
        }
    }
    shown
}

/// A reference says where a credential is, unless somebody wrote something into its options.
fn may_be_shown(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    is_reference(text.as_bytes())
        && reference::parse(text.as_bytes()).is_ok_and(|reference| reference.options.is_empty())
}

/// The credential that the mask stands for in what somebody sent: what is stored for that option, if anything.
pub fn unmasked<'a>(stored: Option<&'a Record>, backend: &str, option: &str) -> Option<&'a Value> {
    let stored = stored.filter(|vault| vault.text("name") == backend)?;
    stored.get("config")?.get(option).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::backend::ALL;

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
        assert_eq!(unmasked(Some(&stored), "hcv", "token"), Some(&json!("hunter2")));
        assert_eq!(unmasked(Some(&stored), "aws", "token"), None);
        assert_eq!(unmasked(Some(&stored), "hcv", "other"), None);
        assert_eq!(unmasked(None, "hcv", "token"), None);
    }
}
