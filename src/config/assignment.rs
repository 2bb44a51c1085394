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

/// All options of a backend: its own, and the common ones but for those that it declares itself, with another default.
pub fn options_of(backend: &Descriptor) -> impl Iterator<Item = &'static Opt> + use<> {
    let own = backend.options;
    own.iter().chain(COMMON.iter().filter(|common| !own.iter().any(|opt| opt.name == common.name)))
}

/// The option of that name, or of that other spelling.
pub fn find(backend: &Descriptor, name: &str) -> Option<&'static Opt> {
    options_of(backend).find(|opt| opt.is_called(name))
}

/// The variables with credentials whose names begin with a value, as references to them: as if they were written down.
pub fn begun(opt: &Opt, value: &str) -> Vec<String> {
    let value = value.trim();
    let is_name = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let ends = opt.begins.iter().filter(|_| is_name);
    ends.map(|end| format!("{{vault://env/{value}{end}?prefix=}}")).collect()
}
