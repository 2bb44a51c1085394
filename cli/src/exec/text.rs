//! Texts with references inside, and the values of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kong_vault::error::Error;
use kong_vault::reference::{Piece, pieces};
use kong_vault::resolver::singleflight::Purpose;
use kong_vault::resolver::{Lookup, Resolver};
use kong_vault::secret::Secret;

/// A text that may have references inside.
pub struct Text {
    bytes: Vec<u8>,
    /// Whether it stays as it is.
    is_plain: bool,
}

impl Text {
    /// Refuses a text in which a reference does not end.
    pub fn new(bytes: Vec<u8>) -> Result<Self, &'static str> {
        match pieces(&bytes) {
            Some(_) => Ok(Self { bytes, is_plain: false }),
            None => Err("a reference in it does not end: add a \"}\""),
        }
    }

    /// A text whose references are for the program to resolve.
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes, is_plain: true }
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        if self.is_plain { vec![Piece::Plain(&self.bytes)] } else { pieces(&self.bytes).unwrap_or_default() }
    }

    pub fn references(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.pieces().into_iter();
        all.filter_map(|piece| if let Piece::Reference(reference) = piece { Some(reference) } else { None })
    }

    /// The text with values in the place of its references.
    pub fn filled(&self, values: &Values) -> Secret {
        let all = self.pieces().into_iter();
        let parts: Vec<&[u8]> = all
            .map(|piece| match piece {
                Piece::Plain(plain) => plain,
                Piece::Reference(reference) => values.0.get(reference).map_or(&[][..], |value| value.as_bytes()),
            })
            .collect();
        Secret::new(parts.concat())
    }
}

/// The values of references.
pub struct Values(BTreeMap<Vec<u8>, Arc<Secret>>);

impl Values {
    /// Fetches the references of all texts side by side. Returns the first that has no value, and why.
    pub fn fetch<'a>(
        texts: impl Iterator<Item = &'a Text>,
        resolver: &Arc<Resolver>,
    ) -> Result<Self, (Vec<u8>, Error)> {
        let wanted: BTreeSet<Vec<u8>> = texts.flat_map(Text::references).map(<[u8]>::to_vec).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let answers = resolver.fetch_blocking(&wanted);
        let found = wanted.into_iter().zip(answers).map(|(reference, answer)| match answer {
            Ok(value) => Ok((reference, value)),
            Err(error) => Err((reference, error)),
        });
        found.collect::<Result<_, _>>().map(Self)
    }

    /// Takes what the cache has by now, which the refresher renews. Returns whether a value is another one. What has no
    /// value any more keeps its last one, and `warn` is told why.
    pub fn follow(&mut self, resolver: &Arc<Resolver>, mut warn: impl FnMut(&[u8], &Error)) -> bool {
        let mut has_changed = false;
        for (reference, value) in &mut self.0 {
            match resolver.lookup(reference) {
                Ok(Lookup::Value(found)) if found.secret != *value => {
                    *value = found.secret;
                    has_changed = true;
                }
                Ok(Lookup::Value(_)) => {}
                Ok(Lookup::Miss(resolved)) => resolver.fetch_in_background(&resolved.key, Purpose::Miss),
                Err(error) => warn(reference, &error),
            }
        }
        has_changed
    }
}
