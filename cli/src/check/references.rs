//! Checks whether references are valid under a configuration and, with `--resolve`, whether they have values.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::finding::{Entities, FoundReference, KnownEntity};
use super::keys::Settings;
use super::rule::{Rule, Severity};
use super::stand_in::stand_in;
use super::table::{Mistakes, Row};
use kong_vault::backend::registry::ALL;
use kong_vault::config::declarative::kongs_business;
use kong_vault::config::entity::Broken;
use kong_vault::config::{EntityResult, IndirectValues, did_you_mean, options_of};
use kong_vault::error::{Error, Kind, quote};
use kong_vault::reference::{self, is_reference, parse};
use kong_vault::resolver::Resolver;
use kong_vault::resolver::resolved_reference::ResolvedReference;

/// How many known names an unknown one is compared with.
const COMPARED: usize = 200;

/// How the texts begin that sanitized dumps have instead of values.
const REDACTED: &str = "{vault://redacted";

/// For each reference, the rule that it breaks and why.
type Verdicts<'a> = HashMap<&'a str, Result<(), (Rule, Error)>>;

/// Returns why a reference gets a note instead of an error.
pub fn noted(reference: &str) -> Option<&'static str> {
    let is_redacted = reference.starts_with(REDACTED) && parse(reference.as_bytes()).is_err();
    is_redacted.then_some("replaces a value that was left out of this dump")
}

/// One row for each reference. `whole`: whether all entities are known.
pub fn judge(
    found: &[FoundReference],
    settings: &Settings,
    entities: &Entities,
    whole: bool,
    resolve: bool,
) -> Vec<Row> {
    let config = match settings.plain() {
        Ok(config) => config,
        // The keys are valid, alone and together: an error here would be a bug.
        Err(error) => {
            let row = |it: &FoundReference| it.place.found(Rule::InvalidOption, what(it), error.to_string());
            return found.iter().map(row).collect();
        }
    };
    config.replace_entities(config.read_entities(listed(entities, false), "the file", &IndirectValues::default()));
    let mut verdicts: Verdicts<'_> = HashMap::new();
    for it in found {
        verdicts.entry(&it.reference).or_insert_with(|| {
            let resolved = ResolvedReference::resolve(it.reference.as_bytes(), &config);
            resolved.map(drop).map_err(|error| (broken_rule(&it.reference, &error, entities), error))
        });
    }
    if resolve {
        fetch(&mut verdicts, settings, entities);
    }
    let (mut rows, mut mistakes) = (Vec::new(), Mistakes::default());
    let unreadable = |it: &FoundReference| {
        let resolved = ResolvedReference::resolve(it.reference.as_bytes(), &config).ok().filter(|_| !it.of_operator)?;
        resolved.key.may_be_read(&config).err()
    };
    let row = |it: &FoundReference, say_more: bool| match &verdicts[it.reference.as_str()] {
        Ok(()) => match unreadable(it) {
            Some(error) => it.place.found(Rule::ProtectedVariable, what(it), error.to_string()),
            None => it.place.good(what(it)),
        },
        Err((Rule::UnknownVault, error)) => {
            let name = parse(it.reference.as_bytes()).map(|parsed| parsed.name).unwrap_or_default();
            let name = String::from_utf8_lossy(&name);
            if matches!(entities.get(&*name), Some(KnownEntity::Others(_))) || config.others().has(&name) {
                let why = "kong-vault does not provide this vault: left to Kong";
                return it.place.found(Rule::LeftToKong, what(it), why);
            }
            let more = say_more.then(|| unknown(&name, entities)).flatten();
            match more {
                None if !whole => {
                    let why = "not checked: its vault may be in a part that cannot be read";
                    it.place.found(Rule::UncheckedReference, what(it), why)
                }
                more => {
                    let why = format!("{error}{}", more.unwrap_or_default());
                    it.place.found(Rule::UnknownVault, what(it), why)
                }
            }
        }
        Err((rule, error)) => match noted(&it.reference) {
            Some(why) => it.place.found(Rule::RedactedReference, what(it), why),
            None => it.place.found(*rule, what(it), error.to_string()),
        },
    };
    for it in found {
        match row(it, !mistakes.is_full()) {
            row if row.severity().is_none_or(|severity| severity == Severity::Note) => rows.push(row),
            row => mistakes.push(row),
        }
    }
    rows.extend(mistakes.finish());
    rows
}

