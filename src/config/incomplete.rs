//! Options that are missing as others need them, with what is to be said of that.

use super::error;
use super::requirements::{MissingOption, Unmet, of_settings};
use crate::backend::{Descriptor, When};
use crate::error::Error;
use crate::options::settings::Settings;

/// An option of a backend, or one of several, that another makes necessary and that neither kong.conf nor the environment sets.
#[derive(Debug, Clone)]
pub struct Incomplete {
    pub backend: &'static Descriptor,
    unmet: Unmet,
    pub error: Error,
}

impl Incomplete {
    pub fn find_all(backend: &'static Descriptor, settings: &Settings) -> Vec<Self> {
        let error = |unmet| error::unmet(backend, backend.name, &unmet);
        of_settings(backend, settings).into_iter().map(|unmet| Self { backend, unmet, error: error(unmet) }).collect()
    }

    /// The option that makes it necessary.
    pub fn cause(&self) -> &'static str {
        match self.unmet.when {
            When::Is(option, _) | When::Set(option) => option,
        }
    }

    /// What would do, each by itself.
    pub fn missing(&self) -> Vec<&'static str> {
        match self.unmet.missing {
            MissingOption::This(name) => vec![name],
            MissingOption::OneOf(names) => names.to_vec(),
        }
    }
}
