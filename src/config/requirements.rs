//! Finds options that are missing although others need them.

use super::assignment::find;
use crate::backend::{Descriptor, Requirement, When};
use crate::options::settings::Settings;
use crate::options::value::Value;

/// A requirement that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmet {
    pub when: When,
    pub missing: MissingOption,
}

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingOption {
    This(&'static str),
    OneOf(&'static [&'static str]),
}

/// Returns all requirements that are not met. `text`: an option's value as text, where it is set.
pub fn unmet<'a>(backend: &Descriptor, text: impl Fn(&str) -> Option<&'a str>) -> Vec<Unmet> {
    let is_set = |name: &str| text(name).is_some();
    let applies = |need: &&Requirement| match need.when {
        When::Is(option, value) => text(option) == Some(value),
        When::Set(option) => is_set(option),
    };
    let mut found = Vec::new();
    for need in backend.requirements.iter().filter(applies) {
        let missing = need.all.iter().filter(|name| !is_set(name));
        found.extend(missing.map(|name| Unmet { when: need.when, missing: MissingOption::This(name) }));
        if !need.any.is_empty() && !need.any.iter().any(|name| is_set(name)) {
            found.push(Unmet { when: need.when, missing: MissingOption::OneOf(need.any) });
        }
    }
    found
}

/// The unmet requirements of complete settings.
pub fn of_settings(backend: &Descriptor, settings: &Settings) -> Vec<Unmet> {
    unmet(backend, |name| {
        let text = match settings.get(name)? {
            Value::Text(text) => text,
            Value::Secret(secret) if secret.is_empty() => "",
            Value::List(items) if items.is_empty() => "",
            _ => "set",
        };
        Some(text).filter(|text| !text.is_empty())
    })
}

/// The unmet requirements of options as they were written, with defaults for those that were not.
pub fn of_assignments<'a>(
    backend: &Descriptor,
    written: impl IntoIterator<Item = (&'a String, &'a String)> + Clone,
) -> Vec<Unmet> {
    unmet(backend, |name| {
        let opt = find(backend, name)?;
        let value =
            written.clone().into_iter().find(|(written, _)| opt.is_called(written)).map(|(_, value)| value.as_str());
        value.or(opt.default).filter(|value| !value.is_empty())
    })
}