/// The rule that a reference breaks which does not resolve.
fn broken_rule(reference: &str, error: &Error, entities: &Entities) -> Rule {
    match error.kind() {
        Kind::UnknownVault => Rule::UnknownVault,
        Kind::Reference => Rule::MalformedReference,
        _ => {
            let name = parse(reference.as_bytes()).map(|parsed| parsed.name).unwrap_or_default();
            let is_broken = matches!(entities.get(&*String::from_utf8_lossy(&name)), Some(KnownEntity::Wrong));
            match error.is_of_missing_option() {
                _ if is_broken => Rule::BrokenVault,
                true => Rule::MissingOption,
                false => Rule::ReferenceOption,
            }
        }
    }
}

fn what(it: &FoundReference) -> String {
    format!("{} {}", it.what, reference::quote(it.reference.as_bytes())).trim_start().to_owned()
}

/// Returns a hint about an unknown vault: that its backend is disabled, or a similar name.
fn unknown(name: &str, entities: &Entities) -> Option<String> {
    let backends = ALL.iter().map(|backend| backend.name);
    let needs = backends.clone().find(|backend| *backend == name);
    let needs = needs.or_else(|| match entities.get(name)? {
        KnownEntity::Right(entity) => Some(entity.backend.name),
        KnownEntity::Wrong | KnownEntity::Others(_) => None,
    });
    if let Some(needs) = needs {
        return Some(format!(": it is disabled: add {needs} to option vaults"));
    }
    let known: Vec<_> = backends.chain(entities.keys().map(String::as_str)).take(COMPARED).collect();
    Some(did_you_mean(name, &known)).filter(|meant| !meant.is_empty())
}

/// Converts the entities for the resolver. Without `credentials`, options that are references get stand-ins.
fn listed(entities: &Entities, credentials: bool) -> Vec<EntityResult> {
    let list = |(prefix, known): (&String, &KnownEntity)| match known {
        KnownEntity::Right(entity) => {
            let mut entity = entity.clone();
            let backend = entity.backend;
            entity.config.retain(|name, value| {
                let is_kept = credentials || !is_reference(value.as_bytes());
                let stand_in = || options_of(backend).find(|opt| opt.is_called(name)).and_then(stand_in);
                is_kept || stand_in().map(|text| *value = text.to_owned()).is_some()
            });
            Ok(entity)
        }
        KnownEntity::Others(strategy) => Err(Broken::known_only(prefix, kongs_business(prefix, strategy))),
        KnownEntity::Wrong => {
            let text = format!("vault entity {} has mistakes", quote(prefix.as_bytes(), 64));
            Err(Broken::known_only(prefix, Error::new(Kind::Config, text)))
        }
    };
    entities.iter().map(list).collect()
}

/// Fetches each valid reference once, all of them concurrently.
fn fetch(verdicts: &mut Verdicts<'_>, settings: &Settings, entities: &Entities) {
    let mut wanted: Vec<_> = verdicts.iter().filter(|(_, verdict)| verdict.is_ok()).map(|(it, _)| *it).collect();
    if wanted.is_empty() {
        return;
    }
    wanted.sort_unstable();
    let config = match settings.resolved() {
        Ok(config) => config,
        Err(error) => {
            let unresolved = |it| drop(verdicts.insert(it, Err((Rule::Unresolved, error.clone()))));
            return wanted.into_iter().for_each(unresolved);
        }
    };
    let resolver = Resolver::new(config, settings.environment().clone(), Arc::new(AtomicU32::new(0)));
    // `judge` checks which references may read credentials.
    let resolver = Arc::new(resolver.trusting());
    resolver.replace_entities(listed(entities, true), "the file");
    let references: Vec<_> = wanted.iter().map(|it| it.as_bytes().to_vec()).collect();
    for (it, answer) in wanted.into_iter().zip(resolver.fetch_blocking(&references)) {
        verdicts.insert(it, answer.map(drop).map_err(|error| (Rule::Unresolved, error)));
    }
}
