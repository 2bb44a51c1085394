//! The one error of this crate: a kind for control flow, one lower-case sentence for people.

use std::fmt;

/// What went wrong, as far as control flow and metrics care. The text says it to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The reference itself is malformed.
    Reference,
    /// No vault or backend of that name is configured.
    UnknownVault,
    /// An option is unknown, invalid, missing or may not be set from where it was set.
    Config,
    /// The vault answered that there is no such secret, version or field.
    NotFound,
    /// The vault refused our credentials or our right to read.
    Denied,
    /// The vault asked us to slow down.
    Throttled,
    /// The vault could not be reached, is sealed or failed.
    Unavailable,
    /// The fetch did not end within its deadline.
    Timeout,
    /// An answer, a field or an encoding is not what it has to be.
    Invalid,
    /// This phase cannot wait; the fetch goes on in the background.
    WouldBlock,
    /// A defect of ours.
    Internal,
}

impl Kind {
    /// The name used in metrics and `stats()`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Reference => "reference",
            Kind::UnknownVault => "unknown_vault",
            Kind::Config => "config",
            Kind::NotFound => "not_found",
            Kind::Denied => "denied",
            Kind::Throttled => "throttled",
            Kind::Unavailable => "unavailable",
            Kind::Timeout => "timeout",
            Kind::Invalid => "invalid",
            Kind::WouldBlock => "would_block",
            Kind::Internal => "internal",
        }
    }
}

/// A failure. The text is one lower-case sentence that names backend, vault, host, status and what to do, and never
/// holds a secret, a token or a response body.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    text: String,
}

impl Error {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text as users of Kong know it: what kept a vault from giving a value stands inside a sentence of Kong's.
    pub fn for_users(&self) -> String {
        match self.kind {
            Kind::Reference | Kind::UnknownVault => self.text.clone(),
            _ => format!("could not get value from external vault (no value found ({}))", self.text),
        }
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, Kind::Throttled | Kind::Unavailable | Kind::Timeout)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {})", self.kind.name(), self.text)
    }
}

impl std::error::Error for Error {}

/// Shows what somebody wrote in an error: at most `limit` characters, and none that could forge a line of a log.
pub fn quote(text: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let mut shown = String::new();
    for character in text.chars().take(limit) {
        match character {
            '\u{fffd}' => shown.push('?'),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;
