//! What became of a fetch from a vault. It is reported at one place to whoever keeps account of fetches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::document::Document;
use crate::error::Error;
use crate::resolver::document_cache::ValueChange;
use crate::resolver::resolved_reference::DocumentKey;
use crate::resolver::singleflight::Purpose;
use crate::resolver::state::Resolver;
use crate::spans::FetchTrace;

/// What became of the fetch of one document. It holds the value: whoever keeps a report keeps names, times and kinds.
pub struct FetchReport<'a> {
    pub key: &'a Arc<DocumentKey>,
    pub purpose: Purpose,
    /// When the attempt began that brought the outcome.
    pub began: Instant,
    /// How long the fetch took, with all attempts.
    pub took: Duration,
    pub outcome: Result<&'a Document, &'a Error>,
    pub change: ValueChange,
    /// Whether another document of its group was asked for, and brought this one along.
    pub came_along: bool,
    /// Where it gets a span.
    pub trace: Option<&'a FetchTrace>,
}

impl Resolver {
    /// Reports a fetch whose outcome is kept.
    pub(super) fn report(&self, report: &FetchReport<'_>) {
        self.audit_fetch(report);
        if !report.came_along {
            self.metrics().fetched(report.took);
        }
        if let Err(error) = report.outcome {
            self.metrics().failed(report.key.descriptor.name, error.kind());
        }
        self.account_for(report);
        self.export_span(report);
    }
}
