//! What an option is: the one declaration from which names, validation, help and the documents' tables derive.

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
    /// Seconds, zero or more.
    Seconds,
    /// Texts separated by commas.
    List,
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
    /// A regular expression that the whole value has to match.
    pub pattern: Option<&'static str>,
    /// A credential: never shown, not even in an error.
    pub sensitive: bool,
    /// Whether a reference's query may set it. Never for what says where the vault is or who we are.
    pub overridable: bool,
    /// Other spellings that Kong's documentation uses.
    pub aliases: &'static [&'static str],
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
            overridable: false,
            aliases: &[],
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

    pub const fn pattern(mut self, regex: &'static str) -> Self {
        self.pattern = Some(regex);
        self
    }

    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub const fn overridable(mut self) -> Self {
        self.overridable = true;
        self
    }

    pub const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }
}

/// The options that every backend has.
pub const COMMON: &[Opt] = &[
    Opt::new("ttl", Type::Seconds, "seconds a value is fresh; none: until it is flushed or evicted").overridable(),
    Opt::new("neg_ttl", Type::Seconds, "seconds a failed look-up is remembered").default("0").overridable(),
    Opt::new(
        "resurrect_ttl",
        Type::Seconds,
        "seconds after `ttl` in which the old value serves while no new one can be had",
    )
    .default("100000000")
    .overridable(),
    Opt::new("base64_decode", Type::Boolean, "decode the value, or the picked field, as base64")
        .default("false")
        .overridable()
        .aliases(&["decode_base64"]),
];
