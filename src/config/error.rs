//! Texts of configuration errors: which option, where it is set, and what is accepted.

use super::assignment::{Assignment, options_of};
use super::requirements::{MissingOption, Unmet};
use super::source::ConfigSource;
use super::vault::Vault;
use crate::backend::{Descriptor, When};
use crate::error::{Error, Kind, quote};
use crate::options::own::OWN;
use crate::options::{Opt, in_keys, variable};
use crate::redact;
use crate::reference;

/// How many characters of a user's text an error shows.
const SHOWN: usize = 64;

/// Entities are less trusted than kong.conf: only their credentials, which are never shown, may be references.
pub const ENTITIES_TAKE: &str = "is a reference: in a vault entity only credentials may be references, and only to the environment \
     ({vault://env/…})";

fn config(text: String) -> Error {
    Error::new(Kind::Config, text)
}

pub fn names(backends: &[&'static Descriptor]) -> Vec<&'static str> {
    backends.iter().map(|backend| backend.name).collect()
}

/// `option region of the aws vault`, or of kong-vault itself.
fn option_of(opt: &Opt, backend: &str) -> String {
    match backend {
        "" => format!("option {}", opt.name),
        backend => format!("option {} of the {backend} vault", opt.name),
    }
}

fn set_by(backend: &str, entry: &Assignment<'_>) -> String {
    let option = quote(entry.option.as_bytes(), SHOWN);
    entry.source.name(&if backend.is_empty() { option } else { format!("vault_{}_{option}", in_keys(backend)) })
}

/// What an entity may not set, as the rest of a sentence that begins with the option.
pub const OPERATORS: &str =
    "is the operator's alone, for all vaults of the backend: set it in kong.conf or the environment";

pub fn operators(opt: &Opt, backend: &str, entry: &Assignment<'_>) -> Error {
    config(format!("{}, set by {}, {OPERATORS}", option_of(opt, backend), set_by(backend, entry)))
}

/// For an option that says where the operator's credentials go.
pub fn confined(opt: &Opt, backend: &str, source: &ConfigSource<'_>, means: &str) -> Error {
    config(format!(
        "value of {}, set by {}, must be {means}: set another one in kong.conf or the environment",
        option_of(opt, backend),
        source.name(opt.name)
    ))
}

/// For an option that would leave a server's certificate unverified.
pub fn unverified(opt: &Opt, backend: &str, entry: &Assignment<'_>) -> Error {
    let (option, source) = (option_of(opt, backend), set_by(backend, entry));
    config(format!("value of {option}, set by {source}, {}", unverified_in_words(opt)))
}

/// The same without its subject, the option.
pub fn unverified_in_words(opt: &Opt) -> String {
    let wanted = if opt.unverified == Some(true) { "false" } else { "true" };
    format!("must be {wanted}, because tls_certificate_verify is on: to trust the server's own CA, set ca_cert")
}

pub fn value(opt: &Opt, backend: &str, entry: &Assignment<'_>) -> Error {
    let is_empty = entry.value.as_deref().is_some_and(|text| text.trim().is_empty());
    if is_empty && !matches!(entry.source, ConfigSource::Reference) {
        return blank(opt, backend, entry);
    }
    let shown = match entry.value.as_deref() {
        None => " (no UTF-8)".to_owned(),
        Some(text) => redact::mistake(opt, text, SHOWN).map_or(String::new(), |text| format!(" \"{text}\"")),
    };
    let (option, source) = (option_of(opt, backend), set_by(backend, entry));
    config(format!("value{shown} of {option}, set by {source}, is not accepted: it must be {}", opt.accepts()))
}

/// For an empty value of an option that restricts access or trust, or does not accept one. A template with a variable
/// that is not set makes one.
pub fn blank(opt: &Opt, backend: &str, entry: &Assignment<'_>) -> Error {
    let (option, source) = (option_of(opt, backend), set_by(backend, entry));
    config(format!(
        "value of {option}, set by {source}, is empty, which is not the same as not set: set a value ({}), or remove \
         the setting",
        opt.accepts()
    ))
}

pub fn a_reference(opt: &Opt, backend: &str, entry: &Assignment<'_>) -> Error {
    let (option, source) = (option_of(opt, backend), set_by(backend, entry));
    match entry.source {
        ConfigSource::Entity { .. } => config(format!("value of {option}, set by {source}, {ENTITIES_TAKE}")),
        _ => config(format!(
            "value of {option}, set by {source}, is a reference, which is not supported here: set the value itself \
             ({})",
            opt.accepts()
        )),
    }
}

/// For an option set to a reference that has no value. `why`: the error of its look-up, if there was one.
pub fn unresolved(opt: &Opt, backend: &str, entry: &Assignment<'_>, why: Option<&Error>) -> Error {
    let (option, source) = (option_of(opt, backend), set_by(backend, entry));
    let why = why.map_or("it has not been resolved".to_owned(), Error::to_string);
    config(format!("value of {option}, set by {source}, is a reference without a value: {why}"))
}

/// For an option set to a reference whose value it does not accept. That value may be a secret, so it is not shown.
pub fn indirect(opt: &Opt, backend: &str, entry: &Assignment<'_>) -> Error {
    let (option, source) = (option_of(opt, backend), set_by(backend, entry));
    let accepts = opt.accepts();
    config(format!(
        "value of {option}, set by {source}, is a reference to a value that is not accepted: the value must be \
         {accepts}"
    ))
}

pub fn twice(backend: &Descriptor, opt: &Opt, first: &Assignment<'_>, second: &Assignment<'_>) -> Error {
    let places = match second.source {
        ConfigSource::Reference => "the reference".to_owned(),
        _ => match (set_by(backend.name, first), set_by(backend.name, second)) {
            // Both are set in the same place, so the two spellings are shown.
            (one, other) if one == other => {
                format!(
                    "{one} (as {} and {})",
                    quote(first.option.as_bytes(), SHOWN),
                    quote(second.option.as_bytes(), SHOWN)
                )
            }
            (one, other) => format!("{one} and {other}"),
        },
    };
    config(format!("{} is set twice by {places}: keep one", option_of(opt, backend.name)))
}

/// `follows_secret`: it stands in a reference, behind an option that may hold a secret.
pub fn unknown_option(backend: &Descriptor, entry: &Assignment<'_>, follows_secret: bool) -> Error {
    let names: Vec<_> = options_of(backend).map(|opt| opt.name).collect();
    let option = match entry.source {
        ConfigSource::Reference => reference::option(entry.option, follows_secret),
        // Kong mixes a reference's options with others, in no order, so any may follow a secret.
        ConfigSource::Kong => reference::option(entry.option, true),
        _ => quote(entry.option.as_bytes(), SHOWN),
    };
    config(format!(
        "unknown option {option} of the {} vault, set by {}{}",
        backend.name,
        set_by(backend.name, entry),
        accepted(entry.option, &names)
    ))
}

pub fn unknown_key(entry: &Assignment<'_>, backends: &[&'static Descriptor]) -> Error {
    let vaults: Vec<_> = backends.iter().map(|backend| format!("vault_{}_…", in_keys(backend.name))).collect();
    let of_backends = backends.iter().flat_map(|backend| options_of(backend).map(|opt| opt.key(backend.name)));
    let known: Vec<_> = OWN.iter().map(|opt| opt.name.to_owned()).chain(of_backends).collect();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    config(format!(
        "unknown option {}, set by {}{}: accepted are vaults, {} and others that `kong-vault vaults` lists",
        quote(entry.option.as_bytes(), SHOWN),
        set_by("", entry),
        did_you_mean(entry.option, &known),
        vaults.join(" or ")
    ))
}

pub fn not_overridable(vault: &Vault, opt: &Opt) -> Error {
    let may: Vec<_> = options_of(vault.backend).filter(|opt| opt.overridable).map(|opt| opt.name).collect();
    config(format!(
        "option {} of the {} vault ({}) is not allowed in a reference: set it in a vault entity; a reference may set \
         {}",
        opt.name,
        vault.backend.name,
        vault.name,
        may.join(", ")
    ))
}

pub fn not_named(backend: &Descriptor) -> Error {
    config(format!(
        "a reference to the {} vault may not set its server or credentials: set them in kong.conf, the environment \
         or a vault entity",
        backend.name
    ))
}

pub fn missing(vault: &Vault, opt: &Opt) -> Error {
    let backend = vault.backend.name;
    config(format!(
        "option {} of the {backend} vault ({}) is missing: set configure key {}, environment variable {}, or \
         config.{} of a vault entity",
        opt.name,
        vault.name,
        opt.key(backend),
        opt.variable(backend),
        opt.name
    ))
    .of_missing_option()
}

/// For options that are missing although another one needs them.
pub fn unmet(backend: &Descriptor, vault: &str, unmet: &Unmet) -> Error {
    let why = match unmet.when {
        When::Is(option, value) => format!("{option} = {value}"),
        When::Set(option) => option.to_owned(),
    };
    let (missing, example) = match unmet.missing {
        MissingOption::This(name) => (format!("option {name}"), name),
        MissingOption::OneOf(names) => {
            (format!("one of the options {}", names.join(", ")), names.first().copied().unwrap_or_default())
        }
    };
    let key = format!("vault_{}_{example}", in_keys(backend.name));
    config(format!(
        "{why} of the {} vault ({vault}) needs {missing}, which is missing: set configure key {key}, environment \
         variable {}, or config.{example} of a vault entity",
        backend.name,
        variable(&key)
    ))
    .of_missing_option()
}

pub fn no_vaults(backends: &[&'static Descriptor]) -> Error {
    config(format!(
        "option vaults is empty: it takes `bundled`, `off` or a list of the vaults {}",
        names(backends).join(", ")
    ))
}

pub fn unknown_vault(name: &str, source: &str, backends: &[&'static Descriptor]) -> Error {
    let names = names(backends);
    config(format!(
        "\"{}\" in option vaults, set by {source}, is not a vault, `bundled` or `off` alone{}: the vaults are {}",
        redact::word(name, SHOWN),
        did_you_mean(name, &names),
        names.join(", ")
    ))
}

/// How many names an error lists.
const LISTED: usize = 8;

/// How many it lists where there are more than `LISTED`.
const NEAREST: usize = 3;

/// The text after an unknown name: the known name that was probably meant, and the accepted names; of many, the
/// nearest.
pub fn accepted(name: &str, known: &[&str]) -> String {
    let meant = did_you_mean(name, known);
    if known.len() <= LISTED {
        return format!("{meant}: accepted are {}", known.join(", "));
    }
    let name: String = name.chars().take(SHOWN).collect();
    let mut nearest: Vec<_> = known.iter().map(|known| (strsim::jaro_winkler(&name, known), *known)).collect();
    nearest.sort_by(|one, other| other.0.total_cmp(&one.0));
    let nearest: Vec<_> = nearest.iter().take(NEAREST).map(|(_, known)| *known).collect();
    format!("{meant}: accepted are {} and others, which `kong-vault vaults` lists", nearest.join(", "))
}

/// The nearest of the known names, if it was probably meant.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    match redact::nearest(name, known.iter().copied()) {
        Some(known) => format!(" (did you mean {known}?)"),
        None => String::new(),
    }
}
