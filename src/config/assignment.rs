//! What was written down for an option, and which option that is.

use std::borrow::Cow;

use super::source::ConfigSource;
use crate::backend::Descriptor;
use crate::options::{COMMON, Opt};

/// A value that was written down somewhere.
#[derive(Clone)]
pub struct Assignment<'a> {
    /// The option's name as written, without the vault's before it.
    pub option: &'a str,
    /// `None` where it isn't UTF-8.
    pub value: Option<Cow<'a, str>>,
    pub source: ConfigSource<'a>,
}

/// All options of a backend: its own and those that all have.
pub fn options_of(backend: &Descriptor) -> impl Iterator<Item = &'static Opt> + use<> {
    backend.options.iter().chain(COMMON)
}

/// The option of that name, or of that other spelling.
pub fn find(backend: &Descriptor, name: &str) -> Option<&'static Opt> {
    options_of(backend).find(|opt| opt.is_called(name))
}
