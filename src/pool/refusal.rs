//! Why a pool of threads does not do a job.

use std::fmt;

/// Why a job was not run, or returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobRefusal {
    /// A job with the same key hangs: its caller gave it up, and it has not ended.
    Hangs,
    /// All threads have jobs that hang, or too many jobs wait.
    Full,
    /// No thread can be started.
    NoThread,
    /// The job panicked.
    Failed,
}

impl fmt::Display for JobRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangs => "an earlier attempt still hangs",
            Self::Full => "too many other attempts hang",
            Self::NoThread => "no thread can be started: look at the limits on processes and memory",
            Self::Failed => "the attempt failed inside kong-vault",
        })
    }
}

impl std::error::Error for JobRefusal {}
