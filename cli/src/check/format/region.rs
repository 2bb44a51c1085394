//! Which characters of a line a finding is about.

use std::collections::HashMap;

use crate::check::table::{Column, Place};

/// Columns of one line: from 1 on, in characters. `end` is the column after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub column: usize,
    pub end: usize,
}

/// The lines of the files that were checked.
pub struct Lines<'a> {
    files: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Lines<'a> {
    pub fn of(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = texts.into_iter().map(|(name, text)| (name, text.split('\n').collect()));
        Self { files: files.collect() }
    }

    /// `None` where there are no lines, or where the line has no characters.
    pub fn region(&self, place: &Place) -> Option<Region> {
        let lines = self.files.get(place.file.as_deref()?)?;
        region(lines.get(place.line.checked_sub(1)?)?.trim_end(), place.column)
    }
}

fn region(line: &str, column: Column) -> Option<Region> {
    let whole = line.len() - line.trim_start().len();
    let (start, end) = match start(line, column) {
        Some(start) => (start, start + token(&line[start..])),
        None => (whole, line.len()),
    };
    let column = |at: usize| line[..at].chars().count() + 1;
    (start < end).then(|| Region { column: column(start), end: column(end) })
}

/// The byte of a line at which something begins.
fn start(line: &str, column: Column) -> Option<usize> {
    let start = match column {
        Column::Unknown => None,
        Column::Bytes(column) => column.checked_sub(1),
        Column::Characters(column) => line.char_indices().nth(column.checked_sub(1)?).map(|(at, _)| at),
    };
    start.filter(|at| *at < line.len() && line.is_char_boundary(*at))
}

/// How many bytes of a line belong to the key or the value with which it begins: up to the closing quote, or to the
/// colon behind a key, or all of it.
fn token(rest: &str) -> usize {
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some(quote) = quote {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, character)| {
            let ends = *character == quote && !escaped;
            escaped = quote == '"' && *character == '\\' && !escaped;
            ends
        });
        return end.map_or(rest.len(), |(at, _)| at + 1);
    }
    let ends = [rest.find(": "), rest.find(" #"), rest.strip_suffix(':').map(str::len)];
    let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
    rest[..end].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_the_key_or_the_value() {
        for (line, column, wanted) in [
            ("  prot: 1", Column::Characters(3), "prot"),
            ("  prot:", Column::Characters(3), "prot"),
            ("  a: \"x \\\" y\" # z", Column::Characters(6), "\"x \\\" y\""),
            ("  a: 'x y", Column::Characters(6), "'x y"),
            ("  a: plain text # z", Column::Characters(6), "plain text"),
            ("  é: x, ü: \"y\"}", Column::Characters(12), "\"y\""),
            ("  \"é\": \"y\"}", Column::Bytes(9), "\"y\""),
            ("\tkey = value ", Column::Unknown, "key = value"),
            ("  key: 1", Column::Characters(99), "key: 1"),
            ("é", Column::Bytes(2), "é"),
            ("   ", Column::Unknown, ""),
            ("", Column::Characters(1), ""),
        ] {
            let found = region(line.trim_end(), column);
            let shown = found.map(|it| line.chars().skip(it.column - 1).take(it.end - it.column).collect::<String>());
            assert_eq!(shown.unwrap_or_default(), wanted, "{line}");
        }
    }
}
