//! Colour for people at a terminal, and for nobody else.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::io::IsTerminal;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

use kong_vault::environment::Environment;

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const NOTE: Style = AnsiColor::Cyan.on_default();
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Whether there are colours; `None` where terminals have them.
static DECIDED: OnceLock<Option<bool>> = OnceLock::new();

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    #[default]
    Auto,
    Always,
    Never,
}

impl When {
    /// What a command line asks for that could not be read as a whole, and whose error is to be shown.
    pub fn asked(line: impl IntoIterator<Item = OsString>) -> Self {
        let mut words = line.into_iter().map(|word| word.to_string_lossy().into_owned()).take_while(|it| it != "--");
        let mut value = || loop {
            match words.next()? {
                it if it == "--color" => return words.next(),
                it => match it.strip_prefix("--color=") {
                    Some(value) => return Some(value.to_owned()),
                    None => continue,
                },
            }
        };
        value().and_then(|value| Self::from_str(&value, false).ok()).unwrap_or_default()
    }

    /// Decides it for all that follows, as far as the streams have no say in it.
    pub fn decide(self) {
        let _ = DECIDED.set(self.decided(Environment::captured()));
    }

    /// `None`: on terminals.
    fn decided(self, environment: &Environment) -> Option<bool> {
        let variable = |name: &str| environment.secret(name.as_bytes()).map(|value| value.as_bytes());
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        match self {
            When::Always => Some(true),
            When::Never => Some(false),
            When::Auto if is_set("NO_COLOR") => Some(false),
            When::Auto if is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE") != Some(b"0") => Some(true),
            When::Auto if variable("CLICOLOR") == Some(b"0") => Some(false),
            When::Auto if matches!(variable("TERM"), None | Some(b"dumb")) => Some(false),
            When::Auto => None,
        }
    }
}

/// Whether standard output is to be coloured.
pub fn of_stdout() -> bool {
    is_wanted(&std::io::stdout())
}

/// Whether standard error is to be coloured.
pub fn of_stderr() -> bool {
    is_wanted(&std::io::stderr())
}

fn is_wanted(stream: &impl IsTerminal) -> bool {
    DECIDED.get().copied().flatten().unwrap_or_else(|| stream.is_terminal())
}

/// A text in its style, or as it is.
pub struct Painted<'a> {
    text: &'a str,
    style: Style,
}

impl<'a> Painted<'a> {
    pub fn new(text: &'a str, style: Style, wanted: bool) -> Self {
        Self { text, style: if wanted { style } else { Style::new() } }
    }
}

impl Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_has_its_rank() {
        let decided = |when: When, variables: &[(&str, &str)]| {
            when.decided(&Environment::from_variables(variables.iter().copied()))
        };
        let term = ("TERM", "xterm");
        for (variables, wanted) in [
            (&[term][..], None),
            (&[], Some(false)),
            (&[("TERM", "dumb")], Some(false)),
            // Elsewhere these colour a terminal that has no colours.
            (&[("TERM", "dumb"), ("CLICOLOR", "1")], Some(false)),
            (&[("CLICOLOR", "1"), ("CI", "true")], Some(false)),
            (&[term, ("CLICOLOR", "1"), ("CI", "true")], None),
            (&[term, ("CLICOLOR", "0")], Some(false)),
            (&[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")], Some(true)),
            (&[term, ("CLICOLOR_FORCE", "0")], None),
            (&[term, ("CLICOLOR_FORCE", ""), ("NO_COLOR", "")], None),
            (&[term, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "0")], Some(false)),
        ] {
            assert_eq!(decided(When::Auto, variables), wanted, "{variables:?}");
            assert_eq!(decided(When::Always, variables), Some(true), "{variables:?}");
            assert_eq!(decided(When::Never, variables), Some(false), "{variables:?}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_still_says_when() {
        for (line, wanted) in [
            ("kong-vault", When::Auto),
            ("kong-vault --color never nope", When::Never),
            ("kong-vault get a b --color=always", When::Always),
            ("kong-vault check --color", When::Auto),
            ("kong-vault check --color=sometimes", When::Auto),
            ("kong-vault get -- --color never", When::Auto),
        ] {
            assert_eq!(When::asked(line.split(' ').map(OsString::from)), wanted, "{line}");
        }
    }
}
