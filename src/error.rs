//! The one error of this crate: a kind for control flow, one lower-case sentence for people.

use std::fmt;
use std::time::Duration;

pub use crate::redact::quote;

/// What went wrong, for control flow and metrics; the text is for people.
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
    /// The vault refused the credentials, or they may not read the secret.
    Denied,
    /// The vault asked for fewer requests.
    Throttled,
    /// The vault could not be reached, is sealed or failed.
    Unavailable,
    /// TLS failed: a certificate or a TLS version is wrong.
    Tls,
    /// The fetch did not end within its deadline.
    Timeout,
    /// An answer, a field or an encoding is not valid.
    Invalid,
    /// This phase cannot wait; the fetch goes on in the background.
    WouldBlock,
    /// A defect of this library.
    Internal,
}

impl Kind {
    /// Every kind, in the order of `code`. Each kind keeps its place.
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

    /// The number that stands for the kind in a sealed outcome.
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

/// The longest wait that a vault can impose by `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A failure. The text is one lower-case sentence that names backend, vault, host, status and what to do, and never
/// holds a secret, a token or a response body.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    text: String,
    retry_after: Option<Duration>,
    of_login: bool,
    of_missing_option: bool,
}

impl Error {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), retry_after: None, of_login: false, of_missing_option: false }
    }

    /// Notes the vault's `Retry-After`.
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Whether the login failed: until one succeeds, no secret of the vault can be read.
    pub fn is_of_login(&self) -> bool {
        self.of_login
    }

    pub fn of_login(mut self) -> Self {
        self.of_login = true;
        self
    }

    /// Whether an option is missing, of the vault or because another option needs it.
    pub fn is_of_missing_option(&self) -> bool {
        self.of_missing_option
    }

    pub fn of_missing_option(mut self) -> Self {
        self.of_missing_option = true;
        self
    }

    /// Adds further advice to the text.
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

    /// How long the vault gets no requests, as it asked.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after.map(|wait| wait.min(LONGEST_WAIT))
    }

    /// How long only this document is not requested: a limit on requests may apply to one path. A failed login, or an
    /// answer such as 503, is about the whole vault.
    pub fn holds_document(&self) -> Option<Duration> {
        self.wait().filter(|_| self.kind == Kind::Throttled && !self.of_login)
    }

    /// The error that look-ups of the document get meanwhile.
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

    /// The text in Kong's words: what kept a vault from returning a value stands inside Kong's own sentence.
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

    /// Whether the error is about the whole vault, not about one secret or the right to read it.
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
