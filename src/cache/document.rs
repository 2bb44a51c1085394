//! A secret as its vault keeps it: the whole document, its JSON fields read when first asked for.

mod json;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{Error, Kind, Result, quote};
use crate::secret::Secret;
use json::{Field, Fields, JsonFlaw};

/// Padding may be missing: that is how `ngx.decode_base64`, which Kong uses, reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Advice for errors where the last part of a secret's name was taken for a field.
pub const WHOLE: &str = "the last part of the reference names a field: for the whole secret, end it with a slash";

/// A document's group, and its version. Documents of one group are replaced together, as they can need each other, such as
/// a user's name and its password in two files of one volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupVersion {
    pub group: u64,
    pub version: u64,
    /// Whether the vault can bring documents of the group along that nobody has named.
    pub has_siblings: bool,
}

/// The document that one fetch brought. All fields picked from it are of one version.
#[derive(Debug)]
pub struct Document {
    whole: Arc<Secret>,
    /// How long the vault itself says that it is good for.
    lease: Option<Duration>,
    ends: Option<u64>,
    group: Option<GroupVersion>,
    fields: OnceLock<std::result::Result<Fields, JsonFlaw>>,
}

impl Document {
    pub fn new(whole: Secret) -> Self {
        Self::leased(whole, None)
    }

    /// A document with its vault's lease, if there is one.
    pub fn leased(whole: Secret, lease: Option<Duration>) -> Self {
        Self { whole: Arc::new(whole), lease, ends: None, group: None, fields: OnceLock::new() }
    }

    /// The same of a group.
    pub fn of_group(self, group: Option<GroupVersion>) -> Self {
        Self { group, ..self }
    }

    /// The same that ends at that time, in seconds since 1970.
    pub fn that_ends(self, ends: Option<u64>) -> Self {
        Self { ends, ..self }
    }

    /// When the secret itself ends, in seconds since 1970, where this process has it from a vault that says so.
    pub fn ends(&self) -> Option<u64> {
        self.ends
    }

    pub fn group(&self) -> Option<GroupVersion> {
        self.group
    }

    pub fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// The document's size in the cache: its bytes, and those of its fields once they are read.
    pub fn bytes(&self) -> usize {
        let fields = self.fields.get().and_then(|fields| fields.as_ref().ok());
        let fields = fields.map_or(0, |fields| {
            let slot = std::mem::size_of::<(Vec<u8>, Field)>();
            fields
                .iter()
                .map(|(name, field)| {
                    slot + name.len()
                        + match field {
                            Field::Text(text) => text.len(),
                            Field::Other(_) => 0,
                        }
                })
                .sum::<usize>()
        });
        std::mem::size_of::<Self>() + self.whole.len() + fields
    }

    /// Whether both hold the same bytes.
    pub fn is_same(&self, other: &Document) -> bool {
        Arc::ptr_eq(&self.whole, &other.whole) || self.whole == other.whole
    }

    /// The bytes as the vault keeps them.
    pub fn whole(&self) -> &Secret {
        &self.whole
    }

    /// Reads the fields now, so that no later `pick` has to.
    pub fn read_fields(&self) {
        self.fields.get_or_init(|| json::fields(self.whole.as_bytes()));
    }

    /// The whole document, or the text field `key` of it, decoded if asked for.
    pub fn pick(&self, key: Option<&[u8]>, base64_decode: bool) -> Result<Arc<Secret>> {
        let value = match key {
            None => Arc::clone(&self.whole),
            Some(key) => self.field(key)?,
        };
        if base64_decode { decode(&value).map(Arc::new) } else { Ok(value) }
    }

    fn field(&self, key: &[u8]) -> Result<Arc<Secret>> {
        let shown = || quote(key, 100);
        let fields = match self.fields.get_or_init(|| json::fields(self.whole.as_bytes())) {
            Ok(fields) => fields,
            Err(flaw @ JsonFlaw::NoObject) => {
                return Err(Error::new(Kind::Invalid, format!("unable to json decode value ({flaw}; {WHOLE})")));
            }
            Err(flaw) => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("unable to json decode value ({flaw}; correct it there)"),
                ));
            }
        };
        match fields.get(key) {
            Some(Field::Text(text)) => Ok(Arc::clone(text)),
            Some(Field::Other(kind)) => Err(Error::new(
                Kind::Invalid,
                format!("unexpected {kind} value in JSON secret for subfield {}", shown()),
            )),
            None => {
                let text = format!("subfield {} not found in JSON secret ({WHOLE})", shown());
                Err(Error::new(Kind::NotFound, text))
            }
        }
    }
}

fn decode(value: &Secret) -> Result<Secret> {
    // Base64 from files and consoles often contains white space.
    let dense = Secret::new(value.as_bytes().iter().copied().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<_>>());
    match BASE64.decode(dense.as_bytes()) {
        Ok(bytes) => Ok(Secret::new(bytes)),
        Err(_) => Err(Error::new(
            Kind::Invalid,
            "unable to base64 decode value (set base64_decode to false, or correct the secret)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(document: &str, key: Option<&str>, base64: bool) -> std::result::Result<String, String> {
        Document::new(Secret::new(document))
            .pick(key.map(str::as_bytes), base64)
            .map(|secret| secret.as_str().unwrap().to_owned())
            .map_err(|err| err.to_string())
    }

    #[test]
    fn whole_documents_and_fields() {
        assert_eq!(pick("plain", None, false).unwrap(), "plain");
        assert_eq!(pick("", None, false).unwrap(), "");
        assert_eq!(pick(r#"{"a":"1","b":"\u00e4\n"}"#, Some("b"), false).unwrap(), "ä\n");
        assert_eq!(pick(r#"{"a":"","a":"2"}"#, Some("a"), false).unwrap(), "2");
    }

    #[test]
    fn what_is_no_text_field_is_an_error_of_its_own() {
        let secret = r#"{"n":1,"f":1.5,"t":true,"z":null,"l":[{"x":1}],"o":{"n":"deep"}}"#;
        for (key, kind) in
            [("n", "number"), ("f", "number"), ("t", "boolean"), ("z", "null"), ("l", "table"), ("o", "table")]
        {
            assert_eq!(
                pick(secret, Some(key), false).unwrap_err(),
                format!("unexpected {kind} value in JSON secret for subfield {key}")
            );
        }
        assert_eq!(
            pick(secret, Some("x"), false).unwrap_err(),
            format!("subfield x not found in JSON secret ({WHOLE})")
        );
        for secret in ["plain", "", "[1]", "\"text\"", r#"{"a":"#, r#"{"a":"1"} tail"#] {
            assert!(pick(secret, Some("a"), false).unwrap_err().starts_with("unable to json decode value"), "{secret}");
        }
    }

    #[test]
    fn base64_with_and_without_padding_and_line_breaks() {
        for encoded in ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n"] {
            assert_eq!(pick(encoded, None, true).unwrap(), "hello");
        }
        assert_eq!(pick(r#"{"a":"aGVsbG8="}"#, Some("a"), true).unwrap(), "hello");
        assert!(pick("!!!", None, true).unwrap_err().starts_with("unable to base64 decode value"));
    }

    #[test]
    fn weighs_what_it_holds() {
        let document = Document::new(Secret::new(r#"{"a":"0123456789"}"#));
        let before = document.bytes();
        document.read_fields();
        assert!(document.bytes() > before + 10);
    }
}
