//! How a request names one entity: by its id or its prefix.

use serde_json::json;

use crate::backend::Descriptor;
use crate::config::entity;
use crate::store::Record;

/// An id, or a valid prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityKey {
    Id(String),
    Prefix(String),
}

impl EntityKey {
    /// An error says what is wrong with the prefix.
    pub fn parse(key: &[u8], backends: &[&'static Descriptor]) -> Result<EntityKey, String> {
        let key = std::str::from_utf8(key).map_err(|_| "is no text in UTF-8")?;
        if is_uuid(key) {
            return Ok(EntityKey::Id(key.to_ascii_lowercase()));
        }
        let name = backends.first().map(|backend| backend.name);
        let flaws = entity::parse(&json!({"prefix": key, "name": name}), backends, 1).err().unwrap_or_default();
        match flaws.into_iter().find(|flaw| flaw.path == "prefix") {
            Some(flaw) => Err(flaw.what),
            None => Ok(EntityKey::Prefix(key.to_owned())),
        }
    }

    pub fn is_of(&self, vault: &Record) -> bool {
        match self {
            EntityKey::Id(id) => vault.text("id").eq_ignore_ascii_case(id),
            EntityKey::Prefix(prefix) => vault.text("prefix") == prefix,
        }
    }
}

/// Whether a text is a uuid of any kind.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::registry::ALL;

    #[test]
    fn a_key_is_a_uuid_or_a_prefix() {
        let key = |text: &[u8]| EntityKey::parse(text, ALL);
        let id = "F4AECADC-05c7-11e6-8d41-1f3b3d5fa15c";
        assert_eq!(key(id.as_bytes()), Ok(EntityKey::Id(id.to_lowercase())));
        assert_eq!(key(b"my-env-1"), Ok(EntityKey::Prefix("my-env-1".to_owned())));
        for bad in ["env", "hcv", "a", "-a", "a-", "A1", "a_b", "../../etc/passwd", "a\r\nb", "a\n", "\0", "", "ä1"] {
            assert!(key(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(key(b"a\xff").is_err());
    }
}
