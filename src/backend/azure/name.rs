//! A secret's name as a reference has it: by itself, or with a version behind a slash, as in Key Vault's own addresses.

use crate::backend::SecretId;

/// The length of a version.
const VERSION: usize = 32;
const LONGEST: usize = 127;

/// Which version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'a> {
    Current,
    /// The one before, in the order in which they were made.
    Previous,
    Named(&'a str),
}

/// A secret and its version; or a clause that says what is wrong with the name, before anybody is asked.
pub fn of(secret_id: &SecretId) -> Result<(&str, Version<'_>), &'static str> {
    let (name, version) = match secret_id.resource.split_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (secret_id.resource.as_str(), None),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(is_name) {
        return Err("is no secret's name: Key Vault has names of 1 to 127 letters, digits and dashes");
    }
    let version = match (version, secret_id.version) {
        (None, None | Some(1)) => Version::Current,
        (None, Some(2)) => Version::Previous,
        (None, Some(_)) => {
            return Err(
                "has no such version: use #1 for the current one, #2 for the one before, or NAME/VERSION/ with the \
                        version's 32 hex digits",
            );
        }
        (Some(_), Some(_)) => return Err("names two versions: leave out the one behind `#`"),
        (Some(version), None) if version.len() == VERSION && version.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Version::Named(version)
        }
        (Some(_), None) => return Err("is no secret's name, or what is behind its slash no version of 32 hex digits"),
    };
    Ok((name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(resource: &str, version: Option<u32>) -> SecretId {
        SecretId { resource: resource.to_owned(), version }
    }

    #[test]
    fn a_version_is_a_number_or_behind_the_name() {
        let hex = "0123456789abcdefABCDEF0123456789";
        for (resource, number, version) in [
            ("db", None, Version::Current),
            ("db", Some(1), Version::Current),
            ("db", Some(2), Version::Previous),
            (&format!("db/{hex}"), None, Version::Named(hex)),
        ] {
            assert_eq!(of(&id(resource, number)), Ok(("db", version)), "{resource}");
        }
    }

    #[test]
    fn what_no_secret_can_be_called_is_not_asked_for() {
        let hex = "0".repeat(32);
        for (resource, number, part) in [
            ("db_password", None, "no secret's name"),
            ("db.password", None, "no secret's name"),
            ("a b", None, "no secret's name"),
            ("..", None, "no secret's name"),
            ("db?x=1", None, "no secret's name"),
            ("db#1", None, "no secret's name"),
            ("db\r\n", None, "no secret's name"),
            ("ｄｂ", None, "no secret's name"),
            ("", None, "no secret's name"),
            (&"a".repeat(128), None, "no secret's name"),
            (&format!("/{hex}"), None, "no secret's name"),
            ("db/", None, "32 hex digits"),
            ("db/../keys", None, "32 hex digits"),
            (&format!("db/{hex}/"), None, "32 hex digits"),
            (&format!("db/{hex}0"), None, "32 hex digits"),
            (&format!("db/{}g", &hex[1..]), None, "32 hex digits"),
            (&format!("db/{hex}"), Some(1), "two versions"),
            ("db", Some(0), "no such version"),
            ("db", Some(3), "no such version"),
        ] {
            let clause = of(&id(resource, number)).unwrap_err();
            assert!(clause.contains(part), "{resource:?}: {clause}");
        }
    }
}
