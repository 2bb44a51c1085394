//! Which backends `vaults` enables.

use super::error::{self, did_you_mean};
use super::others::Others;
use super::source::ConfigSource;
use crate::backend::Descriptor;
use crate::error::Result;

/// Returns the names of the enabled backends, and the strategies of others. In a configuration that Kong reads as well,
/// an unknown name is such a strategy, unless it is near to a known name: then it is a spelling mistake.
pub fn enabled(
    wanted: &[String],
    set_by: ConfigSource<'_>,
    backends: &[&'static Descriptor],
) -> Result<(Vec<&'static str>, Others)> {
    let (mut enabled, mut others, mut unknown) = (Vec::new(), Others::default(), None);
    let wrong = |name: &str| error::unknown_vault(name, &set_by.name("vaults"), backends);
    let is_kongs_too = !matches!(set_by, ConfigSource::Configure);
    let known: Vec<_> = error::names(backends).into_iter().chain(["bundled", "off"]).collect();
    for name in wanted {
        match (name.as_str(), backends.iter().find(|backend| backend.name == name)) {
            ("off", _) if wanted.len() == 1 => {}
            ("bundled", _) => enabled = error::names(backends),
            (_, Some(backend)) if enabled.contains(&backend.name) => {}
            (_, Some(backend)) => enabled.push(backend.name),
            (name, None) if is_kongs_too && name != "off" && did_you_mean(name, &known).is_empty() => {
                unknown.get_or_insert_with(|| wrong(name));
                others.add(name);
            }
            (name, None) => return Err(wrong(name)),
        }
    }
    match unknown {
        _ if wanted.is_empty() => Err(error::no_vaults(backends)),
        // Without a backend of kong-vault's, the name is a mistake.
        Some(error) if enabled.is_empty() => Err(error),
        _ => Ok((enabled, others)),
    }
}
