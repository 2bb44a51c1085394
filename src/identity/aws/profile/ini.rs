//! The syntax of AWS's profile files, as AWS's command line reads it: sections and keys, with `=` or `:` between key
//! and value. A value continues in lines that are indented further than its key. All keys of a section may be indented.
//!
//! Only comments after a value, behind a blank, are read as AWS's SDKs do. A command keeps them, as the shell has
//! comments itself. Errors have a line's number and never quote it: it may hold a secret.

use std::collections::{HashMap, HashSet};

use zeroize::Zeroizing;

/// The section whose keys all others inherit.
const DEFAULTS: &str = "DEFAULT";

/// How many keys all sections together may inherit from `[DEFAULT]`: each of them gets a copy.
const INHERITED: usize = 100_000;

/// The key whose value is for the shell.
const COMMAND: &str = "credential_process";

pub struct Section {
    pub name: String,
    pub line: usize,
    pub entries: Vec<IniEntry>,
}

#[derive(Clone)]
pub struct IniEntry {
    /// In lower case.
    pub key: String,
    /// The lines of a continued value are joined by line breaks.
    pub value: Zeroizing<String>,
    pub line: usize,
}

/// Where a file is malformed and how: the rest of a sentence that begins with the line.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    pub line: usize,
    pub what: String,
}

pub fn parse(text: &str) -> Result<Vec<Section>, Malformed> {
    let mut reader = IniReader::default();
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
    for (index, line) in lines.enumerate() {
        reader.read_line(index + 1, line).map_err(|what| Malformed { line: index + 1, what })?;
    }
    reader.end()
}

#[derive(Default)]
struct IniReader {
    sections: Vec<Section>,
    /// The lines of the sections, and of the last section's keys: each may occur once.
    begun: HashMap<String, usize>,
    set: HashMap<String, usize>,
    /// How far the last section or key is indented.
    depth: usize,
}

impl IniReader {
    fn read_line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            return Ok(());
        }
        let depth = line.chars().take_while(|character| character.is_whitespace()).count();
        if depth > self.depth
            && let Some(entry) = self.sections.last_mut().and_then(|section| section.entries.last_mut())
        {
            return go_on(entry, text);
        }
        self.depth = depth;
        if let Some((name, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            && !name.is_empty()
        {
            return self.begin(number, name);
        }
        let Some(section) = self.sections.last_mut() else {
            return Err(match text.strip_prefix('[') {
                Some(_) => "begins a section whose name has no `]` at its end".to_owned(),
                None => "is above the first section: add one, such as `[default]`".to_owned(),
            });
        };
        let (key, value) = text.split_once(['=', ':']).ok_or("has no `=` between a key and its value")?;
        let key = key.trim().to_lowercase();
        if key.is_empty() {
            return Err("has no key before its `=`".to_owned());
        }
        if let Some(before) = self.set.insert(key.clone(), number) {
            return Err(format!("repeats the key of line {before}"));
        }
        let value = if key == COMMAND { value } else { bare(value) };
        section.entries.push(IniEntry { key, value: Zeroizing::new(value.trim().to_owned()), line: number });
        Ok(())
    }

    fn begin(&mut self, number: usize, name: &str) -> Result<(), String> {
        let name = name.to_owned();
        if let Some(before) = self.begun.insert(name.clone(), number) {
            return Err(format!("begins again the section of line {before}: join the two"));
        }
        self.set.clear();
        self.sections.push(Section { name, line: number, entries: Vec::new() });
        Ok(())
    }

    fn end(mut self) -> Result<Vec<Section>, Malformed> {
        let defaults = self.sections.iter().position(|section| section.name == DEFAULTS);
        if let Some(Section { entries: defaults, line, .. }) = defaults.map(|index| self.sections.remove(index)) {
            if defaults.len().saturating_mul(self.sections.len()) > INHERITED {
                let what = format!("has more keys for all other sections than can be kept: at most {INHERITED} in all");
                return Err(Malformed { line, what });
            }
            for section in &mut self.sections {
                let own: HashSet<String> = section.entries.iter().map(|entry| entry.key.clone()).collect();
                section.entries.extend(defaults.iter().filter(|entry| !own.contains(&entry.key)).cloned());
            }
        }
        Ok(self.sections)
    }
}

/// Adds a further line to a value. Below a key without a value of its own, each line is a key with a value.
fn go_on(entry: &mut IniEntry, text: &str) -> Result<(), String> {
    let is_nested = entry.value.is_empty() || entry.value.starts_with('\n');
    if is_nested && !text.contains('=') {
        return Err(format!("is indented below the key of line {}, and has no `=`", entry.line));
    }
    let text = bare(text).trim_end();
    let length = entry.value.len() + text.len() + 1;
    if entry.value.capacity() < length {
        // A string that grows by itself leaves copies of its content behind.
        let mut roomy = Zeroizing::new(String::with_capacity(2 * length));
        roomy.push_str(&entry.value);
        entry.value = roomy;
    }
    entry.value.push('\n');
    entry.value.push_str(text);
    Ok(())
}

/// A value without the comment behind it.
fn bare(value: &str) -> &str {
    let begins = |(index, _): &(usize, &str)| {
        value.get(..*index).and_then(|before| before.chars().next_back()).is_some_and(char::is_whitespace)
    };
    match value.match_indices(['#', ';']).find(begins) {
        Some((index, _)) => value.get(..index).unwrap_or(value),
        None => value,
    }
}

/// The words of a section's name, with quotes as in the shell. `None` where a quote does not end.
pub fn words(name: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = name.chars();
    while let Some(character) = rest.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (_, '\\') => {
                let next = rest.next()?;
                if quote.is_some() && next != '"' && next != '\\' {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(next);
            }
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '"' | '\'') => {
                word.get_or_insert_default();
                quote = Some(character);
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// The keys and values below a key without a value of its own, such as `secrets_manager` in a section of `services`.
pub fn nested(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    // Eight times as many lines must take eight times as long, not sixty-four times.
    #[test]
    fn a_value_that_goes_on_takes_time_linear_to_its_lines() {
        for line in [" b\n", " b=c\n"] {
            let took = |lines: usize| {
                let text =
                    format!("[default]\na={}\n{}", if line.contains('=') { "" } else { "1" }, line.repeat(lines));
                // The quickest of several runs, as other processes use the machine too.
                let once = || {
                    let began = Instant::now();
                    assert_eq!(parse(&text).map(|sections| sections.len()), Ok(1));
                    began.elapsed()
                };
                (0..7).map(|_| once()).min().unwrap_or_default()
            };
            let (few, many) = (took(20_000), took(160_000));
            assert!(many <= few * 24 + Duration::from_millis(100), "{few:?}, {many:?}");
        }
    }

    #[test]
    fn keys_for_all_sections_are_refused_where_they_would_be_too_many() {
        let file = |keys: usize, sections: usize| {
            let keys: String = (0..keys).map(|at| format!("k{at}=\n")).collect();
            let sections: String = (0..sections).map(|at| format!("[{at}]\n")).collect();
            parse(&format!("[DEFAULT]\n{keys}{sections}"))
        };
        assert!(file(100, 1000).is_ok_and(|sections| sections.len() == 1000 && sections[0].entries.len() == 100));
        let refused = file(10_000, 10_000).err().unwrap();
        assert_eq!(refused.line, 1);
        assert!(refused.what.contains("at most 100000"), "{refused:?}");
    }
}
