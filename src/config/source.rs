//! Where a value was written down, for error texts.

/// A place that sets options.
#[derive(Debug, Clone)]
pub enum Source<'a> {
    /// A key of `configure` or of kong.conf.
    Configure,
    /// An environment variable, by name.
    Environment(&'a str),
    /// A vault entity, by prefix.
    Entity(&'a str),
    Reference,
}

impl Source<'_> {
    /// What people look for: `key` is the option's name in kong.conf.
    pub fn name(&self, key: &str) -> String {
        match self {
            Source::Configure => format!("configure key {key}"),
            Source::Environment(name) => format!("environment variable {name}"),
            Source::Entity(prefix) => format!("vault entity {prefix}"),
            Source::Reference => "the reference".to_owned(),
        }
    }
}
