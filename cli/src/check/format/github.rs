//! Workflow commands of GitHub Actions: one a line, which the runner turns into annotations.

use std::fmt::Write;

use super::finding::{Finding, LONGEST};
use super::location::{Location, Locations};
use crate::check::input::STDIN;
use crate::check::rule::Severity;
use kong_vault::redact::quote;

/// `summary`: a last line for people. It must hold nothing of a file.
pub fn render(findings: &[Finding<'_>], locations: &Locations<'_>, summary: &str) -> String {
    let mut out = String::new();
    for it in findings {
        let command = match it.rule.severity() {
            Severity::Note => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let mut properties = Vec::new();
        if let Some(file) = it.file.filter(|file| *file != STDIN) {
            properties.push(("file", path(file, locations.get(file))));
            if it.line > 0 {
                properties.extend([("line", it.line.to_string()), ("endLine", it.line.to_string())]);
            }
            if let Some(region) = it.region {
                properties.extend([("col", region.column.to_string()), ("endColumn", region.end.to_string())]);
            }
        }
        properties.push(("title", format!("kong-vault: {}", it.rule.id())));
        let properties: Vec<_> = properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
        let message = data(&format!("{}: {}", it.what, it.why));
        let _ = writeln!(out, "::{command} {}::{message}", properties.join(","));
    }
    let _ = writeln!(out, "{summary}");
    out
}

/// A name with control characters is shown with escapes: the log is read in a terminal.
fn path(file: &str, location: Option<&Location>) -> String {
    let path = match location {
        Some(Location::Below(path)) => path.display().to_string(),
        _ => file.to_owned(),
    };
    if path.chars().any(char::is_control) { quote(path.as_bytes(), LONGEST) } else { path }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_holds_no_other() {
        assert_eq!(data("100%\r\n::error::x"), "100%25%0D%0A::error::x");
        assert_eq!(property("a:b,c%2C\n"), "a%3Ab%2Cc%252C%0A");
        let name = "a\n::error::b\u{1b}[1m";
        assert_eq!(path(name, None), r"a\n::error::b\u{1b}[1m");
        assert_eq!(path("a", Some(&Location::Below(name.into()))), r"a\n::error::b\u{1b}[1m");
    }
}
