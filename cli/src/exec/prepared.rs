//! What the program gets: its environment and its files, with values in them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::memory_file::MemoryFile;
use super::text::{Text, Values};
use super::variables::{self, LIMIT, Texts};
use kong_vault::file::{clause, read_bounded};
use kong_vault::redact;
use kong_vault::secret::Secret;

/// The files of the program, by the name of the variable that holds their path.
pub type Files = BTreeMap<OsString, MemoryFile>;

/// What the program gets, before its references have values.
pub struct Prepared {
    variables: Texts,
    templates: Texts,
}

impl Prepared {
    /// `files`: `NAME=TEMPLATE` for each. An error says what is wrong with the command line.
    pub fn new(variables: Texts, files: &[OsString]) -> Result<Self, String> {
        let mut templates = Texts::new();
        for setting in files {
            let (name, path) = variables::split(setting, "--file")?;
            let path = Path::new(OsStr::from_bytes(path));
            let (bytes, _) = read_bounded(path, LIMIT).map_err(|flaw| format!("--file {}", clause(path, flaw)))?;
            let text = Text::new(bytes.to_vec()).map_err(|why| variables::wrong(&name, why))?;
            templates.insert(name, text);
        }
        Ok(Self { variables, templates })
    }

    /// All texts, by the name of their variable.
    pub fn texts(&self) -> impl Iterator<Item = (&OsString, &Text)> {
        self.variables.iter().chain(&self.templates)
    }

    /// Names the variables in which a reference stands.
    pub fn places(&self, reference: &[u8]) -> String {
        let has_it = |text: &Text| text.references().any(|other| other == reference);
        let names = self.texts().filter(|(_, text)| has_it(text));
        names.map(|(name, _)| redact::quote(name.as_bytes(), 100)).collect::<Vec<_>>().join(", ")
    }

    /// Makes the files.
    pub fn files(&self, values: &Values) -> std::io::Result<Files> {
        let file = |(name, text): (&OsString, &Text)| {
            let file = MemoryFile::new(text.filled(values).as_bytes())?;
            Ok((name.clone(), file))
        };
        self.templates.iter().map(file).collect()
    }

    /// Puts new files in the place of the old ones.
    pub fn replace(&self, files: &mut Files, values: &Values) -> Result<(), String> {
        let new = self.files(values).map_err(|error| cannot_write(&error))?;
        for (name, file) in &new {
            if let Some(old) = files.get_mut(name) {
                old.replace(file).map_err(|error| cannot_write(&error))?;
            }
        }
        Ok(())
    }

    /// The environment with values. An error says which variable cannot have its value.
    pub fn filled(&self, values: &Values, files: &Files) -> Result<BTreeMap<OsString, Secret>, String> {
        let mut filled = BTreeMap::new();
        for (name, text) in &self.variables {
            let value = text.filled(values);
            if value.as_bytes().contains(&0) {
                let why = "its value has a zero byte, which no environment variable can have: use --file";
                return Err(variables::wrong(name, why));
            }
            filled.insert(name.clone(), value);
        }
        for (name, file) in files {
            filled.insert(name.clone(), Secret::new(file.path().as_bytes()));
        }
        Ok(filled)
    }
}

/// Says why a file in memory cannot be made.
pub fn cannot_write(error: &std::io::Error) -> String {
    format!("cannot make a file in memory ({error})")
}
