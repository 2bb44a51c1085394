//! Loads a configuration, some of whose values may be references themselves: to the environment, or to a vault that
//! needs none of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::backend::registry::ALL;
use crate::config::{Config, ConfigSource, IndirectValues, note_assignment};
use crate::environment::Environment;
use crate::error::Result;
use crate::resolver::state::Resolver;

/// How long a chain of vaults may be, each of which has the credentials of the next.
const LONGEST_CHAIN: usize = 4;

/// `Config::load_with`, which also has the indirect values fetched: on this thread, which blocks, within
/// `vault_fetch_timeout`. A value that can't be fetched is an error of the vault that needs it.
pub fn load(
    conf: &BTreeMap<String, String>,
    written_in: ConfigSource<'_>,
    environment: &Environment,
) -> Result<Config> {
    load_with(conf, written_in, environment, IndirectValues::default())
}

/// `load` for options in which Kong has replaced references by their values; `references` are the keys of those
/// options, each with its reference.
pub fn load_by_kong(
    conf: &BTreeMap<String, String>,
    references: &[(String, String)],
    environment: &Environment,
) -> Result<Config> {
    let indirect = IndirectValues::default();
    for (key, reference) in references {
        note_assignment(key, reference, ALL, &indirect);
    }
    load_with(conf, ConfigSource::Kong, environment, indirect)
}

fn load_with(
    conf: &BTreeMap<String, String>,
    written_in: ConfigSource<'_>,
    environment: &Environment,
    mut indirect: IndirectValues,
) -> Result<Config> {
    let mut config = Config::load_with(conf, written_in, environment, ALL, &indirect)?;
    for _ in 0..LONGEST_CHAIN {
        let wanted = indirect.wanted();
        if wanted.is_empty() {
            break;
        }
        let resolver = Resolver::new(config, environment.clone(), Arc::new(AtomicU32::new(0)));
        let resolver = Arc::new(resolver.trusting());
        let references: Vec<_> = wanted.iter().map(|reference| reference.as_bytes().to_vec()).collect();
        let answers = resolver.fetch_blocking(&references);
        let mut notice = false;
        for (reference, answer) in wanted.into_iter().zip(answers) {
            notice |= indirect.note(reference, answer.map(|secret| (*secret).clone()));
        }
        config = Config::load_with(conf, written_in, environment, ALL, &indirect)?;
        if !notice {
            break;
        }
    }
    Ok(config)
}
