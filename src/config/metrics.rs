//! How the metrics name references.

/// The option for how many documents are known by name.
pub const MAX: &str = "vault_metrics_references_max";

/// Which references the metrics have, and by what name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsReferences {
    Off,
    /// By the beginning of the name's SHA-256.
    Hashed,
    Named,
}

impl MetricsReferences {
    pub fn new(text: Option<&str>) -> Self {
        match text {
            Some("hashed") => Self::Hashed,
            Some("named") => Self::Named,
            _ => Self::Off,
        }
    }
}
