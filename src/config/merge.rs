//! Merges the values of all sources into settings, and checks each option.

use super::assignment::{Assignment, find, options_of};
use super::error;
use super::indirect::IndirectValues;
use super::source::ConfigSource;
use super::verification::Verification;
use crate::backend::Descriptor;
use crate::error::Result;
use crate::options::settings::Settings;
use crate::options::{Opt, Type};
use crate::reference::{is_of_environment, is_reference};

/// Settings with nothing but defaults.
pub fn defaults(options: impl IntoIterator<Item = &'static Opt>) -> Settings {
    let mut settings = Settings::default();
    for opt in options {
        if let Some(value) = opt.default.and_then(|text| opt.parse(text)) {
            settings.set(opt.name, value);
        }
    }
    settings
}

/// The settings of a vault without a reference's options. Of `written`, later values override earlier ones.
pub fn settings(
    backend: &'static Descriptor,
    written: &[Assignment<'_>],
    indirect: &IndirectValues,
    verification: Verification,
) -> Result<Settings> {
    let mut settings = defaults(options_of(backend));
    let mut set: Vec<(&'static str, &Assignment<'_>)> = Vec::new();
    for entry in written {
        let opt = find(backend, entry.option).ok_or_else(|| error::unknown_option(backend, entry, true))?;
        let twice =
            |(name, other): &&(&str, &Assignment<'_>)| *name == opt.name && other.source.is_as_strong_as(&entry.source);
        if let Some((_, other)) = set.iter().find(twice) {
            return Err(error::twice(backend, opt, other, entry));
        }
        set.push((opt.name, entry));
        put(&mut settings, opt, backend.name, entry, indirect)?;
        if verification.forbids(opt, settings.get(opt.name)) {
            return Err(error::unverified(opt, backend.name, entry));
        }
    }
    Ok(settings)
}

/// Sets one option. Where an option has no default, an empty value means not set: templates leave options out like
/// that.
pub fn put(
    settings: &mut Settings,
    opt: &'static Opt,
    backend: &str,
    entry: &Assignment<'_>,
    indirect: &IndirectValues,
) -> Result<()> {
    if opt.operators && matches!(entry.source, ConfigSource::Entity { .. }) {
        return Err(error::operators(opt, backend, entry));
    }
    let invalid = || error::value(opt, backend, entry);
    let value = entry.value.as_deref().ok_or_else(invalid)?;
    if opt.guards && value.trim().is_empty() {
        return Err(error::blank(opt, backend, entry));
    }
    let mut value = if entry.source.is_padded() { value.trim() } else { value };
    if value.is_empty() && opt.default.is_none() && !matches!(entry.source, ConfigSource::Reference) {
        settings.unset(opt.name);
        return Ok(());
    }
    // As in Kong, a key of kong.conf with an empty value is not set; but a list may be empty.
    let is_none = value.is_empty() && matches!(entry.source, ConfigSource::File(_)) && opt.kind != Type::List;
    if let Some(default) = opt.default.filter(|_| is_none) {
        settings.set(opt.name, opt.parse(default).ok_or_else(invalid)?);
        return Ok(());
    }
    if is_reference(value.as_bytes()) {
        if !takes_reference(opt, entry.source, value) {
            return Err(error::a_reference(opt, backend, entry));
        }
        value = match indirect.find(value) {
            None => return Err(error::unresolved(opt, backend, entry, None)),
            Some(found) => found.map_err(|why| error::unresolved(opt, backend, entry, Some(&why)))?,
        };
        if opt.guards && value.trim().is_empty() {
            return Err(error::blank(opt, backend, entry));
        }
        // The reference's value may be a secret, whatever the option is.
        let wrong = || error::indirect(opt, backend, entry);
        settings.set(opt.name, opt.parse(value).ok_or_else(wrong)?);
        return Ok(());
    }
    settings.set(opt.name, opt.parse(value).ok_or_else(invalid)?);
    Ok(())
}

/// Whether an option may be set to a reference: any option, where only operators write; in an entity, only a
/// credential, and only to the environment.
fn takes_reference(opt: &Opt, source: ConfigSource<'_>, reference: &str) -> bool {
    match source {
        ConfigSource::Configure | ConfigSource::File(_) | ConfigSource::Environment(_) => true,
        ConfigSource::Entity { .. } => opt.sensitive && is_of_environment(reference),
        ConfigSource::Kong | ConfigSource::Reference => false,
    }
}
