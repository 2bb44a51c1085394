//! A value that was set for an option, and the option that it sets.

use std::borrow::Cow;

use super::source::ConfigSource;
use crate::backend::Descriptor;
use crate::options::{COMMON, Opt};

/// A value that was set somewhere.
#[derive(Clone)]
pub struct Assignment<'a> {
    /// The option's name as written, without `vault_` and the backend's name.
    pub option: &'a str,
    /// `None` where it isn't UTF-8.
    pub value: Option<Cow<'a, str>>,
    pub source: ConfigSource<'a>,
}

/// All options of a backend: its own and the common ones.
pub fn options_of(backend: &Descriptor) -> impl Iterator<Item = &'static Opt> + use<> {
    backend.options.iter().chain(COMMON)
}

/// The option of that name, or of that other spelling.
pub fn find(backend: &Descriptor, name: &str) -> Option<&'static Opt> {
    options_of(backend).find(|opt| opt.is_called(name))
}
