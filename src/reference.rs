//! The grammar of `{vault://name/resource/key?options#version}`.

use crate::error::Result;

/// A parsed reference. Texts are bytes: a reference may hold anything that Lua's strings hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Backend, or prefix of a vault entity.
    pub name: Vec<u8>,
    pub resource: Vec<u8>,
    pub key: Option<Vec<u8>>,
    /// Options in the order written; a bare name has no value. Empty where there is no query.
    pub options: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub version: Option<u32>,
}

/// Whether it looks like a reference: `{vault://` at the start, `}` at the end.
pub fn is_reference(text: &[u8]) -> bool {
    text.starts_with(b"{vault://") && text.ends_with(b"}")
}

/// Parses a reference; the errors' texts are those that Kong's users know.
pub fn parse(text: &[u8]) -> Result<Reference> {
    let bad = || crate::error::Error::new(crate::error::Kind::Reference, "not a reference");
    if !is_reference(text) {
        return Err(bad());
    }
    let inner = std::str::from_utf8(&text[9..text.len() - 1]).map_err(|_| bad())?;
    let (inner, q) = inner.split_once('?').map(|(a, b)| (a, Some(b))).unwrap_or((inner, None));
    let (name, path) = inner.split_once('/').ok_or_else(bad)?;
    let (resource, key) = match path.rsplit_once('/') {
        Some((r, k)) => (r, Some(k.as_bytes().to_vec())),
        None => (path, None),
    };
    Ok(Reference {
        name: name.into(),
        resource: resource.into(),
        key,
        options: q
            .map(|q| q.split('&').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.into(), Some(v.into()))).collect())
            .unwrap_or_default(),
        version: None,
    })
}
