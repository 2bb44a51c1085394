//! Colour for people at a terminal, and for nobody else.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const NOTE: Style = AnsiColor::Cyan.on_default();
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub const ERROR: Style = AnsiColor::Red.on_default().bold();

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
    /// Decides it for all that follows, as far as the streams have no say in it.
    pub fn decide(self) {
        match self {
            When::Auto => anstream::ColorChoice::Auto,
            When::Always => anstream::ColorChoice::AlwaysAnsi,
            When::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Whether standard output is to be coloured.
pub fn of_stdout() -> bool {
    is_wanted(anstream::AutoStream::choice(&std::io::stdout()))
}

/// Whether standard error is to be coloured.
pub fn of_stderr() -> bool {
    is_wanted(anstream::AutoStream::choice(&std::io::stderr()))
}

fn is_wanted(choice: anstream::ColorChoice) -> bool {
    matches!(choice, anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi)
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
