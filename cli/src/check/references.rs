//! Checks whether references are valid under a configuration and, with `--resolve`, whether they have values.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::finding::{Entities, FoundReference, KnownEntity};
use super::keys::Settings;
use super::table::{Mistakes, Row, Verdict};
use kong_vault::backend::registry::ALL;
use kong_vault::config::declarative::kongs_business;
use kong_vault::config::entity::Broken;
use kong_vault::config::{EntityResult, IndirectValues, did_you_mean};
use kong_vault::error::{Error, Kind, Result, quote};
use kong_vault::reference::{self, is_reference, parse};
use kong_vault::resolver::Resolver;
use kong_vault::resolver::resolved_reference::ResolvedReference;

/// How many known names an unknown one is compared with.
const COMPARED: usize = 200;

/// How the texts begin that sanitized dumps have instead of values.
const REDACTED: &str = "{vault://redacted";

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
        Err(error) => return found.iter().map(|it| it.place.wrong(what(it), error.to_string())).collect(),
    };
    config.replace_entities(config.read_entities(listed(entities, false), "the file", &IndirectValues::default()));
    let mut verdicts: HashMap<&str, Result<()>> = HashMap::new();
    for it in found {
        verdicts
            .entry(&it.reference)
            .or_insert_with(|| ResolvedReference::resolve(it.reference.as_bytes(), &config).map(drop));
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
            Some(error) => it.place.wrong(what(it), error.to_string()),
            None => it.place.good(what(it)),
        },
        Err(error) if error.kind() == Kind::UnknownVault => {
            let name = parse(it.reference.as_bytes()).map(|parsed| parsed.name).unwrap_or_default();
            let name = String::from_utf8_lossy(&name);
            if matches!(entities.get(&*name), Some(KnownEntity::Others(_))) || config.others().has(&name) {
                return it.place.note(what(it), "kong-vault does not provide this vault: left to Kong");
            }
            let more = say_more.then(|| unknown(&name, entities)).flatten();
            match more {
                None if !whole => it.place.odd(what(it), "not checked: its vault may be in a part that cannot be read"),
                more => it.place.wrong(what(it), format!("{error}{}", more.unwrap_or_default())),
            }
        }
        Err(error) => match noted(&it.reference) {
            Some(why) => it.place.note(what(it), why),
            None => it.place.wrong(what(it), error.to_string()),
        },
    };
    for it in found {
        match row(it, !mistakes.is_full()) {
            row if matches!(row.verdict, Verdict::Good | Verdict::Noted(_)) => rows.push(row),
            row => mistakes.push(row),
        }
    }
    rows.extend(mistakes.finish());
    rows
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

/// Converts the entities for the resolver. Without `credentials`, options that are references are left out: they have
/// no values here.
fn listed(entities: &Entities, credentials: bool) -> Vec<EntityResult> {
    let list = |(prefix, known): (&String, &KnownEntity)| match known {
        KnownEntity::Right(entity) => {
            let mut entity = entity.clone();
            entity.config.retain(|_, value| credentials || !is_reference(value.as_bytes()));
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
fn fetch(verdicts: &mut HashMap<&str, Result<()>>, settings: &Settings, entities: &Entities) {
    let mut wanted: Vec<_> = verdicts.iter().filter(|(_, verdict)| verdict.is_ok()).map(|(it, _)| *it).collect();
    if wanted.is_empty() {
        return;
    }
    wanted.sort_unstable();
    let config = match settings.resolved() {
        Ok(config) => config,
        Err(error) => return wanted.into_iter().for_each(|it| drop(verdicts.insert(it, Err(error.clone())))),
    };
    let resolver = Resolver::new(config, settings.environment().clone(), Arc::new(AtomicU32::new(0)));
    // `judge` checks which references may read credentials.
    let resolver = Arc::new(resolver.trusting());
    resolver.replace_entities(listed(entities, true), "the file");
    let references: Vec<_> = wanted.iter().map(|it| it.as_bytes().to_vec()).collect();
    for (it, answer) in wanted.into_iter().zip(resolver.fetch_blocking(&references)) {
        verdicts.insert(it, answer.map(drop));
    }
}
