//! Options that are missing although others need them, with the errors.

use super::error;
use super::requirements::{Unmet, of_settings};
use crate::backend::{Descriptor, When};
use crate::error::Error;
use crate::options::settings::Settings;

/// An option of a backend, or one of several, that another option needs, and that neither kong.conf nor the environment
/// sets.
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

    /// The option that needs it.
    pub fn cause(&self) -> &'static str {
        match self.unmet.when {
            When::Is(option, _) | When::Set(option) => option,
        }
    }
}
