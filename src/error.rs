//! The one error of this crate: a kind for control flow, one lower-case sentence for people.

use std::fmt;
use std::time::Duration;

pub use crate::redact::quote;

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
    /// No trusted connection comes about: a certificate or a TLS version is wrong.
    Tls,
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
    /// Every kind, in the order of `code`: a kind once given a place keeps it.
    pub const ALL: [Kind; 12] = [
        Kind::Reference,
        Kind::UnknownVault,
        Kind::Config,
        Kind::NotFound,
        Kind::Denied,
        Kind::Throttled,
        Kind::Unavailable,
        Kind::Tls,
        Kind::Timeout,
        Kind::Invalid,
        Kind::WouldBlock,
        Kind::Internal,
    ];

    /// A number by which one worker tells another of a failure.
    pub fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

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
            Kind::Tls => "tls",
            Kind::Timeout => "timeout",
            Kind::Invalid => "invalid",
            Kind::WouldBlock => "would_block",
            Kind::Internal => "internal",
        }
    }
}

/// The longest that a vault may keep us away by its own word (`Retry-After`).
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A failure. The text is one lower-case sentence that names backend, vault, host, status and what to do, and never
/// holds a secret, a token or a response body.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    text: String,
    retry_after: Option<Duration>,
    of_login: bool,
}

impl Error {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), retry_after: None, of_login: false }
    }

    /// Notes how long the vault asked us to stay away.
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Notes that it is our login that failed: until that is mended, all secrets of the vault are out of reach.
    pub fn is_of_login(&self) -> bool {
        self.of_login
    }

    pub fn of_login(mut self) -> Self {
        self.of_login = true;
        self
    }

    /// Adds what else may be done about it.
    pub fn with_advice(mut self, advice: &str) -> Self {
        // The status ends the sentence.
        let at = self.text.rfind(" (status ").unwrap_or(self.text.len());
        self.text.insert_str(at, &format!("; {advice}"));
        self
    }

    /// The sentence itself, as `Display` shows it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How long the vault is left alone, as it asked for.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after.map(|wait| wait.min(LONGEST_WAIT))
    }

    /// How long only the document is left alone that was asked for: a limit on requests may be that of one path, where
    /// our login and an answer such as 503 are about the vault as a whole.
    pub fn holds_document(&self) -> Option<Duration> {
        self.wait().filter(|_| self.kind == Kind::Throttled && !self.of_login)
    }

    /// What those are told meanwhile who want the document.
    pub fn held(&self) -> Self {
        match self.holds_document() {
            None => self.clone(),
            Some(wait) => {
                let seconds = wait.as_secs_f64().ceil();
                let text = format!("{self}; no requests for this secret for {seconds} s, as the vault asked");
                Self { text, ..self.clone() }
            }
        }
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
        matches!(self.kind, Kind::Throttled | Kind::Unavailable)
    }

    /// Whether it says something about the vault as a whole, and not about one secret or our right to it.
    pub fn is_outage(&self) -> bool {
        self.of_login || matches!(self.kind, Kind::Throttled | Kind::Unavailable | Kind::Tls | Kind::Timeout)
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

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;
