//! The declaration of an option, from which its name, validation, help and the tables in the docs derive.
//!
//! It uses only values. It must never know a backend: the tables belong to the backends.

mod confined;
pub mod own;
pub mod settings;
pub mod value;

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use regex::Regex;

use crate::options::confined::Confined;
use crate::options::value::Value;
use crate::secret::Secret;
use crate::sync::lock;

/// The longest time that an option accepts, in seconds: some 30 years.
pub const LONGEST: f64 = 1e9;

/// The type of an option's value. Numbers are decimal; seconds may have a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    Text,
    /// `true`, `false`, `on`, `off`, `1`, `0`, `yes`, `no`.
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    /// Seconds, from `min` on.
    Seconds {
        min: f64,
    },
    /// Texts separated by commas.
    List,
}

impl Type {
    /// For the table in the docs.
    pub fn name(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Boolean => "boolean",
            Type::Integer { .. } => "integer",
            Type::Seconds { .. } => "seconds",
            Type::List => "list",
        }
    }
}

/// What a text must look like.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// A regular expression that must match the whole value.
    pub regex: &'static str,
    /// The same in words.
    pub means: &'static str,
}

/// What an option's value may hold, which decides how much of it may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// No secret.
    Plain,
    /// A file's path, or PEM text, in which a key may stand.
    Pem,
    /// A file's path; by mistake, it may be the file's content.
    File,
    /// A URL. Its user or its query may be a credential.
    Url,
}

/// One option of a backend, or of kong-vault itself.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    pub name: &'static str,
    pub kind: Type,
    pub default: Option<&'static str>,
    pub required: bool,
    /// The only values accepted, if not empty.
    pub one_of: &'static [&'static str],
    pub pattern: Option<Pattern>,
    /// A credential: never shown, not even in an error.
    pub sensitive: bool,
    pub holds: Holds,
    /// It decides where requests go, although it may hold a credential.
    pub leads: bool,
    /// It restricts access or trust. An empty value does not mean not set, but is an error.
    pub guards: bool,
    /// Whether a reference's query may set it: never an option that decides on the server or the credentials.
    pub overridable: bool,
    /// Whether it is set by kong.conf, `configure` and the environment alone, and then holds for all vaults of the backend: for
    /// what would let whoever writes entities send credentials where they don't belong.
    pub operators: bool,
    /// Which values a vault entity may set beside the operator's own: for what says where the operator's credentials go.
    pub confined: Option<Confined>,
    /// The ends of the names of variables that begin with its value and hold credentials.
    pub begins: &'static [&'static str],
    /// Other spellings that Kong's documentation uses.
    pub aliases: &'static [&'static str],
    /// Whether Kong's own schema of the backend has a text where this is a list.
    pub text_in_kong: bool,
    /// The value with which a server's certificate is not verified, which `tls_certificate_verify` forbids.
    pub unverified: Option<bool>,
    pub help: &'static str,
}

