//! The profiles of both files. A profile has two layers: the credentials file's keys have priority over the config
//! file's.

use std::collections::HashMap;

use super::ini::{IniEntry, Section, nested, words};
use crate::identity::aws::client::shown;

/// The files, in the order of their priority.
pub const CREDENTIALS: usize = 0;
pub const CONFIG: usize = 1;

type Entries = HashMap<String, IniEntry>;

/// A misspelt name is searched for among this many sections, and only if the names are no longer than this.
const MISSPELT: (usize, usize) = (1000, 64);

#[derive(Default)]
pub struct ProfileLayers {
    name: String,
    layers: [Option<Entries>; 2],
}

impl ProfileLayers {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A value, and which file it is from.
    pub fn entry(&self, key: &str) -> Option<(usize, &IniEntry)> {
        self.layers.iter().enumerate().find_map(|(file, entries)| Some((file, entries.as_ref()?.get(key)?)))
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.entry(key).map(|(_, entry)| entry.value.as_str())
    }

    /// The value in one file, whether or not the other has one.
    pub fn get_in(&self, file: usize, key: &str) -> Option<&str> {
        self.layers.get(file)?.as_ref()?.get(key).map(|entry| entry.value.as_str())
    }
}

/// What is wrong with a section of `services`.
pub enum Amiss {
    Missing,
    /// A service has a value of its own, on that line, where only keys below it are allowed.
    Flat(usize),
}

#[derive(Default)]
pub struct ProfileSet {
    profiles: HashMap<String, ProfileLayers>,
    sessions: HashMap<String, Entries>,
    services: HashMap<String, Entries>,
    /// The file, name and line of every section, to search for a missing one.
    sections: Vec<(usize, String, usize)>,
}

impl ProfileSet {
    /// In the credentials file, a section's name is a profile's. In the config file, a profile is `default`, or the
    /// word after `profile`. Of two sections with the same name, the later one counts.
    pub fn new(credentials: Vec<Section>, config: Vec<Section>) -> Self {
        let mut set = Self::default();
        for section in config {
            set.sections.push((CONFIG, section.name.clone(), section.line));
            let name = || words(&section.name).and_then(|words| <[String; 2]>::try_from(words).ok());
            let entries = || section.entries.iter().map(|entry| (entry.key.clone(), entry.clone())).collect();
            if section.name == "default" {
                set.lay(CONFIG, section.name.clone(), entries());
            } else if section.name.starts_with("profile") {
                if let Some([_, name]) = name() {
                    set.lay(CONFIG, name, entries());
                }
            } else if section.name.starts_with("sso-session") {
                set.sessions.extend(name().map(|[_, name]| (name, entries())));
            } else if section.name.starts_with("services") {
                set.services.extend(name().map(|[_, name]| (name, entries())));
            }
        }
        for section in credentials {
            set.sections.push((CREDENTIALS, section.name.clone(), section.line));
            let entries = section.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
            set.lay(CREDENTIALS, section.name, entries);
        }
        set
    }

    fn lay(&mut self, file: usize, name: String, entries: Entries) {
        let profile =
            self.profiles.entry(name.clone()).or_insert_with(|| ProfileLayers { name, ..ProfileLayers::default() });
        if let Some(layer) = profile.layers.get_mut(file) {
            *layer = Some(entries);
        }
    }

    pub fn profile(&self, name: &str) -> Option<&ProfileLayers> {
        self.profiles.get(name)
    }

    /// The value of a key in an `sso-session` section. `None`: there is no such section.
    pub fn in_session(&self, section: &str, key: &str) -> Option<Option<&str>> {
        let entries = self.sessions.get(section)?;
        Some(entries.get(key).map(|entry| entry.value.as_str()))
    }

    /// The line and the URL of a service in a `services` section, or what is wrong with the section.
    pub fn endpoint_url(&self, section: &str, service: &str) -> Result<Option<(usize, &str)>, Amiss> {
        let Some(entry) = self.services.get(section).ok_or(Amiss::Missing)?.get(service) else { return Ok(None) };
        if !entry.value.is_empty() && !entry.value.starts_with('\n') {
            return Err(Amiss::Flat(entry.line));
        }
        let url = nested(&entry.value).find(|(key, _)| *key == "endpoint_url");
        Ok(url.map(|(_, url)| (entry.line, url)).filter(|(_, url)| !url.is_empty()))
    }

    /// A section that was probably meant where a profile is missing: the file, the line, and a clause.
    pub fn instead_of(&self, name: &str) -> Option<(usize, usize, String)> {
        let unquoted = format!("profile {name}");
        let reads = |section: &str| words(section).is_some_and(|words| words == ["profile", name] || words == [name]);
        for (file, section, line) in &self.sections {
            let (file, line) = (*file, *line);
            match file {
                CONFIG if section == name => {
                    return Some((file, line, format!("has [{0}]: write [profile {0}]", shown(name))));
                }
                CONFIG if *section == unquoted => {
                    return Some((file, line, format!("has no quotes: write [profile \"{}\"]", shown(name))));
                }
                CREDENTIALS if *section == unquoted => {
                    return Some((file, line, format!("has [{}]: write [{}]", shown(section), shown(name))));
                }
                _ if section.starts_with(char::is_whitespace) && reads(section) => {
                    return Some((file, line, "has a space before the name: remove it".to_owned()));
                }
                CREDENTIALS if section.trim() == name => {
                    return Some((file, line, "has a space after the name: remove it".to_owned()));
                }
                _ => {}
            }
        }
        let (most, longest) = MISSPELT;
        let near = self.sections.iter().take(most).filter_map(|(file, section, line)| {
            let found = section.strip_prefix("profile ").unwrap_or(section).trim_matches(['"', '\'']);
            if found.len() > longest || name.len() > longest {
                return None;
            }
            let distance = strsim::damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase());
            (distance <= 2 && distance < name.len()).then_some((distance, *file, *line, found))
        });
        let (_, file, line, found) = near.min_by_key(|(distance, ..)| *distance)?;
        Some((file, line, format!("has {}", shown(found))))
    }
}
