//! Where a value was set, for error texts.

/// A place that sets options.
#[derive(Debug, Clone, Copy)]
pub enum ConfigSource<'a> {
    /// A key of `configure`.
    Configure,
    /// A kong.conf, by path.
    File(&'a str),
    /// An environment variable, by name.
    Environment(&'a str),
    /// A vault entity: its prefix, and the file that it stands in.
    Entity {
        prefix: &'a str,
        file: &'a str,
    },
    /// Kong, which has read the environment and kong.conf itself; to a strategy it hands an entity's and a reference's
    /// options as well.
    Kong,
    Reference,
}

impl ConfigSource<'_> {
    /// The place in words for users. `key`: the option's name in kong.conf.
    pub fn name(&self, key: &str) -> String {
        match self {
            ConfigSource::Configure => format!("configure key {key}"),
            ConfigSource::File(path) => format!("key {key} in {path}"),
            ConfigSource::Environment(name) => format!("environment variable {name}"),
            ConfigSource::Entity { prefix, file } => format!("vault entity {prefix} in {file}"),
            ConfigSource::Kong => "Kong".to_owned(),
            ConfigSource::Reference => "the reference".to_owned(),
        }
    }

    /// Whether white space around a value is not meant. Kong also removes it from its own.
    pub fn is_padded(&self) -> bool {
        matches!(self, ConfigSource::Configure | ConfigSource::File(_) | ConfigSource::Environment(_))
    }

    /// Whether two values are of equal weight: neither overrides the other.
    pub fn is_as_strong_as(&self, other: &ConfigSource<'_>) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