impl Opt {
    pub const fn new(name: &'static str, kind: Type, help: &'static str) -> Self {
        Self {
            name,
            kind,
            default: None,
            required: false,
            one_of: &[],
            pattern: None,
            sensitive: false,
            holds: Holds::Plain,
            leads: false,
            guards: false,
            overridable: false,
            operators: false,
            confined: None,
            begins: &[],
            aliases: &[],
            text_in_kong: false,
            unverified: None,
            help,
        }
    }

    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.one_of = values;
        self
    }

    pub const fn pattern(mut self, regex: &'static str, means: &'static str) -> Self {
        self.pattern = Some(Pattern { regex, means });
        self
    }

    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub const fn holds(mut self, what: Holds) -> Self {
        self.holds = what;
        self
    }

    /// Whether its value may be a credential, or hold one beside something else.
    pub fn may_hold_secret(&self) -> bool {
        self.sensitive || matches!(self.holds, Holds::Pem | Holds::Url)
    }

    pub const fn leads(mut self) -> Self {
        self.leads = true;
        self
    }

    pub const fn guards(mut self) -> Self {
        self.guards = true;
        self
    }

    pub const fn overridable(mut self) -> Self {
        self.overridable = true;
        self
    }

    pub const fn operators(mut self) -> Self {
        self.operators = true;
        self
    }

    pub const fn confined(mut self, means: &'static str, allows: fn(&str) -> bool) -> Self {
        self.confined = Some(Confined { allows, means });
        self
    }

    pub const fn begins(mut self, ends: &'static [&'static str]) -> Self {
        self.begins = ends;
        self
    }

    pub const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }

    pub const fn text_in_kong(mut self) -> Self {
        self.text_in_kong = true;
        self
    }

    pub const fn unverified(mut self, value: bool) -> Self {
        self.unverified = Some(value);
        self
    }

    /// The name of its type in a schema of Kong.
    pub fn type_in_kong(&self) -> &'static str {
        if self.text_in_kong { Type::Text.name() } else { self.kind.name() }
    }

    /// Whether `name` is this option's, or another spelling of it.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Reads a value; `None` where it isn't what `accepts` says.
    pub fn parse(&self, text: &str) -> Option<Value> {
        if !self.one_of.is_empty() && !self.one_of.contains(&text) {
            return None;
        }
        if let Some(pattern) = self.pattern
            && !matches_whole(pattern.regex, text)
        {
            return None;
        }
        match self.kind {
            Type::Text if self.sensitive => Some(Value::Secret(Secret::new(text))),
            Type::Text => Some(Value::Text(text.to_owned())),
            Type::Boolean => match text {
                "true" | "on" | "yes" | "1" => Some(Value::Boolean(true)),
                "false" | "off" | "no" | "0" => Some(Value::Boolean(false)),
                _ => None,
            },
            Type::Integer { min, max } => {
                text.parse().ok().filter(|number| (min..=max).contains(number)).map(Value::Integer)
            }
            Type::Seconds { min } => {
                let seconds: f64 = text.parse().ok()?;
                let seconds = Some(seconds).filter(|seconds| (min..=LONGEST).contains(seconds))?;
                Duration::try_from_secs_f64(seconds).ok().map(Value::Seconds)
            }
            Type::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::List(items.map(str::to_owned).collect()))
            }
        }
    }

    /// The values that are accepted, in words.
    pub fn accepts(&self) -> String {
        if let Some(pattern) = self.pattern {
            return pattern.means.to_owned();
        }
        match self.one_of {
            [] => {}
            [only] => return (*only).to_owned(),
            [first @ .., last] => return format!("{} or {last}", first.join(", ")),
        }
        match self.kind {
            Type::Text => "text".to_owned(),
            Type::Boolean => "true or false (also on, off, yes, no, 1, 0)".to_owned(),
            Type::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Type::Seconds { min } => format!("seconds from {min} to {LONGEST}"),
            Type::List => "a list separated by commas".to_owned(),
        }
    }

    /// Its name in kong.conf.
    pub fn key(&self, backend: &str) -> String {
        format!("vault_{}_{}", in_keys(backend), self.name)
    }

    /// The environment variable that sets it.
    pub fn variable(&self, backend: &str) -> String {
        variable(&self.key(backend))
    }
}

/// A backend's name as it stands in keys of kong.conf.
pub fn in_keys(backend: &str) -> String {
    backend.replace('-', "_")
}

/// The environment variable of a key of kong.conf.
pub fn variable(key: &str) -> String {
    format!("KONG_{}", key.to_uppercase().replace('-', "_"))
}

/// Whether a pattern matches the whole of `text`. There are few patterns, so each compiled one is kept.
fn matches_whole(pattern: &'static str, text: &str) -> bool {
    static COMPILED: OnceLock<Mutex<HashMap<&'static str, Option<Regex>>>> = OnceLock::new();
    let mut compiled = lock(COMPILED.get_or_init(Mutex::default));
    let regex = compiled.entry(pattern).or_insert_with(|| Regex::new(&format!("^(?:{pattern})$")).ok());
    // An invalid pattern accepts nothing; a test checks all of them.
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

const ANY_TIME: Type = Type::Seconds { min: 0.0 };

/// The options that every backend has.
pub const COMMON: &[Opt] = &[
    Opt::new("ttl", ANY_TIME, "seconds that a value is fresh; not set or 0: until it is flushed or evicted")
        .overridable(),
    Opt::new("neg_ttl", ANY_TIME, "seconds that a failed look-up is remembered").default("0").overridable(),
    Opt::new(
        "resurrect_ttl",
        ANY_TIME,
        "seconds after `ttl` during which the old value stays in use if no new one can be read",
    )
    .default("100000000")
    .overridable(),
    Opt::new("min_ttl", ANY_TIME, "shortest time that a lease from the vault counts for").default("0").overridable(),
    Opt::new("max_ttl", ANY_TIME, "longest time that a lease from the vault counts for; not set or 0: no bound")
        .overridable(),
    Opt::new("base64_decode", Type::Boolean, "decode the value, or the field, as base64")
        .default("false")
        .overridable()
        .aliases(&["decode_base64"]),
];
