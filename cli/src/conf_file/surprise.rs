//! Warnings about values that Kong reads differently than their author probably meant.

use super::setting::Setting;
use kong_vault::backend::registry::ALL;
use kong_vault::config::options_of;
use kong_vault::options::own::OWN;
use kong_vault::options::{Opt, Type, in_keys};

/// The option that a key sets.
pub fn option(key: &str) -> Option<&'static Opt> {
    let of_backends = ALL.iter().find_map(|backend| {
        let option = key.strip_prefix("vault_")?.strip_prefix(in_keys(backend.name).as_str())?.strip_prefix('_')?;
        options_of(backend).find(|opt| opt.is_called(option))
    });
    OWN.iter().find(|opt| opt.is_called(key)).or(of_backends)
}

/// Returns warnings about a setting, as sentences that lack their subject, the key. None shows the value.
pub fn surprises(setting: &Setting) -> impl Iterator<Item = &'static str> {
    let value = setting.value.as_str();
    let quoted = value.starts_with(['"', '\'']);
    // For an option that is a number, the notation does not matter.
    let is_number =
        |opt: &Opt| matches!(opt.kind, Type::Integer { .. } | Type::Seconds { .. }) && opt.parse(value).is_some();
    let changed = setting.written.is_some() && !option(&setting.key).is_some_and(is_number);
    [
        (quoted, "has quotes that are part of its value, as in Kong: leave them out"),
        (
            changed,
            "is a number to Kong, which changes its digits, zeros or notation: set it in the environment, where it \
             is not changed",
        ),
        (setting.swallows, "ends with a `\\`, which joins the next line to it, a key of its own: remove the `\\`"),
        (setting.is_cut, "ends where a `#` begins a comment: write `\\#` for one that belongs to the value"),
        (
            value.contains("_blank_"),
            "contains `_blank_`, which Kong reads as the end of a list's item: set it in the environment",
        ),
    ]
    .into_iter()
    .filter(|(is_so, _)| *is_so)
    .map(|(_, why)| why)
}
